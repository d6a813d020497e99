"""Files of numpy as tables, read a few rows at a time: nothing is unpickled, and no array is held whole."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from relucli.errors import DataError, InputError, printable
from relucli.interchange.arrays import Array, pick, spans, table
from relucli.interchange.source import Choice, Source
from relucli.storage.atomic import io_error

__all__ = ["open_npy", "open_npz"]

_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # as numpy writes them


@contextmanager
def open_npy(path: Path, labels: str | None) -> Iterator[Source]:
    """Open an ``.npy`` file, whose labels may be in another.

    Raises
    ------
    InputError, StorageError
        If a file cannot be read.
    DataError
        If it does not hold an array of numbers.
    """
    x = _npy(path)
    y = None if labels is None else _npy(Path(labels), labels)
    yield table(printable(path), x, y, picked=False)


def _npy(path: Path, name: str = "") -> Array:
    where = printable(path)
    with _reading(where):
        if path.is_dir():
            raise InputError(f"{where}: is a directory; name a file in it")
        with path.open("rb") as file:
            shape, fortran, dtype = _header(file, where)
            start, size = file.tell(), os.fstat(file.fileno()).st_size
    wanted = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if size - start < wanted:
        raise DataError(f"{where}: {size - start} bytes of numbers where its header says {wanted}; copy it again")
    if fortran and len(shape) == 2:
        return Array(f"{where}: the array", name, shape, dtype, partial(_mapped_rows, path, where, start, shape, dtype))

    def rows(step: int) -> Iterator[NDArray[Any]]:
        with _reading(where), path.open("rb") as file:
            file.seek(start)
            yield from _streamed_rows(file, where, shape, dtype, step)

    return Array(f"{where}: the array", name, shape, dtype, rows)


def _header(file: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and dtype of the array that a stream begins with."""
    try:
        version = npy.read_magic(file)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError as error:
        raise DataError(f"{where}: not an array of numpy; write it with numpy.save") from error
    return shape, fortran, dtype


def _streamed_rows(
    file: IO[bytes], where: str, shape: tuple[int, ...], dtype: np.dtype[Any], step: int
) -> Iterator[NDArray[Any]]:
    """Rows of an array that is stored row by row."""
    width = int(np.prod(shape[1:], dtype=int))
    for start, stop in spans(shape[0], step):
        data = file.read((stop - start) * width * dtype.itemsize)
        if len(data) < (stop - start) * width * dtype.itemsize:
            raise DataError(f"{where}: ends before row {stop - 1} of {shape[0]}; copy or make it again")
        yield np.frombuffer(data, dtype).reshape(stop - start, *shape[1:])


def _mapped_rows(
    path: Path, where: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any], step: int
) -> Iterator[NDArray[Any]]:
    """Rows of an array that is stored column by column; mapped anew each time, so that what was read can go."""
    for start, stop in spans(shape[0], step):
        with _reading(where):
            yield np.array(np.memmap(path, dtype, "r", offset, shape, "F")[start:stop])


@contextmanager
def open_npz(path: Path, choice: Choice) -> Iterator[Source]:
    """Open an ``.npz`` archive: arrays x and y, or those that ``choice`` names.

    Raises
    ------
    InputError, StorageError
        If it cannot be read.
    DataError
        If it is damaged, or it is not clear which arrays to take.
    """
    where = printable(path)
    with _reading(where):
        if path.is_dir():
            raise InputError(f"{where}: is a directory; name a file in it")
        archive = zipfile.ZipFile(path)
    with archive, tempfile.TemporaryDirectory(prefix="relucli-") as folder:
        members = [
            m.filename for m in archive.infolist() if m.filename.endswith(".npy") and m.compress_type in _METHODS
        ]
        arrays = {name.removesuffix(".npy"): _member(archive, name, where, Path(folder)) for name in members}
        yield table(where, *pick(where, arrays, choice), picked=True)


def _member(archive: zipfile.ZipFile, name: str, where: str, folder: Path) -> Array:
    shown = f"{where}: {printable(name.removesuffix('.npy'))}"
    with _reading(where), archive.open(name) as file:
        shape, fortran, dtype = _header(file, shown)

    def rows(step: int) -> Iterator[NDArray[Any]]:
        with _reading(where):
            if fortran and len(shape) == 2:
                # Its rows are all over the member, which can only be read from front to end.
                copy = folder / "by-columns.npy"
                with archive.open(name) as file, copy.open("wb") as out:
                    shutil.copyfileobj(file, out)
                yield from _npy(copy).rows(step)
                return
            with archive.open(name) as file:
                _header(file, shown)
                yield from _streamed_rows(file, shown, shape, dtype, step)

    return Array(shown, name.removesuffix(".npy"), shape, dtype, rows)


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise DataError(f"{where}: not an archive of numpy, or a damaged one; copy or make it again") from error
    except OSError as error:
        raise io_error(error, where, writing=False) from error
    except ValueError as error:
        raise DataError(f"{where}: cannot be read ({' '.join(str(error).split())[:100]}); make it again") from error
