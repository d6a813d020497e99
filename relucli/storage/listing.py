"""What an HDF5 file holds, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from relucli.errors import printable
from relucli.storage.hdf5 import reading
from relucli.storage.heaps import watched
from relucli.storage.links import dataset_names

__all__ = ["Entry", "list_datasets"]


@dataclass(frozen=True)
class Entry:
    """A dataset in a file.

    Attributes
    ----------
    name : str
        Its path in the file.
    shape : tuple of int
    dtype : str
    chunks : tuple of int, optional
        None if it is stored in one piece.
    filters : tuple of str
        Checksums and compression, as the HDF5 library calls them.
    real : bool
        Whether it holds real numbers that can be used.
    bytes : int
        On disk.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...] | None
    filters: tuple[str, ...]
    real: bool
    bytes: int

    @property
    def inputs(self) -> bool:
        """Whether it could hold the inputs of a dataset."""
        return self.real and len(self.shape) == 2 and 0 not in self.shape

    @property
    def labels(self) -> bool:
        """Whether it could hold the labels of a dataset."""
        return self.real and (len(self.shape) == 1 or self.shape[1:] == (1,)) and 0 not in self.shape


def list_datasets(file: Any, where: str, most: int) -> tuple[list[Entry], bool]:
    """The first datasets of an open file, by name, and whether those are all; soft and external links are left out.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    with reading(where, "its list of datasets"):
        names, complete = dataset_names(file, most)
        with watched(file) as opened:
            return [_entry(name, opened[name]) for name in names], complete


def _entry(name: str, data: Any) -> Entry:
    created = data.id.get_create_plist()
    filters = [created.get_filter(i)[3].decode("ascii", "replace") for i in range(created.get_nfilters())]
    return Entry(
        name=name,
        shape=tuple(data.shape or ()),
        dtype=printable(str(data.dtype))[:40],
        chunks=data.chunks,
        filters=tuple(filters),
        real=data.dtype.kind in "biuf" and data.dtype.itemsize <= 8,
        bytes=data.id.get_storage_size(),
    )
