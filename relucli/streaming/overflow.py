"""Sums that overflow: noticed at their group of rows, and traced to the row."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from relucli.errors import DataError
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.blocks import Span, blocks

if TYPE_CHECKING:
    from relucli.streaming.fold import Rows

__all__ = ["first_overflow"]

A = TypeVar("A", bound=Accumulator)


def _adds_up(total: Accumulator, block: Block, rows: int) -> bool:
    """Whether sums stay finite with the first rows of a block."""
    grown = total.fresh()
    grown.merge(total)
    grown.update(Block(block.x[:rows], block.y[:rows], block.start))
    return grown.finite


def first_overflow(empty: A, rows: Rows, group: Span) -> DataError:
    """The error that names the first row, in a group, with which sums are no longer finite.

    Each number that is read is finite, but its powers need not be.  The group is folded again, and the block in which
    it happens is cut in halves until one row is left.
    """
    total = empty.fresh()
    for span in blocks(group, rows.dim):
        block = rows.block(span)
        if not _adds_up(total, block, span.rows):
            least, most = 1, span.rows
            while least < most:
                middle = (least + most) // 2
                least, most = (middle + 1, most) if _adds_up(total, block, middle) else (least, middle)
            seen = np.append(np.abs(block.x[most - 1].astype(np.float64)), np.abs(block.y[most - 1]))
            column = int(np.argmax(seen))
            what = rows.describe(span.start + most - 1, None if column == rows.dim else column)
            return DataError(f"{what}, too large beside the others: sums overflow; drop the row or correct it")
        total.update(block)
    return DataError(f"sums overflow in rows {group.start} to {group.stop - 1}; rescale the data")
