"""Rows that arrive in batches and are kept: in memory while they are few, beyond that in temporary files."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import UsageError
from relucli.storage.dataset import DatasetWriter, MemoryRows, StoredRows, open_dataset
from relucli.storage.schema import Provenance

__all__ = ["Spool"]

Batch = tuple[NDArray[np.floating], NDArray[np.float64]]


class Spool:
    """Batches of rows, in the order in which they came.

    Parameters
    ----------
    limit : int
        Bytes of rows to hold in memory; when they are more, they go to a file in a temporary folder, which is
        removed with this object.  A copy in another process has what was in memory or, of rows on disk, none.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.samples = 0
        self._batches: list[Batch] = []
        self._files: list[Path] = []
        self._folder: Path | None = None
        self._left = False

    @property
    def on_disk(self) -> bool:
        """Whether some of the rows are in files."""
        return bool(self._files)

    def append(self, x: NDArray[np.floating], y: NDArray[Any]) -> None:
        """Keep a copy of some rows.

        Raises
        ------
        UsageError
            If the earlier rows have stayed in another process.
        OutputError, StorageError
            If they cannot be written.
        """
        if self._left:
            raise UsageError("the rows so far stayed with the process that kept them on disk; start again with all")
        self._batches.append((np.array(x), np.array(y, np.float64)))
        self.samples += len(y)
        if sum(x.nbytes + y.nbytes for x, y in self._batches) > self.limit:
            self._files.append(self._written(f"{len(self._files)}.h5"))
            self._batches = []

    @contextmanager
    def rows(self) -> Iterator[MemoryRows | StoredRows]:
        """All rows as one dataset."""
        if not self._files:
            yield MemoryRows(*self._joined())
            return
        files = [*self._files, *([self._written("last.h5")] if self._batches else [])]
        with open_dataset(files) as rows:
            yield rows

    def _joined(self) -> Batch:
        x, y = zip(*self._batches, strict=True)
        return np.concatenate(x), np.concatenate(y)

    def _written(self, name: str) -> Path:
        """A file of the batches in memory."""
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="relucli-rows-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / name
        dtype = np.result_type(*(x.dtype for x, _ in self._batches))
        samples, dim = sum(len(y) for _, y in self._batches), self._batches[0][0].shape[1]
        with DatasetWriter(path, samples, dim, dtype, provenance=Provenance("relucli", 0), force=True) as writer:
            for batch in self._batches:
                writer.append(*batch)
        return path

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "_files": [], "_folder": None, "_left": self._left or self.on_disk}
        return state | {"_batches": []} if state["_left"] else state
