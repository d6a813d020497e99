"""The names that the columns of a dataset had where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.storage.hdf5 import reading
from relucli.storage.links import find_dataset, find_object
from relucli.storage.schema import COLUMNS, LABEL_NAME, LABELS, attribute
from relucli.storage.trust import check_whole

__all__ = ["LONGEST", "differing", "encoded", "read_names", "write_names"]

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
    # In chunks, so that they have checksums.
    data = file.create_dataset(COLUMNS, data=encoded(columns), chunks=True, fletcher32=True, track_times=False)
    if label is not None:
        file[LABELS].attrs[LABEL_NAME] = bytes(encoded([label])[0]).decode()
    return data


def encoded(names: Sequence[str]) -> NDArray[np.bytes_]:
    """Names as an array of text of a fixed length: strings of variable length have no checksum.

    Raises
    ------
    DataError
        If a name is longer than 255 bytes.
    """
    texts = [name.encode("utf-8", "backslashreplace") for name in names]
    for text in texts:
        if len(text) > LONGEST:
            shown = printable(text[:30].decode("utf-8", "ignore"))
            raise DataError(f"the name of column {shown}... is longer than {LONGEST} bytes; shorten it")
    width = max(map(len, texts), default=0) or 1
    return np.array(texts, h5py.string_dtype("utf-8", width))


def differing(names: Sequence[str], wanted: Sequence[str], other: str) -> str | None:
    """How columns differ from those of another table, in words; None if they do not."""
    pairs = zip(names, wanted, strict=True)
    first = next((i for i, (name, other) in enumerate(pairs) if name != other), None)
    if first is None:
        return None
    order = ", where the same columns are in another order" if sorted(names) == sorted(wanted) else ""
    return f"column {first} is {printable(names[first])}, but {printable(wanted[first])} in {other}{order}"


def read_names(file: Any, where: str, dim: int) -> tuple[list[str] | None, str | None]:
    """Names of ``dim`` inputs and of the label, each None if it is not known.

    Raises
    ------
    DataError
        If they are there but cannot be read.
    """
    columns = None
    with reading(where, COLUMNS):
        named = isinstance(find_object(file, where, COLUMNS), h5py.Dataset)
    if named:
        data = find_dataset(file, where, COLUMNS, "make the file again")
        if data.shape == (dim,) and data.dtype.kind == "S":
            check_whole(data, where, COLUMNS)
            with reading(where, COLUMNS):
                columns = [bytes(name).decode("utf-8", "replace") for name in data[()]]
    with reading(where, LABELS):
        here = isinstance(file.get(LABELS, getlink=True), h5py.HardLink)  # else another program has put it there
        labels = find_object(file, where, LABELS) if here else None
        label = attribute(labels, LABEL_NAME) if isinstance(labels, h5py.Dataset) else None
    return columns, label if isinstance(label, str) else None
