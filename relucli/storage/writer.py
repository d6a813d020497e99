"""Writing datasets, block by block, into one file or several shards."""

from __future__ import annotations

import os
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from relucli.errors import UsageError
from relucli.storage.atomic import atomic_output, check_output, remove_stale, sync
from relucli.storage.checkpoint import Checkpoint
from relucli.storage.hdf5 import close_written, commit, new_file, open_again
from relucli.storage.schema import DATASET, INPUTS, LABELS, SHARD_OF, Provenance, StrPath, chunk_rows
from relucli.storage.snapshot import put_back, snapshot
from relucli.streaming.blocks import Span, group_rows, stripe_rows

__all__ = ["DatasetWriter", "create_column", "shard_paths", "shard_spans"]


ENTRY = "rows-00000"
"""What a checkpoint calls the state of the files; they are beside it, as ``rows-00000.h5`` and so on."""


def shard_paths(path: StrPath, shards: int) -> list[Path]:
    """File names of shards, in order: DATA-00000-of-00004.h5 and so on for DATA.h5, itself if it is one."""
    path = Path(path)
    if shards == 1:
        return [path]
    return [path.with_name(f"{path.stem}-{i:05d}-of-{shards:05d}{path.suffix}") for i in range(shards)]


def shard_spans(samples: int, dim: int, shards: int) -> list[Span]:
    """Rows of each shard, as even as whole canonical groups allow: moments of such shards merge to the bit.

    Where there are fewer groups than shards, rows are cut at stripes, and where those are too few, at any row.

    Raises
    ------
    UsageError
        If there are more shards than rows, or none.
    """
    if not 1 <= shards <= samples:
        raise UsageError(f"--shards {shards} does not suit {samples} rows; pass a number from 1 to {samples}")
    unit = next(u for u in (group_rows(dim), stripe_rows(dim), 1) if -(-samples // u) >= shards)
    units = -(-samples // unit)
    cuts = [min(samples, units * i // shards * unit) for i in range(shards + 1)]
    return [Span(start, stop) for start, stop in pairwise(cuts)]


def create_column(file: Any, name: str, shape: tuple[int, ...], dtype: DTypeLike, growing: bool = False) -> Any:
    """Create a dataset of as many rows as ``shape`` begins with, or more later, in checksummed chunks of full rows."""
    chunk = min(shape[0], chunk_rows(int(np.prod(shape[1:], dtype=int)), np.dtype(dtype).itemsize))
    return file.create_dataset(
        name,
        shape,
        dtype,
        chunks=(chunk, *shape[1:]),
        maxshape=(None, *shape[1:]) if growing else None,
        fletcher32=True,
        track_times=False,
    )


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
    checkpoint : Checkpoint, optional
        Where unfinished files are kept, and come from: then ``rows`` says where to go on.
    identity : str
        Kept in every shard, so that shards of different datasets are not taken for one.

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
        checkpoint: Checkpoint | None = None,
        identity: str = "",
    ) -> None:
        self.paths = shard_paths(path, shards)
        self._spans = shard_spans(samples, dim, shards)
        self._dim, self._dtype = dim, np.dtype(dtype)
        self._provenance, self._force = provenance, force
        self._identity = identity if shards > 1 else ""
        self._current = -1
        self._temporaries: list[Path] = []
        self._outputs = ExitStack()
        # Held to the end: after a failed write, HDF5 complains aloud of objects that are dropped.
        self._file: Any = None
        self._x: Any = None
        self._y: Any = None
        self._checkpoint = checkpoint
        self._begun = self._found()
        self.rows = int(self._begun[0]["rows"]) if self._begun else 0
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
                self._close(whole=True)
        if self._between_chunks:
            for column in (self._x, self._y):
                column.flush()  # chunks lie in the order of rows, whenever the file is closed and opened again
            if self._checkpoint and self._checkpoint.due:
                self._save()

    @property
    def _between_chunks(self) -> bool:
        """Whether there is a file to be filled, and no chunk of it is half full."""
        return (
            bool(self._file)
            and (self.rows - self._spans[self._current].start) % max(self._x.chunks[0], self._y.chunks[0]) == 0
        )

    def _next_file(self) -> None:
        """Begin the file of the next shard; that of the last is whole, but stays under its temporary name."""
        self._current += 1
        rows = self._spans[self._current].rows
        temporary = self._outputs.enter_context(atomic_output(self.paths[self._current], self._force, synced=True))
        self._temporaries.append(temporary)
        self._file = new_file(temporary, self._provenance)
        if self._identity:
            self._file.attrs[SHARD_OF] = np.bytes_(self._identity)  # of fixed length: in the header, with its checksum
        self._x = create_column(self._file, INPUTS, (rows, self._dim), self._dtype)
        self._y = create_column(self._file, LABELS, (rows,), np.float64)

    def _open_again(self) -> None:
        """Go on with the last file."""
        self._file = open_again(self._temporaries[-1])
        self._x, self._y = self._file[INPUTS], self._file[LABELS]

    def _close(self, whole: bool, error: BaseException | None = None) -> None:
        """Close the file in hand, with what tells that it is whole or without; after an error, as that allows."""
        file, self._file = self._file, None
        if not file:
            return
        try:
            if whole:
                commit(file, DATASET)
        except BaseException as failed:
            close_written(file, failed)
            raise
        close_written(file, error)
        if whole:
            sync(self._temporaries[-1])

    def _save(self) -> None:
        """Keep the files as they are; they get another name in the checkpoint."""
        assert self._checkpoint is not None
        self._close(whole=False)
        metadata = snapshot(self._temporaries[-1], (INPUTS, LABELS))
        about = {"rows": self.rows, "file": self._current}
        self._checkpoint.save({ENTRY: (about, metadata)}, before=self._keep)
        self._open_again()

    def _keep(self) -> None:
        """Give the files their names in the checkpoint, which may be those of files that were never saved."""
        assert self._checkpoint is not None
        for i, temporary in enumerate(self._temporaries):
            kept = self._kept(i)
            same = kept.exists() and kept.samefile(temporary)
            if i == self._current or not same:
                sync(temporary)
            if not same:
                kept.unlink(missing_ok=True)
                os.link(temporary, kept)

    def _kept(self, index: int) -> Path:
        assert self._checkpoint is not None
        return self._checkpoint.folder / f"rows-{index:05d}.h5"

    def _found(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """The state of the files of an interrupted run, unless they are gone, or outputs already: not to touch."""
        found = self._checkpoint.load(ENTRY) if self._checkpoint else None
        if found is None:
            return None
        for i in range(int(found[0]["file"]) + 1):
            remove_stale(self.paths[i])
            if not self._kept(i).exists() or self._kept(i).stat().st_nlink > 1:
                return None
        return found

    def _go_on(self) -> None:
        """Take up the files of an interrupted run."""
        assert self._begun is not None
        about, metadata = self._begun
        self._current = int(about["file"])
        for i in range(self._current + 1):
            output = atomic_output(self.paths[i], self._force, self._kept(i), synced=True)
            self._temporaries.append(self._outputs.enter_context(output))
        put_back(self._temporaries[-1], metadata)
        self._open_again()

    def __enter__(self) -> Self:
        if self._begun:
            with ExitStack() as undone:
                undone.push(self._outputs)
                self._go_on()
                undone.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._outputs:
            if error is not None:
                interrupted = not isinstance(error, Exception)
                if interrupted and self._checkpoint and self._checkpoint.pressing and self._between_chunks:
                    self._save()
                self._close(whole=False, error=error)
                raise error
            if self.rows != self._spans[-1].stop:
                self._close(whole=False)
                raise ValueError(f"{self.rows} rows written of {self._spans[-1].stop}")
