"""Moments of the labels, their products with the inputs, and how Gaussian the inputs look along random lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["BaseMoments"]

Array = NDArray[np.float64]


class BaseMoments(Accumulator):
    """Sums of powers of the label, of label times inputs, and of powers of projections of the inputs.

    Parameters
    ----------
    directions : ndarray, shape (G, d)
        Rows g of the projections z = <g, x> - offset, of unit variance and zero mean if the pilot was right.
    offsets : ndarray, shape (G,)
        Subtracted from the projections.
    center : float
        Subtracted from the labels.
    shift : ndarray, shape (d,)
        Subtracted from the inputs.

    Attributes
    ----------
    sums : dict
        ``y`` (3,): sums of (y - center)^i, i = 0, 1, 2; ``yx`` (d,): of (y - center)(x - shift);
        ``z`` (5, G): of z^i, i = 0 ... 4.
    """

    def __init__(self, directions: Array, offsets: Array, center: float, shift: Array) -> None:
        self.directions = directions
        self.offsets = offsets
        self.center = center
        self.shift = shift
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        g, d = self.directions.shape
        return {"y": (3,), "yx": (d,), "z": (5, g)}

    def scratch(self, rows: int) -> int:
        """Bytes of the projections and their powers."""
        return 24 * rows * len(self.offsets) + 16 * rows

    def update(self, block: Block) -> None:
        """Add a block."""
        y = block.y - self.center
        z = block.wide @ self.directions.T - self.offsets
        self.sums["y"] += [len(y), y.sum(), y @ y]
        self.sums["yx"] += y @ block.wide - y.sum() * self.shift
        power = np.ones_like(z)
        for i in range(5):
            self.sums["z"][i] += power.sum(axis=0)
            power *= z
