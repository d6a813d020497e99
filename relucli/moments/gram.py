"""Products of a block of rows, in the precision of the block: projections, and many weighted Gram matrices at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["gram_scratch", "matched", "packed", "packed_size", "projections", "unpacked", "weighted_grams"]

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


@lru_cache(maxsize=1)
def _upper(dim: int) -> NDArray[np.intp]:
    """Where the upper triangle is in a matrix of dim x dim, row by row."""
    return np.flatnonzero(np.triu(np.ones((dim, dim), dtype=bool)))


def packed_size(dim: int) -> int:
    """Numbers in an upper triangle, d (d + 1) / 2."""
    return dim * (dim + 1) // 2


def packed(matrices: NDArray[Any]) -> NDArray[Any]:
    """The upper triangles of symmetric matrices (..., d, d), row by row: (..., d (d + 1) / 2)."""
    dim = matrices.shape[-1]
    return np.take(matrices.reshape(*matrices.shape[:-2], dim * dim), _upper(dim), axis=-1)


def unpacked(triangles: NDArray[np.float64], dim: int) -> NDArray[np.float64]:
    """The symmetric matrices (..., d, d) with these upper triangles."""
    matrices = np.empty((*triangles.shape[:-1], dim, dim))
    start = 0
    for row in range(dim):
        stop = start + dim - row
        matrices[..., row, row:] = matrices[..., row:, row] = triangles[..., start:stop]
        start = stop
    return matrices


def weighted_grams(x: NDArray[Any], weights: NDArray[Any]) -> NDArray[Any]:
    """sum_n w_kn x_n x_n^T for every row k of the weights, of the same dtype as the inputs.

    One product serves all weights: a panel of columns of x, multiplied by each weight and stacked, meets the columns
    of x from that panel on.  What is left out lies below the diagonal, and is three eighths of the work.

    Parameters
    ----------
    x : ndarray, shape (n, d)
    weights : ndarray, shape (K, n)

    Returns
    -------
    ndarray, shape (K, d (d + 1) / 2)
        As `packed`.
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
    return packed(total)


def gram_scratch(dim: int, count: int) -> int:
    """Bytes of the arrays that `weighted_grams` makes for ``count`` weights, in float64."""
    width = -(-dim // PANELS)
    return 8 * (count * (dim * dim + packed_size(dim) + 2 * dim * width + CHUNK * width) + packed_size(dim))
