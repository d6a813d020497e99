"""What figures show of the rows: histograms and binned means, taken in one pass, however many rows there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.network import ReluNetwork
from relucli.scoring import Score, ScoreAccumulator, scorer
from relucli.storage.dataset import pilot
from relucli.streaming.accumulator import Accumulator, Block, Joint
from relucli.streaming.fold import Engine, Rows

__all__ = ["Survey", "SurveyAccumulator", "survey"]

Array = NDArray[np.float64]

PILOT_ROWS = 20_000
PILOT_FLOATS = 2**22
CELLS = 72
BINS = 40
TAIL = 5e-4
MARGIN = 0.1


@dataclass(frozen=True)
class Survey:
    """Rows as the figures show them.

    Attributes
    ----------
    score : Score
        How well the network predicts the rows.
    label_edges : ndarray, shape (B + 1,)
        Of the cells of labels and of predictions.
    fit : ndarray, shape (B, B)
        Rows in each cell of prediction (first axis) and label.
    direction_edges : ndarray, shape (m, B + 1)
        Of the cells of <direction, x>.
    summary : ndarray, shape (m, B, B)
        Rows in each cell of <direction, x> and label.
    line_edges : ndarray, shape (k, P + 1)
        Of the bins of <w_i, x>.
    partial : ndarray, shape (k, 4, P)
        Rows in each bin, and sums of <w_i, x>, of the partial residual y - f(x) + c_i relu(<w_i, x> + b_i) and of its
        square.
    """

    score: Score
    label_edges: Array
    fit: Array
    direction_edges: Array
    summary: Array
    line_edges: Array
    partial: Array

    def residuals(self, neuron: int) -> tuple[Array, Array, Array]:
        """Bins of a neuron with two rows or more: means of <w, x> and of the partial residual, its standard error."""
        count, z, total, squares = self.partial[neuron][:, self.partial[neuron][0] >= 2]
        mean = total / count
        variance = np.maximum(squares / count - mean**2, 0.0)
        return z / count, mean, np.sqrt(variance / (count - 1))


class SurveyAccumulator(Accumulator):
    """Counts and sums by cells, as `Survey` describes them; rows outside the cells are left out.

    Parameters
    ----------
    network : ReluNetwork
    directions : ndarray, shape (d, m)
    label_edges, direction_edges, line_edges : ndarray
        As in `Survey`; evenly spaced.
    """

    def __init__(
        self, network: ReluNetwork, directions: Array, label_edges: Array, direction_edges: Array, line_edges: Array
    ) -> None:
        self.network, self.directions = network, directions
        self.label_edges, self.direction_edges, self.line_edges = label_edges, direction_edges, line_edges
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        cells, m = len(self.label_edges) - 1, len(self.direction_edges)
        k, bins = len(self.line_edges), self.line_edges.shape[1] - 1
        return {"fit": (cells, cells), "summary": (m, cells, cells), "partial": (k, 4, bins)}

    def scratch(self, rows: int) -> int:
        """Bytes of the projections and of a few numbers a row."""
        return 8 * rows * (self.network.dim + 2 * self.network.neurons + len(self.direction_edges) + 12)

    def update(self, block: Block) -> None:
        """Add a block."""
        x, y = block.wide, block.y
        predicted = self.network(x)
        self.sums["fit"] += _counts(predicted, self.label_edges, y, self.label_edges)
        for j, (seen, edges) in enumerate(zip((x @ self.directions).T, self.direction_edges, strict=True)):
            self.sums["summary"][j] += _counts(seen, edges, y, self.label_edges)
        residual = y - predicted
        for i, (z, edges) in enumerate(zip((x @ self.network.weights.T).T, self.line_edges, strict=True)):
            kink = self.network.coefficients[i] * np.maximum(z + self.network.biases[i], 0.0)
            self.sums["partial"][i] += _binned(z, edges, residual + kink)


def _cell(values: Array, edges: Array) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The cell of each value, and whether it has one."""
    at = np.floor((values - edges[0]) / (edges[-1] - edges[0]) * (len(edges) - 1))
    inside = (at >= 0) & (at < len(edges) - 1)
    return np.where(inside, at, 0).astype(np.intp), inside


def _counts(a: Array, a_edges: Array, b: Array, b_edges: Array) -> Array:
    i, inside = _cell(a, a_edges)
    j, also = _cell(b, b_edges)
    shape = len(a_edges) - 1, len(b_edges) - 1
    flat = (i * shape[1] + j)[inside & also]
    return np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _binned(z: Array, edges: Array, values: Array) -> Array:
    at, inside = _cell(z, edges)
    columns = (np.ones_like(z), z, values, values**2)
    return np.stack([np.bincount(at[inside], column[inside], len(edges) - 1) for column in columns])


def _edges(low: float, high: float, cells: int) -> Array:
    """Evenly spaced, a little beyond what was seen; about a value, if it was the only one."""
    margin = MARGIN * (high - low) or max(1.0, abs(low))
    return np.linspace(low - margin, high + margin, cells + 1)


def _span_edges(values: Array, cells: int) -> Array:
    """Edges for each column of values, that leave out next to none of them."""
    low, high = np.quantile(values, [TAIL, 1 - TAIL], axis=0)
    return np.array([_edges(a, b, cells) for a, b in zip(low, high, strict=True)]).reshape(-1, cells + 1)


def survey(network: ReluNetwork, directions: Array, rows: Rows, engine: Engine) -> Survey:
    """Look at all rows in one pass, after a pilot that sets the scales.

    Parameters
    ----------
    network : ReluNetwork
    directions : ndarray, shape (d, m)
        Along which the labels are shown.
    rows : Rows
        Of the dimension of the network.
    engine : Engine
        Runs the pass.
    """
    x, y = pilot(rows, min(PILOT_ROWS, max(1, PILOT_FLOATS // rows.dim)))
    x = x.astype(np.float64, copy=False)
    labels = _span_edges(np.concatenate([y, network(x)])[:, None], CELLS)[0]
    accumulator = SurveyAccumulator(
        network, directions, labels, _span_edges(x @ directions, CELLS), _span_edges(x @ network.weights.T, BINS)
    )
    parts: dict[str, Accumulator] = {"score": scorer(network, rows), "survey": accumulator}
    joint = engine.fold(Joint(parts), rows, "survey")
    scores = joint.parts["score"]
    assert isinstance(scores, ScoreAccumulator)
    sums = joint.parts["survey"].sums
    return Survey(
        scores.result(),
        labels,
        sums["fit"],
        accumulator.direction_edges,
        sums["summary"],
        accumulator.line_edges,
        sums["partial"],
    )
