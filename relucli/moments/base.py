"""Moments of the labels, their products with the inputs, and how Gaussian the inputs look along random lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relucli.moments.gram import matched, projections
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["BaseMoments"]

Array = NDArray[np.float64]


class BaseMoments(Accumulator):
    """Sums of powers of the label, of label times inputs, and of powers of projections of the inputs.

    The inputs that blocks bring are those of the data less ``shift``.

    Parameters
    ----------
    directions : ndarray, shape (G, d)
        Rows g of the projections z = <g, x> - offset, of unit variance and zero mean if the pilot was right.
    offsets : ndarray, shape (G,)
        Subtracted from the projections of the inputs of the data.
    center : float
        Subtracted from the labels.
    shift : ndarray, shape (d,)
        Subtracted from the inputs.
    scale : float
        A power of two of the size of the labels, which keeps their products within the range of float32.

    Attributes
    ----------
    sums : dict
        ``y`` (3,): sums of (y - center)^i, i = 0, 1, 2; ``yx`` (d,): of (y - center)(x - shift);
        ``z`` (5, G): of z^i, i = 0 ... 4.
    """

    def __init__(self, directions: Array, offsets: Array, center: float, shift: Array, scale: float = 1.0) -> None:
        self.directions = directions
        self.offsets = offsets
        self.center = center
        self.shift = shift
        self.scale = scale
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        g, d = self.directions.shape
        return {"y": (3,), "yx": (d,), "z": (5, g)}

    def scratch(self, rows: int) -> int:
        """Bytes of the projections and their powers, and of a wide copy of a block with huge labels."""
        return 8 * rows * (3 * len(self.offsets) + len(self.shift) + 4)

    def update(self, block: Block) -> None:
        """Add a block."""
        y = block.y - self.center
        self.sums["y"] += [len(y), y.sum(), y @ y]
        x, scaled = matched(block.x, y / self.scale)
        self.sums["yx"] += self.scale * (scaled @ x).astype(np.float64)
        z = projections(block.x, self.directions, self.offsets - self.directions @ self.shift)
        squares = z * z
        cubes, fourths = (np.einsum("gn,gn->g", squares, power) for power in (z, squares))
        self.sums["z"] += [np.full(len(z), z.shape[1]), z.sum(axis=1), squares.sum(axis=1), cubes, fourths]
