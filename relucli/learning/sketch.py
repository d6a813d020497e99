"""The span of wide data, without d x d matrices: block Krylov on moments that are only ever multiplied.

For a function phi of the label with mean zero, M = N^-1/2 sum_n phi(y_n) z_n z_n^T, z the whitened inputs, is one of
the slice moments.  M V for a few columns V is a pass over the rows that costs N d columns.  From the slice means and a
few random columns, each pass multiplies the block of directions in which the moments so far are largest (block Lanczos
with full orthogonalisation; Golub and Van Loan, Matrix Computations, 4th edition,
section 10.3).  Beside it runs the same iteration
for labels of other rows, whose largest value is what chance gives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.errors import UsageError
from relucli.learning.structured import Metric
from relucli.moments.estimate import Moments, MomentSettings
from relucli.moments.sliced import others, slice_of
from relucli.moments.whitening import cholesky_root
from relucli.storage.views import ShiftedRows
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.fold import Engine, Rows

__all__ = ["Chain", "Sketch", "label_functions", "metric_of", "sketch_need", "sketched", "slice_settings"]

Array = NDArray[np.float64]

WIDE = 512
"""Dimension from which on a few passes over the rows are cheaper than d x d moments."""

COLUMNS = 8
PASSES = 5
LABEL_FUNCTIONS = 3
SCATTER = 0.05
"""Relative standard deviation of the difference of two largest values that have not converged.

Each varies by 2 to 4 % with its random start and rows, for d from 600 to 1500 and 20 to 100 rows a dimension.
"""


def slice_settings(dim: int, slices: int, whiten: str, seed: int) -> MomentSettings:
    """Slice moments of the labels, in the form that suits the dimension."""
    if dim <= WIDE:
        return MomentSettings((1,), 0, slices, seed)
    second = {"auto": "auto", "on": "whole", "off": "columns"}
    return MomentSettings((1,), 0, slices, seed, second[whiten])  # type: ignore[arg-type]


def label_functions(share: Array, count: int = LABEL_FUNCTIONS) -> Array:
    """Polynomials of the rank of the label, orthonormal over slices of probability ``share`` and to 1: (H, q)."""
    middle = np.cumsum(share) - share / 2
    powers = np.polynomial.legendre.legvander(2 * middle - 1, min(count, len(share) - 1))
    orthonormal, triangle = np.linalg.qr(np.sqrt(share)[:, None] * powers)
    return np.asarray((orthonormal * np.sign(np.diag(triangle)))[:, 1:] / np.sqrt(share)[:, None])


def metric_of(moments: Moments, shift: Array) -> Metric:
    """Mean and covariance of the inputs less a shift, as far as the moments know them."""
    if moments.standard:
        return Metric.standard(moments.dim)
    mean, covariance = moments.mean - shift, moments.covariance
    if covariance.ndim == 1:
        return Metric(mean, np.sqrt(np.where(covariance > 0, covariance, 1.0)))
    return Metric(mean, cholesky_root(mean, covariance, moments.samples))


class _Products(Accumulator):
    """sum phi_q(y) x s^T and sum phi_q(y) s^T, s = <direction, x> - offset, for the rows' own labels and for others'.

    Parameters
    ----------
    directions : ndarray, shape (2, d, b)
    offsets : ndarray, shape (2, b)
    functions : ndarray, shape (H, q)
        phi, by slice.
    edges : ndarray, shape (H - 1,)
    """

    def __init__(self, directions: Array, offsets: Array, functions: Array, edges: Array) -> None:
        self.directions, self.offsets = directions, offsets
        self.functions, self.edges = functions, edges
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        (chains, d, b), q = self.directions.shape, self.functions.shape[1]
        return {"xs": (d, chains * q * b), "s": (chains * q * b,)}

    def scratch(self, rows: int) -> int:
        """Bytes of the products of a block."""
        _, d, b = self.directions.shape
        columns = 2 * b * (self.functions.shape[1] + 1)
        return int(8 * columns * (2 * rows + d))

    def update(self, block: Block) -> None:
        """Add a block."""
        label = slice_of(block.y, self.edges)
        weights = []
        for directions, offsets, of in zip(self.directions, self.offsets, (label, others(label)), strict=True):
            seen = (block.x @ directions.astype(block.x.dtype)).astype(np.float64) - offsets
            weights.append((self.functions[of][:, :, None] * seen[:, None, :]).reshape(len(seen), -1))
        stacked = np.column_stack(weights)
        self.sums["xs"] += block.x.T @ stacked.astype(block.x.dtype, copy=False)
        self.sums["s"] += stacked.sum(axis=0)


@dataclass(frozen=True)
class Chain:
    """What the passes found out about the moments M_q and the means m_q.

    Attributes
    ----------
    frame : ndarray, shape (d, j)
        K, orthonormal.
    products : ndarray, shape (q, d, j)
        M_q K.
    means : ndarray, shape (q, d)
        m_q = N^-1/2 sum phi_q(y) z.
    """

    frame: Array
    products: Array
    means: Array

    def evidence(self, functions: slice = slice(None)) -> list[Array]:
        """(M_q K, m_q), (d, j + 1), for each function of the label."""
        pairs = zip(self.products[functions], self.means[functions], strict=True)
        return [np.column_stack([matrix, mean]) for matrix, mean in pairs]

    def largest(self, functions: slice = slice(None)) -> float:
        """The largest squared singular value of all the evidence."""
        return float(np.linalg.norm(np.column_stack(self.evidence(functions)), 2) ** 2)


@dataclass(frozen=True)
class Sketch:
    """Moments of labels, and of labels that are independent of the inputs, each on the directions that matter to it.

    Attributes
    ----------
    labels, chance : Chain
    metric : Metric
        By which the inputs are whitened.
    """

    labels: Chain
    chance: Chain
    metric: Metric

    def spread(self, functions: slice = slice(None)) -> float:
        """Standard deviation, by chance, of the difference between the largest values of both chains."""
        return SCATTER * self.chance.largest(functions)


def sketch_need(rows: Rows, settings: MomentSettings) -> int:
    """Bytes of memory that the passes of a sketch take; none where there are second moments of the slices."""
    if settings.second == "slices":
        return 0
    columns, edges = COLUMNS + LABEL_FUNCTIONS, np.zeros(max(0, settings.slices - 1))
    functions = np.zeros((len(edges) + 1, LABEL_FUNCTIONS))
    empty = _Products(np.zeros((2, rows.dim, columns)), np.zeros((2, columns)), functions, edges)
    return Engine.need(empty, rows)


def sketched(rows: Rows, moments: Moments, seed: int, engine: Engine) -> Sketch | None:
    """A sketch of the slice moments in a few passes; None if the moments are there to be looked at.

    Parameters
    ----------
    rows : Rows
        The rows that the moments were taken of.
    moments : Moments
    seed : int
        Of the columns to start with.
    engine : Engine
        Runs the passes.

    Raises
    ------
    UsageError
        If all labels are in one slice.
    """
    if moments.by_slices:
        return None
    used = moments.slice_count > 0
    if used.sum() < 2:
        raise UsageError("there are no slice moments to find the subspace from; take them with --slices 16")
    share = np.where(used, moments.slice_count, 0.0) / moments.samples
    functions = np.zeros((len(share), min(LABEL_FUNCTIONS, int(used.sum()) - 1)))
    functions[used] = label_functions(share[used])
    metric = metric_of(moments, np.zeros(moments.dim))
    root_n, rng = np.sqrt(moments.samples), np.random.default_rng([seed, 8])
    means = [functions.T @ metric.whitened(sums.T).T / root_n for sums in moments.slice_sums]
    narrow = ShiftedRows(rows, np.zeros(rows.dim), moments.standard)
    frames = [np.empty((moments.dim, 0))] * 2
    products = [np.empty((len(m), moments.dim, 0)) for m in means]
    blocks = [_orthonormal(np.column_stack([m.T, rng.standard_normal((moments.dim, COLUMNS))])) for m in means]
    for _ in range(PASSES):
        raw = np.stack([metric.raw(block) for block in blocks])
        offsets = np.einsum("cdb,d->cb", raw, metric.mean)
        sums = engine.fold(_Products(raw, offsets, functions, moments.edges), narrow, "sketch").sums
        whole = metric.whitened(sums["xs"] - np.outer(metric.mean, sums["s"])) / root_n
        found = whole.reshape(moments.dim, 2, functions.shape[1], -1).transpose(1, 2, 0, 3)
        for c in range(2):
            frames[c] = np.column_stack([frames[c], blocks[c]])
            products[c] = np.concatenate([products[c], found[c]], axis=2)
            blocks[c] = _next_block(frames[c], found[c], blocks[c].shape[1])
    labels, chance = (Chain(*parts) for parts in zip(frames, products, means, strict=True))
    return Sketch(labels, chance, metric)


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of as many dimensions as the columns have."""
    return np.asarray(np.linalg.qr(columns)[0])


def _next_block(frame: Array, products: Array, columns: int) -> Array:
    """The directions in which the newest products are largest, orthogonal to all before."""
    new = np.concatenate(list(products), axis=1)
    for _ in range(2):
        new = new - frame @ (frame.T @ new)
    return _orthonormal(np.linalg.svd(new, full_matrices=False)[0][:, :columns])
