"""Parquet as a table: read by pyarrow, a few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, InputError, printable
from relucli.extras import extra
from relucli.interchange.source import Source, batch_rows
from relucli.storage.atomic import io_error

__all__ = ["open_parquet"]

BUFFER_BYTES = 2**20


@contextmanager
def open_parquet(path: Path) -> Iterator[Source]:
    """Open a Parquet file.

    Raises
    ------
    UsageError
        If pyarrow is not installed.
    InputError, StorageError
        If it cannot be read.
    DataError
        If it is damaged; while it is read, if a column does not hold numbers.
    """
    arrow, parquet = extra("pyarrow", "arrow"), extra("pyarrow.parquet", "arrow")
    where = printable(path)
    if path.is_dir():
        raise InputError(f"{where}: is a directory; name a file in it")
    with _reading(where):
        file = parquet.ParquetFile(path, buffer_size=BUFFER_BYTES, pre_buffer=False)
    with file:
        schema = file.schema_arrow
        narrow = {arrow.float32(), arrow.float16()}
        dtypes = [np.dtype(np.float32 if field.type in narrow else np.float64) for field in schema]
        names = list(schema.names)

        def read(columns: list[int]) -> Iterator[NDArray[Any]]:
            for i in columns:
                _check_type(where, arrow, schema.field(i))
            for batch in _batches(file, where, [names[i] for i in columns]):
                wide = (column.cast(arrow.float64(), safe=False) for column in batch.columns)
                yield np.column_stack([column.to_numpy(zero_copy_only=False) for column in wide])

        count = max(1, file.metadata.num_rows)
        yield Source(where, names, True, dtypes, None, read, lambda rows: rows / count)


def _batches(file: Any, where: str, names: list[str]) -> Iterator[Any]:
    with _reading(where):
        yield from file.iter_batches(batch_rows(len(names)), columns=names, use_threads=False)


def _check_type(where: str, arrow: Any, field: Any) -> None:
    kinds = arrow.types
    if not (kinds.is_floating(field.type) or kinds.is_integer(field.type) or kinds.is_decimal(field.type)):
        name = printable(field.name)
        kind = printable(str(field.type))[:40]
        raise DataError(f"{where}: column {name} holds {kind}, not numbers; convert it, or pass --exclude '{name}'")


@contextmanager
def _reading(where: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno is None:  # from pyarrow, over what it has read
            raise DataError(f"{where}: damaged Parquet file; copy or make it again") from error
        raise io_error(error, where, writing=False) from error
    except ValueError as error:
        raise DataError(f"{where}: not a Parquet file, or a damaged one; copy or make it again") from error
