"""CSV as a table: read by pyarrow, in blocks, plain or compressed by gzip."""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, InputError, printable
from relucli.extras import extra
from relucli.interchange.source import Source
from relucli.storage.atomic import io_error

__all__ = ["open_csv"]

BLOCK_BYTES = 2**20
LONGEST_HEADER = 2**24

_CONVERSION = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error .*?: invalid value '(.*)'", re.DOTALL)
_RAGGED = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+)")


@contextmanager
def open_csv(path: Path, delimiter: str, header: bool | None) -> Iterator[Source]:
    """Open a CSV file, or standard input for ``-``.

    Parameters
    ----------
    path : Path
    delimiter : str
    header : bool, optional
        Whether the first line holds names; by default it must, and names that are all numbers are refused.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    InputError, StorageError
        If it cannot be read.
    DataError
        If it is empty, or not text, or seems to have no header; while it is read, if a value is not a number.
    """
    arrow = extra("pyarrow.csv", "arrow")
    where = "standard input" if str(path) == "-" else printable(path)
    with _opened(path, where) as (file, share):
        with _reading(where):
            first, names = _first_row(file, where, delimiter)
        counted = [str(i) for i in range(len(names))]
        if header is None and names != counted and all(map(_is_number, names)):
            raise DataError(f"{where}: its first line is numbers; pass --no-header, or --header if they are names")
        if header is False:
            file = cast(BinaryIO, io.BufferedReader(_Prefixed(first, file)))
            names = counted
        dtypes = [np.dtype(np.float64)] * len(names)
        size = max(BLOCK_BYTES, 8 * len(first))  # several rows, however wide they are

        def read(columns: list[int]) -> Iterator[NDArray[Any]]:
            with _reading(where, [names[i] for i in columns]):
                yield from _batches(arrow, file, len(names), columns, delimiter, size)

        yield Source(where, names, header is not False, dtypes, None, read, lambda _: share())


def _batches(
    arrow: Any, file: BinaryIO, width: int, columns: list[int], delimiter: str, size: int
) -> Iterator[NDArray[Any]]:
    keys = [str(i) for i in range(width)]
    kind = extra("pyarrow", "arrow").float64()
    try:
        reader = arrow.open_csv(
            file,
            # One thread: only so does an error know its row.
            arrow.ReadOptions(use_threads=False, block_size=size, column_names=keys),
            arrow.ParseOptions(delimiter=delimiter, newlines_in_values=False, ignore_empty_lines=width > 1),
            arrow.ConvertOptions(column_types=dict.fromkeys(keys, kind), include_columns=[keys[i] for i in columns]),
        )
    except ValueError as error:
        if "Empty CSV file" in str(error):
            return
        raise
    for batch in reader:
        yield np.column_stack([column.to_numpy(zero_copy_only=False) for column in batch.columns])


@contextmanager
def _opened(path: Path, where: str) -> Iterator[tuple[BinaryIO, Callable[[], float | None]]]:
    """The file, and a function that says what share of it was read."""
    if str(path) == "-":
        if sys.stdin is None:
            raise InputError(f"{where}: is closed; name a file")
        yield sys.stdin.buffer, lambda: None
        return
    try:
        if path.is_dir():
            raise InputError(f"{where}: is a directory; name a file in it")
        plain = path.open("rb")
    except OSError as error:
        raise io_error(error, where, writing=False) from error
    with plain, gzip.open(plain) if path.suffix.lower() == ".gz" else plain as file:
        size = max(1, os.fstat(plain.fileno()).st_size)
        yield cast(BinaryIO, file), lambda: plain.tell() / size


def _first_row(file: BinaryIO, where: str, delimiter: str) -> tuple[bytes, list[str]]:
    """The first line that is not blank, or more where a quoted name goes on, and its fields."""
    taken: list[bytes] = []

    def lines() -> Iterator[str]:
        while line := file.readline(LONGEST_HEADER):
            if line.strip() or taken:
                taken.append(line)
                yield line.decode("utf-8-sig" if len(taken) == 1 else "utf-8")

    try:
        fields = next(csv.reader(lines(), delimiter=delimiter), None)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not text in UTF-8; convert it to UTF-8 first") from error
    except csv.Error as error:
        raise DataError(f"{where}: not a text file of numbers with {delimiter!r} between them") from error
    if fields is None:
        raise DataError(f"{where}: is empty; make it again")
    return b"".join(taken), [field.strip() for field in fields]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@contextmanager
def _reading(where: str, names: list[str] | None = None) -> Iterator[None]:
    """Turn what pyarrow and gzip raise into one line with the row, counted from 0 below the header."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{where}: damaged or truncated gzip file; copy or make it again") from error
    except OSError as error:
        raise io_error(error, where, writing=False) from error
    except ValueError as error:
        raise DataError(f"{where}: {_explained(str(error), names or [])}") from error


def _explained(text: str, names: list[str]) -> str:
    if found := _CONVERSION.match(text):
        column, row, value = names[int(found[1])], int(found[2]) - 1, found[3]
        shown = printable(value[:30] + ("..." if len(value) > 30 else ""))
        column = printable(column)
        return f"column {column} row {row} is '{shown}', not a number; correct it, or pass --exclude '{column}'"
    if found := _RAGGED.match(text):
        return f"row {int(found[1]) - 1} has {found[3]} columns, not {found[2]}; correct it, or check --delimiter"
    return f"cannot be read as CSV: {' '.join(text.split())[:200]}"


class _Prefixed(io.RawIOBase):
    """Bytes that were read already, and then the rest of a file."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first, self._rest = first.removeprefix(b"\xef\xbb\xbf"), rest

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read as `io.RawIOBase` does."""
        data = self._first[: len(buffer)] or self._rest.read(len(buffer))
        self._first = self._first[len(data) :] if self._first else b""
        buffer[: len(data)] = data
        return len(data)
