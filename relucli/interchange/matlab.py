"""MATLAB files of version 7.3, which are HDF5, as tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.interchange.arrays import Array, pick, spans, table
from relucli.interchange.source import Choice, Source
from relucli.storage.atomic import io_error
from relucli.storage.hdf5 import open_file, reading
from relucli.storage.links import find_dataset
from relucli.storage.listing import list_datasets
from relucli.storage.schema import attribute
from relucli.storage.trust import Trust, check_inflation
from relucli.streaming.blocks import Span

__all__ = ["open_mat"]

MOST_VARIABLES = 1000
_OLD = b"MATLAB 5.0 MAT-file"
_NUMBERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)} | {"double", "single"}


@contextmanager
def open_mat(path: Path, choice: Choice, memory: int) -> Iterator[Source]:
    """Open a ``.mat`` file: variables x and y, or those that ``choice`` names.

    MATLAB stores matrices by columns, so HDF5 sees them transposed.  Of ``memory``, in bytes, a chunk may take all.

    Raises
    ------
    InputError, StorageError
        If it cannot be read.
    DataError
        If it is of an older version or damaged, or it is not clear which variables to take.
    """
    where = printable(path)
    _refuse_old(path, where)
    with open_file(path) as file:
        names = [entry.name for entry in list_datasets(file, where, MOST_VARIABLES)[0] if "/" not in entry.name]
        arrays = {}
        for name in names:
            data = find_dataset(
                file, where, name, "check its name", Trust(memory=memory, remedy="store it in this file")
            )
            if _holds_numbers(data, where, name):
                shape = tuple(reversed(data.shape))
                # A row vector of labels is a column that was not transposed.
                shape = (shape[1], 1) if len(shape) == 2 and shape[0] == 1 else shape
                shown = f"{where}: {printable(name)}"
                arrays[name] = Array(shown, name, shape, data.dtype, partial(_rows, data, where, name, shape, memory))
        yield table(where, *pick(where, arrays, choice), picked=True)


def _refuse_old(path: Path, where: str) -> None:
    try:
        with path.open("rb") as file:
            old = file.read(len(_OLD)) == _OLD
    except IsADirectoryError:
        return
    except OSError as error:
        raise io_error(error, where, writing=False) from error
    if old:
        raise DataError(f"{where}: a MAT-file of a version before 7.3; save it with save(..., '-v7.3')")


def _holds_numbers(data: Any, where: str, name: str) -> bool:
    with reading(where, name):
        kind = attribute(data, "MATLAB_class", b"double")
        empty = bool(attribute(data, "MATLAB_empty", 0))
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    return kind in _NUMBERS and not empty and len(data.shape or ()) == 2


def _rows(data: Any, where: str, name: str, shape: tuple[int, ...], memory: int, step: int) -> Iterator[NDArray[Any]]:
    check_inflation(data, where, printable(name), Span(0, len(data)), Trust(memory=memory), set())
    column = data.shape[-1] != shape[0]
    for start, stop in spans(shape[0], step):
        with reading(where, name):
            yield np.asarray(data[start:stop] if column else data[:, start:stop].T)
