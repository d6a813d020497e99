"""Heaps that HDF5 would never come to the end of, found before it looks for that.

Text of attributes and the sources of virtual datasets lie in heaps, which have no checksum.  HDF5 steps through a heap
from object to object by their sizes, and those in a damaged or forged one may lead nowhere, or back.  So what could lie
in a heap is first looked up through a driver that sees all that HDF5 reads, heaps wherever they are in the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

__all__ = ["watched"]

_HEAP = b"GCOL\1"
_MOST_OBJECTS = 2**16 + 1
"""In a heap: each has a number of two bytes, and what is free has none."""


@contextmanager
def watched(item: Any) -> Iterator[Any]:
    """The same object of a file, by way of a driver that refuses endless heaps.

    Parameters
    ----------
    item : h5py.Group or h5py.Dataset
        One that is watched already, or of a file that is open for writing, is returned as it is.

    Raises
    ------
    ValueError
        Within the body, where HDF5 reads a heap that it would not come to the end of.
    """
    file = item.file
    if file.driver == "fileobj" or file.mode != "r":  # it is, or nobody else has written to it
        yield item
        return
    width = file.id.get_create_plist().get_sizes()[1]
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, _Watched(file.id.get_vfd_handle(), width))
    try:
        opened = h5py.h5f.open(b"watched", h5py.h5f.ACC_RDONLY, access)
    finally:
        access.close()  # one that is left to the interpreter's exit calls into what is no more
    with h5py.File(opened) as again:
        yield again[h5py.h5i.get_name(item.id)]


class _Watched(io.RawIOBase):
    """A file as HDF5 reads it through h5py.

    Parameters
    ----------
    handle : int
        A descriptor, whose position is left alone.
    width : int
        Bytes of a size in this file.
    """

    def __init__(self, handle: int, width: int) -> None:
        super().__init__()
        self._handle, self._width, self._at = handle, width, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; from the end, or to a position."""
        self._at = offset + (os.fstat(self._handle).st_size if whence == os.SEEK_END else 0)
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read, and refuse every heap that begins here: HDF5 reads that before any other part of it."""
        content = memoryview(buffer).cast("B")
        count = os.preadv(self._handle, [content], self._at)
        early = max(0, self._at - len(_HEAP) + 1)  # HDF5 may have read the first bytes with what lies before them
        seen = os.pread(self._handle, self._at - early, early) + bytes(content[:count])
        heap = seen.find(_HEAP)
        while heap >= 0:
            self._check(early + heap)
            heap = seen.find(_HEAP, heap + 1)
        return count

    def _check(self, heap: int) -> None:
        """Refuse a heap whose objects do not lead to its end."""
        header = -(-(8 + self._width) // 8) * 8  # of the heap, and of each object in it
        at, end = heap + header, heap + self._size(heap)
        for _ in range(_MOST_OBJECTS):
            if at + header > end:
                return
            number, size = int.from_bytes(os.pread(self._handle, 2, at), "little"), self._size(at)
            step = header + -(-size // 8) * 8 if number else size
            if not 0 < step <= end - at:
                break
            at += step
        raise ValueError("a heap without end")

    def _size(self, at: int) -> int:
        """Of a heap or of an object in it."""
        return int.from_bytes(os.pread(self._handle, self._width, at + 8), "little")
