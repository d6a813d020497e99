"""Checkpoints: what an unfinished command leaves beside its output, so that the next can go on from there.

A checkpoint is a folder, ``.OUT.relucli-checkpoint``, of entries that are each replaced at once or not at all, every
30 seconds at most and never for more than a hundredth of the time.  Each entry carries the format, the options and what
else the results depend on: it is of no use to a command that differs in any of them.  The folder goes when the output
is in place, or when the data turn out to be of no use; whatever else ends the command, a kill too, leaves it.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

from relucli import __version__
from relucli.errors import DataError, OutputError, RelucliError, UsageError, printable
from relucli.storage.atomic import atomic_output
from relucli.storage.schema import StrPath

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Checkpoint", "Identity", "file_stamp"]

INTERVAL = 30.0
"""Seconds from one write to the next, at least."""

SHARE = 0.01
"""Of the time, at most, that is spent on writing."""

WORTH_KEEPING = 5.0
"""Seconds of work that an interrupt waits for to be written."""

FORMAT = "relucli-checkpoint 1"
_ENTRY = re.compile(r"[a-z]+-[0-9]{5}\.(npz|h5)|\..+\.relucli-tmp-.+")
LONGEST_NAME = 255

Arrays = Mapping[str, NDArray[Any]]


def file_stamp(path: StrPath) -> str:
    """Size and time of last change of a file: an edited one has another."""
    status = os.stat(path)
    return f"{status.st_size} bytes of {status.st_mtime_ns / 1e9:.9f}"


def _processor() -> str:
    """What BLAS takes the processor for: another multiplies in another order."""
    return ", ".join(sorted({str(lib.get("architecture", lib["internal_api"])) for lib in threadpool_info()}))


@dataclass(frozen=True)
class Identity:
    """All that the results of a command depend on.

    Attributes
    ----------
    options : dict
        By the name of the option.
    data : dict
        By what messages call it.
    """

    options: Mapping[str, Any]
    data: Mapping[str, str]

    def plain(self) -> dict[str, dict[str, Any]]:
        """As JSON gives it back, with the versions and the processor."""
        here = {"numpy": np.__version__, "relucli": __version__, "the processor": _processor()}
        known: dict[str, dict[str, Any]] = json.loads(
            json.dumps({"options": dict(self.options), "data": {**self.data, **here}})
        )
        return known


class Checkpoint:
    """The checkpoint of an output; a context manager that ends when the output is in place.

    Parameters
    ----------
    output : path
    identity : Identity
        What an earlier checkpoint must agree with.
    resume : bool
        Whether to go on from an earlier one; else it is replaced as soon as there is something to write.
    tell : callable, optional
        Given a line that the user should know.

    Attributes
    ----------
    folder : Path
    last_word : callable, optional
        Called on an interrupt, to `save` what there is.

    Raises
    ------
    UsageError
        On entry, if the earlier one was made with other options.
    DataError
        On entry, if it was made of other data, by another version or on another processor, or is damaged.
    OutputError
        On entry, if another process is at work on the same output.
    """

    def __init__(
        self, output: StrPath, identity: Identity, resume: bool = False, tell: Callable[[str], None] | None = None
    ) -> None:
        self.folder = _folder(Path(output))
        self.last_word: Callable[[], None] | None = None
        self._identity, self._resume = identity.plain(), resume
        self._tell = tell or (lambda line: None)
        self._lock: int | None = None
        self._mine = self._failed = False
        self._next = self._since = 0.0

    @property
    def due(self) -> bool:
        """Whether it is time to `save`."""
        return monotonic() >= self._next and not self._failed

    @property
    def pressing(self) -> bool:
        """Whether an interrupt should wait for what was done since to be saved."""
        return monotonic() - self._since > WORTH_KEEPING and not self._failed

    def load(self, entry: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]] | None:
        """What an earlier run saved under a name, if this one goes on from it: what it is about, and arrays."""
        path = self.folder / f"{entry}.npz"
        if not (self._resume and path.exists()):
            return None
        with _undamaged(path), np.load(path, allow_pickle=False) as stored:
            about = json.loads(bytes(stored["about"]))
            return about, {name: stored[name] for name in stored.files if name != "about"}

    def save(
        self, entries: Mapping[str, tuple[dict[str, Any], Arrays]], before: Callable[[], None] | None = None
    ) -> None:
        """Write entries; tells once if that fails, and goes on without checkpoints.

        Parameters
        ----------
        entries : dict
            By name: what it is about, which JSON can say, and arrays.
        before : callable, optional
            Called when the folder is there, for what must be on disk before the entries are.
        """
        start = monotonic()
        try:
            self._claim()
            if before is not None:
                before()
            for name, (about, arrays) in entries.items():
                text = json.dumps(about | {"format": FORMAT, "identity": self._identity}).encode()
                with atomic_output(self.folder / f"{name}.npz", force=True) as temporary, open(temporary, "wb") as file:
                    np.savez(file, about=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]
        except (OSError, RelucliError) as error:
            self._failed = True
            self._tell(f"no checkpoints from here on: {error}")
        self._since = monotonic()
        self._next = self._since + max(INTERVAL, (self._since - start) / SHARE)

    def _agree(self) -> None:
        """Every entry must be whole, and have been saved by a command that would give the same results."""
        for path in sorted(self.folder.glob("*.npz")):
            with _undamaged(path), np.load(path, allow_pickle=False) as stored:
                if stored.zip.testzip() is not None:
                    raise ValueError
                about = json.loads(bytes(stored["about"]))
                then = about["identity"] if about["format"] == FORMAT else {"options": {}, "data": {}}
                _compare(printable(self.folder), then, self._identity)

    def _claim(self) -> None:
        """Make the folder ours, and empty unless we go on from what is there."""
        if self._mine:
            return
        while not self._mine:
            self.folder.mkdir(exist_ok=True)
            self._take()
        if not self._resume:
            _clear(self.folder)

    def _take(self) -> None:
        """Lock the folder, unless another process has; where there are no locks, nobody has.

        It is not ours yet if its owner removed it meanwhile.
        """
        if fcntl is not None:
            try:
                self._lock = os.open(self.folder, os.O_RDONLY)
            except FileNotFoundError:
                return
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise OutputError(
                    f"{printable(self.folder)}: in use by another relucli; wait until that has ended"
                ) from None
            except OSError:
                pass
            self._mine = self.folder.is_dir() and os.path.samestat(os.fstat(self._lock), os.stat(self.folder))
            if not self._mine:
                self._release()
        else:
            self._mine = True

    def __enter__(self) -> Self:
        self._since = monotonic()
        self._next = self._since + INTERVAL
        if not self.folder.is_dir():
            return self
        if not self._resume:
            self._tell(f"{printable(self.folder)} is of a run that was interrupted; --resume would go on from there")
            return self
        try:
            self._take()
            self._agree()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, DataError):
                self._remove(error is None)
                return
            if self.last_word and self.pressing:
                self.last_word()
            if self._mine and not any(self.folder.glob("*.npz")):
                self._remove(False)
            elif self._mine:
                self._tell(f"what was done is kept in {printable(self.folder)}; --resume goes on from there")
        finally:
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove(self, whole: bool) -> None:
        """Remove the folder if it is ours or, when there is a whole output, nobody's."""
        with suppress(OSError, OutputError):
            if whole and not self._mine and self.folder.is_dir():
                self._take()
            if self._mine:
                _clear(self.folder)
                self.folder.rmdir()


def _compare(name: str, then: dict[str, Any], now: dict[str, dict[str, Any]]) -> None:
    """Refuse a checkpoint that differs, and name the first difference."""
    for kind, error, hint in (("options", UsageError, "pass it as it was, or "), ("data", DataError, "")):
        for key in [*now[kind], *(key for key in then[kind] if key not in now[kind])]:
            was, here = (printable(str(of[kind].get(key, "not there"))) for of in (then, now))
            if was != here:
                raise error(
                    f"{name}: {printable(key)} was {was} and is {here} now; {hint}leave --resume out to start afresh"
                )


@contextmanager
def _undamaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{printable(path)}: damaged checkpoint; leave --resume out to start afresh") from error


def _folder(output: Path) -> Path:
    """Where the checkpoint of an output is; a name that is too long gives way to its digest."""
    name = f".{output.name}.relucli-checkpoint"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{blake2b(os.fsencode(output.name), digest_size=16).hexdigest()}.relucli-checkpoint"
    return output.with_name(name)


def _clear(folder: Path) -> None:
    """Remove what checkpoints consist of, and nothing else."""
    for name in os.listdir(folder):
        if _ENTRY.fullmatch(name):
            (folder / name).unlink()
