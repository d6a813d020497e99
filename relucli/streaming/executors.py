"""Ways to run the groups of a pass: in this thread, or in several.  Results always come back in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from importlib import import_module
from typing import Any, Protocol, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from relucli.streaming.blocks import BLOCK_BYTES

__all__ = [
    "Executor",
    "SerialExecutor",
    "ThreadExecutor",
    "executor_for",
    "keep_pages",
    "one_blas_thread",
    "settle",
    "usable_cores",
]

T = TypeVar("T")
R = TypeVar("R")


@cache
def _controller() -> ThreadpoolController:
    """Of the BLAS libraries; to look for them takes milliseconds."""
    return ThreadpoolController()


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread: blocks are worked on in parallel, and the bits of its sums depend on the number."""
    limit: AbstractContextManager[Any] = _controller().limit(limits=1)
    return limit


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def settle() -> None:
    """Hold BLAS to one thread for good, in a process that works for others: its threads would undo each other's limits.

    An executor of processes runs it in each before all else: libraries loaded later are not held.
    """
    import_module("scipy.linalg")
    one_blas_thread().__enter__()


@cache
def keep_pages() -> None:
    """Have this process keep what arrays up to the size of a block give back, for the arrays of the next block.

    glibc takes the size of a large array that is given back as the one from which on it returns pages to the system,
    which would clear new ones for every array of every block: a quarter of the time of a pass that computes little.
    """
    np.empty(BLOCK_BYTES, np.uint8)


class Executor(Protocol):
    """Applies a function to items and yields the results in the order of the items."""

    workers: int

    def grain(self, groups: int) -> int:
        """Of how many groups, a power of two, an item of a pass over so many should consist."""
        ...

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` for each item, in order, holding at most ``workers + 1`` results."""
        ...


class SerialExecutor:
    """Runs everything in the calling thread."""

    workers = 1

    def grain(self, groups: int) -> int:
        """One: partial sums are merged at once."""
        return 1

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` for each item, in order."""
        for item in items:
            yield function(item)


class ThreadExecutor:
    """Runs up to ``workers`` items at a time in threads: BLAS and HDF5 release the interpreter lock."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def grain(self, groups: int) -> int:
        """One: threads share memory."""
        return 1

    def map(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield ``function(item)`` for each item, in order; an error cancels what has not started."""
        waiting: deque[Future[R]] = deque()
        pool = ThreadPoolExecutor(self.workers)
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            # After an error or an interrupt nobody waits for what still runs.
            pool.shutdown(wait=not waiting, cancel_futures=True)


def executor_for(workers: int) -> Executor:
    """Threads if there are several workers, else the calling thread."""
    return ThreadExecutor(workers) if workers > 1 else SerialExecutor()
