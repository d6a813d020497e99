"""Products of a block of rows, in the precision of the block: projections, and many weighted Gram matrices at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["gram_scratch", "matched", "projections", "weighted_grams"]

CHUNK = 512
PANELS = 4
LARGEST_WEIGHT = 1e8


def projections(x: NDArray[Any], directions: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """<g, x> - offset for every direction and row, (G, n), multiplied in the dtype of the inputs."""
    return np.asarray((x @ directions.T.astype(x.dtype)).T.astype(np.float64, order="C") - offsets[:, None])


def matched(x: NDArray[Any], weights: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Inputs and weights in one dtype: that of the inputs, unless a weight is so large that products may overflow."""
    if x.dtype != np.float64 and not np.abs(weights).max() < LARGEST_WEIGHT:
        x = x.astype(np.float64)
    return x, weights.astype(x.dtype, copy=False)


def weighted_grams(x: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """sum_n w_kn x_n x_n^T for every row k of the weights, of the same dtype as the inputs.

    One product serves all weights: a panel of columns of x, multiplied by each weight and stacked, meets the columns
    of x from that panel on.  What lies below the diagonal follows by symmetry, which saves three eighths of the work.

    Parameters
    ----------
    x : ndarray, shape (n, d)
    weights : ndarray, shape (K, n)

    Returns
    -------
    ndarray, shape (K, d, d)
    """
    (n, d), k = x.shape, len(weights)
    total = np.zeros((k, d, d), x.dtype)
    width = -(-d // PANELS)
    space = np.empty(min(CHUNK, n) * k * width, x.dtype)
    for first in range(0, n, CHUNK):
        part, scales = x[first : first + CHUNK], weights[:, first : first + CHUNK].T
        for left in range(0, d, width):
            panel = part[:, left : left + width]
            stacked = space[: k * panel.size].reshape(len(part), k, -1)
            np.multiply(scales[:, :, None], panel[:, None, :], out=stacked)
            product = stacked.reshape(len(part), -1).T @ part[:, left:]
            total[:, left : left + width, left:] += product.reshape(k, -1, d - left)
    for left in range(width, d, width):
        total[:, left:, left - width : left] = total[:, left - width : left, left:].transpose(0, 2, 1)
    return total


def gram_scratch(dim: int, count: int) -> int:
    """Bytes of the arrays that `weighted_grams` makes for ``count`` weights, in float64."""
    width = -(-dim // PANELS)
    return 8 * count * (dim * dim + 2 * dim * width + CHUNK * width)
