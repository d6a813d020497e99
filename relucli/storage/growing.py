"""Writing a dataset of a number of rows that nobody knows yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from relucli.storage.atomic import atomic_output
from relucli.storage.hdf5 import create_file
from relucli.storage.names import write_names
from relucli.storage.schema import DATASET, INPUTS, LABELS, Provenance, StrPath
from relucli.storage.writer import create_column
from relucli.streaming.blocks import stripe_rows

__all__ = ["GrowingDataset", "growing_dataset"]


class GrowingDataset:
    """Takes rows a few at a time, and writes them in whole canonical stripes.

    Attributes
    ----------
    rows : int
        Taken so far.
    """

    def __init__(self, file: Any, dim: int, dtype: DTypeLike, labelled: bool) -> None:
        self.rows = 0
        self._file = file
        size = stripe_rows(dim)
        self._waiting: dict[str, NDArray[Any]] = {INPUTS: np.empty((size, dim), dtype)}
        if labelled:
            self._waiting[LABELS] = np.empty(size)
        self._size, self._filled = size, 0
        # Kept open: what a dataset could not write when it is closed is lost without an error.
        self._columns: dict[str, Any] = {}

    def append(self, x: NDArray[Any], y: NDArray[np.float64] | None) -> None:
        """Take the next rows.

        Parameters
        ----------
        x : ndarray, shape (n, dim)
        y : ndarray, shape (n,)
            None if there are no labels.
        """
        done = 0
        while done < len(x):
            take = min(len(x) - done, self._size - self._filled)
            here, there = slice(self._filled, self._filled + take), slice(done, done + take)
            self._waiting[INPUTS][here] = x[there]
            if y is not None:
                self._waiting[LABELS][here] = y[there]
            self._filled += take
            done += take
            if self._filled == self._size:
                self.flush()

    def flush(self) -> None:
        """Write what waits; to be called once all rows are there."""
        if not self._filled:
            return
        stop = self.rows + self._filled
        for name, values in self._waiting.items():
            rows = values[: self._filled]
            if name in self._columns:
                self._columns[name].resize(stop, axis=0)
            else:
                self._columns[name] = create_column(self._file, name, rows.shape, rows.dtype, growing=True)
            self._columns[name][self.rows : stop] = rows
        self.rows, self._filled = stop, 0


@contextmanager
def growing_dataset(
    path: StrPath,
    columns: Sequence[str] | None,
    label: str | None,
    *,
    dim: int,
    dtype: DTypeLike,
    labelled: bool,
    provenance: Provenance,
    force: bool = False,
) -> Iterator[GrowingDataset]:
    """Create a dataset file, which appears if the body succeeds.

    Parameters
    ----------
    path : path
    columns, label
        Names that the inputs and the label have where they come from, or None.
    dim : int
    dtype : dtype
        Of the inputs; labels are float64.
    labelled : bool
        Whether there are labels.
    provenance : Provenance
    force : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    DataError
        If a name is too long.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    with atomic_output(path, force) as temporary, create_file(temporary, DATASET, provenance) as file:
        growing = GrowingDataset(file, dim, dtype, labelled)
        yield growing
        growing.flush()
        if columns is not None and growing.rows:
            write_names(file, columns, label if labelled else None).flush()
