"""Going on with an HDF5 file whose writer was killed, by what its metadata were when it was last closed.

Rows that are written in order are chunks that are appended, and stay where they are.  What a writer changes of all that
was there before is the metadata between the chunks, and the length of the file.  With these put back, the file is as it
was: whole, if not complete.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from relucli.storage.schema import StrPath

__all__ = ["put_back", "snapshot"]


def snapshot(path: StrPath, datasets: Sequence[str]) -> dict[str, NDArray[np.int64] | NDArray[np.uint8]]:
    """The metadata of a closed file that holds chunked datasets.

    Returns
    -------
    dict of ndarray
        ``starts`` and ``stops`` of what lies between chunks, in bytes, and its ``content``; the last stop is the length
        of the file.
    """
    chunks: list[tuple[int, int]] = []
    with h5py.File(path, "r", locking=False) as file:
        for name in datasets:
            file[name].id.chunk_iter(lambda chunk: chunks.append((chunk.byte_offset, chunk.byte_offset + chunk.size)))
    length = os.path.getsize(path)
    edges = np.array([0, *(edge for chunk in sorted(chunks) for edge in chunk), length], np.int64).reshape(-1, 2)
    gaps = edges[(edges[:, 0] < edges[:, 1]) | (edges[:, 1] == length)]
    with open(path, "rb") as raw:
        content = b"".join(_read(raw, start, stop) for start, stop in gaps)
    return {"starts": gaps[:, 0], "stops": gaps[:, 1], "content": np.frombuffer(content, np.uint8)}


def put_back(path: StrPath, metadata: dict[str, NDArray[np.int64] | NDArray[np.uint8]]) -> None:
    """Make a file what it was at its snapshot."""
    at, content = 0, metadata["content"].tobytes()
    with open(path, "r+b") as raw:
        raw.truncate(int(metadata["stops"][-1]))
        for start, stop in zip(metadata["starts"].tolist(), metadata["stops"].tolist(), strict=True):
            raw.seek(start)
            raw.write(content[at : at + stop - start])
            at += stop - start


def _read(raw: BinaryIO, start: int, stop: int) -> bytes:
    raw.seek(start)
    return raw.read(stop - start)
