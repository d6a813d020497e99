"""The two columns of one open file of a dataset: found, read and checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.storage.atomic import error_code, io_error
from relucli.storage.columns import check_columns, check_finite, first_unreadable, read_column
from relucli.storage.hdf5 import reading, stamp
from relucli.storage.links import find_dataset
from relucli.storage.schema import DATASET, is_ours
from relucli.storage.trust import Trust, check_inflation
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span

__all__ = ["Part"]


class Part:
    """Inputs and labels in one open file.

    Parameters
    ----------
    file : h5py.File
        Open for reading; `close` closes it.
    where : str
        The file, as messages call it.
    names : tuple of str
        Of inputs and labels.
    trust : Trust

    Raises
    ------
    DataError
        If they are not there, or cannot be used.
    """

    def __init__(self, file: Any, where: str, names: tuple[str, str], trust: Trust) -> None:
        self.where, self._names, self._trust = where, names, trust
        with reading(where, "attributes"):
            is_ours(file, where, DATASET)
        self.x, self.y = (
            find_dataset(file, where, name, f"pass {option} NAME", trust)
            for name, option in zip(names, ("--inputs", "--labels"), strict=True)
        )
        with reading(where, "dtypes"):
            check_columns(f"{where}: ", names, self.x, self.y)
        self._files = [file, self.x.file, self.y.file]
        self._stamps = [stamp(of) for of in self._files]
        self._inflated: tuple[set[int], set[int]] = (set(), set())

    def read(self, span: Span, x: NDArray[Any], y: NDArray[np.float64]) -> None:
        """Read rows of this file into arrays, and check them."""
        columns = (self.x, x), (self.y, y.reshape(-1, *self.y.shape[1:]))
        for name, (data, into), inflated in zip(self._names, columns, self._inflated, strict=True):
            try:
                check_inflation(data, self.where, printable(name), span, self._trust, inflated)
                read_column(data, span, into)
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
        if [stamp(of) for of in self._files] != self._stamps:
            raise DataError(f"{self.where}: changed while it was in use; start again")

    def close(self) -> None:
        """Close the file."""
        for file in reversed(self._files):
            file.close()
