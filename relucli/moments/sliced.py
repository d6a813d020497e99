"""Slice moments: counts, means and second moments of the inputs within slices of the label.

Any function of the label may stand for the label itself in a moment.  Slicing at quantiles keeps enough of them to
find the span of the neurons from a number of rows of the order of d, where polynomials of the label need d^(l/2).
The two classical uses are sliced inverse regression (means; Li, JASA 1991) and sliced average variance estimation
(covariances; Cook and Weisberg, JASA 1991).
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relucli.moments.gram import packed, packed_size
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["Second", "SliceMoments", "others", "quantile_edges", "slice_of"]

Second = Literal["slices", "whole", "columns"]


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


def slice_of(y: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.intp]:
    """The slice of each label, (n,)."""
    return np.searchsorted(edges, y, side="right")


def others(label: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each row of a block the slice of another one, half the block away: independent of its inputs."""
    return np.roll(label, len(label) // 2)


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
    second : {"slices", "whole", "columns"}
        Whether second moments are taken in each slice, of all rows together, or of each column alone: where d x d
        matrices are many or large, passes over the rows do without them.

    Attributes
    ----------
    sums : dict
        ``count`` (H,), ``y`` (H,), ``x`` (H, d), and the second moments ``xx``, upper triangles (H, d (d + 1) / 2) or
        (1, d (d + 1) / 2), or (d,), all of the shifted inputs.  Without slices of their own second moments, ``other``
        (H, d) are the sums of inputs of rows that are chosen by the label of another row, for comparison.
    """

    def __init__(
        self, dim: int, edges: NDArray[np.float64], shift: NDArray[np.float64], second: Second = "slices"
    ) -> None:
        self.dim = dim
        self.edges = edges
        self.shift = shift
        self.second = second
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        h, d = len(self.edges) + 1, self.dim
        shapes: dict[str, tuple[int, ...]] = {"count": (h,), "y": (h,), "x": (h, d)}
        if self.second == "slices":
            return shapes | {"xx": (h, packed_size(d))}
        return shapes | {"other": (h, d), "xx": (1, packed_size(d)) if self.second == "whole" else (d,)}

    def scratch(self, rows: int) -> int:
        """Bytes of the sorted copy of a block, or of who is in which slice, and of a product."""
        product = 0 if self.second == "columns" else 2 * self.dim * (self.dim + 1)
        wide = self.dim if self.second == "slices" else 4 * len(self.edges) + 4
        return 8 * (rows * (wide + 3) + product)

    def update(self, block: Block) -> None:
        """Add a block: each row to its slice, so that all slices together cost one Gram matrix."""
        slices = len(self.edges) + 1
        label = slice_of(block.y, self.edges)
        count = np.bincount(label, minlength=slices)
        if self.second == "slices":
            self._by_slices(block.x, label, count)
        else:
            chosen = np.concatenate([np.arange(slices)[:, None] == of for of in (label, others(label))])
            means = (chosen.astype(block.x.dtype) @ block.x).astype(np.float64)
            self.sums["x"] += means[:slices]
            self.sums["other"] += means[slices:]
            whole = self.second == "whole"
            self.sums["xx"] += packed(block.x.T @ block.x) if whole else np.einsum("ni,ni->i", block.x, block.x)
        self.sums["count"] += count
        self.sums["y"] += np.bincount(label, weights=block.y, minlength=slices)

    def _by_slices(self, x: NDArray[Any], label: NDArray[np.intp], count: NDArray[np.intp]) -> None:
        order = np.argsort(label.astype(np.min_scalar_type(len(count))), kind="stable")
        x = np.take(x, order, axis=0)
        stops = np.cumsum(count)
        for h in np.flatnonzero(count):
            rows = x[stops[h] - count[h] : stops[h]]
            self.sums["x"][h] += np.ones(len(rows), x.dtype) @ rows
            self.sums["xx"][h] += packed(rows.T @ rows)
