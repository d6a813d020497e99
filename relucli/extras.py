"""Packages that only some commands need: imported when they are called for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from relucli.errors import UsageError

__all__ = ["extra"]


def extra(module: str, name: str) -> Any:
    """Import a module of an optional package.

    Parameters
    ----------
    module : str
        Its full name.
    name : str
        The extra of relucli that brings the package.

    Raises
    ------
    UsageError
        If the package is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UsageError(f"this needs {package}, which is not installed; pip install 'relucli[{name}]'") from error
