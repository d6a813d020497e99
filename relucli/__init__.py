"""Recover one-hidden-layer ReLU networks from Gaussian data, on disk, to the statistical limit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from relucli.errors import RelucliError
    from relucli.network import ReluNetwork

_HOMES = {
    "ReluNetwork": "relucli.network",
    "RelucliError": "relucli.errors",
}

__all__ = ["ReluNetwork", "RelucliError", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: importing relucli alone loads no numerics."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
