"""Moments in files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from relucli.errors import DataError, about
from relucli.moments.estimate import Moments
from relucli.storage.results import read_moments
from relucli.storage.schema import StrPath

__all__ = ["load_moments"]

ROUNDING = 1e-6
MOST_ROWS = 2**53


def load_moments(path: StrPath) -> tuple[Moments, str]:
    """The moments in a file, and the checksums of the files that they were taken from.

    Raises
    ------
    InputError, DataError
        If there are none that can be used.
    """
    file = read_moments(path)
    with about(path):
        moments = Moments.restore(file.arrays, file.settings, file.fingerprint)
        _check_possible(moments)
    return moments, file.checksums


def _check_possible(moments: Moments) -> None:
    """Refuse sums that no rows have; what divides by counts, or takes roots of variances, relies on it."""
    wrong = next((what for what, holds in _conditions(moments) if not holds), None)
    if wrong is not None:
        raise DataError(f"no rows have such moments ({wrong}); take them again")


def _conditions(moments: Moments) -> Iterator[tuple[str, bool]]:
    """What must hold, each of use only if those before it do."""
    count, first, second = moments.sums.sums["base/y"]
    slices, root = moments.slice_count, moments.whitening[1]
    yield "number of rows", 1 <= count < MOST_ROWS and count == np.floor(count)
    yield "rows of slices", bool((slices >= 0).all() and slices.sum() == count)
    yield "squares of labels", bool(first * (first / count) <= second * (1 + ROUNDING))
    mean, covariance = moments.mean, moments.covariance
    variances = np.diag(covariance) if covariance.ndim == 2 else covariance
    yield "squares of inputs", bool((variances >= -ROUNDING * (mean**2 + variances.max())).all())
    yield "whitening", bool(((np.diag(root) if root.ndim == 2 else root) > 0).all())
