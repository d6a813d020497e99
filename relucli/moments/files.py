"""Moments in files."""

from __future__ import annotations

from relucli.errors import about
from relucli.moments.estimate import Moments
from relucli.storage.results import read_moments
from relucli.storage.schema import StrPath

__all__ = ["load_moments"]


def load_moments(path: StrPath) -> tuple[Moments, str]:
    """The moments in a file, and the checksums of the files that they were taken from.

    Raises
    ------
    InputError, DataError
        If there are none that can be used.
    """
    file = read_moments(path)
    with about(path):
        return Moments.restore(file.arrays, file.settings, file.fingerprint), file.checksums
