"""Outputs that appear whole or not at all, and what a failing disk means for the exit status.

An output is written under a temporary name in its own folder, ``.NAME.relucli-tmp-HOST-PID-RANDOM``, synced
to disk and then published by a link or a rename, each of which the system does at once or not at all.  A
writer that was killed leaves its temporary behind; the next for the same output on the same host removes it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

from relucli.errors import InputError, OutputError, RelucliError, StorageError, printable
from relucli.storage.schema import StrPath

__all__ = ["atomic_output", "check_output", "error_code", "io_error", "no_locks", "remove_stale", "sync"]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "read-only disk",
}
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP}


def error_code(error: BaseException | None) -> int | None:
    """The errno of an error, or of the one in whose wake it came.

    h5py gives it at times in the message alone, and not always in an OSError; when HDF5 fails to close what it failed
    to write, it gives none.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        match = re.search(r"\berrno = (\d{1,4})\b", str(error))
        if match:
            return int(match[1])
        error = error.__context__
    return None


def no_locks(error: BaseException) -> bool:
    """Whether HDF5 could not lock a file for another reason than that somebody else has."""
    return "unable to lock file" in str(error) and error_code(error) != errno.EAGAIN


def io_error(error: BaseException, path: StrPath, *, writing: bool) -> RelucliError:
    """The error to raise for one that the system or HDF5 raised over a file.

    Returns
    -------
    StorageError
        The disk is full or fails.
    OutputError, InputError
        Anything else that the system refuses, when writing or reading.
    """
    code, name = error_code(error), printable(path)
    refused = OutputError if writing else InputError
    if no_locks(error):
        return refused(f"{name}: no locks on this file system; set HDF5_USE_FILE_LOCKING=FALSE")
    if code in _FULL:
        return StorageError(f"{name}: disk full; free some space or choose another folder")
    if code == errno.EIO:
        return StorageError(f"{name}: input/output error; check the disk")
    if code in _REFUSED:
        return refused(f"{name}: {_REFUSED[code]}; {'choose another folder' if writing else 'make it readable'}")
    if code == errno.ENOENT and not writing:
        return InputError(f"{name}: no such file; check its name")
    if code == errno.EAGAIN:
        return refused(
            f"{name}: in use by another program; try again when that has closed it "
            "(a lock that is left over is passed by with HDF5_USE_FILE_LOCKING=FALSE)"
        )
    if code is None:
        return StorageError(f"{name}: cannot be {'written' if writing else 'read'}; check the disk")
    return refused(f"{name}: {os.strerror(code).lower()}; check its name and folder")


def check_output(path: StrPath, force: bool = False) -> None:
    """Refuse an output that could not be created; to be called before long work.

    Raises
    ------
    OutputError
        If it exists without ``force``, is no regular file, or its folder is missing or not writable.
    """
    path = Path(path)
    name, folder = printable(path), printable(path.parent)
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        pass  # as it should be, or said below
    except OSError as error:
        raise io_error(error, path, writing=True) from error
    if path.is_dir():
        raise OutputError(f"{name}: is a directory; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{name}: is not a regular file; choose another name")
    if os.path.lexists(path) and not force:
        raise _exists(path)
    if not path.parent.is_dir():
        raise OutputError(f"{name}: folder {folder} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise OutputError(f"{name}: folder {folder} is not writable; choose another folder")


@contextmanager
def atomic_output(
    path: StrPath, force: bool = False, begun: Path | None = None, synced: bool = False
) -> Iterator[Path]:
    """Yield a temporary path; what is written there becomes ``path`` if the body succeeds, or vanishes.

    If the output was ``begun``, the temporary path is another name of that file, which keeps its own.  A body that has
    several outputs to publish together leaves them ``synced``, so that a failing disk is noticed before the first is.

    Raises
    ------
    OutputError
        As `check_output`, also when another writer was quicker and ``force`` is not set.
    StorageError
        If the disk is full or fails.
    """
    path = Path(path)
    check_output(path, force)
    remove_stale(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}-{secrets.token_hex(4)}")
    try:
        if begun is not None:
            os.link(begun, temporary)
        yield temporary
        if not synced:
            sync(temporary)
        _publish(temporary, path, force)
        sync(path.parent)
    except (RelucliError, BrokenPipeError):
        raise
    except Exception as error:
        if isinstance(error, OSError) or error_code(error) is not None:
            raise io_error(error, path, writing=True) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _exists(path: Path) -> OutputError:
    return OutputError(f"{printable(path)}: exists already; pass --force to replace it")


def _publish(temporary: Path, path: Path, force: bool) -> None:
    if force:
        os.replace(temporary, path)
        return
    try:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            _claim_and_replace(temporary, path)
    except FileExistsError:
        raise _exists(path) from None
    temporary.unlink(missing_ok=True)


def _claim_and_replace(temporary: Path, path: Path) -> None:
    """Publish where there are no links: claim the name with an empty file, as only one writer can."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    try:
        os.replace(temporary, path)
    except BaseException:
        path.unlink()
        raise


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk, where the system can tell."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(handle)


def _prefix(path: Path) -> str:
    """What the temporaries of an output on this host begin with; process numbers mean nothing on another."""
    host = blake2b(socket.gethostname().encode(), digest_size=3).hexdigest()
    # 48 characters, of up to four bytes each, leave room for the rest within the 255 bytes of a file name.
    return f".{path.name[:48]}.relucli-tmp-{host}-"


def remove_stale(path: Path) -> None:
    """Remove the temporaries that killed writers of an output have left."""
    prefix = _prefix(path)
    for name in os.listdir(path.parent):
        rest = re.fullmatch(r"([0-9]{1,9})-[0-9a-f]{8}", name.removeprefix(prefix))
        if name.startswith(prefix) and rest and not _alive(int(rest[1])):
            with suppress(OSError):
                path.with_name(name).unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
