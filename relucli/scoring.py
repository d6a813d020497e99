"""How well a network predicts rows: metrics with standard errors, in one pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from relucli.errors import DataError
from relucli.network import ReluNetwork
from relucli.storage.columns import check_takes
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.blocks import Span, block_rows
from relucli.streaming.fold import Engine, Rows

__all__ = ["Score", "ScoreAccumulator", "score", "scorer"]

TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Score:
    """Metrics of a network over rows, each with its standard error.

    A standard error is None for a single row, and ``r2`` and its error are None for constant labels.
    """

    samples: int
    mse: float
    rmse: float
    mae: float
    r2: float | None
    mse_se: float | None
    rmse_se: float | None
    mae_se: float | None
    r2_se: float | None


class ScoreAccumulator(Accumulator):
    """Sums of the powers of e = (y - f(x)) / scale and u = (y - shift) / scale that the metrics need.

    Parameters
    ----------
    network : ReluNetwork
    shift, scale : float
        Near the mean and the standard deviation of the labels, from a pilot: r2 then keeps its digits
        whatever the mean of the labels, and fourth powers stay within range.
    """

    def __init__(self, network: ReluNetwork, shift: float = 0.0, scale: float = 1.0) -> None:
        self.network = network
        self.shift = shift
        self.scale = scale
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The number of rows, sums of |e|, e^2 and e^4, of u to u^4, and of e^2 u and e^2 u^2."""
        return {"count": (), "absolute": (), "errors": (2,), "labels": (4,), "mixed": (2,)}

    def scratch(self, rows: int) -> int:
        """Bytes of the arrays of a row's powers, and of the network's hidden values."""
        return 8 * rows * (8 + self.network.neurons)

    def update(self, block: Block) -> None:
        """Add the rows of a block."""
        e = (block.y - self.network(block.x)) / self.scale
        u = (block.y - self.shift) / self.scale
        e2, u2 = e * e, u * u
        self.sums["count"] += len(e)
        self.sums["absolute"] += np.abs(e).sum()
        self.sums["errors"] += (e2.sum(), e2 @ e2)
        self.sums["labels"] += (u.sum(), u2.sum(), u2 @ u, u2 @ u2)
        self.sums["mixed"] += (e2 @ u, e2 @ u2)

    def result(self) -> Score:
        """The metrics, with n - 1 in place of n in the variances below.

        With A = mean e^2, V = var y, m = mean y and R = A / V,

            mse = A                        se^2 = var(e^2) / n
            rmse = sqrt(A)                 se = se(mse) / (2 rmse)
            mae = mean |e|                 se^2 = var |e| / n
            r2 = 1 - R                     se^2 = mean[(e^2 - R (y - m)^2)^2] / (n V^2)

        The last is the delta method: the influence of a row on A / V is (e^2 - R (y - m)^2) / V, whose mean
        is 0 (A. W. van der Vaart, Asymptotic Statistics, 1998, chapter 3).
        """
        n = int(self.sums["count"])
        absolute = float(self.sums["absolute"]) / n
        e2, e4 = (float(v) for v in self.sums["errors"] / n)
        rmse = math.sqrt(e2)
        mse_se = _standard_error(e4 - e2 * e2, n)
        rmse_se = 0.0 if mse_se == 0 else mse_se and mse_se / (2 * rmse)
        mae_se = _standard_error(e2 - absolute * absolute, n)
        r2, r2_se = self._r2(n)
        unit = self.scale
        return Score(
            samples=n,
            mse=e2 * unit * unit,
            rmse=rmse * unit,
            mae=absolute * unit,
            r2=r2,
            mse_se=mse_se and mse_se * unit * unit,
            rmse_se=rmse_se and rmse_se * unit,
            mae_se=mae_se and mae_se * unit,
            r2_se=r2_se,
        )

    def _r2(self, n: int) -> tuple[float | None, float | None]:
        e2, e4 = (float(v) for v in self.sums["errors"] / n)
        m, u2, u3, u4 = (float(v) for v in self.sums["labels"] / n)
        eu, eu2 = (float(v) for v in self.sums["mixed"] / n)
        variance = u2 - m * m
        if variance <= 0:
            return None, None
        ratio = e2 / variance
        fourth = u4 - 4 * m * u3 + 6 * m * m * u2 - 3 * m**4  # mean (u - m)^4
        crossed = eu2 - 2 * m * eu + m * m * e2  # mean e^2 (u - m)^2
        influence = e4 - 2 * ratio * crossed + ratio * ratio * fourth
        se = _standard_error(influence, n)
        return 1 - ratio, None if se is None else se / variance


def _standard_error(variance: float, n: int) -> float | None:
    """Of a mean over n rows, from the variance over them with divisor n."""
    return math.sqrt(max(0.0, variance) / (n - 1)) if n > 1 else None


def score(network: ReluNetwork, rows: Rows, engine: Engine) -> Score:
    """Score a network over rows, in one pass after a pilot of one block.

    Raises
    ------
    DataError
        If the network takes inputs of another dimension than the rows have, or squared errors are out of range.
    """
    check_takes(network, rows)
    found = engine.fold(scorer(network, rows), rows, "score").result()
    if not (math.isfinite(found.mse) and (found.mse >= TINY or found.mae == 0)):
        raise DataError(f"errors are of size {found.rmse:.1g}, whose squares are out of range; rescale y")
    return found


def scorer(network: ReluNetwork, rows: Rows) -> ScoreAccumulator:
    """An accumulator for a pass over rows, with the scale of their labels from a pilot of one block."""
    pilot = rows.block(Span(0, min(rows.samples, block_rows(rows.dim))))
    shift = float(np.median(pilot.y))  # a median is exact for constant labels, a mean is not
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = (float(np.mean(np.abs(pilot.y - centre))) for centre in (shift, network(pilot.x)))
        spread = max((size for size in sizes if math.isfinite(size)), default=0.0)
    scale = math.ldexp(1.0, min(1000, math.frexp(spread)[1]))  # a power of two: it rounds nothing; 1 for a spread of 0
    return ScoreAccumulator(network, shift, scale)
