"""Finding a dataset in a file, link by link: none may lead out of it unless that is allowed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import h5py

from relucli.errors import DataError, printable
from relucli.storage.hdf5 import open_file, reading
from relucli.storage.heaps import watched
from relucli.storage.trust import Trust, check_stored

__all__ = ["dataset_names", "find_dataset", "find_object"]

_LISTED = 8
_DEEPEST = 4
_MOST_LINKS = 32
_MOST_LISTED = 100_000


def find_dataset(file: Any, where: str, name: str, hint: str, trust: Trust | None = None) -> Any:
    """The dataset of that name in an open file, complete and of sizes that fit.

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
    trust : Trust, optional
        The default trusts nothing outside the file.

    Raises
    ------
    DataError
        If there is none, with those that there are; if it leads out of the file, or `check_stored` refuses it.
    """
    trust, shown = trust or Trust(), printable(name)
    with reading(where, name):
        found = find_object(file, where, name, trust)
        if isinstance(found, h5py.Dataset):
            _check_place(found, where, shown, trust)
            return found
        trouble = f"no dataset {shown}" if found is None else f"{shown} is not a dataset"
        names, complete = dataset_names(file, _LISTED)
    shown_names = [printable(known) for known in names] + ([] if complete else ["..."])
    listed = f"it has {', '.join(shown_names)}: {hint}" if shown_names else "it has none at all"
    raise DataError(f"{where}: {trouble}; {listed}")


def find_object(file: Any, where: str, name: str, trust: Trust | None = None) -> Any:
    """What a name leads to in an open file, or None; parameters and errors are those of `find_dataset`."""
    trust = trust or Trust()
    if "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        return None  # no name in an HDF5 file is like that
    item, parts, soft = file, deque(_parts(name)), ""
    for _ in range(_MOST_LINKS + len(parts)):
        if not parts:
            return item if item is not file else None
        part = parts.popleft()
        link = item.get(part, getlink=True) if isinstance(item, h5py.Group) else None
        if isinstance(link, h5py.SoftLink):
            soft = link.path
            item = item.file["/"] if soft.startswith("/") else item
            parts.extendleft(reversed(_parts(soft)))
        elif isinstance(link, h5py.ExternalLink) and not trust.allow_external:
            raise DataError(
                f"{where}: {printable(name)} is a link to another file, {printable(link.filename)}; {trust.remedy}"
            )
        elif link is None and soft:
            raise DataError(
                f"{where}: {printable(name)} is a link to {printable(soft)}, which is not there; correct it"
            )
        elif link is None:
            return None
        else:
            if isinstance(link, h5py.HardLink):
                with watched(item) as opened:
                    opened[part]  # of a virtual dataset, its sources
            item = item[part]
    raise DataError(f"{where}: {printable(name)} is a link that leads nowhere; correct it")


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".")]


def dataset_names(group: Any, most: int) -> tuple[list[str], bool]:
    """The first names of datasets in a group and the groups in it, in order, and whether those are all.

    Looked at are 100,000 links, down to a depth of four: a group may be full, or hold itself under many names.
    """
    left = [_MOST_LISTED]
    with watched(group) as opened:
        found = list(islice(_walk(opened, "", 0, left), most + 1))
    return found[:most], len(found) <= most and left[0] >= 0


def _walk(group: Any, prefix: str, depth: int, left: list[int]) -> Iterator[str]:
    left[0] -= len(group)
    if left[0] < 0:
        return
    for name in sorted(name for name in group if isinstance(name, str)):  # others are not UTF-8: none can ask for them
        # Asked of the library itself: an object takes ten times as long to open as to be told of.
        link = name.encode()
        if group.id.links.get_info(link).type != h5py.h5l.TYPE_HARD:
            continue
        kind = h5py.h5o.get_info(group.id, link).type
        if kind == h5py.h5o.TYPE_DATASET:
            yield prefix + name
        elif kind == h5py.h5o.TYPE_GROUP and depth < _DEEPEST:
            yield from _walk(group[name], f"{prefix}{name}/", depth + 1, left)


def _check_place(data: Any, where: str, shown: str, trust: Trust) -> None:
    """Refuse data that lie in other files, unless that is allowed and they are all there: what is not reads as zero."""
    external = data.external or ()
    if not (data.is_virtual or external):
        check_stored(data, where, shown, trust)
        return
    if not trust.allow_external:
        kind = "a virtual dataset, assembled from others" if data.is_virtual else "stored in other files"
        raise DataError(f"{where}: {shown} is {kind}; {trust.remedy}")
    for name, offset, size in external:
        here, wanted = printable(name), offset + (size if size != h5py.h5f.UNLIMITED else 1)
        if not os.path.isfile(name) or os.path.getsize(name) < wanted:
            raise DataError(f"{where}: {shown} is stored in {here}, which is missing or too short; restore that file")
    if data.is_virtual:
        _check_sources(data, where, shown, trust)


def _check_sources(data: Any, where: str, shown: str, trust: Trust) -> None:
    covered = 0
    for source in data.virtual_sources():
        covered += source.vspace.get_select_npoints()
        folder = os.path.dirname(data.file.filename)
        places = [os.path.join(folder, source.file_name), source.file_name]
        path = data.file.filename if source.file_name == "." else next(filter(os.path.isfile, places), places[0])
        with open_file(path) as file:
            part = find_object(file, printable(path), source.dset_name)
            if not isinstance(part, h5py.Dataset) or part.is_virtual or part.external or not _holds(part, source):
                raise DataError(
                    f"{where}: {shown} takes from {printable(source.dset_name)} in {printable(path)} what is not "
                    "stored there; correct it"
                )
            check_stored(part, printable(path), printable(source.dset_name), trust)
    if covered != data.size:
        raise DataError(f"{where}: {shown} has {data.size} numbers, but sources for {covered}; correct it")


def _holds(part: Any, source: Any) -> bool:
    """Whether a dataset is as large as what a virtual dataset takes from it."""
    if source.src_space.get_select_type() == h5py.h5s.SEL_ALL:
        return bool(part.size == source.vspace.get_select_npoints())
    _, last = source.src_space.get_select_bounds()
    return len(last) == part.ndim and all(a < n for a, n in zip(last, part.shape, strict=True))
