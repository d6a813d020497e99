"""The canonical partition of rows: a pure function of the row count and the dimension.

Sums of floating-point numbers depend on their order.  Every pass therefore cuts the rows in the same way,
whatever the memory bound, the worker count or the files that hold them: into *blocks*, which are read and
processed at once, and *groups* of a few blocks, which are the unit of work of an executor.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BLOCKS_PER_GROUP", "Span", "block_rows", "blocks", "group_rows", "groups"]

BLOCK_BYTES = 4 * 2**20
BLOCKS_PER_GROUP = 4
ROWS_PER_COLUMN = 16
MOST_ROWS_TO_OUTWEIGH = 16384


class Span(NamedTuple):
    """Rows ``start`` up to, but not including, ``stop``."""

    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows in the span."""
        return self.stop - self.start


def block_rows(dim: int) -> int:
    """Rows in a canonical block: the power of two whose float64 rows fill at most 4 MiB, within [64, 16384]."""
    fit = max(1, BLOCK_BYTES // (8 * dim))
    return int(min(16384, max(64, 2 ** (fit.bit_length() - 1))))


def group_rows(dim: int) -> int:
    """Rows in a canonical group: at least four blocks, and enough rows to outweigh d x d sums, up to d = 1024.

    Wider data seldom have such sums, and are cut into more groups so that several workers share them evenly.
    """
    rows = BLOCKS_PER_GROUP * block_rows(dim)
    while rows < min(ROWS_PER_COLUMN * dim, MOST_ROWS_TO_OUTWEIGH):
        rows *= 2
    return rows


def _cut(span: Span, step: int) -> list[Span]:
    return [Span(i, min(i + step, span.stop)) for i in range(span.start, span.stop, step)]


def blocks(span: Span, dim: int) -> list[Span]:
    """Cut a span into canonical blocks, in order."""
    return _cut(span, block_rows(dim))


def groups(rows: int | Span, dim: int, each: int = 1) -> list[Span]:
    """Cut a number of rows, or a span that begins with a group, into runs of ``each`` canonical groups, in order."""
    span = rows if isinstance(rows, Span) else Span(0, rows)
    return _cut(span, each * group_rows(dim))
