"""What the functions take: data, networks, and bounds on threads and memory."""

from __future__ import annotations

import os
import re
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

__all__ = ["Data", "NetworkLike", "engine_for", "in_parameters", "network_of", "opened", "paths_in", "workers_for"]

Data = StrPath | Sequence[StrPath] | tuple[ArrayLike, ArrayLike] | StoredRows | MemoryRows
"""A path, a list of paths, a pair of inputs (n, d) and labels (n,), or rows that are open already."""

NetworkLike = ReluNetwork | NetworkFile | Learned | StrPath
"""A network, something that has one, or the path of a network file."""

_PARAMETERS = {
    r"(?<!\w)-k \S+ at most": "a smaller n_neurons",
    r"a larger -k(?!\w)": "more neurons",
    r"(?<!\S)-k (\S+):": r"n_neurons=\1:",
    r"pass --memory (\w+)": r"pass memory='\1'",
    r"(?:(?<=pass )|(?<=or ))--bias(?!\w)": "bias=True",
    r"(?<=pass )--whiten (\w+)": r"whiten='\1'",
    r"--loss huber": "loss='huber'",
    r"--starts": "n_starts",
    r"--seed": "random_state",
    r"--max-neurons": "max_neurons",
    r"--(\w+)": r"\1",
}
"""Options in messages, as parameters of the regressor: patterns and what takes their place, in this order."""


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


def workers_for(jobs: int | None) -> int:
    """Threads that scikit-learn's n_jobs asks for: None is one, -1 all cores, -2 all but one.

    Raises
    ------
    UsageError
        If it is 0.
    """
    if jobs == 0:
        raise UsageError("n_jobs must not be 0: pass the number of threads, or -1 for all cores")
    if jobs is None or jobs > 0:
        return jobs or 1
    return max(1, usable_cores() + 1 + jobs)


def in_parameters(message: str) -> str:
    """A message that speaks of the options of a command, as the regressor has them: as parameters."""
    for option, parameter in _PARAMETERS.items():
        message = re.sub(option, parameter, message)
    return message


def network_of(what: NetworkLike) -> ReluNetwork:
    """The network itself."""
    if isinstance(what, ReluNetwork):
        return what
    return what.network if isinstance(what, NetworkFile | Learned) else read_network(what).network
