"""Units in which the numbers of a dataset are near one, so that neither their powers nor tolerances depend on the file.

Units are powers of two, which round nothing: data in other units, by powers of two, give the same network to the bit,
unless some columns are then so nearly alike that they share a unit (`ALIKE`) that they had not shared.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError
from relucli.storage.views import ScaledRows
from relucli.streaming.blocks import Span
from relucli.streaming.fold import Rows

__all__ = ["Scaling"]

Array = NDArray[np.float64]

SPANS = 16
SAMPLE_ROWS = 4096
SAMPLE_FLOATS = 2**21
NORMAL_MAD = 1.4826
ALIKE = 1.5
"""If all columns are within so many powers of two of the median one, they share its unit: few rows scatter as much."""

LARGEST_LABEL = 465
"""Exponents of labels, either way, whose squares and fourth powers of small residuals are still numbers."""


@dataclass(frozen=True)
class Scaling:
    """Units of the inputs and of the labels.

    Attributes
    ----------
    inputs : ndarray of int, shape (d,)
        The unit of column j is ``2 ** inputs[j]``.
    labels : int
        The unit of the labels is ``2 ** labels``.
    """

    inputs: NDArray[np.int64]
    labels: int

    @classmethod
    def none(cls, dim: int) -> Scaling:
        """All units one."""
        return cls(np.zeros(dim, np.int64), 0)

    @classmethod
    def of(cls, rows: Rows) -> Scaling:
        """Units for rows, from a few that are spread over them.

        A unit is the median distance from the median, of rows that differ from it, so that a few outliers do not
        change it.

        Raises
        ------
        DataError
            If squares of the labels are out of the range of numbers.
        """
        x, y = _sample(rows)
        labels = round(float(_log_spread(y[:, None])[0]))
        if abs(labels) > LARGEST_LABEL:
            raise DataError(
                f"y holds labels of size {np.abs(y).max():.1g}, whose squares are out of range; rescale them"
            )
        spread = _log_spread(x)
        varies = (x != x[0]).any(axis=0)
        middle = float(np.median(spread[varies])) if varies.any() else 0.0
        if np.abs(spread - middle)[varies].max(initial=0.0) <= ALIKE:
            spread = np.where(varies, middle, spread)
        return cls(np.rint(spread).astype(np.int64), labels)

    @property
    def trivial(self) -> bool:
        """Whether all units are one."""
        return not (self.labels or self.inputs.any())

    def rows(self, rows: Rows) -> Rows:
        """The rows, in these units."""
        return rows if self.trivial else ScaledRows(rows, self.inputs, self.labels)

    def directions(self, columns: Array) -> Array:
        """Directions (d, r) that inputs in these units are projected to, for inputs in those of the file."""
        return np.asarray(np.ldexp(columns, -self.inputs[:, None]))

    def label(self, value: float, power: int = 1) -> float:
        """A number in units of the labels, or of a power of them, as one in those of the file."""
        return float(np.ldexp(value, power * self.labels))


def _sample(rows: Rows) -> tuple[Array, Array]:
    """Some thousand rows, in runs that are evenly spaced."""
    wanted = min(SAMPLE_ROWS, max(SPANS, SAMPLE_FLOATS // rows.dim))
    each = rows.samples if rows.samples <= wanted else wanted // SPANS
    x, y = [], []
    for start in sorted({(rows.samples - each) * i // (SPANS - 1) for i in range(SPANS)}):
        block = rows.block(Span(start, start + each))
        x.append(block.x.astype(np.float64))
        y.append(block.y)
    return np.concatenate(x), np.concatenate(y)


def _log_spread(columns: Array) -> Array:
    """Binary logarithm of the standard deviation of each column (n, d), or of its size if it is constant; 0 if zero."""
    middle = np.median(columns, axis=0)
    with np.errstate(over="ignore"):
        distance = np.sort(np.minimum(np.abs(columns - middle), np.finfo(float).max), axis=0)
    zeros = (distance == 0).sum(axis=0)
    count = len(columns)
    typical = distance[np.minimum(zeros + (count - zeros) // 2, count - 1), np.arange(columns.shape[1])]
    size = np.where(zeros < count, typical, np.abs(middle))
    mantissa, exponent = np.frexp(size)
    normal = np.where(zeros < count, np.log2(NORMAL_MAD), 0.0)
    return np.asarray(np.where(size > 0, np.log2(np.where(size > 0, mantissa, 1.0)) + exponent + normal, 0.0))
