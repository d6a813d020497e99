"""The two columns of a dataset, inputs and labels: what they must be, how they are read and checked."""

from __future__ import annotations

from functools import cached_property
from hashlib import blake2b
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.quantities import counted
from relucli.storage.fingerprint import join_fingerprints, part_rows
from relucli.storage.names import differing
from relucli.storage.schema import INPUTS, LABELS
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span

if TYPE_CHECKING:
    from relucli.network import ReluNetwork
    from relucli.streaming.fold import Rows

__all__ = [
    "FiniteRows",
    "block_dtype",
    "check_columns",
    "check_finite",
    "check_takes",
    "first_unreadable",
    "is_float",
    "read_column",
    "squares",
]

FINGERPRINT_ROWS = 32

Floats = NDArray[Any]


class FiniteRows:
    """What rows in files and in memory have in common."""

    samples: int
    dim: int

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the inputs, or none if they have none."""
        return ()

    def _lasting(self, span: Span) -> Block:
        """Read the rows of a span into arrays of their own."""
        raise NotImplementedError

    def _place(self, row: int) -> tuple[str, tuple[str, str], int]:
        """The file of a row, with a colon, the names of inputs and labels there, and the index of the row in it."""
        return "", (INPUTS, LABELS), row

    def describe(self, row: int, column: int | None) -> str:
        """Where a number is stored, and what it is: of the inputs, or a label if the column is None."""
        (prefix, names, index), block = self._place(row), self._lasting(Span(row, row + 1))
        if column is None:
            return f"{prefix}{printable(names[1])} row {index} is {block.y[0]:.6g}"
        return f"{prefix}{printable(names[0])} row {index} column {column} is {block.x[0, column]:.6g}"

    @cached_property
    def fingerprint(self) -> str:
        """Digest of shape and 32 evenly spaced rows, in hex: it depends on values, not on files or dtypes."""
        return self._digest(Span(0, self.samples))

    def fingerprint_like(self, other: str) -> str:
        """The fingerprint of these rows in the parts of another, as of merged moments, if they are as many rows."""
        counts = part_rows(other, self.samples)
        if sum(counts) != self.samples or not all(counts):
            return self.fingerprint
        stops = list(accumulate(counts))
        spans = [Span(stop - count, stop) for count, stop in zip(counts, stops, strict=True)]
        return join_fingerprints([(span.rows, self._digest(span)) for span in spans])

    def _digest(self, span: Span) -> str:
        digest = blake2b(f"{span.rows} {self.dim}".encode(), digest_size=16)
        gaps = FINGERPRINT_ROWS - 1
        for row in sorted({(span.rows - 1) * i // gaps for i in range(FINGERPRINT_ROWS)}):
            block = self._lasting(Span(span.start + row, span.start + row + 1))
            digest.update(block.x.astype("<f8").tobytes() + block.y.astype("<f8").tobytes())
        return digest.hexdigest()


def block_dtype(stored: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype in which inputs are processed: float32 as it is, all else as float64."""
    return np.dtype(np.float32 if (stored.kind, stored.itemsize) == ("f", 4) else np.float64)


def check_columns(prefix: str, names: tuple[str, str], x: Any, y: Any) -> None:
    """Refuse columns that are not real numbers in matching shapes.

    Parameters
    ----------
    prefix : str
        The file with a colon, or nothing: messages begin with it.
    names : tuple of str
        Of inputs and labels.
    x, y : h5py.Dataset or ndarray
    """
    inputs, labels = (printable(name) for name in names)
    for name, column, good, option in (
        (inputs, x, x.ndim == 2, "2-D, rows by columns: pass --inputs NAME"),
        (labels, y, y.ndim == 1 or (y.ndim == 2 and y.shape[1] == 1), "1-D: pass --labels NAME"),
    ):
        if column.dtype.kind not in "biuf" or column.dtype.itemsize > 8:
            kind = printable(str(column.dtype))[:60]
            raise DataError(f"{prefix}{name} has dtype {kind}; convert it to real numbers, as float64")
        if column.size in (0, None):
            raise DataError(f"{prefix}{name} is empty, of shape {column.shape}; make the file again")
        if not good:
            raise DataError(f"{prefix}{name} has shape {column.shape}, but must be {option}")
    if len(x) != len(y):
        raise DataError(
            f"{prefix}{inputs} has {len(x)} rows, but {labels} has {len(y)}; "
            f"row {min(len(x), len(y))} is the first without a partner"
        )


def is_float(dtype: np.dtype[Any]) -> bool:
    """Whether HDF5 reads such numbers into an array of floats as they are, or converts them as NumPy would."""
    return dtype.kind == "f" and dtype.itemsize in (4, 8)


def read_column(data: Any, span: Span, into: Floats, direct: bool) -> None:
    """Read rows of an HDF5 dataset into an array of floats: directly, if `is_float` of its dtype, or converted."""
    rows = slice(span.start, span.stop)
    if direct:
        data.read_direct(into, rows)
    else:
        into[...] = data[rows]


def first_unreadable(data: Any, span: Span) -> Span:
    """The rows of the first chunk that cannot be read, after reading a span has failed."""
    step = data.chunks[0] if data.chunks else span.rows
    for start in range(span.start - span.start % step, span.stop, step):
        chunk = Span(max(start, span.start), min(start + step, span.stop))
        try:
            data[chunk.start : chunk.stop]
        except (OSError, RuntimeError, ValueError):
            return chunk
    return span


def check_takes(network: ReluNetwork, rows: Rows) -> None:
    """Refuse rows that are not of the inputs of a network.

    Raises
    ------
    DataError
        If their number differs or, where both are known, their names do.
    """
    if network.dim != rows.dim:
        raise DataError(f"the network takes {counted(network.dim, 'input')}, but the data have {rows.dim}")
    columns = rows.columns if isinstance(rows, FiniteRows) else ()
    if columns and network.columns and (trouble := differing(columns, network.columns, "the network")):
        raise DataError(f"{trouble}; import the data with the columns that it was learned from")


def squares(column: Floats) -> float:
    """Sum of the squares, in the dtype of the numbers; infinite or NaN if it overflows or one of them is."""
    flat = column.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.dot(flat, flat))


def check_finite(prefix: str, names: tuple[str, str], block: Block) -> None:
    """Refuse NaN and infinity, and name the first row that has one.

    Parameters
    ----------
    prefix, names
        As for `check_columns`.
    block : Block
        Its start counts the rows of the file.
    """
    columns = tuple(zip(names, (block.x, block.y), strict=True))
    if all(np.isfinite(squares(column)) for _, column in columns):
        return
    # A sum of squares of finite numbers may overflow: only the search can tell.
    bad = {name: np.argwhere(~np.isfinite(column)) for name, column in columns}
    first = min(((int(found[0, 0]), i) for i, found in enumerate(bad.values()) if len(found)), default=None)
    if first is None:
        return
    row, i = first
    name, column = columns[i]
    at = tuple(int(index) for index in bad[name][0])
    place = f" column {at[1]}" if len(at) == 2 else ""
    where = f"{prefix}{printable(name)} row {block.start + row}{place}"
    raise DataError(f"{where} is {column[at]}; drop the row or correct it")
