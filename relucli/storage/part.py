"""The two columns of one open file of a dataset: found, read and checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.storage.atomic import error_code, io_error
from relucli.storage.chunks import PlainRows
from relucli.storage.columns import check_columns, check_finite, first_unreadable, is_float, read_column
from relucli.storage.hdf5 import reading, stamp
from relucli.storage.links import find_dataset
from relucli.storage.schema import DATASET, SHARD_OF, attribute, is_ours
from relucli.storage.trust import Trust, check_inflation, is_compressed, keep_chunks
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span, block_rows

__all__ = ["Part", "check_shards"]

_SHARD = re.compile(r"(.*)-[0-9]{5}-of-([0-9]{5})((?:\.[^.]*)?)", re.DOTALL)


class _NoLabels:
    """Stands for labels that nobody reads: inputs alone are rows too."""

    dtype = np.dtype(np.float64)
    ndim = 1

    def __init__(self, rows: int) -> None:
        self.size, self.shape = rows, (rows,)

    def __len__(self) -> int:
        return self.size


class Part:
    """Inputs and labels in one open file.

    Parameters
    ----------
    file : h5py.File
        Open for reading; `close` closes it.
    where : str
        The file, as messages call it.
    names : tuple of str
        Of inputs and labels; labels without a name (None) are not read, and zero.
    trust : Trust

    Attributes
    ----------
    x, y : h5py.Dataset
    stored : list of h5py.Dataset
        Those of them that are read.
    shard_of : bytes, optional
        What all shards of a dataset have in common.

    Raises
    ------
    DataError
        If they are not there, or cannot be used.
    """

    def __init__(self, file: Any, where: str, names: tuple[str, str | None], trust: Trust) -> None:
        inputs, labels = names
        self.where, self._names, self._trust = where, (inputs, labels or ""), trust
        with reading(where, "attributes"):
            is_ours(file, where, DATASET)
            self.shard_of = attribute(file, SHARD_OF)
        self.x = find_dataset(file, where, inputs, "pass --inputs NAME", trust)
        self.stored = [self.x]
        if labels is None:
            self.y: Any = _NoLabels(self.x.shape[0] if self.x.shape else 1)
        else:
            self.y = find_dataset(file, where, labels, "pass --labels NAME", trust)
            self.stored.append(self.y)
        with reading(where, "dtypes"):
            check_columns(f"{where}: ", self._names, self.x, self.y)
        rows = block_rows(int(self.x.shape[1]))
        self.stored = [
            keep_chunks(data, where, printable(name), rows, trust)
            for name, data in zip(self._names, self.stored, strict=False)
        ]
        self.x, self.y = self.stored[0], self.stored[1] if labels is not None else self.y
        self._files = [file, *(data.file for data in self.stored)]
        # Asked for once: a call of HDF5 waits for the block that another thread is reading.
        self.rows = int(self.x.shape[0])
        self._handles = [of.id.get_vfd_handle() for of in self._files]
        self._stamps = [stamp(handle) for handle in self._handles]
        self._floats = [is_float(data.dtype) for data in self.stored]
        with reading(where, "properties"):
            self._plain = [
                PlainRows.of(data, handle) for data, handle in zip(self.stored, self._handles[1:], strict=True)
            ]
        self._compressed = [is_compressed(data) for data in self.stored]
        self._inflated: tuple[set[int], set[int]] = (set(), set())

    def read(self, span: Span, x: NDArray[Any], y: NDArray[np.float64]) -> None:
        """Read rows of this file into arrays, and check them."""
        if len(self.stored) < len(self._names):
            y[...] = 0.0
        columns = x, y.reshape(-1, *self.y.shape[1:])
        for i, (name, data, into) in enumerate(zip(self._names, self.stored, columns, strict=False)):
            plain = self._plain[i]
            try:
                if plain is not None and plain.read(span, into):
                    continue
                if self._compressed[i]:
                    check_inflation(data, self.where, printable(name), span, self._trust, self._inflated[i])
                read_column(data, span, into, self._floats[i])
            except (OSError, RuntimeError, ValueError) as error:
                if error_code(error) is not None:
                    raise io_error(error, self.where, writing=False) from error
                self._check_unchanged()
                bad = first_unreadable(data, span)
                raise DataError(
                    f"{self.where}: {printable(name)} rows {bad.start} to {bad.stop - 1} cannot be read "
                    "(checksum or filter failure); copy or make the file again"
                ) from error
        self._check_unchanged()
        check_finite(f"{self.where}: ", self._names, Block(x, y, span.start))

    def _check_unchanged(self) -> None:
        """Refuse to go on with a file that something has written to since it was opened."""
        if [stamp(handle) for handle in self._handles] != self._stamps:
            raise DataError(f"{self.where}: changed while it was in use; start again")

    def close(self) -> None:
        """Close the file."""
        for file in reversed(self._files):
            file.close()


def check_shards(parts: Sequence[tuple[str, Part]]) -> None:
    """Refuse files that are shards of one dataset by their names, but not by what wrote them.

    Shards appear one after the other: a writer that was killed in between leaves new ones beside old ones.

    Parameters
    ----------
    parts : sequence of (str, Part)
        With the path of each.
    """
    known: dict[tuple[str, ...], Part] = {}
    for path, part in parts:
        name = _SHARD.fullmatch(path)
        first = known.setdefault(name.groups(), part) if name else part
        if part.shard_of != first.shard_of:
            raise DataError(
                f"{part.where}: is no shard of the dataset that {first.where} is of (was generate interrupted?); "
                "generate them again"
            )
