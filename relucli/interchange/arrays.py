"""Arrays of numpy and MATLAB as tables: a matrix of inputs, and a vector of labels beside it or as its last column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.interchange.source import Choice, Source, batch_rows, listed, only

__all__ = ["Array", "pick", "spans", "table"]

MOST_COLUMNS = 2**20
_INPUTS, _LABELS = ("x", "X"), ("y", "Y")


@dataclass(frozen=True)
class Array:
    """An array in a file.

    Attributes
    ----------
    where : str
        File and name, as messages call it.
    name : str
    shape : tuple of int
    dtype : dtype
    rows : callable
        Given a number: all rows in order, so many at a time, each read once.
    """

    where: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: Callable[[int], Iterator[NDArray[Any]]]

    @property
    def vector(self) -> bool:
        """Whether it could hold labels."""
        return len(self.shape) == 1 or (len(self.shape) == 2 and self.shape[1] == 1)

    @property
    def matrix(self) -> bool:
        """Whether it could hold inputs."""
        return len(self.shape) == 2 and self.shape[1] >= 1

    def check(self) -> None:
        """Refuse what is not real numbers.

        Raises
        ------
        DataError
        """
        if self.dtype.kind not in "iuf" or self.dtype.itemsize > 8:
            kind = printable(str(self.dtype))[:40]
            raise DataError(f"{self.where} has dtype {kind}; convert it to real numbers, as float64")


def pick(where: str, arrays: Mapping[str, Array], choice: Choice) -> tuple[Array, Array | None]:
    """Inputs and labels among the arrays of a file: those named, or x and y, or the only ones that fit.

    Raises
    ------
    DataError
        If it is not clear which they are.
    """
    name = only(choice.inputs, "--inputs")
    if name is None:
        fitting = [key for key, array in arrays.items() if array.matrix and not array.vector]
        fitting = fitting or [key for key, array in arrays.items() if array.matrix]
        name = next((key for key in _INPUTS if key in fitting), None) or (fitting[0] if len(fitting) == 1 else None)
    if name is None or name not in arrays:
        trouble = "which array holds the inputs?" if name is None else f"no array {printable(name)};"
        raise DataError(f"{where}: {trouble} it has {listed(list(arrays)) or 'none'}; pass --inputs NAME")
    x = arrays[name]
    if choice.label is not None and choice.label in arrays:
        return x, arrays[choice.label]
    if choice.label is not None and not choice.label.isdecimal():
        raise DataError(f"{where}: no array {printable(choice.label)}; it has {listed(list(arrays))}")
    if choice.label is not None or not choice.labelled:
        return x, None  # then the label, if there is one, is a column of x
    rows = x.shape[:1]
    vectors = [key for key, array in arrays.items() if array.vector and array.shape[:1] == rows and key != name]
    label = next((key for key in _LABELS if key in vectors), None) or (vectors[0] if len(vectors) == 1 else None)
    if label is None and vectors:
        raise DataError(f"{where}: which of {listed(vectors)} holds the labels? pass --label NAME")
    return x, None if label is None else arrays[label]


def table(where: str, x: Array, y: Array | None, *, picked: bool) -> Source:
    """A matrix, and the labels as one column more if they are stored apart.

    Raises
    ------
    DataError
        If shapes or dtypes cannot be used.
    """
    x.check()
    if not x.matrix:
        raise DataError(f"{x.where} has shape {x.shape}, but must be 2-D, rows by columns")
    if x.shape[1] > MOST_COLUMNS:  # a header can claim any number
        raise DataError(f"{x.where} has shape {x.shape}, of more than {MOST_COLUMNS} columns; is it transposed?")
    columns = [str(i) for i in range(x.shape[1])]
    dtypes = [np.dtype(np.float32 if x.dtype == np.float32 else np.float64)] * x.shape[1]

    def share(rows: int) -> float:
        return rows / max(1, x.shape[0])

    if y is None:
        return Source(
            where, columns, False, dtypes, None, lambda wanted: (r[:, wanted] for r in _wide(x)), share, picked
        )
    y.check()
    if not y.vector:
        raise DataError(f"{y.where} has shape {y.shape}, but labels must be 1-D")
    if x.shape[0] != y.shape[0]:
        raise DataError(f"{x.where} has {x.shape[0]} rows, but {y.where} has {y.shape[0]}")

    def read(wanted: list[int]) -> Iterator[NDArray[Any]]:
        for inputs, labels in zip(_wide(x), y.rows(batch_rows(x.shape[1])), strict=True):
            both = np.concatenate([inputs, labels.reshape(-1, 1).astype(np.float64)], axis=1)
            yield both[:, wanted]

    dtypes.append(np.dtype(np.float64))
    return Source(where, [*columns, y.name], False, dtypes, x.shape[1], read, share, picked)


def _wide(array: Array) -> Iterator[NDArray[Any]]:
    """Rows as floats."""
    for rows in array.rows(batch_rows(array.shape[1])):
        yield rows if rows.dtype in (np.float32, np.float64) else rows.astype(np.float64)


def spans(rows: int, step: int) -> Iterator[tuple[int, int]]:
    """Starts and stops of runs of so many rows."""
    return pairwise([*range(0, rows, step), rows])
