"""Tables of numbers in files of other formats, and the choice of their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, UsageError, printable

__all__ = ["Choice", "Source", "batch_rows", "chosen", "listed", "only"]

BATCH_BYTES = 4 * 2**20
LISTED = 8
LONGEST = 40


@dataclass(frozen=True)
class Source:
    """A table in a file, which is read once and in order.

    Attributes
    ----------
    where : str
        The file, as messages call it.
    columns : list of str
        Names of all columns, or their numbers if they have no names.
    named : bool
        Whether the names are names.
    dtypes : list of dtype
        float32 or float64, of each column.
    label : int, optional
        The column that is known to be the label, because it is stored apart.
    read : callable
        Given the indices of columns, ascending: the rows of these, some at a time, as (n, columns), nan where a
        value is missing.
    share : callable
        Given the number of rows read so far: the share of the file that they are, or None if nobody knows.
    picked : bool
        Whether the inputs were chosen already, by the name of their array.
    """

    where: str
    columns: list[str]
    named: bool
    dtypes: list[np.dtype[Any]]
    label: int | None
    read: Callable[[list[int]], Iterator[NDArray[Any]]]
    share: Callable[[int], float | None]
    picked: bool = False


@dataclass(frozen=True)
class Choice:
    """Which columns to take.

    Attributes
    ----------
    inputs, exclude : tuple of str
        Names, or patterns with * and ?, of the inputs, in their order; without any, all columns but the label.
    label : str, optional
        Name of the label; by default it is ``y`` or the last column.
    labelled : bool
        Whether there is a label at all.
    """

    inputs: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    label: str | None = None
    labelled: bool = True


def batch_rows(columns: int) -> int:
    """Rows to read at once."""
    return max(1, BATCH_BYTES // (8 * columns))


def chosen(source: Source, choice: Choice) -> tuple[list[int], int | None]:
    """Indices of the inputs, in the order that they are named in and then of the file, and of the label.

    Raises
    ------
    DataError
        If there is no such column, there are two, or no input is left.
    """
    label = _label(source, choice) if choice.labelled else None
    wanted = () if source.picked else choice.inputs
    for pattern in (*wanted, *choice.exclude):
        if not any(_matches(name, pattern) for name in source.columns):
            raise _no_column(source, pattern)
    inputs = [
        i
        for i, name in enumerate(source.columns)
        if i != label
        and (not wanted or any(_matches(name, pattern) for pattern in wanted))
        and not any(_matches(name, pattern) for pattern in choice.exclude)
    ]
    inputs.sort(key=lambda i: next((n for n, pattern in enumerate(wanted) if _matches(source.columns[i], pattern)), 0))
    if not inputs:
        raise DataError(f"{source.where}: {_why_none(source.columns)}")
    taken = [source.columns[i] for i in (*inputs, *(() if label is None else (label,)))]
    if source.named and "" in taken:
        number = source.columns.index("")
        raise DataError(f"{source.where}: column {number} has no name (an index?); name it, or pass --exclude ''")
    twice = next((name for i, name in enumerate(taken) if name in taken[:i]), None)
    if twice is not None:
        raise DataError(f"{source.where}: two columns are named {printable(twice)}; rename one, or pass --exclude")
    return inputs, label


def _why_none(columns: Sequence[str]) -> str:
    """What to do where no column is left for the inputs."""
    if len(columns) != 1:
        return "no column is left for the inputs; check --inputs, --exclude and --label"
    name = printable(columns[0][:LONGEST])
    delimiter = next((character for character in ";|\t" if character in columns[0]), None)
    remedy = "pass --no-label if it is an input" if delimiter is None else f"pass --delimiter '{printable(delimiter)}'"
    return f"its only column is {name}, which leaves none for the inputs; {remedy}"


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _label(source: Source, choice: Choice) -> int:
    if choice.label is not None:
        found = [i for i, name in enumerate(source.columns) if name == choice.label]
        if not found:
            raise _no_column(source, choice.label)
        if len(found) > 1:
            raise DataError(f"{source.where}: two columns are named {printable(choice.label)}; rename one")
        return found[0]
    if source.label is not None:
        return source.label
    return source.columns.index("y") if "y" in source.columns else len(source.columns) - 1


def _no_column(source: Source, name: str) -> DataError:
    return DataError(f"{source.where}: no column {printable(name)}; it has {listed(source.columns)}")


def listed(names: Sequence[str]) -> str:
    """The first few names."""
    return ", ".join(map(printable, names[:LISTED])) + (", ..." if len(names) > LISTED else "")


def only(names: Sequence[str], option: str) -> str | None:
    """The one name that an option may give where it names an array, if it gives one.

    Raises
    ------
    UsageError
        If it gives several.
    """
    if len(names) > 1:
        raise UsageError(f"{option} names one array of such a file, not {len(names)}")
    return names[0] if names else None
