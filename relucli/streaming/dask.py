"""Passes on a cluster: an executor of dask.distributed, whose workers open the files themselves.

The unit of work is a run of 2^m canonical groups, folded and merged by the worker: a node of the tree of
`relucli.streaming.fold.tree_merge`, so that the sums are those of one machine to the bit.  What travels is, once in a
pass, the empty accumulator with the names of the files, then spans of rows one way and sums the other.
"""

from __future__ import annotations

import logging
import os
import re
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from multiprocessing import resource_tracker
from time import monotonic
from typing import Any, Protocol, TypeVar

from relucli import __version__
from relucli.errors import ClusterError, DataError, InputError, RelucliError, StorageError, UsageError, printable
from relucli.streaming.executors import settle

__all__ = ["DaskExecutor", "Source", "cluster", "patience"]

T = TypeVar("T")
R = TypeVar("R")

TIMEOUT = "RELUCLI_TIMEOUT"
PATIENCE = 300.0
CONNECTING = 30.0
CLOSING = 5.0
POLL = 1.0
AHEAD = 2
"""Tasks under way for each thread of a worker: one runs, another waits there."""
ITEMS_PER_WORKER = 4
LARGEST_RUN = 16
"""Groups in a task: what is lost with a worker, and the time between two signs of life."""
RETRIES = 3
"""Of a task that meets an error of input or output."""


class Source(Protocol):
    """Rows in files, which every worker must see alike."""

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Absolute path and bytes of each file."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of the rows."""
        ...


def patience() -> float:
    """Seconds without progress after which a pass is given up: from the environment, or 300.

    Raises
    ------
    UsageError
        If the environment says what is no number of seconds.
    """
    text = os.environ.get(TIMEOUT, str(PATIENCE))
    with suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise UsageError(f"{TIMEOUT}={text}: not a number of seconds; set it to one like 300")


def _versions() -> tuple[tuple[str, str], ...]:
    """Of what the bits of a result depend on."""
    return ("relucli", __version__), *((name, version(name)) for name in ("numpy", "scipy", "h5py"))


@dataclass(frozen=True)
class _Witness:
    """What this process runs and sees, and a worker must run and see too."""

    versions: tuple[tuple[str, str], ...]
    sizes: tuple[tuple[str, int], ...]
    fingerprint: str
    rows: Source = field(compare=False)

    @classmethod
    def of(cls, rows: Source) -> _Witness:
        return cls(_versions(), rows.sizes, rows.fingerprint, rows)


@cache
def _vet(witness: _Witness) -> None:
    """On a worker, once for each dataset: refuse to work with other versions or on other files."""
    from distributed import get_worker

    worker = f"worker {get_worker().address}"
    for (name, wanted), (_, found) in zip(witness.versions, _versions(), strict=True):
        if found != wanted:
            raise ClusterError(f"{worker} runs {name} {found}, but this machine {wanted}; install the same versions")
    try:
        sizes, fingerprint = witness.rows.sizes, witness.rows.fingerprint
    except FileNotFoundError as error:
        raise InputError(f"{printable(error.filename)}: no such file on {worker}; all workers must see it") from None
    except RelucliError as error:
        raise type(error)(f"{error} (seen by {worker})") from error
    for (path, size), (_, seen) in zip(witness.sizes, sizes, strict=True):
        if seen != size:
            there = f"{seen} bytes on {worker}, but {size} here"
            raise DataError(f"{printable(path)}: {there}; give all workers the same file")
    if fingerprint != witness.fingerprint:
        raise DataError(f"{printable(sizes[0][0])}: other rows on {worker} than here; give all workers the same file")


@dataclass(frozen=True)
class _Job:
    """What all tasks of a pass have in common."""

    function: Callable[[Any], Any]
    witness: _Witness | None


@dataclass(frozen=True)
class _Refused:
    """An error that another try would meet again."""

    error: RelucliError


def _keep(job: _Job) -> _Job:
    """A task of its own, so that the cluster can pass the job on, and make it again if its workers are lost."""
    return job


def _work(job: _Job, item: Any) -> Any:
    settle()
    try:
        if job.witness is not None:
            _vet(job.witness)
        return job.function(item)
    except (InputError, StorageError):
        raise
    except RelucliError as error:
        return _Refused(error)


class DaskExecutor:
    """Runs items as tasks of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client
    patience : float
        Seconds to wait for a sign of life.

    Attributes
    ----------
    workers : int
        Threads of all workers; one to a worker is best.
    """

    def __init__(self, client: Any, patience: float) -> None:
        self._client, self._patience = client, patience
        self._name = f"scheduler {client.scheduler.address}"
        self._witness: _Witness | None = None
        self.workers = self._threads()

    def _threads(self) -> int:
        counts: dict[str, int] = self._client.nthreads()
        return max(1, sum(counts.values()))

    def check(self, rows: Source) -> None:
        """Make sure that every worker, those to come included, runs the same versions and sees the same files.

        Raises
        ------
        ClusterError
            If a worker cannot run relucli, or runs other versions.
        InputError, DataError
            If a worker does not see the files, or sees others.
        """
        self._witness = _Witness.of(rows)
        workers = sorted(self._client.nthreads())
        waiting = deque(self._client.submit(_vet, self._witness, workers=[at], pure=False) for at in workers)
        for address in workers:
            try:
                self._first(waiting)
            except RelucliError:
                raise
            except Exception as error:
                wanted = f"install relucli {__version__} there and on the scheduler"
                raise ClusterError(f"worker {address} cannot run relucli: {error}; {wanted}") from error

    def grain(self, groups: int) -> int:
        """A power of two: as many as leave every worker a few items, so that they end at about the same time."""
        most = min(LARGEST_RUN, groups // (ITEMS_PER_WORKER * self.workers))
        return 1 << max(0, most.bit_length() - 1)

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` for each item, in order.

        Work that is lost with a worker is done again by another.

        Raises
        ------
        ClusterError
            If the cluster gives no sign of life, or workers die again and again over an item.
        """
        self.workers = self._threads()
        job = self._spread(_Job(function, self._witness))
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(self._client.submit(_work, job, item, retries=RETRIES, pure=False))
            if len(waiting) > AHEAD * self.workers:
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def _spread(self, job: _Job) -> Any:
        """The future of a job that all workers hold: else its tasks would crowd at the one that does."""
        from distributed.client import wait

        future = self._client.submit(_keep, job, pure=False)
        with suppress(TimeoutError), self._client.as_current():  # if it takes too long, the first task will tell
            wait(future, timeout=self._patience)  # type: ignore[no-untyped-call]
            self._client.replicate(future)
        return future

    def _first(self, waiting: deque[Any]) -> Any:
        """The result of the first task, which leaves the queue."""
        done, since = -1, monotonic()
        while True:
            try:
                result = self._result(waiting[0])
            except TimeoutError:
                now = sum(future.done() for future in waiting)
                if now > done:
                    done, since = now, monotonic()
                elif monotonic() - since > self._patience:
                    advice = f"see whether its workers run, or set {TIMEOUT} to wait longer"
                    raise ClusterError(f"{self._name}: no result for {self._patience:g} s; {advice}") from None
                continue
            waiting.popleft()
            if isinstance(result, _Refused):
                raise result.error
            return result

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker

        try:
            return future.result(timeout=min(POLL, self._patience))
        except CancelledError:
            raise ClusterError(f"{self._name}: lost; start it again, then this command") from None
        except KilledWorker as error:
            died = f"{error.allowed_failures + 1} workers died over the same rows"
            raise ClusterError(f"{self._name}: {died}; give them more memory, or look into their logs") from None


def _distributed() -> Any:
    """The library, silent unless asked for."""
    try:
        import distributed
    except ImportError as error:
        raise UsageError("--scheduler needs Dask; install it: pip install 'relucli[dask]'") from error
    if os.environ.get("RELUCLI_DEBUG") != "1":
        for name in list(logging.root.manager.loggerDict):
            if name.split(".")[0] in {"distributed", "tornado", "asyncio"}:
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return distributed


@contextmanager
def cluster(scheduler: str) -> Iterator[DaskExecutor]:
    """Connect to a scheduler, or start one with workers on this machine; all is closed at the end.

    Parameters
    ----------
    scheduler : str
        Its address, or ``local:N`` for N worker processes of one thread.

    Raises
    ------
    UsageError
        If Dask is not installed, or the address is none.
    ClusterError
        If the scheduler does not answer, or has no workers.
    """
    limit, local = patience(), re.fullmatch(r"local:([1-9][0-9]{0,3})", scheduler)
    if not local and not re.fullmatch(r"(?!local:)((tcp|tls|wss?|ucx)://)?[^/]+:[0-9]{1,5}", scheduler):
        raise UsageError(
            f"--scheduler {scheduler}: not an address; pass one like tcp://host:8786, or local:4 for this machine"
        )
    library, connecting = _distributed(), min(limit, CONNECTING)
    with ExitStack() as stack:
        address = stack.enter_context(_local(library, int(local[1]))) if local else scheduler
        try:
            client = library.Client(address, timeout=connecting, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"scheduler {scheduler}: no answer within {connecting:g} s; check the address, "
                "or start one with dask scheduler"
            ) from error
        stack.callback(client.close, timeout=CLOSING)
        try:
            client.wait_for_workers(1, timeout=connecting)
        except TimeoutError:
            raise ClusterError(
                f"scheduler {scheduler}: no workers within {connecting:g} s; start some with dask worker"
            ) from None
        yield DaskExecutor(client, limit)


@contextmanager
def _local(library: Any, workers: int) -> Iterator[str]:
    """The address of a scheduler in this process, with workers that leave signals from the terminal to it."""
    # Threads and processes inherit what is blocked when they are made; the tracker, when it starts, unblocks it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        cluster = library.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
            silence_logs=logging.CRITICAL + 1,
        )
        with cluster:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            yield cluster.scheduler_address
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
