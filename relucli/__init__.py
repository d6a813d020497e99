"""Recover one-hidden-layer ReLU networks from Gaussian data, on disk, to the statistical limit."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from relucli.api import evaluate, generate, learn, load, sample, save, take_moments
    from relucli.errors import RelucliError, RelucliWarning
    from relucli.estimator import ReluNetworkRegressor as ReluNetworkRegressor
    from relucli.network import ReluNetwork
    from relucli.synthesis import plant

_HOMES = {
    "ReluNetwork": "relucli.network",
    "ReluNetworkRegressor": "relucli.estimator",
    "RelucliError": "relucli.errors",
    "RelucliWarning": "relucli.errors",
    "evaluate": "relucli.api",
    "generate": "relucli.api",
    "learn": "relucli.api",
    "load": "relucli.api",
    "plant": "relucli.synthesis",
    "sample": "relucli.api",
    "save": "relucli.api",
    "take_moments": "relucli.api",
}

# The regressor is public too, but left out here: `from relucli import *` must not need an extra.
__all__ = [
    "ReluNetwork",
    "RelucliError",
    "RelucliWarning",
    "__version__",
    "evaluate",
    "generate",
    "learn",
    "load",
    "plant",
    "sample",
    "save",
    "take_moments",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: importing relucli alone loads no numerics."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if name != "ReluNetworkRegressor" or (error.name or "").partition(".")[0] != "sklearn":
            raise
        raise ImportError(
            f"{name} needs scikit-learn, which is not installed; pip install 'relucli[sklearn]'"
        ) from error


def __dir__() -> list[str]:
    """Public names; the regressor's only where its extra is installed, since help() asks for all that are listed."""
    from importlib.util import find_spec

    return sorted({*__all__, *_HOMES} - ({"ReluNetworkRegressor"} if find_spec("sklearn") is None else set()))
