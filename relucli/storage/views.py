"""Rows seen in another way: shifted, in other units, with other labels, or only some of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from relucli.storage.columns import squares
from relucli.storage.dataset import MemoryRows
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span, stripe_rows

if TYPE_CHECKING:
    from relucli.streaming.fold import Rows

__all__ = ["RelabelledRows", "ScaledRows", "ShiftedRows", "part"]

LARGEST_SQUARES = 1e30
LARGEST_FACTOR = 100


class ShiftedRows:
    """Rows with a vector subtracted from every input.

    Parameters
    ----------
    rows : Rows
        The rows.
    shift : ndarray, shape (d,)
        What to subtract.
    narrow : bool
        Whether blocks of float32 may stay so, for sums that need no more digits; those with inputs so large that
        their squares could overflow become float64 even then.
    """

    def __init__(self, rows: Rows, shift: NDArray[np.float64], narrow: bool = False) -> None:
        self.rows, self.shift, self.narrow = rows, shift, narrow
        self.samples, self.dim, self.row_bytes = rows.samples, rows.dim, rows.row_bytes

    @property
    def stored(self) -> bool:
        """Whether the rows are in files."""
        return self.rows.stored

    def block(self, span: Span) -> Block:
        """The rows of a span, in float64 unless they may be narrow."""
        block = self.rows.block(span)
        x = block.x
        if x.dtype != np.float64 and not (self.narrow and squares(x) < LARGEST_SQUARES):
            x = x.astype(np.float64)
        if self.shift.any():
            x = x - self.shift.astype(x.dtype)
        return Block(x, block.y, block.start)

    def describe(self, row: int, column: int | None) -> str:
        """Of the rows that are viewed."""
        return self.rows.describe(row, column)


class ScaledRows:
    """Rows in other units, powers of two: exact but where numbers are far too large or too small beside the others.

    Parameters
    ----------
    rows : Rows
    inputs : ndarray of int, shape (d,)
        Exponents by which the columns of the inputs are divided.
    labels : int
        That by which the labels are.
    """

    def __init__(self, rows: Rows, inputs: NDArray[np.int64], labels: int) -> None:
        self.rows, self.inputs, self.labels = rows, inputs, labels
        self.samples, self.dim, self.row_bytes = rows.samples, rows.dim, rows.row_bytes
        self.largest = int(np.abs(inputs).max())

    @property
    def stored(self) -> bool:
        """Whether the rows are in files."""
        return self.rows.stored

    def block(self, span: Span) -> Block:
        """The rows of a span, in float64 if units are so large or small that float32 may not hold them."""
        block = self.rows.block(span)
        x = block.x
        with np.errstate(over="ignore"):
            if self.largest > LARGEST_FACTOR:
                x = np.ldexp(x.astype(np.float64), -self.inputs)
            elif self.largest:
                x = x * np.ldexp(1.0, -self.inputs).astype(x.dtype)
            y = np.ldexp(block.y, -self.labels) if self.labels else block.y
        return Block(x, y, block.start)

    def describe(self, row: int, column: int | None) -> str:
        """Of the rows that are viewed."""
        return self.rows.describe(row, column)


class RelabelledRows:
    """Rows with other labels.

    Parameters
    ----------
    rows : Rows
    labels : ndarray, shape (N,)
    """

    def __init__(self, rows: Rows, labels: NDArray[np.float64]) -> None:
        self.rows, self.labels = rows, labels
        self.samples, self.dim, self.row_bytes = rows.samples, rows.dim, rows.row_bytes

    @property
    def stored(self) -> bool:
        """Whether the rows are in files."""
        return self.rows.stored

    def block(self, span: Span) -> Block:
        """The rows of a span."""
        return Block(self.rows.block(span).x, self.labels[span.start : span.stop], span.start)

    def describe(self, row: int, column: int | None) -> str:
        """Of the rows that are viewed."""
        return self.rows.describe(row, column)


class _Runs:
    """The last run of rows in each period of ``every`` runs, or the others; a run is a canonical stripe."""

    def __init__(self, rows: Rows, every: int, last: bool) -> None:
        self.rows, run = rows, stripe_rows(rows.dim)
        self.period = run * every
        self.width, self.first = (run, self.period - run) if last else (self.period - run, 0)
        whole, rest = divmod(rows.samples, self.period)
        self.samples = whole * self.width + min(self.width, max(0, rest - self.first))
        self.dim, self.row_bytes = rows.dim, rows.row_bytes

    @property
    def stored(self) -> bool:
        """Whether the rows are in files."""
        return self.rows.stored

    def block(self, span: Span) -> Block:
        """The rows of a span."""
        pieces, at = [], span.start
        while at < span.stop:
            period, within = divmod(at, self.width)
            start = period * self.period + self.first + within
            taken = min(self.width - within, span.stop - at)
            block = self.rows.block(Span(start, start + taken))
            if taken == span.rows:
                return Block(block.x, block.y, span.start)
            pieces.append((block.x.copy(), block.y))
            at += taken
        x, y = (np.concatenate(column) for column in zip(*pieces, strict=True))
        return Block(x, y, span.start)

    def describe(self, row: int, column: int | None) -> str:
        """Of the rows that are viewed."""
        period, within = divmod(row, self.width)
        return self.rows.describe(period * self.period + self.first + within, column)


def part(rows: Rows, every: int, last: bool) -> Rows | None:
    """The last of every so many rows, or the others, if there are any; on disk, canonical stripes in place of rows."""
    if not isinstance(rows, MemoryRows):
        runs = _Runs(rows, every, last)
        return runs if runs.samples else None
    chosen = (np.arange(rows.samples) % every == every - 1) == last
    return MemoryRows(rows.x[chosen], rows.y[chosen]) if chosen.any() else None
