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
from relucli.storage.atomic import error_code, io_error, no_locks
from relucli.storage.schema import FORMAT_VERSION, Provenance, StrPath

__all__ = [
    "close_written",
    "commit",
    "create_file",
    "create_group",
    "new_file",
    "open_again",
    "open_file",
    "read_provenance",
    "reading",
    "stamp",
]

_TABLE = re.compile(r"\.([ct]sv(\.gz)?|parquet|npy|npz)$", re.IGNORECASE)  # what relucli import reads


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
        try:
            return h5py.File(path, "r", locking="best-effort")
        except OSError as error:
            if not no_locks(error):
                raise
            # A lock would keep writers in place away; files of relucli are replaced, never written in place.
            return h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _open_error(error, name) from error


def read_provenance(path: StrPath) -> Provenance | None:
    """What made a file, if relucli did.

    Raises
    ------
    InputError, DataError, StorageError
        As `open_file`.
    """
    with open_file(path) as file, reading(printable(path), "attributes"):
        return Provenance.read(file) if "relucli_version" in file.attrs else None


def _open_error(error: Exception, name: str) -> RelucliError:
    if error_code(error) is not None:
        return io_error(error, name, writing=False)
    text = str(error)
    if "signature not found" in text:
        made = (
            f"make one of it: relucli import {name} -o data.h5" if _TABLE.search(name) else "convert it to HDF5 first"
        )
        return DataError(f"{name}: not an HDF5 file; {made}")
    sizes = re.search(r"truncated file: eof = (\d+), .*stored_eof = (\d+)", text)
    if sizes:
        return DataError(f"{name}: truncated HDF5 file, {sizes[1]} of {sizes[2]} bytes; copy or make it again")
    if "consistency flags" in text:
        return DataError(f"{name}: its writer has not closed it; wait for that or, if it was killed, run h5clear -s")
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
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        if error_code(error) is not None:
            raise io_error(error, where, writing=False) from error
        raise DataError(f"{where}: {printable(what)} cannot be read (damaged file?); copy or make it again") from error


def stamp(handle: int) -> tuple[int, int]:
    """Size and time of last change of an open file: what differs when something has written to it since."""
    now = os.fstat(handle)
    return now.st_size, now.st_mtime_ns


def _access() -> Any:
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_file_locking(False, True)  # nobody else knows the temporary name
    access.set_meta_block_size(0)  # so that space is given out in the same way when a file is opened again
    return access


def new_file(path: StrPath, provenance: Provenance) -> Any:
    """Create a file of relucli, open for writing; `commit` ends it."""
    created = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    created.set_obj_track_times(False)  # h5py.File has no option for it before 3.15
    file = h5py.File(h5py.h5f.create(os.fsencode(path), h5py.h5f.ACC_EXCL, created, _access()))
    provenance.write(file)
    return file


def open_again(path: StrPath) -> Any:
    """A file that `new_file` created and that was closed, open for writing."""
    return h5py.File(h5py.h5f.open(os.fsencode(path), h5py.h5f.ACC_RDWR, _access()))


def commit(file: Any, kind: str) -> None:
    """Write what tells that a file is whole."""
    file.attrs["command"]  # once read, the heap that it is in takes the next string too, whoever opened the file
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["format"] = kind


@contextmanager
def create_file(path: StrPath, kind: str, provenance: Provenance) -> Iterator[Any]:
    """Create a file of relucli; its ``format`` attribute is written last, if the body succeeds."""
    file = new_file(path, provenance)
    try:
        yield file
        commit(file, kind)
    except BaseException as error:
        close_written(file, error)
        raise
    close_written(file)


def close_written(file: Any, error: BaseException | None = None) -> None:
    """Close a file that was written to; once the disk has not taken something, never touch it again.

    HDF5 keeps what it could not write, and crashes when that is flushed a second time, or when the objects of such a
    file are closed, by a collection of garbage at the latest.

    Parameters
    ----------
    file : h5py.File
    error : BaseException, optional
        What has ended the writing.
    """
    if isinstance(error, OSError | RuntimeError) or error_code(error) is not None:
        _keep_open(file)
        return
    try:
        file.flush()
    except (OSError, RuntimeError):
        _keep_open(file)
        raise
    file.close()


def _keep_open(file: Any) -> None:
    for item in h5py.h5f.get_obj_ids(file.id):
        h5py.h5i.inc_ref(item)


def create_group(file: Any, name: str) -> Any:
    """Create a group that does not keep the time."""
    created = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    created.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=created))
