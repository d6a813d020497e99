"""Datasets: rows of inputs and labels, in HDF5 files or in memory, read by blocks, all of them finite."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relucli.errors import DataError, InputError, printable
from relucli.quantities import counted
from relucli.storage.checksums import checksums
from relucli.storage.columns import FiniteRows, block_dtype, check_columns, check_finite
from relucli.storage.hdf5 import open_file, reading
from relucli.storage.names import differing, read_names
from relucli.storage.part import Part, check_shards
from relucli.storage.schema import INPUTS, LABELS, StrPath
from relucli.storage.trust import Trust
from relucli.storage.writer import DatasetWriter, shard_paths
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span, block_rows, stripe_rows, stripes
from relucli.streaming.fold import check_memory

if TYPE_CHECKING:
    from relucli.streaming.fold import Rows

__all__ = [
    "DatasetWriter",
    "MemoryRows",
    "StoredRows",
    "open_dataset",
    "pilot",
    "shard_paths",
]

Floats = NDArray[Any]

NARROW = 64 * 2**20
"""Bytes of a block that are there in any case."""


class StoredRows(FiniteRows):
    """Rows in one or several HDF5 files; implements `relucli.streaming.fold.Rows`.

    Threads share one handle per file.  A pickled copy opens the files again when it is first used.

    Attributes
    ----------
    samples : int
        Rows in all files.
    dim : int
        Columns of the inputs.
    dtype : dtype
        Of the inputs in a block: float32 if all files hold that, else float64.
    row_bytes : int
        Bytes that a row takes in the files, on average.
    """

    stored = True
    _parts: list[Part]

    def __init__(self, paths: Sequence[StrPath], inputs: str, labels: str | None, trust: Trust) -> None:
        self._files = [(os.path.abspath(path), printable(path)) for path in paths]
        self._columns, self._trust = (inputs, labels), trust
        self._reset()
        parts = self._parts = self._open()
        self._stops = list(accumulate(part.rows for part in parts))
        self.samples, self.dim = self._stops[-1], int(parts[0].x.shape[1])
        self.dtype = np.result_type(*(block_dtype(part.x.dtype) for part in parts))
        stored = (column.size * column.dtype.itemsize for part in parts for column in part.stored)
        self.row_bytes = sum(stored) // self.samples
        block = 8 * self.dim * min(block_rows(self.dim), self.samples)
        if block > NARROW:  # else the pass itself says what it needs, which is more
            check_memory(trust.memory, block, f"for {counted(self.dim, 'input')}")

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Absolute path and bytes of each file."""
        return tuple((path, os.stat(path).st_size) for path, _ in self._files)

    def block(self, span: Span) -> Block:
        """Read the rows of a span; ``x`` is valid until this thread reads the next.

        Raises
        ------
        DataError
            If a number is not finite, or a checksum or filter fails.
        StorageError
            If the disk fails.
        """
        return self._read(span, self._buffer(span.rows))

    def _place(self, row: int) -> tuple[str, tuple[str, str], int]:
        index = bisect_right(self._stops, row)
        inputs, labels = self._columns
        return f"{self._files[index][1]}: ", (inputs, labels or ""), row - ([0, *self._stops][index])

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the inputs in the first file that has them, or none.

        Raises
        ------
        DataError
            If they cannot be read, or differ between files.
        """
        first, known = "", list[str]()
        for part in self._opened() if self._columns[0] == INPUTS else ():
            names = read_names(part.x.file, part.where, self.dim)[0] or known
            first, known = (first, known) if known else (part.where, names)
            if trouble := differing(names, known, first):
                raise DataError(f"{part.where}: {trouble}; files of one dataset have the same columns")
        return tuple(known)

    @cached_property
    def checksums(self) -> str:
        """What `relucli.storage.checksums.checksums` says of all columns."""
        with reading(self._files[0][1], "checksums"):
            return checksums(column for part in self._opened() for column in part.stored)

    def _lasting(self, span: Span) -> Block:
        return self._read(span, np.empty((span.rows, self.dim), self.dtype))

    def _read(self, span: Span, x: Floats) -> Block:
        y = np.empty(span.rows)
        parts = self._opened()
        at = span.start
        while at < span.stop:
            index = bisect_right(self._stops, at)
            part, stop = parts[index], min(span.stop, self._stops[index])
            first, here = self._stops[index] - part.rows, slice(at - span.start, stop - span.start)
            part.read(Span(at - first, stop - first), x[here], y[here])
            at = stop
        return Block(x, y, span.start)

    def close(self) -> None:
        """Close the files; a later read opens them again."""
        with self._lock:
            for part in self._parts:
                part.close()
            self._parts = []

    def _buffer(self, rows: int) -> Floats:
        buffer: Floats | None = getattr(self._local, "buffer", None)
        if buffer is None or len(buffer) < rows:
            size = max(rows, min(block_rows(self.dim), self.samples))
            buffer = self._local.buffer = np.empty((size, self.dim), self.dtype)
        return buffer[:rows]

    def _opened(self) -> list[Part]:
        with self._lock:
            if not self._parts:
                parts = self._open()
                if [p.x.shape for p in parts] != [(n, self.dim) for n in np.diff(self._stops, prepend=0)]:
                    raise DataError(f"{parts[0].where}: changed while it was in use; start again")
                self._parts = parts
            return self._parts

    def _open(self) -> list[Part]:
        with ExitStack() as files:
            parts = []
            for path, where in self._files:
                file = files.enter_context(open_file(path, where))
                parts.append(Part(file, where, self._columns, self._trust))
                columns, first = (part.x.shape[1] for part in (parts[-1], parts[0]))
                if columns != first:
                    raise DataError(
                        f"{where}: {printable(self._columns[0])} has {columns} columns, "
                        f"but {parts[0].where} has {first}; files of one dataset have the same"
                    )
            check_shards([(path, part) for (path, _), part in zip(self._files, parts, strict=True)])
            files.pop_all()
        return parts

    def _reset(self) -> None:
        """Make what does not travel between processes."""
        self._parts = []
        self._lock = threading.Lock()
        self._local = threading.local()

    def __getstate__(self) -> dict[str, Any]:
        stay = {"_parts", "_lock", "_local", "fingerprint", "checksums"}
        return {name: value for name, value in self.__dict__.items() if name not in stay}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MemoryRows(FiniteRows):
    """Rows in memory; implements `relucli.streaming.fold.Rows`.

    Parameters
    ----------
    x : array_like or data frame, shape (n, d)
        Inputs: kept without a copy if float32 or float64, else converted to float64.
    y : array_like, shape (n,) or (n, 1)
        Labels.

    Raises
    ------
    DataError
        If shapes or dtypes cannot be used.
    """

    stored = False

    def __init__(self, x: ArrayLike, y: ArrayLike) -> None:
        inputs, labels = np.asarray(x), np.asarray(y)
        check_columns("", (INPUTS, LABELS), inputs, labels)
        self.samples, self.dim = inputs.shape
        self.dtype = block_dtype(inputs.dtype)
        self.row_bytes = self.dim * inputs.itemsize + labels.itemsize
        self.x = inputs.astype(self.dtype, copy=False)
        self.y = labels.reshape(-1).astype(np.float64, copy=False)
        named = list(getattr(x, "columns", ()))  # those of a data frame
        if len(named) == self.dim and all(isinstance(name, str) for name in named):
            self.columns = tuple(named)

    def block(self, span: Span) -> Block:
        """The rows of a span, as views.

        Raises
        ------
        DataError
            If a number is not finite.
        """
        rows = slice(span.start, span.stop)
        block = Block(self.x[rows], self.y[rows], span.start)
        check_finite("", (INPUTS, LABELS), block)
        return block

    _lasting = block


def open_dataset(
    paths: StrPath | Sequence[StrPath], inputs: str = INPUTS, labels: str | None = LABELS, trust: Trust | None = None
) -> StoredRows:
    """Open HDF5 files, in the order given, as one dataset.

    Parameters
    ----------
    paths : path or sequence of paths
    inputs, labels : str
        Names of the 2-D and the 1-D dataset in each file; without labels (None) those of a block are zeros.
    trust : Trust, optional
        The default trusts nothing outside the files, and chunks of at most 512 MiB.

    Raises
    ------
    InputError
        If a file is missing or may not be read.
    DataError
        If a file's content cannot be used.
    UsageError
        If its rows are too wide for the memory that ``trust`` allows.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not paths:
        raise InputError("no data: name at least one HDF5 file")
    return StoredRows(paths, inputs, labels, trust or Trust())


def pilot(rows: Rows, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """About ``count`` rows: whole canonical stripes, evenly spaced over the dataset, in order.

    Returns
    -------
    x : ndarray, shape (m, d), float64
    y : ndarray, shape (m,), float64
        With m >= min(count, rows.samples), and less than a stripe more.
    """
    spans = stripes(rows.samples, rows.dim)
    wanted = min(len(spans), max(1, -(-count // stripe_rows(rows.dim))))
    # Rounding down, the last stripe, which may be short, is taken only if all are.
    chosen = [spans[i * len(spans) // wanted] for i in range(wanted)]
    stops = list(accumulate(span.rows for span in chosen))
    x, y = np.empty((stops[-1], rows.dim)), np.empty(stops[-1])
    for span, stop in zip(chosen, stops, strict=True):
        block = rows.block(span)
        x[stop - span.rows : stop], y[stop - span.rows : stop] = block.x, block.y
    return x, y
