"""The names that the columns of a dataset had where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from relucli.errors import DataError, printable
from relucli.storage.hdf5 import reading
from relucli.storage.links import find_dataset, find_object
from relucli.storage.schema import COLUMNS, LABEL_NAME, LABELS, attribute
from relucli.storage.trust import check_whole

__all__ = ["LONGEST", "read_names", "write_names"]

LONGEST = 255
"""Bytes of a name."""


def write_names(file: Any, columns: Sequence[str], label: str | None) -> Any:
    """Store names: those of the inputs as ``columns`` (d,), that of the label as an attribute of ``y``.

    Returns
    -------
    h5py.Dataset
        The names of the inputs, to be flushed: what it cannot write when it is closed is lost without an error.

    Raises
    ------
    DataError
        If a name is longer than 255 bytes.
    """
    encoded = [name.encode("utf-8", "backslashreplace") for name in (*columns, label or "")]
    for name in encoded:
        if len(name) > LONGEST:
            shown = printable(name.decode()[:30])
            raise DataError(f"the name of column {shown}... is longer than {LONGEST} bytes; shorten it")
    # Of a fixed length, in chunks: strings of variable length have no checksum.
    width = max(map(len, encoded)) or 1
    names = np.array(encoded[:-1], h5py.string_dtype("utf-8", width))
    data = file.create_dataset(COLUMNS, data=names, chunks=True, fletcher32=True, track_times=False)
    if label is not None:
        file[LABELS].attrs[LABEL_NAME] = label.encode("utf-8", "backslashreplace").decode()
    return data


def read_names(file: Any, where: str, dim: int) -> tuple[list[str] | None, str | None]:
    """Names of ``dim`` inputs and of the label, each None if it is not known.

    Raises
    ------
    DataError
        If they are there but cannot be read.
    """
    columns = None
    if isinstance(find_object(file, where, COLUMNS), h5py.Dataset):
        data = find_dataset(file, where, COLUMNS, "make the file again")
        if data.shape == (dim,) and data.dtype.kind == "S":
            check_whole(data, where, COLUMNS)
            with reading(where, COLUMNS):
                columns = [bytes(name).decode("utf-8", "replace") for name in data[()]]
    labels = find_object(file, where, LABELS)
    with reading(where, LABELS):
        label = attribute(labels, LABEL_NAME) if isinstance(labels, h5py.Dataset) else None
    return columns, label if isinstance(label, str) else None
