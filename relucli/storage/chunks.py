"""Rows read beside HDF5, which serves one thread at a time, even while it sums checksums.

Rows without filters lie in a file as they are, and those of a chunk with a checksum are followed by it.  They are read
from there by as many threads as want to.  What cannot be read so, or does not come out right, is left to HDF5: it
decides whether rows can be read, and what is wrong if they cannot.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cache, cached_property
from math import prod
from typing import Any, Self

import numpy as np
from h5py import h5d, h5z
from numpy.typing import NDArray

from relucli.streaming.blocks import Span

__all__ = ["PlainRows"]

LARGEST = 4 * 2**20
"""Bytes of a chunk with a checksum, which is read whole for any of its rows."""

CHECKSUM = 4
NOWHERE = -1


@cache
def _fletcher32() -> Callable[[int, int], int] | None:
    """HDF5's own checksum of bytes at an address, if the library that h5py uses shows it: it is no part of its API."""
    try:
        function = ctypes.CDLL(h5d.__file__).H5_checksum_fletcher32
    except (AttributeError, OSError):
        return None
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_size_t], ctypes.c_uint32
    return function


class PlainRows:
    """Where the rows of a dataset are in its file.

    Parameters
    ----------
    data : h5py.Dataset
        One that `of` accepts.
    handle : int
        Descriptor of the file that it is in.
    checked : bool
        Whether each chunk is followed by its checksum.
    """

    def __init__(self, data: Any, handle: int, checked: bool) -> None:
        self._data, self._handle, self._checked = data, handle, checked
        self._shape, self._dtype = data.shape, data.dtype
        self._rows = data.chunks[0] if data.chunks else data.shape[0]
        self._row_bytes = prod(data.shape[1:]) * data.dtype.itemsize

    @classmethod
    def of(cls, data: Any, handle: int) -> Self | None:
        """Those of a dataset, if its numbers are stored as NumPy has them, in full rows, by no filter but checksums."""
        created = data.id.get_create_plist()
        filters = [created.get_filter(i)[0] for i in range(created.get_nfilters())]
        checked = filters == [h5z.FILTER_FLETCHER32]
        plain = (
            hasattr(os, "preadv")
            and data.dtype.kind == "f"
            and data.dtype.isnative
            and not data.file.userblock_size
            and not data.is_virtual
            and not data.external
            and (data.chunks is None or data.chunks[1:] == data.shape[1:])
            and (not filters or (checked and prod(data.chunks) * data.dtype.itemsize <= LARGEST and _fletcher32()))
        )
        return cls(data, handle, checked) if plain else None

    def read(self, span: Span, into: NDArray[Any]) -> bool:
        """Read rows into an array, if they are certain to be right; else what is in the array is undefined.

        Raises
        ------
        OSError
            If the disk fails.
        """
        if into.dtype != self._dtype or not into.flags.c_contiguous:
            return False
        at = span.start
        while at < span.stop:
            index, first = divmod(at, self._rows)
            stop = min(span.stop, (index + 1) * self._rows)
            if not self._piece(index, first, into[at - span.start : stop - span.start]):
                return False
            at = stop
        return True

    def _piece(self, index: int, first: int, into: NDArray[Any]) -> bool:
        """Read rows of one chunk."""
        start = int(self._starts[index])
        if start == NOWHERE:
            return False
        if not self._checked:
            return os.preadv(self._handle, [_bytes(into)], start + first * self._row_bytes) == into.nbytes
        whole = into if len(into) == self._rows else np.empty((self._rows, *self._shape[1:]), self._dtype)
        stored, fletcher32 = bytearray(CHECKSUM), _fletcher32()
        if os.preadv(self._handle, [_bytes(whole), stored], start) != whole.nbytes + CHECKSUM:
            return False
        if fletcher32 is None or fletcher32(whole.ctypes.data, whole.nbytes) != int.from_bytes(stored, "little"):
            return False
        if whole is not into:
            into[...] = whole[first : first + len(into)]
        return True

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Offset of each chunk in the file, or `NOWHERE` if it is not whole, or not stored like the others."""
        end = os.fstat(self._handle).st_size
        if self._data.chunks is None:
            start, size = self._data.id.get_offset(), self._rows * self._row_bytes
            return np.array([start if start is not None and start + size <= end else NOWHERE])
        starts = np.full(-(-self._shape[0] // self._rows), NOWHERE)
        wanted = self._rows * self._row_bytes + CHECKSUM * self._checked

        def note(chunk: Any) -> None:
            index = chunk.chunk_offset[0] // self._rows
            fits = chunk.size == wanted and chunk.byte_offset + wanted <= end
            if fits and not chunk.filter_mask and index < len(starts):
                starts[index] = chunk.byte_offset

        self._data.id.chunk_iter(note)
        return starts


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.data.cast("B")
