"""Contracted Hermite moments: higher-order moment tensors of y and x, seen through random directions.

With T_l = E[y He_l(x)] = chat_l sum_i c_i w_i^(tensor l), contracting l - 2 slots with a unit vector g leaves a
d x d matrix that one weighted Gram matrix accumulates.  With z = <g, x>,

    M_{l,g} = E y [He_{l-2}(z) (x x^T - I) - (l-2) He_{l-3}(z) (x g^T + g x^T) + (l-2)(l-3) He_{l-4}(z) g g^T]
            = sum_i c_i chat_l(b_i) <w_i, g>^{l-2} w_i w_i^T.

Source: Chen, Dou, Goel, Klivans and Meka, "Learning Narrow One-Hidden-Layer ReLU Networks", COLT 2023
(arXiv 2304.10524), section on random contractions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermevander
from numpy.typing import NDArray

from relucli.moments.gram import gram_scratch, matched, packed_size, projections, weighted_grams
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["ContractedMoments"]

Array = NDArray[np.float64]

PIECE = 4096
"""Rows at a time: their weights, several times as many numbers as the inputs, stay in cache."""


class ContractedMoments(Accumulator):
    """Weighted Gram matrices sum_n y_n He_{l-2}(z_n) x_n x_n^T and the lower terms that complete M_{l,g}.

    Parameters
    ----------
    directions : ndarray, shape (G, d)
        Rows g, in raw coordinates: z = <g, x> - offset has unit variance and zero mean.
    offsets : ndarray, shape (G,)
        Subtracted from the projections of the inputs of the data.
    orders : tuple of int
        Orders l >= 2.  Order 2 has nothing to contract and is kept once.
    center : float
        Subtracted from the labels: it changes no expectation with l >= 1 and lowers the variance.
    shift : ndarray, shape (d,)
        Subtracted from the inputs: blocks bring what is left.
    scale : float
        A power of two of the size of the labels, which keeps their products within the range of float32.

    Attributes
    ----------
    sums : dict
        For each order l: ``xx_l`` (G_l, d (d + 1) / 2), which are upper triangles, ``x_l`` (G_l, d) and ``one_l``
        (G_l,) with weight y He_{l-2}(z), ``down_l`` (G_l, d) and ``down_one_l`` (G_l,) with weight y He_{l-3}(z),
        ``low_l`` (G_l,) with weight y He_{l-4}(z); G_2 = 1 and G_l = G otherwise.  ``xx_l`` belongs to the shifted
        inputs, as do ``x_l`` and ``down_l``.
    """

    def __init__(
        self,
        directions: Array,
        offsets: Array,
        orders: tuple[int, ...],
        center: float,
        shift: Array,
        scale: float = 1.0,
    ) -> None:
        self.directions = directions
        self.offsets = offsets
        self.orders = tuple(order for order in orders if order >= 2)
        self.center = center
        self.shift = shift
        self.scale = scale
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        d = self.directions.shape[1]
        shapes: dict[str, tuple[int, ...]] = {}
        for order in self.orders:
            g = self._count(order)
            shapes |= {f"xx_{order}": (g, packed_size(d)), f"x_{order}": (g, d), f"one_{order}": (g,)}
            shapes |= {f"down_{order}": (g, d), f"down_one_{order}": (g,), f"low_{order}": (g,)}
        return shapes

    def _count(self, order: int) -> int:
        return 1 if order == 2 else len(self.directions)

    def scratch(self, rows: int) -> int:
        """Bytes of the weights, the projections, a wide copy of a block with huge labels, and the products."""
        g, d = self.directions.shape
        count = sum(map(self._count, self.orders))
        return int(8 * min(rows, PIECE) * (d + 4 * count + 2 * g) + gram_scratch(d, count))

    def update(self, block: Block) -> None:
        """Add a block: the weighted Gram matrices of all orders and directions at once."""
        if not self.orders:
            return
        y = (block.y - self.center) / self.scale
        for start in range(0, len(y), PIECE):
            self._update(block.x[start : start + PIECE], y[start : start + PIECE])

    def _update(self, x: NDArray[Any], y: Array) -> None:
        """Add some rows, with centred labels."""
        z = projections(x, self.directions, self.offsets - self.directions @ self.shift)
        polynomials = np.moveaxis(hermevander(z, max(self.orders) - 2), -1, 0)
        silent = np.zeros_like(z)

        def weights(lower: int) -> Array:
            """y He_{l-2-lower}(z) for every order and direction, (K, n)."""
            degrees = ((order - 2 - lower, self._count(order)) for order in self.orders)
            return np.concatenate([y * (polynomials[i] if i >= 0 else silent)[:count] for i, count in degrees])

        whole, down, low = (weights(lower) for lower in range(3))
        self._add("xx", weighted_grams(*matched(x, whole)))
        for linear, constant, factors in (("x", "one", whole), ("down", "down_one", down)):
            rows, narrow = matched(x, factors)
            self._add(linear, narrow @ rows)
            self._add(constant, factors.sum(axis=1))
        self._add("low", low.sum(axis=1))

    def _add(self, name: str, stacked: Array) -> None:
        """Add what was summed for every order and direction to the sums of each order."""
        stop = 0
        for order in self.orders:
            start, stop = stop, stop + self._count(order)
            self.sums[f"{name}_{order}"] += self.scale * stacked[start:stop].astype(np.float64)
