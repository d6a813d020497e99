"""What the functions take: data, networks, and bounds on threads and memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from numpy.typing import ArrayLike

from relucli.errors import UsageError, about
from relucli.learning.pipeline import Learned
from relucli.network import ReluNetwork
from relucli.quantities import parse_memory
from relucli.storage.dataset import MemoryRows, StoredRows, open_dataset
from relucli.storage.results import NetworkFile, read_network
from relucli.storage.schema import StrPath
from relucli.streaming.executors import usable_cores
from relucli.streaming.fold import DEFAULT_MEMORY, Engine, Progress

__all__ = ["Data", "NetworkLike", "engine_for", "network_of", "opened", "paths_in"]

Data = StrPath | Sequence[StrPath] | tuple[ArrayLike, ArrayLike] | StoredRows | MemoryRows
"""A path, a list of paths, a pair of inputs (n, d) and labels (n,), or rows that are open already."""

NetworkLike = ReluNetwork | NetworkFile | Learned | StrPath
"""A network, something that has one, or the path of a network file."""


def paths_in(data: Any) -> list[Any]:
    """The paths, if data are files; else none."""
    paths = [data] if isinstance(data, str | os.PathLike) else data
    named = isinstance(paths, list | tuple) and all(isinstance(path, str | os.PathLike) for path in paths)
    return list(paths) if named else []


@contextmanager
def opened(data: Data, inputs: str = "x", labels: str = "y") -> Iterator[StoredRows | MemoryRows]:
    """The rows of data, wherever they are; errors within name the files.

    Raises
    ------
    UsageError
        If they are not data of a kind listed above.
    InputError, DataError
        If they cannot be read, or what they hold cannot be used.
    """
    if isinstance(data, StoredRows | MemoryRows):
        yield data
    elif paths := paths_in(data):
        with open_dataset(paths, inputs, labels) as rows, about(*paths):
            yield rows
    elif isinstance(data, tuple) and len(data) == 2:
        yield MemoryRows(*data)
    else:
        raise UsageError("data must be a path, a list of paths or a pair (x, y) of arrays")


def engine_for(
    workers: int | None = None, memory: int | str = DEFAULT_MEMORY, progress: Progress | None = None
) -> Engine:
    """What runs the passes: threads, all cores unless said otherwise, within a memory bound in bytes or like "2GiB"."""
    if workers is not None and workers < 1:
        raise UsageError(f"--workers must be at least 1, not {workers}")
    return Engine(workers or usable_cores(), parse_memory(str(memory)), progress)


def network_of(what: NetworkLike) -> ReluNetwork:
    """The network itself."""
    if isinstance(what, ReluNetwork):
        return what
    return what.network if isinstance(what, NetworkFile | Learned) else read_network(what).network
