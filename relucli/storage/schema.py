"""Names, versions and sizes in the files of relucli, and the provenance that each of them carries.

Every file has the root attributes ``format``, ``format_version``, ``command``, ``seed`` and
``relucli_version``.  ``format`` is written last: a file without it was never finished.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from relucli import __version__
from relucli.errors import DataError, printable
from relucli.storage.heaps import watched
from relucli.streaming.blocks import block_rows

__all__ = [
    "COLUMNS",
    "DATASET",
    "FORMAT_VERSION",
    "INPUTS",
    "LABELS",
    "LABEL_NAME",
    "MOMENTS",
    "NETWORK",
    "PREDICTIONS",
    "SHARD_OF",
    "Provenance",
    "StrPath",
    "attribute",
    "chunk_rows",
    "is_ours",
]

DATASET = "relucli-dataset"
MOMENTS = "relucli-moments"
NETWORK = "relucli-network"
PREDICTIONS = "relucli-predictions"
FORMAT_VERSION = 1

INPUTS = "x"
LABELS = "y"
COLUMNS = "columns"
LABEL_NAME = "column"
SHARD_OF = "shard_of"

CHUNK_BYTES = 2**20

StrPath = str | os.PathLike[str]


def chunk_rows(dim: int, itemsize: int) -> int:
    """Rows in a chunk: the power of two that fills at most 1 MiB, and divides a canonical block.

    Parameters
    ----------
    dim : int
        Columns.
    itemsize : int
        Bytes of a number.
    """
    fit = max(1, CHUNK_BYTES // (dim * itemsize))
    return int(min(2 ** (fit.bit_length() - 1), block_rows(dim)))


@dataclass(frozen=True)
class Provenance:
    """What made a file; nothing in it depends on the time or the machine, so files are reproducible.

    Attributes
    ----------
    command : str
        The command line.
    seed : int
        In [0, 2^64).
    version : str
        The version of relucli.
    """

    command: str
    seed: int
    version: str = __version__

    def write(self, file: Any) -> None:
        """Store as root attributes of an open HDF5 file."""
        # A command line may hold bytes that are not UTF-8, as surrogates: HDF5 takes none.
        file.attrs["command"] = self.command.encode("utf-8", "backslashreplace").decode()
        file.attrs["seed"] = np.uint64(self.seed)
        file.attrs["relucli_version"] = self.version

    @classmethod
    def read(cls, file: Any) -> Provenance:
        """Load from the root attributes of an open HDF5 file."""
        command, seed, version = (attribute(file, name) for name in ("command", "seed", "relucli_version"))
        return cls(str(command), int(seed), str(version))


def attribute(item: Any, name: str, default: Any = None) -> Any:
    """A single number or text that an object of an open HDF5 file has as attribute, if it has."""
    if name not in item.attrs:
        return default
    held = item.attrs.get_id(name)
    in_heap = held.dtype.kind == "O"
    if held.shape != () or not (h5py.check_string_dtype(held.dtype) if in_heap else held.dtype.kind in "biufS"):
        return default
    with watched(item) if in_heap else nullcontext(item) as holder:
        return holder.attrs[name]


def is_ours(file: Any, where: str, expected: str) -> bool:
    """Whether an open HDF5 file was made by relucli, in which case its format must be the expected one.

    Raises
    ------
    DataError
        If it is another kind of file of relucli, or one of a newer version.
    """
    found = attribute(file, "format")
    if not isinstance(found, str) or not found.startswith("relucli-"):
        return False
    if found != expected:
        raise DataError(
            f"{where}: a {printable(found)} file where a {expected} file is wanted; check the order of files"
        )
    version = int(attribute(file, "format_version"))
    if version > FORMAT_VERSION:
        raise DataError(
            f"{where}: format version {version}, but relucli {__version__} reads up to {FORMAT_VERSION}; "
            "install a newer relucli"
        )
    return True
