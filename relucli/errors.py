"""Everything that can go wrong, and the exit status of each.

::

    RelucliError            1   the root: never raised itself
    ├── UsageError          2   an option or argument that cannot be meant
    ├── DataError          65   a file that is readable, but whose content cannot be used
    │   └── UnsupportedError    rows that are fine, but too few or too noisy to support an answer
    ├── InputError         66   an input that is missing or may not be read
    ├── ClusterError       69   a cluster that does not answer, or not as it must
    ├── OutputError        73   an output that exists, or cannot be created
    └── StorageError       74   a disk that is full or fails

A message is one line: what is wrong, where (file, dataset, first row), what to try.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "ClusterError",
    "DataError",
    "InputError",
    "OutputError",
    "RelucliError",
    "RelucliWarning",
    "StorageError",
    "UnsupportedError",
    "UsageError",
    "about",
    "printable",
]


class RelucliError(Exception):
    """Root of the errors a user can cause or meet; its message is one line."""

    exit_status = 1


class UsageError(RelucliError):
    """An option or argument that cannot be meant."""

    exit_status = 2


class DataError(RelucliError):
    """A file that is readable, but whose content cannot be used or cannot support an answer."""

    exit_status = 65


class UnsupportedError(DataError):
    """Rows that can be read and used, but cannot support the answer that was asked for."""


class InputError(RelucliError):
    """An input that is missing or may not be read."""

    exit_status = 66


class ClusterError(RelucliError):
    """A cluster that cannot be reached, has no workers, loses them, or runs other versions."""

    exit_status = 69


class OutputError(RelucliError):
    """An output that exists already, or cannot be created."""

    exit_status = 73


class StorageError(RelucliError):
    """A disk that is full or fails while it is read or written."""

    exit_status = 74


def printable(text: str | os.PathLike[str]) -> str:
    """A path or name on one line: characters that could steer a terminal are written as escapes."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in os.fsdecode(text)
    )


class RelucliWarning(UserWarning):
    """An answer is less than what was asked for; the message says what and why."""


@contextmanager
def about(*paths: str | os.PathLike[str]) -> Iterator[None]:
    """Name the files in a DataError that names none of them, since the library may not know them."""
    try:
        yield
    except DataError as error:
        names = [printable(path) for path in paths]
        if not names or any(str(error).startswith(f"{name}: ") for name in names):
            raise
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        raise type(error)(f"{names[0]}{more}: {error}") from error
