"""Folding an accumulator over rows, in canonical groups, with any executor and within a memory bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, UsageError
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.blocks import Span, block_rows, blocks, groups
from relucli.streaming.executors import Executor, executor_for, keep_pages, one_blas_thread
from relucli.streaming.journal import Journal, Nodes
from relucli.streaming.overflow import first_overflow

__all__ = ["DEFAULT_MEMORY", "Engine", "Progress", "Rows", "check_memory", "tree_merge"]

DEFAULT_MEMORY = 512 * 2**20

A = TypeVar("A", bound=Accumulator)

Progress = Callable[[str, int, int], None]
"""Called with the name of the pass, the rows done and the rows in all."""


class Rows(Protocol):
    """Rows of inputs and labels, wherever they are: in HDF5 files or in memory."""

    samples: int
    dim: int

    @property
    def row_bytes(self) -> int:
        """Bytes that one row takes where it is stored."""
        ...

    @property
    def stored(self) -> bool:
        """Whether the rows are in files, which other processes can open."""
        ...

    def block(self, span: Span) -> Block:
        """Read the rows of a span, checked to be finite."""
        ...

    def describe(self, row: int, column: int | None) -> str:
        """Where a number is stored, and what it is: of the inputs, or a label if the column is None."""
        ...


def tree_merge(partials: Iterable[A], empty: A, sizes: Iterable[int] = repeat(1), nodes: Nodes[A] | None = None) -> A:
    """Merge partial sums over consecutive groups along a binary tree whose shape depends on their number alone.

    Partials enter as the digits of a binary counter: two sums over 2^m groups each become one over 2^(m+1).
    The tree is that of pairwise summation, so rounding errors grow with the logarithm of the number of groups,
    and the sum over the first 2^m groups is a node of it: sums over shards that end there merge to the bit.

    Parameters
    ----------
    partials : iterable of Accumulator
        Those on the left of the tree are added to.
    empty : Accumulator
        The sum of no partials.
    sizes : iterable of int
        Of each partial, in groups; with runs of equal size in place of groups the tree is the same.
    nodes : list of (int, Accumulator), optional
        The digits, with their sizes: of what was merged before and, whenever a partial is asked for, of all that came.
    """
    stack: Nodes[A] = [] if nodes is None else nodes
    for total, size in zip(partials, sizes, strict=False):
        while stack and stack[-1][0] == size:
            left = stack.pop()[1]
            left.merge(total)
            size, total = 2 * size, left
        stack.append((size, total))
    if not stack:
        return empty.fresh()
    total = stack.pop()[1]
    while stack:
        left = stack.pop()[1]
        left.merge(total)
        total = left
    return total


def _fold_group(empty: A, rows: Rows, group: Span) -> A:
    total = empty.fresh()
    with np.errstate(over="ignore", invalid="ignore"):
        for span in blocks(group, rows.dim):
            total.update(rows.block(span))
        if empty.guarded and not total.finite:
            raise first_overflow(empty, rows, group)
    return total


def _fold_run(empty: A, rows: Rows, run: Span) -> dict[str, NDArray[np.float64]]:
    """The sums over a run of 2^m groups, a node of the tree of `tree_merge`."""
    keep_pages()
    parts = (_fold_group(empty, rows, group) for group in groups(run, rows.dim))
    with np.errstate(over="ignore", invalid="ignore"):
        return tree_merge(parts, empty).sums


def check_memory(memory: int, need: int, purpose: str) -> None:
    """Refuse a memory bound below what something needs, both in bytes, and say which would do.

    Raises
    ------
    UsageError
    """
    if need > memory:
        raise UsageError(f"--memory {memory // 2**20}MiB is too small {purpose}: pass --memory {-(-need // 2**20)}MiB")


@dataclass
class Engine:
    """Runs passes, counts them, and keeps them within the memory bound.

    Attributes
    ----------
    workers : int
        Threads of one BLAS thread each.
    memory : int
        Working memory, bytes; with a cluster, of this process and of each worker.
    progress : callable, optional
        Told of rows done.
    cluster : Executor, optional
        Where passes over rows in files run.
    journal : Journal, optional
        Told of passes, and asked what an earlier run has done of them.
    passes, rows_read, bytes_read : int
        What has been read through this engine so far.
    """

    workers: int = 1
    memory: int = DEFAULT_MEMORY
    progress: Progress | None = None
    cluster: Executor | None = None
    journal: Journal | None = None
    passes: int = field(default=0, init=False)
    rows_read: int = field(default=0, init=False)
    bytes_read: int = field(default=0, init=False)

    def fold(self, empty: A, rows: Rows, name: str = "") -> A:
        """Fold an accumulator over all rows: one pass.

        The result is the same to the bit for every worker count, memory bound and cluster.

        Raises
        ------
        UsageError
            If one worker's share does not fit into the memory bound.
        DataError
            If a sum overflows; it names the row.
        """
        executor = self._executor(empty, rows)
        count = len(groups(rows.samples, rows.dim))
        grain = executor.grain(count)
        nodes = self._begun(name, empty, count, grain)
        left = groups(rows.samples, rows.dim, grain)[sum(size for size, _ in nodes) :]
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            partials = map(empty.filled, executor.map(partial(_fold_run, empty, rows), left))
            total = tree_merge(self._counted(partials, left, rows, name, nodes, grain), empty, nodes=nodes)
        if empty.guarded and not total.finite:
            raise DataError(f"sums overflow over {rows.samples} rows, none of them alone; rescale the data")
        if self.journal:
            self.journal.end(count, total)
        self.passes += 1
        return total

    def stream(self, empty: A, rows: Rows, name: str = "") -> Iterator[A]:
        """The accumulator over each canonical group by itself, in order: one pass whose results go elsewhere.

        Raises
        ------
        UsageError, DataError
            As `fold`.
        """
        executor = self._executor(empty, rows)
        spans = groups(rows.samples, rows.dim)
        with one_blas_thread():
            partials = map(empty.filled, executor.map(partial(_fold_run, empty, rows), spans))
            yield from self._counted(partials, spans, rows, name, [], 1)
        self.passes += 1

    def _begun(self, name: str, empty: A, count: int, grain: int) -> Nodes[A]:
        """What an earlier run has done of a pass, in runs of groups; a run that it had not finished is left out."""
        begun: Nodes[A] = self.journal.begin(name, empty) if self.journal else []
        if sum(size for size, _ in begun) >= count:
            return [(-(-count // grain), node) for _, node in begun]
        return [(size // grain, node) for size, node in begun if size >= grain]

    def _counted(
        self, partials: Iterable[A], spans: list[Span], rows: Rows, name: str, nodes: Nodes[A], grain: int
    ) -> Iterable[A]:
        for span, part in zip(spans, partials, strict=True):
            self.rows_read += span.rows
            self.bytes_read += span.rows * rows.row_bytes
            if self.progress is not None:
                self.progress(name, span.stop, rows.samples)
            if self.journal:
                self.journal.merging()
            yield part
            if self.journal:
                self.journal.reached([(size * grain, node) for size, node in nodes])
        if self.journal:
            self.journal.merging()

    def _executor(self, empty: Accumulator, rows: Rows) -> Executor:
        """The cluster for rows in files, else as many threads as were asked for, as are useful, and as fit."""
        count = len(groups(rows.samples, rows.dim))
        held, share = _memory(empty, rows)
        cluster = self.cluster if self.cluster and rows.stored else None
        # What waits to be merged is here; a worker of the cluster has no more of it.
        check_memory(self.memory, held + share, "for this pass")
        return cluster or executor_for(min(self.workers, count, (self.memory - held) // share))

    @staticmethod
    def need(empty: Accumulator, rows: Rows) -> int:
        """Bytes of memory that a pass takes with one worker."""
        return sum(_memory(empty, rows))


def _memory(empty: Accumulator, rows: Rows) -> tuple[int, int]:
    """Bytes of the sums that wait to be merged in a pass, and of what each worker takes."""
    block = min(block_rows(rows.dim), rows.samples)
    held = empty.held(len(groups(rows.samples, rows.dim)), rows.samples)
    return held, empty.nbytes + block * (16 * rows.dim + 16) + empty.scratch(block)
