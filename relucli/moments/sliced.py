"""Slice moments: counts, means and second moments of the inputs within slices of the label.

Any function of the label may stand for the label itself in a moment.  Slicing at quantiles keeps enough of them to
find the span of the neurons from a number of rows of the order of d, where polynomials of the label need d^(l/2).
The two classical uses are sliced inverse regression (means; Li, JASA 1991) and sliced average variance estimation
(covariances; Cook and Weisberg, JASA 1991).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["SliceMoments", "quantile_edges"]


def quantile_edges(y: NDArray[np.float64], slices: int) -> NDArray[np.float64]:
    """Inner edges of slices of equal probability: at most ``slices - 1`` labels, strictly increasing.

    Ties (a label that many rows share) make fewer, larger slices.  A least label that fills more than a slice, as
    when all neurons are silent on most rows, gets one to itself, and the others share the rest.
    """
    least = y.min()
    above = y[y > least]
    if slices <= 1 or not len(above):
        return np.empty(0)
    edges = np.quantile(y, np.arange(1, slices) / slices, method="higher")
    if edges[0] == least:
        edges = np.append(above.min(), np.quantile(above, np.arange(1, slices - 1) / (slices - 1), method="higher"))
    return np.unique(edges)


class SliceMoments(Accumulator):
    """Sums over the rows of each slice.

    Slice h holds the rows with ``edges[h-1] <= y < edges[h]``.

    Parameters
    ----------
    dim : int
        d.
    edges : ndarray, shape (H - 1,)
        Increasing; empty for one slice that holds all rows.
    shift : ndarray, shape (d,)
        Subtracted from the inputs, so that means far from zero cost no accuracy: blocks bring what is left.

    Attributes
    ----------
    sums : dict
        ``count`` (H,), ``y`` (H,), ``x`` (H, d) and ``xx`` (H, d, d), of the shifted inputs.
    """

    def __init__(self, dim: int, edges: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
        self.dim = dim
        self.edges = edges
        self.shift = shift
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        h, d = len(self.edges) + 1, self.dim
        return {"count": (h,), "y": (h,), "x": (h, d), "xx": (h, d, d)}

    def scratch(self, rows: int) -> int:
        """Bytes of the sorted copy of a block and of its product."""
        return 8 * (rows * (self.dim + 3) + self.dim * self.dim)

    def update(self, block: Block) -> None:
        """Add a block: each row to its slice, so that all slices together cost one Gram matrix."""
        slices = len(self.edges) + 1
        label = np.searchsorted(self.edges, block.y, side="right")
        order = np.argsort(label.astype(np.min_scalar_type(slices)), kind="stable")
        x = np.take(block.x, order, axis=0)
        count = np.bincount(label, minlength=slices)
        stops = np.cumsum(count)
        for h in np.flatnonzero(count):
            rows = x[stops[h] - count[h] : stops[h]]
            self.sums["x"][h] += np.ones(len(rows), x.dtype) @ rows
            self.sums["xx"][h] += rows.T @ rows
        self.sums["count"] += count
        self.sums["y"] += np.bincount(label, weights=block.y, minlength=slices)
