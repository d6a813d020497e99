"""Opening and creating HDF5 files: every way in which that fails becomes one line."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from relucli.errors import DataError, InputError, RelucliError, printable
from relucli.storage.atomic import error_code, io_error
from relucli.storage.schema import FORMAT_VERSION, Provenance, StrPath

__all__ = ["create_file", "create_group", "find_dataset", "open_file", "reading"]

_LISTED = 8


def open_file(path: StrPath, name: StrPath | None = None) -> Any:
    """Open an HDF5 file for reading; ``name`` is what messages call it.

    Raises
    ------
    InputError
        If it is missing, not a regular file, not readable or in use by a writer.
    DataError
        If it is not an HDF5 file, or a truncated or damaged one.
    StorageError
        If the disk fails.
    """
    name = printable(path if name is None else name)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{name}: is a directory; name an HDF5 file in it")
        if not stat.S_ISREG(mode):
            raise InputError(f"{name}: is not a regular file; name an HDF5 file")
        return h5py.File(path, "r", locking="best-effort")
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _open_error(error, name) from error


def _open_error(error: Exception, name: str) -> RelucliError:
    if error_code(error) is not None:
        return io_error(error, name, writing=False)
    text = str(error)
    if "signature not found" in text:
        return DataError(f"{name}: not an HDF5 file; convert it to HDF5 first")
    sizes = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", text)
    if sizes:
        return DataError(f"{name}: truncated HDF5 file, {sizes[1]} of {sizes[2]} bytes; copy or make it again")
    return DataError(f"{name}: damaged HDF5 file; copy or make it again")


@contextmanager
def reading(where: str, what: str) -> Iterator[None]:
    """Turn whatever h5py raises over a damaged file into a DataError, or StorageError if the disk fails.

    Parameters
    ----------
    where : str
        The file, as messages call it.
    what : str
        What is being read from it.
    """
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        if error_code(error) is not None:
            raise io_error(error, where, writing=False) from error
        raise DataError(f"{where}: {printable(what)} cannot be read (damaged file?); copy or make it again") from error


def find_dataset(file: Any, where: str, name: str, hint: str) -> Any:
    """The dataset of that name in an open file.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    where : str
        The file, as messages call it.
    name : str
        Name or path of the dataset in the file.
    hint : str
        What to try when it is not there.

    Raises
    ------
    DataError
        If there is none, with those that there are.
    """
    shown = printable(name)
    with reading(where, name):
        known = not _unspeakable(name) and name in file
        found = file[name] if known else None
        if isinstance(found, h5py.Dataset):
            return found
        trouble = f"no dataset {shown}" if found is None else f"{shown} is not a dataset"
        names = _dataset_names(file)
    raise DataError(f"{where}: {trouble}; " + (f"it has {names}: {hint}" if names else "it has none at all"))


def _unspeakable(name: str) -> bool:
    """Whether a name holds bytes that are not UTF-8, as no name in an HDF5 file does."""
    return any("\ud800" <= c <= "\udfff" for c in name)


def _dataset_names(file: Any) -> str:
    names: list[str] = []

    def note(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            names.append(printable(name))
        return True if len(names) > _LISTED else None

    file.visititems(note)
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


@contextmanager
def create_file(path: StrPath, kind: str, provenance: Provenance) -> Iterator[Any]:
    """Create a file of relucli; its ``format`` attribute is written last, if the body succeeds."""
    created = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    created.set_obj_track_times(False)  # h5py.File has no option for it before 3.15
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    with h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_EXCL, created, access)) as file:
        provenance.write(file)
        yield file
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["format"] = kind


def create_group(file: Any, name: str) -> Any:
    """Create a group that does not keep the time."""
    created = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    created.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=created))
