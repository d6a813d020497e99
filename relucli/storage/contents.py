"""What a file of results holds: arrays, attributes and JSON, each with a digest that is checked when it is read.

HDF5 sums up chunks and headers, but not text, which it keeps elsewhere, and a checksum that both of two wrong parts
agree on proves nothing.  So a file of results ends with the attribute ``relucli_sha256``: a JSON object of the SHA-256
of every array (dtype, shape and numbers) and every root attribute (``@name``) that was written.  What is added later is
not in it, and does no harm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.storage.hdf5 import create_file, create_group, open_file, reading
from relucli.storage.heaps import watched
from relucli.storage.links import dataset_names, find_dataset, find_object
from relucli.storage.schema import Provenance, StrPath, attribute, is_ours
from relucli.storage.trust import Trust, check_whole

__all__ = ["Contents", "Writer", "create_contents", "open_contents"]

DIGESTS = "relucli_sha256"
LONGEST_JSON = 2**24
MOST_NAMES = 1000
AGAIN = "make the file again"
NO_TEXT = "does not hold text of fixed length"

SELF_CONTAINED = Trust(remedy="copy it into this file")

Shape = tuple[int | None, ...]


def _digest(value: Any) -> str:
    """Of text, or of an array: its little-endian dtype, shape and numbers in C order."""
    if isinstance(value, str):
        return sha256(value.encode()).hexdigest()
    array = np.asarray(value)
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = sha256(f"{little.dtype.str} {array.shape} ".encode())
    digest.update(little.tobytes())
    return digest.hexdigest()


class Writer:
    """Fills a new file of results."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._open: list[Any] = []
        self.digests: dict[str, str] = {}

    def attribute(self, name: str, value: Any) -> None:
        """Store an attribute of the file."""
        self._file.attrs[name] = value

    def array(self, name: str, array: NDArray[Any]) -> None:
        """Store an array with a checksum: its own or, for a scalar, stored as an attribute, that of a header."""
        self.digests[name] = _digest(array)
        folder, _, last = name.rpartition("/")
        if array.ndim == 0:
            self._file[folder or "/"].attrs[last] = array[()]
        else:
            checked = {"chunks": True, "fletcher32": True} if array.size else {}
            # Kept open: what a dataset could not write when it is closed is lost without an error.
            self._open.append(self._file.create_dataset(name, data=array, **checked))

    def group(self, name: str) -> None:
        """Create a group."""
        create_group(self._file, name)

    def json(self, name: str, values: Mapping[str, Any]) -> None:
        """Store what JSON can say."""
        text = json.dumps(dict(values), default=lambda value: value.tolist()).encode()
        # A fixed length, in a chunk: strings of variable length have no checksum.
        self.array(name, np.array([text], h5py.string_dtype("utf-8", len(text))))


@contextmanager
def create_contents(path: StrPath, kind: str, provenance: Provenance) -> Iterator[Writer]:
    """Create a file of results, as `relucli.storage.hdf5.create_file`, and leave the digests in it."""
    with create_file(path, kind, provenance) as file:
        writer = Writer(file)
        yield writer
        attributes = {f"@{name}": _digest(value) for name, value in file.attrs.items()}
        # Of fixed length: then it lies in the header of the file, which has a checksum.
        file.attrs[DIGESTS] = np.bytes_(json.dumps(writer.digests | attributes))


class Contents:
    """Reads a file of results, or one of another program that looks like it.

    Parameters
    ----------
    file : h5py.File
        Open for reading.
    where : str
        The file, as messages call it.
    kind : str
        The format wanted.

    Attributes
    ----------
    provenance : Provenance or None
        None in a file that relucli did not make.

    Raises
    ------
    DataError
        If it is another kind of file of relucli, one of a newer version, or an attribute is not what was written.
    """

    def __init__(self, file: Any, where: str, kind: str) -> None:
        self._file, self.where = file, where
        with reading(where, "attributes"):
            ours = is_ours(file, where, kind)
            text = attribute(file, DIGESTS) if DIGESTS in file.attrs else b"{}"
            digests: Any = json.loads(text) if isinstance(text, bytes) else None
            if not isinstance(digests, dict) or (digests and not ours):
                raise ValueError(DIGESTS)
            self._digests: dict[str, str] = digests
            self.provenance = Provenance.read(file) if ours else None
            for key in self._digests:
                if key.startswith("@"):
                    self._check(key, attribute(file, key[1:]))

    def __contains__(self, name: str) -> bool:
        """Whether there is, or should be, such an object."""
        return name in self._digests or self._find(name) is not None

    def _find(self, name: str) -> Any:
        with reading(self.where, name):
            return find_object(self._file, self.where, name, SELF_CONTAINED)

    def _check(self, name: str, value: Any) -> None:
        """Refuse what is not what was written."""
        if name in self._digests and (value is None or _digest(value) != self._digests[name]):
            raise DataError(
                f"{self.where}: {printable(name)} is not what was written (damaged or edited?); copy or make the file "
                f"again, or delete its attribute {DIGESTS} to have it read as it is"
            )

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute of the file."""
        with reading(self.where, name):
            return attribute(self._file, name, default)

    def names(self, group: str) -> list[str]:
        """Names in a group: of what was written there or, if that is not known, of what is there."""
        found = self._find(group)
        if not isinstance(found, h5py.Group):
            raise DataError(f"{self.where}: {group} is not there, or no group; {AGAIN}")
        if self._digests:
            return [name.removeprefix(f"{group}/") for name in self._digests if name.startswith(f"{group}/")]
        with reading(self.where, group):
            return [*dataset_names(found, MOST_NAMES)[0], *found.attrs]

    def array(self, name: str, shape: Shape | None = None, finite: bool = True) -> NDArray[Any]:
        """An array of real numbers, of a shape in which None is any length."""
        array = self._read(name, "biuf", "does not hold real numbers", shape)
        bad = ~np.isfinite(array)
        if finite and bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise DataError(f"{self.where}: {printable(name)}{list(at)} is {array[at]}; {AGAIN}")
        return array

    def texts(self, name: str, shape: Shape) -> list[str]:
        """Text of fixed length."""
        return [bytes(text).decode("utf-8", "replace") for text in self._read(name, "S", NO_TEXT, shape)]

    def json(self, name: str) -> dict[str, Any]:
        """What was stored as JSON."""
        text = self._read(name, "S", NO_TEXT, (1,))
        with reading(self.where, name):
            if text.nbytes > LONGEST_JSON:
                raise ValueError(name)
            values = json.loads(bytes(text[0]))
            if not isinstance(values, dict):
                raise ValueError(name)
        return values

    def _read(self, name: str, kinds: str, complaint: str, shape: Shape | None) -> NDArray[Any]:
        """An array of those kinds of dtype and that shape, as it was written."""
        shown, (folder, _, last) = printable(name), name.rpartition("/")
        parent = self._find(folder) if folder and self._find(name) is None else None
        with reading(self.where, name):
            scalar = attribute(parent, last) if parent is not None else None  # scalars are attributes of their group
        if scalar is None:
            data = find_dataset(self._file, self.where, name, "is this the right file?", SELF_CONTAINED)
        else:
            data = np.asarray(scalar)
        with reading(self.where, name):
            if data.dtype.kind not in kinds:
                raise DataError(f"{self.where}: {shown} {complaint}; {AGAIN}")
            if shape is not None and not _matches(data.shape, shape):
                wanted = ", ".join("any" if size is None else str(size) for size in shape)
                raise DataError(f"{self.where}: {shown} has shape {data.shape}, but must have ({wanted}); {AGAIN}")
            if isinstance(data, h5py.Dataset):
                check_whole(data, self.where, shown)
            array: NDArray[Any] = np.asarray(data[()])
        self._check(name, array)
        return array


@contextmanager
def open_contents(path: StrPath, kind: str) -> Iterator[Contents]:
    """Open a file of results; its objects are many, and all are looked up through one driver that watches.

    Raises
    ------
    InputError, StorageError
        As `relucli.storage.hdf5.open_file`.
    DataError
        As that, and `Contents`.
    """
    where = printable(path)
    with ExitStack() as opened:
        file = opened.enter_context(open_file(path))
        with reading(where, "attributes"):
            file = opened.enter_context(watched(file))
        yield Contents(file, where, kind)


def _matches(found: tuple[int, ...], wanted: Shape) -> bool:
    return len(found) == len(wanted) and all(b in (None, a) for a, b in zip(found, wanted, strict=True))
