"""Reading tables of other formats into a dataset, a few rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, UsageError, printable
from relucli.interchange.csv import open_csv
from relucli.interchange.matlab import open_mat
from relucli.interchange.numpy import open_npy, open_npz
from relucli.interchange.parquet import open_parquet
from relucli.interchange.source import Choice, Source, batch_rows, chosen
from relucli.storage.growing import GrowingDataset, growing_dataset
from relucli.storage.schema import Provenance
from relucli.streaming.blocks import stripe_rows
from relucli.streaming.fold import DEFAULT_MEMORY

__all__ = ["Imported", "Reading", "import_data"]

COPIES = 4
Progress = Callable[[str, int, int | None], None]
"""Called with the name of the work, the rows done and the rows in all, if they are known."""

ENDINGS = ".csv, .csv.gz, .tsv, .parquet, .npy, .npz or .mat, or be - for CSV on standard input"


@dataclass(frozen=True)
class Reading:
    """How to read tables.

    Attributes
    ----------
    choice : Choice
        Which columns.
    delimiter : str, optional
        Between the fields of CSV; by default a tab for ``.tsv``, else a comma.
    header : bool, optional
        Whether the first line of CSV holds names; None: it must, and names that are numbers are refused.
    drop_missing : bool
        Whether rows where a value is missing are left out; else they are refused.
    dtype : {"float64", "float32"}, optional
        Of the inputs; by default float32 if all of them are stored so, else float64.
    memory : int
        Bytes that rows on their way, and a chunk of MATLAB's, may take.
    """

    choice: Choice = field(default_factory=Choice)
    delimiter: str | None = None
    header: bool | None = None
    drop_missing: bool = False
    dtype: Literal["float64", "float32"] | None = None
    memory: int = DEFAULT_MEMORY


@dataclass
class Imported:
    """What was imported.

    Attributes
    ----------
    dim : int
    columns : list of str, optional
        Names of the inputs, if they have any.
    label : str, optional
        Name of the label, if it has one.
    label_from : str, optional
        What was taken for the label, in words.
    dtype : str
        Of the inputs.
    samples, dropped : int
        Rows taken, and rows left out because a value was missing.
    """

    dim: int
    columns: list[str] | None
    label: str | None
    label_from: str | None
    dtype: str
    samples: int = 0
    dropped: int = 0


def import_data(
    paths: Sequence[Path],
    output: Path,
    how: Reading,
    provenance: Provenance,
    force: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Read tables, one after the other, into one dataset.

    Parameters
    ----------
    paths : sequence of Path
        In the order of their rows; the first decides names, order and dtype of the columns.
    output : Path
    how : Reading
    provenance : Provenance
    force : bool
        Whether a file that exists may be replaced.
    progress : callable, optional
        Told of the rows done and, as far as known, of those in all.

    Raises
    ------
    UsageError
        If the format of a file is not known, or needs a package that is not installed, or rows are too wide for the
        memory.
    InputError, DataError
        If a file cannot be read, or a value is no finite number; the message names file, column and row.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    with _open(paths[0], how, len(paths)) as source:
        inputs, label = chosen(source, how.choice)
        names = [source.columns[i] for i in inputs]
        named = source.columns[label] if label is not None else None
        dtype = how.dtype or np.result_type(*(source.dtypes[i] for i in inputs)).name
        _check_memory(source, dtype, how.memory)
        kept, label_name = (names, named) if source.named else (None, None)
        found = Imported(len(inputs), kept, label_name, _taken(source, label, how.choice), dtype)
        told = _Told(progress, [0 if str(path) == "-" else path.stat().st_size for path in paths])
        with growing_dataset(
            output,
            found.columns,
            found.label,
            dim=len(inputs),
            dtype=dtype,
            labelled=label is not None,
            provenance=provenance,
            force=force,
        ) as dataset:
            _copy(source, inputs, label, dataset, how, found, told)
            for path in paths[1:]:
                with _open(path, how, len(paths)) as more:
                    _copy(more, *_same(more, source, names, named), dataset, how, found, told)
            if not found.samples:
                lost = f" without a missing value, of {found.dropped}" if found.dropped else ""
                raise DataError(f"{source.where}: no rows{lost}; make it again")
    return found


def _open(path: Path, how: Reading, count: int) -> AbstractContextManager[Source]:
    """Open a table by the ending of its name."""
    name = path.name.lower()
    label = how.choice.label
    apart = label if label is not None and label.lower().endswith(".npy") else None
    if apart is not None and (not name.endswith(".npy") or count > 1):
        raise UsageError(f"--label {label}: labels in a file of their own go with one .npy file")
    if str(path) == "-" or name.endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz")):
        return open_csv(path, how.delimiter or ("\t" if ".tsv" in name else ","), how.header)
    if name.endswith(".parquet"):
        return open_parquet(path)
    if name.endswith(".npy"):
        return open_npy(path, apart)
    if name.endswith(".npz"):
        return open_npz(path, how.choice)
    if name.endswith(".mat"):
        return open_mat(path, how.choice, how.memory)
    if name.endswith((".h5", ".hdf5")):
        raise UsageError(f"{printable(path)}: is HDF5 already; see relucli info {printable(path)}")
    raise UsageError(f"{printable(path)}: not a format to import; its name must end in {ENDINGS}")


def _same(source: Source, first: Source, names: Sequence[str], label: str | None) -> tuple[list[int], int | None]:
    """Where the columns of the first file are in another."""
    wanted = [*names, *([label] if label is not None else [])]
    for name in wanted:
        if source.columns.count(name) != 1:
            trouble = "no column" if name not in source.columns else "more than one column"
            raise DataError(
                f"{source.where}: {trouble} {printable(name)}, unlike {first.where}; "
                "files of one dataset have the same columns"
            )
    if not source.named and len(source.columns) != len(first.columns):
        raise DataError(f"{source.where}: {len(source.columns)} columns, but {first.where} has {len(first.columns)}")
    where = [source.columns.index(name) for name in wanted]
    return (where[:-1], where[-1]) if label is not None else (where, None)


def _copy(
    source: Source,
    inputs: list[int],
    label: int | None,
    dataset: GrowingDataset,
    how: Reading,
    found: Imported,
    told: _Told,
) -> None:
    """Append all rows of a table to the dataset, checked."""
    wanted = sorted([*inputs, *([] if label is None else [label])])
    place = {column: i for i, column in enumerate(wanted)}
    names = [source.columns[i] for i in wanted]
    order = [place[i] for i in inputs]
    row = 0
    for values in source.read(wanted):
        good = _usable(values, how.drop_missing, _Places(source.where, names, row))
        kept = values[good]
        with np.errstate(over="ignore"):
            x = kept[:, order].astype(found.dtype, copy=False)
        if not np.isfinite(x).all():
            at, j = (int(i) for i in np.argwhere(~np.isfinite(x))[0])
            number = _Places(source.where, names, row).of(int(np.flatnonzero(good)[at]), order[j])
            raise DataError(f"{number} is {kept[at, order[j]]:g}, beyond float32; pass --dtype float64")
        dataset.append(x, None if label is None else kept[:, place[label]].astype(np.float64))
        row += len(values)
        found.samples += len(kept)
        found.dropped += len(values) - len(kept)
        told.rows(found, source.share(row))
    told.next()


def _taken(source: Source, label: int | None, choice: Choice) -> str | None:
    """What is taken for the label, in words."""
    if label is None:
        return None
    name = printable(source.columns[label])
    if source.label is not None:  # stored apart
        return name
    last = ", the last column" if choice.label is None and name != "y" else ""
    return (name if source.named else f"column {name}") + last


def _check_memory(source: Source, dtype: str, memory: int) -> None:
    """Rows on their way are held as they are read, without those that are dropped, as inputs, and in a stripe."""
    columns = len(source.columns)
    need = COPIES * 8 * columns * batch_rows(columns) + np.dtype(dtype).itemsize * columns * stripe_rows(columns)
    if need > memory:
        raise UsageError(
            f"--memory {memory // 2**20}MiB is too small for {columns} columns: pass --memory {-(-need // 2**20)}MiB"
        )


class _Told:
    """Tells of the rows done, and of those in all as far as the sizes of files and the shares read of them tell."""

    def __init__(self, progress: Progress | None, sizes: list[int]) -> None:
        self._progress, self._sizes, self._file = progress, sizes, 0

    def rows(self, found: Imported, share: float | None) -> None:
        """Some rows more are done, and so is a share of this file."""
        read = sum(self._sizes[: self._file]) + self._sizes[self._file] * (share or 0.0)
        done = found.samples + found.dropped
        if self._progress is not None:
            # Never all: what is left of the last file is not known.
            self._progress("import", done, max(done + 1, round(done * sum(self._sizes) / read)) if read else None)

    def next(self) -> None:
        """The file is done."""
        self._file += 1


@dataclass(frozen=True)
class _Places:
    """Says where the numbers of some rows are."""

    where: str
    names: list[str]
    start: int

    def of(self, row: int, column: int) -> str:
        return f"{self.where}: column {printable(self.names[column])} row {self.start + row}"


def _usable(values: NDArray[Any], drop_missing: bool, places: _Places) -> NDArray[np.bool_]:
    """Which rows have a finite number in every column; those where one is missing are refused unless dropped."""
    finite = np.isfinite(values)
    good: NDArray[np.bool_] = finite.all(axis=1)
    if good.all():
        return good
    missing = np.isnan(values)
    refused = np.argwhere(~finite & ~missing if drop_missing else ~finite)
    if len(refused):
        at, j = (int(i) for i in refused[0])
        if missing[at, j]:
            raise DataError(f"{places.of(at, j)} is missing; correct it, or pass --drop-missing")
        raise DataError(f"{places.of(at, j)} is {values[at, j]}; correct it or drop the row")
    return good
