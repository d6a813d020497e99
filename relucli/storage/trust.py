"""How far an input is trusted, and what its datasets must be before any of their numbers are asked for.

Whoever made a file chose its shapes, chunks and filters: a few kilobytes can claim terabytes, and a chunk of a mebibyte
can inflate to gigabytes.  Everything here looks at sizes alone.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from h5py import Dataset, h5d, h5p, h5z

from relucli.errors import DataError
from relucli.streaming.blocks import Span
from relucli.streaming.fold import DEFAULT_MEMORY

__all__ = ["Trust", "check_inflation", "check_stored", "check_whole", "is_compressed", "keep_chunks"]

_COMPRESSORS = {h5z.FILTER_DEFLATE: 1032, h5z.FILTER_LZF: 90}
"""Filters that shrink, and by how much at most."""

_KNOWN = {h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, *_COMPRESSORS}

_SLACK = 2**16
"""Bytes by which what a filter stores may exceed what it was given, beside a tenth."""


@dataclass(frozen=True)
class Trust:
    """How far inputs are trusted.

    Attributes
    ----------
    allow_external : bool
        Whether an input may lead to other files (external links, external storage, virtual datasets), and to the code
        of filters that relucli does not know.
    memory : int
        Most bytes that one chunk may take once decompressed.
    remedy : str
        What to do about data that are refused because they lie elsewhere.
    """

    allow_external: bool = False
    memory: int = DEFAULT_MEMORY
    remedy: str = "pass --allow-external to read it all the same"


def check_stored(data: Any, where: str, shown: str, trust: Trust) -> None:
    """Refuse a dataset of this file that is not all there, or whose chunks could take more memory than is allowed.

    Parameters
    ----------
    data : h5py.Dataset
        Stored in its own file, not virtual and not in external files.
    where, shown : str
        The file and the dataset, as messages call them.
    trust : Trust

    Raises
    ------
    DataError
    """
    if data.size in (0, None):
        return
    filters = _filters(data)
    if not trust.allow_external:
        strange = [name for code, name in filters if code not in _KNOWN]
        if strange:
            raise DataError(
                f"{where}: {shown} needs the filter {strange[0]}, not gzip; store it without compression, or "
                f"{trust.remedy}"
            )
        if sum(code in _COMPRESSORS for code, _ in filters) > 1:
            raise DataError(f"{where}: {shown} is compressed more than once; store it with gzip or without compression")
    stored, size = data.id.get_storage_size(), file_bytes(data)
    if stored > size:
        raise DataError(f"{where}: {shown} claims {stored} bytes of a file of {size}; make the file again")
    wanted, there = _pieces(data)
    if there < wanted:
        raise DataError(
            f"{where}: {shown} was not written to the end ({there} of {wanted} chunks); make the file again"
        )
    chunk = chunk_bytes(data)
    if filters and chunk > trust.memory:
        raise DataError(
            f"{where}: a chunk of {shown} takes {-(-chunk // 2**20)}MiB once decompressed; "
            f"pass --memory {-(-chunk // 2**20)}MiB"
        )


def _filters(data: Any) -> list[tuple[int, str]]:
    """Code and name of each filter, in the order in which they are applied on writing."""
    created = data.id.get_create_plist()
    found = [created.get_filter(i) for i in range(created.get_nfilters())]
    return [(code, f"{code} ({name.decode('utf-8', 'replace')})" if name else str(code)) for code, _, _, name in found]


def chunk_bytes(data: Any) -> int:
    """Bytes of a chunk once decompressed; none if there are no chunks."""
    return prod(data.chunks) * data.id.get_type().get_size() if data.chunks else 0


def _pieces(data: Any) -> tuple[int, int]:
    """How many chunks there should be and how many there are; the whole counts as one where there are none."""
    if data.chunks:
        wanted = prod(-(-n // c) for n, c in zip(data.shape, data.chunks, strict=True))
        return wanted, data.id.get_num_chunks()
    return 1, int(data.id.get_storage_size() >= data.size * data.id.get_type().get_size())


def _compressors(data: Any) -> list[int]:
    return [code for code, _ in _filters(data) if code in _COMPRESSORS]


def is_compressed(data: Any) -> bool:
    """Whether a dataset has chunks that `check_inflation` looks at."""
    return bool(_compressors(data)) and not data.is_virtual


def check_inflation(data: Any, where: str, shown: str, span: Span, trust: Trust, seen: set[int]) -> None:
    """Refuse chunks that inflate past their size, before the library does it.

    Parameters
    ----------
    data, where, shown, trust
        As for `check_stored`.
    span : Span
        Rows that are about to be read.
    seen : set of int
        Where the chunks begin that need not be looked at again; added to.

    Raises
    ------
    DataError
    """
    if not is_compressed(data):
        return
    shrunk = _compressors(data)
    rows, size = data.chunks[0], chunk_bytes(data)
    across = [range(0, n, c) for n, c in zip(data.shape[1:], data.chunks[1:], strict=True)]
    for offset in product(range(span.start - span.start % rows, span.stop, rows), *across):
        chunk = data.id.get_chunk_info_by_coord(offset)
        if chunk.byte_offset in seen:
            continue
        if chunk.size > 1.1 * size + _SLACK or (
            chunk.size * _COMPRESSORS[shrunk[0]] > trust.memory and not _fits(data, offset, shrunk[0], size + _SLACK)
        ):
            raise DataError(
                f"{where}: {shown} has a chunk, at row {offset[0]}, that holds more than its {size} bytes; "
                "make the file again"
            )
        seen.add(chunk.byte_offset)


def keep_chunks(data: Any, where: str, shown: str, rows: int, trust: Trust) -> Any:
    """A dataset opened again so that a chunk of more rows than a block is decompressed once, not for every block.

    Parameters
    ----------
    data, where, shown, trust
        As for `check_stored`; the dataset is closed if another is returned.
    rows : int
        Of a block.

    Raises
    ------
    DataError
        If the chunks that share rows do not fit into the memory that is allowed.
    """
    if data.is_virtual or not data.chunks or data.chunks[0] <= rows or not _filters(data):
        return data
    across = prod(-(-n // c) for n, c in zip(data.shape[1:], data.chunks[1:], strict=True))
    need = across * chunk_bytes(data)
    if need > trust.memory:
        raise DataError(
            f"{where}: chunks of {shown} hold {data.chunks[0]} rows, {-(-need // 2**20)}MiB once decompressed; "
            f"pass --memory {-(-need // 2**20)}MiB or store it in smaller chunks"
        )
    access = h5p.create(h5p.DATASET_ACCESS)
    access.set_chunk_cache(16 * across + 1, need, 1.0)
    file, name = data.file, data.name.encode()
    data.id.close()  # what is open already keeps its cache
    return Dataset(h5d.open(file.id, name, access))


def check_whole(data: Any, where: str, shown: str, trust: Trust | None = None) -> None:
    """Refuse a dataset that is to be read at once and takes far more memory than its file does disk.

    Parameters and errors are those of `check_stored`.
    """
    trust, size = trust or Trust(), file_bytes(data)
    if data.nbytes > max(size, trust.memory):
        raise DataError(f"{where}: {shown} takes {data.nbytes} bytes in memory, its file {size}; make the file again")
    if data.chunks:
        check_inflation(data, where, shown, Span(0, len(data)), trust, set())


def file_bytes(data: Any) -> int:
    """Size of the file that a dataset is in."""
    return int(data.file.id.get_filesize())


def _fits(data: Any, offset: tuple[int, ...], compressor: int, most: int) -> bool:
    """Whether a chunk inflates to at most so many bytes; only those of gzip can be asked."""
    if compressor != h5z.FILTER_DEFLATE:
        return False
    mask, content = data.id.read_direct_chunk(offset)
    try:
        # One that skipped its filters, or is damaged, is for the library to read, or to refuse.
        return bool(mask) or len(zlib.decompressobj().decompress(content, most + 1)) <= most
    except zlib.error:
        return True
