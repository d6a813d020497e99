"""The canonical partition of rows: a pure function of the row count and the dimension.

Sums of floating-point numbers depend on their order.  Every pass therefore cuts the rows in the same way,
whatever the memory bound, the worker count or the files that hold them: into *stripes*, which are drawn from one
random stream, and dealt out where rows are split; *blocks* of stripes, which are read and processed at once; and
*groups* of blocks, which are the unit of work of an executor.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["BLOCK_BYTES", "Span", "block_rows", "blocks", "group_rows", "groups", "stripe_rows", "stripes"]

STRIPE_BYTES = 4 * 2**20
BLOCK_BYTES = 16 * 2**20
FEWEST_ROWS, MOST_ROWS = 64, 16384
ROWS_PER_COLUMN = 16


class Span(NamedTuple):
    """Rows ``start`` up to, but not including, ``stop``."""

    start: int
    stop: int

    @property
    def rows(self) -> int:
        """Number of rows in the span."""
        return self.stop - self.start


def stripe_rows(dim: int) -> int:
    """Rows in a canonical stripe: the power of two whose float64 rows fill at most 4 MiB, within [64, 16384]."""
    return _fitting(STRIPE_BYTES, dim)


def block_rows(dim: int) -> int:
    """Rows in a canonical block: the power of two whose float64 rows fill at most 16 MiB, within [64, 16384].

    Large, though it does not stay in the cache: threads wait for each other between the steps of a block.
    """
    return _fitting(BLOCK_BYTES, dim)


def group_rows(dim: int) -> int:
    """Rows in a canonical group: at least a block, and enough rows to outweigh d x d sums, up to d = 1024.

    Wider data seldom have such sums, and are cut into more groups so that several workers share them evenly.
    """
    rows = block_rows(dim)
    while rows < min(ROWS_PER_COLUMN * dim, MOST_ROWS):
        rows *= 2
    return rows


def _fitting(size: int, dim: int) -> int:
    fit = max(1, size // (8 * dim))
    return int(min(MOST_ROWS, max(FEWEST_ROWS, 2 ** (fit.bit_length() - 1))))


def _cut(span: Span, step: int) -> list[Span]:
    return [Span(i, min(i + step, span.stop)) for i in range(span.start, span.stop, step)]


def stripes(rows: int, dim: int) -> list[Span]:
    """Cut a number of rows into canonical stripes, in order."""
    return _cut(Span(0, rows), stripe_rows(dim))


def blocks(span: Span, dim: int) -> list[Span]:
    """Cut a span into canonical blocks, in order."""
    return _cut(span, block_rows(dim))


def groups(rows: int | Span, dim: int, each: int = 1) -> list[Span]:
    """Cut a number of rows, or a span that begins with a group, into runs of ``each`` canonical groups, in order."""
    span = rows if isinstance(rows, Span) else Span(0, rows)
    return _cut(span, each * group_rows(dim))
