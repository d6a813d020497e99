"""Contracted Hermite moments: higher-order moment tensors of y and x, seen through random directions.

With T_l = E[y He_l(x)] = chat_l sum_i c_i w_i^(tensor l), contracting l - 2 slots with a unit vector g leaves a
d x d matrix that one weighted Gram matrix accumulates.  With z = <g, x>,

    M_{l,g} = E y [He_{l-2}(z) (x x^T - I) - (l-2) He_{l-3}(z) (x g^T + g x^T) + (l-2)(l-3) He_{l-4}(z) g g^T]
            = sum_i c_i chat_l(b_i) <w_i, g>^{l-2} w_i w_i^T.

Source: Chen, Dou, Goel, Klivans and Meka, "Learning Narrow One-Hidden-Layer ReLU Networks", COLT 2023
(arXiv 2304.10524), section on random contractions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relucli.moments.hermite import hermite
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["ContractedMoments"]

Array = NDArray[np.float64]


class ContractedMoments(Accumulator):
    """Weighted Gram matrices sum_n y_n He_{l-2}(z_n) x_n x_n^T and the lower terms that complete M_{l,g}.

    Parameters
    ----------
    directions : ndarray, shape (G, d)
        Rows g, in raw coordinates: z = <g, x> - offset has unit variance and zero mean.
    offsets : ndarray, shape (G,)
        Subtracted from the projections.
    orders : tuple of int
        Orders l >= 2.  Order 2 has nothing to contract and is kept once.
    center : float
        Subtracted from the labels: it changes no expectation with l >= 1 and lowers the variance.
    shift : ndarray, shape (d,)
        Subtracted from the inputs in the sums.

    Attributes
    ----------
    sums : dict
        For each order l: ``xx_l`` (G_l, d, d), ``x_l`` (G_l, d) and ``one_l`` (G_l,) with weight y He_{l-2}(z),
        ``down_l`` (G_l, d) and ``down_one_l`` (G_l,) with weight y He_{l-3}(z), ``low_l`` (G_l,) with weight
        y He_{l-4}(z); G_2 = 1 and G_l = G otherwise.  ``xx_l`` belongs to the shifted inputs, as do ``x_l``
        and ``down_l``.
    """

    def __init__(self, directions: Array, offsets: Array, orders: tuple[int, ...], center: float, shift: Array) -> None:
        self.directions = directions
        self.offsets = offsets
        self.orders = tuple(order for order in orders if order >= 2)
        self.center = center
        self.shift = shift
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        d = self.directions.shape[1]
        shapes: dict[str, tuple[int, ...]] = {}
        for order in self.orders:
            g = self._count(order)
            shapes |= {f"xx_{order}": (g, d, d), f"x_{order}": (g, d), f"one_{order}": (g,)}
            shapes |= {f"down_{order}": (g, d), f"down_one_{order}": (g,), f"low_{order}": (g,)}
        return shapes

    def _count(self, order: int) -> int:
        return 1 if order == 2 else len(self.directions)

    def scratch(self, rows: int) -> int:
        """Bytes of the weighted copy of a block, the projections and the product."""
        g, d = self.directions.shape
        return int(8 * (rows * (2 * d + 4 * g) + d * d))

    def update(self, block: Block) -> None:
        """Add a block: one weighted Gram matrix for each order and direction."""
        y = block.y - self.center
        z = block.wide @ self.directions.T - self.offsets
        x = block.wide - self.shift if self.shift.any() else block.wide
        for order in self.orders:
            projections = z[:, : self._count(order)]
            weights = y[:, None] * hermite(order - 2, projections)
            down = y[:, None] * hermite(order - 3, projections)
            for i in range(weights.shape[1]):
                self.sums[f"xx_{order}"][i] += (x * weights[:, i : i + 1]).T @ x
            self.sums[f"x_{order}"] += weights.T @ x
            self.sums[f"one_{order}"] += weights.sum(axis=0)
            self.sums[f"down_{order}"] += down.T @ x
            self.sums[f"down_one_{order}"] += down.sum(axis=0)
            self.sums[f"low_{order}"] += (y[:, None] * hermite(order - 4, projections)).sum(axis=0)
