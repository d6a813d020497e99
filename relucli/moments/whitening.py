"""Whitening: whether inputs are N(0, I), and the root of their covariance if they are not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf

from relucli.errors import UnsupportedError

__all__ = ["cholesky_root", "looks_standard", "projection_whitening", "whitened"]

Array = NDArray[np.float64]

PROPORTIONAL = 1e-10


def whitened(matrix: Array, root: Array) -> Array:
    """root^-1 matrix root^-T."""
    half = solve_triangular(root, matrix, lower=True)
    return np.asarray(solve_triangular(root, half.T, lower=True).T)


def looks_standard(mean: Array, centered: Array) -> bool:
    """Whether rows, their mean (d,) and what is left of them (n, d), could come from N(0, I): six standard deviations.

    n |mean|^2 is chi-squared with d degrees of freedom.  For the covariance S with divisor m = n - 1, and whichever of
    m and d is the larger, m |S - I|_F^2 - (tr S)^2 has mean d and variance 4 d^2 in the limit (Ledoit and Wolf, Annals
    of Statistics 30, 2002, section 4).  |S|_F is that of the smaller of the two Gram matrices.
    """
    n, d = centered.shape
    if n * mean @ mean > d + 6 * np.sqrt(2 * d) + 12:
        return False
    m = max(1, n - 1)
    gram = (centered.T @ centered if d < n else centered @ centered.T) / m
    trace = float(np.trace(gram))
    statistic = m * (float((gram * gram).sum()) - 2 * trace + d) - trace**2
    return bool(statistic <= d + 6 * np.sqrt(4 * d * (d + 1)) * (1 + 2 / np.sqrt(m)) + 24)


def cholesky_root(mean: Array, covariance: Array, samples: int) -> Array:
    """Lower Cholesky factor of a covariance.

    Raises
    ------
    UnsupportedError
        If a column is constant, or columns depend on each other, to rounding; it names what the rows lack.
    """
    d, scale = len(mean), np.sqrt(np.diag(covariance))
    constant = scale <= 1e-13 * np.abs(mean)
    if constant.any():
        raise UnsupportedError(f"x column {int(np.argmax(constant))} is constant; remove it, or pass --whiten off")
    correlation = covariance / scale[:, None] / scale
    factor, failed = dpotrf(correlation, lower=True, clean=True)
    least = 100 * d * np.finfo(float).eps
    if failed or np.diag(factor).min() ** 2 < least:
        if samples <= d:
            reason = f"{samples} rows are too few for {d} columns"
        else:
            reason = _dependence(correlation, failed - 1 if failed else int(np.argmin(np.diag(factor))))
        raise UnsupportedError(f"the covariance of x is singular: {reason}; remove it, or pass --whiten off")
    return np.asarray(scale[:, None] * factor)


def _dependence(correlation: Array, column: int) -> str:
    """What a column depends on: those before it, of which it may be a multiple of one."""
    before = np.abs(correlation[column, :column])
    nearest = int(np.argmax(before))
    if before[nearest] > 1 - PROPORTIONAL:
        return f"column {column} is column {nearest} again, up to scale and shift"
    return f"column {column} depends on the columns before it"


def projection_whitening(mean: Array, covariance: Array, samples: int, contract: bool) -> tuple[Array, Array]:
    """What the projections are whitened by: only contractions need more than the scale of each column."""
    if not contract:
        scale = np.sqrt(np.diag(covariance))
        return mean, np.diag(np.where(scale > 0, scale, 1.0))
    try:
        return mean, cholesky_root(mean, covariance, samples)
    except UnsupportedError as error:
        problem = str(error).split(";")[0]
        raise UnsupportedError(f"{problem}, so moments cannot be contracted; pass --contractions 0") from error
