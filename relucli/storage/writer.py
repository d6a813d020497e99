"""Writing datasets, block by block, into one file or several shards."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from relucli.errors import UsageError
from relucli.storage.atomic import atomic_output, check_output
from relucli.storage.hdf5 import create_file
from relucli.storage.schema import DATASET, INPUTS, LABELS, Provenance, StrPath, chunk_rows
from relucli.streaming.blocks import Span, block_rows, group_rows

__all__ = ["DatasetWriter", "shard_paths", "shard_spans"]


def shard_paths(path: StrPath, shards: int) -> list[Path]:
    """File names of shards, in order: DATA-00000-of-00004.h5 and so on for DATA.h5, itself if it is one."""
    path = Path(path)
    if shards == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i:05d}-of-{shards:05d}{path.suffix}") for i in range(shards)]


def shard_spans(samples: int, dim: int, shards: int) -> list[Span]:
    """Rows of each shard, as even as whole canonical groups allow: moments of such shards merge to the bit.

    Where there are fewer groups than shards, rows are cut at blocks, and where those are too few, at any row.

    Raises
    ------
    UsageError
        If there are more shards than rows, or none.
    """
    if not 1 <= shards <= samples:
        raise UsageError(f"--shards {shards} does not suit {samples} rows; pass a number from 1 to {samples}")
    unit = next(u for u in (group_rows(dim), block_rows(dim), 1) if -(-samples // u) >= shards)
    units = -(-samples // unit)
    cuts = [min(samples, units * i // shards * unit) for i in range(shards + 1)]
    return [Span(start, stop) for start, stop in pairwise(cuts)]


class DatasetWriter:
    """Writes rows in order, never holding more than it is given; a context manager.

    The files appear when the context ends, and none of them does if its body fails.

    Parameters
    ----------
    path : path
        Of the file, or the name from which `shard_paths` makes those of shards.
    samples, dim : int
        Rows and columns in all.
    dtype : dtype
        Of the inputs, float32 or float64; labels are always float64.
    provenance : Provenance
    shards : int
    force : bool
        Whether files that exist may be replaced.

    Attributes
    ----------
    paths : list of Path
    rows : int
        Written so far.

    Raises
    ------
    UsageError
        If there are more shards than rows.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """

    def __init__(
        self,
        path: StrPath,
        samples: int,
        dim: int,
        dtype: DTypeLike = np.float64,
        *,
        provenance: Provenance,
        shards: int = 1,
        force: bool = False,
    ) -> None:
        self.paths = shard_paths(path, shards)
        self.rows = 0
        self._spans = shard_spans(samples, dim, shards)
        self._dim, self._dtype = dim, np.dtype(dtype)
        self._provenance, self._force = provenance, force
        self._current = -1
        self._outputs, self._file = ExitStack(), ExitStack()
        self._x: Any = None
        self._y: Any = None
        for name in self.paths:
            check_output(name, force)

    def append(self, x: NDArray[Any], y: NDArray[Any]) -> None:
        """Write the next rows: fastest in whole canonical blocks of the dtype of the file.

        Parameters
        ----------
        x : ndarray, shape (n, dim)
        y : ndarray, shape (n,)
        """
        if x.shape != (len(y), self._dim) or self.rows + len(y) > self._spans[-1].stop:
            raise ValueError(f"rows of shapes {x.shape} and {y.shape} do not fit at row {self.rows}")
        while len(y):
            if self._current < 0 or self.rows == self._spans[self._current].stop:
                self._next_file()
            span = self._spans[self._current]
            take = min(len(y), span.stop - self.rows)
            at = slice(self.rows - span.start, self.rows - span.start + take)
            self._x[at], self._y[at] = x[:take], y[:take]
            self.rows += take
            x, y = x[take:], y[take:]
            if self.rows == span.stop:
                self._file.close()

    def _next_file(self) -> None:
        """Begin the file of the next shard; that of the last is whole, but stays under its temporary name."""
        self._current += 1
        rows = self._spans[self._current].rows
        temporary = self._outputs.enter_context(atomic_output(self.paths[self._current], self._force))
        file = self._file.enter_context(create_file(temporary, DATASET, self._provenance))
        self._x = self._column(file, INPUTS, (rows, self._dim), self._dtype)
        self._y = self._column(file, LABELS, (rows,), np.dtype(np.float64))

    def _column(self, file: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
        chunk = min(shape[0], chunk_rows(int(np.prod(shape[1:], dtype=int)), dtype.itemsize))
        return file.create_dataset(name, shape, dtype, chunks=(chunk, *shape[1:]), fletcher32=True, track_times=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._outputs, self._file:
            if error is not None:
                raise error
            if self.rows != self._spans[-1].stop:
                raise ValueError(f"{self.rows} rows written of {self._spans[-1].stop}")
