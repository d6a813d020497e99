"""Mean, standard deviation and range of every column, in one pass or from a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from relucli.storage.dataset import MemoryRows, pilot
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.fold import Engine, Rows

__all__ = ["Column", "ColumnStatistics", "Statistics", "column_statistics"]

Floats = NDArray[np.float64]

SAMPLE_BYTES = 16 * 2**20
SAMPLE_ROWS = 100_000


@dataclass(frozen=True)
class Column:
    """Statistics of a column; ``sd``, with divisor n, is 0 for one row."""

    mean: float
    sd: float
    min: float
    max: float


@dataclass(frozen=True)
class Statistics:
    """Of the label, if there is one, and of the inputs in order, from so many rows."""

    rows: int
    label: Column | None
    inputs: list[Column]


class ColumnStatistics(Accumulator):
    """Sums of u = (v - shift) / scale and of u^2, and the range of v, for each input and the label, which is last.

    Parameters
    ----------
    shift, scale : ndarray, shape (d + 1,)
        Near the mean and the spread of the columns, so that squares neither overflow nor cancel.
    """

    def __init__(self, shift: Floats, scale: Floats) -> None:
        self.shift, self.scale = shift, scale
        self.sums = self.fresh().sums

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The number of rows, sums, and ranges."""
        wide = (len(self.shift),)
        return {"count": (), "first": wide, "second": wide, "low": wide, "high": wide}

    def scratch(self, rows: int) -> int:
        """Bytes of the shifted columns and of their squares."""
        return 24 * rows * len(self.shift)

    def fresh(self) -> Self:
        """All sums zero, and the range empty."""
        other = super().fresh()
        other.sums["low"] += np.inf
        other.sums["high"] -= np.inf
        return other

    def update(self, block: Block) -> None:
        """Add the rows of a block."""
        columns = np.column_stack([block.wide, block.y])
        self.sums["low"] = np.minimum(self.sums["low"], columns.min(axis=0))
        self.sums["high"] = np.maximum(self.sums["high"], columns.max(axis=0))
        columns -= self.shift
        columns /= self.scale
        self.sums["count"] += len(columns)
        self.sums["first"] += columns.sum(axis=0)
        self.sums["second"] += np.square(columns).sum(axis=0)

    def merge(self, other: Self) -> None:
        """Add the sums, and join the ranges, of later rows."""
        for name in ("count", "first", "second"):
            self.sums[name] += other.sums[name]
        self.sums["low"] = np.minimum(self.sums["low"], other.sums["low"])
        self.sums["high"] = np.maximum(self.sums["high"], other.sums["high"])

    def result(self) -> Statistics:
        """The statistics: mean = shift + scale E u, sd^2 = scale^2 (E u^2 - (E u)^2)."""
        n = int(self.sums["count"])
        first, second = self.sums["first"] / n, self.sums["second"] / n
        means = self.shift + self.scale * first
        sds = self.scale * np.sqrt(np.maximum(0.0, second - first * first))
        low, high = self.sums["low"], self.sums["high"]
        columns = [
            Column(*map(float, values)) for values in zip(np.clip(means, low, high), sds, low, high, strict=True)
        ]
        return Statistics(n, columns[-1], columns[:-1])


def column_statistics(rows: Rows, engine: Engine, full: bool) -> Statistics:
    """Statistics of a dataset: in one pass over it, or from up to 100,000 rows spread over it, of 16 MiB at most.

    Raises
    ------
    DataError
        If one of these rows holds a number that is not finite, or cannot be read.
    """
    wanted = min(SAMPLE_ROWS, SAMPLE_BYTES // (8 * (rows.dim + 1)))
    x, y = pilot(rows, 1 if full else wanted)
    seen = np.column_stack([x, y])
    shift = np.median(seen, axis=0)  # a median is exact for constant columns, a mean is not
    with np.errstate(over="ignore"):
        spread = np.minimum(np.abs(seen - shift).max(axis=0), np.finfo(np.float64).max)
    scale = np.exp2(np.minimum(np.frexp(spread)[1], 1023).astype(np.float64))  # a power of two rounds nothing
    empty = ColumnStatistics(shift, scale)
    return engine.fold(empty, rows if full else MemoryRows(x, y), "info").result()
