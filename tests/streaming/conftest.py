"""A scheduler and workers of Dask, from its own command line, whose reading can be slowed, broken and watched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# In a worker: while there is a file "order" beside it, every reading of rows notes the process and does what it says.
PRELOAD = """
import os, time
from pathlib import Path
from relucli.errors import StorageError
from relucli.storage.dataset import StoredRows

FOLDER = Path({folder!r})
read = getattr(StoredRows, "unwatched", StoredRows.block)  # a worker loads this more than once

def watched(rows, span):
    order = FOLDER / "order"
    if order.exists():
        with open(FOLDER / "readers", "a") as file:
            print(os.getpid(), span.start, file=file, flush=True)
        text = order.read_text()
        if text.startswith("fail once"):
            order.unlink(missing_ok=True)
            raise StorageError("disk: input/output error")
        while text.startswith("stop") and order.exists() and order.read_text() == text:
            time.sleep(0.02)
    return read(rows, span)

StoredRows.unwatched, StoredRows.block = read, watched
"""

DEADLINE = 60


def wait_for(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"no {what} in {DEADLINE} s"
        time.sleep(0.02)


class Cluster:
    """Processes of one scheduler; ``folder`` holds its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen] = []
        self.orders = 0
        (folder / "preload.py").write_text(PRELOAD.format(folder=str(folder)))
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_for(lambda: self.logged("Scheduler at:"), "scheduler")
        self.address = self.logged("Scheduler at:")[0].split()[-1]

    def _start(self, kind: str, *options: str, cwd: Path | None = None) -> None:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *options]
        with open(self.folder / "log", "a") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=cwd, start_new_session=True))

    def logged(self, text: str) -> list[str]:
        return [line for line in (self.folder / "log").read_text().splitlines() if text in line]

    def add(self, workers: int, cwd: Path | None = None, preload: str = "") -> None:
        """Start workers of one thread each, and wait for them."""
        if preload:
            (self.folder / "more.py").write_text(preload)
        before = len(self.logged("Register worker"))
        names = ["preload.py", "more.py"] if preload else ["preload.py"]
        options = [word for name in names for word in ("--preload", str(self.folder / name))]
        count = ["--nworkers", str(workers), "--nthreads", "1", "--no-dashboard", "--local-directory", str(self.folder)]
        self._start("worker", self.address, *count, *options, cwd=cwd)
        wait_for(lambda: len(self.logged("Register worker")) >= before + workers, "workers")

    @contextmanager
    def order(self, text: str) -> Iterator[None]:
        """Tell the workers what to do when they read; ``readers`` are forgotten first."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:  # what nobody wants any more still reads
            wait_for(
                lambda: not any(client.run(lambda dask_worker: len(dask_worker.state.all_running_tasks)).values()),
                "rest",
            )
        (self.folder / "readers").write_text("")
        self.orders += 1
        (self.folder / "new").write_text(f"{text}, order {self.orders}")
        os.replace(self.folder / "new", self.folder / "order")
        try:
            yield
        finally:
            (self.folder / "order").unlink(missing_ok=True)

    def readings(self) -> list[tuple[int, int]]:
        """Process and first row of everything that was read under an order."""
        lines = (self.folder / "readers").read_text().splitlines()
        return [(int(process), int(row)) for process, row in (line.split() for line in lines)]

    def wait_for_readers(self, count: int) -> None:
        """Until so many workers have begun to read."""
        wait_for(lambda: len({process for process, _ in self.readings()}) >= count, "readers")

    def kill_readers(self, count: int) -> None:
        """SIGKILL so many workers, each while it reads."""
        killed: set[int] = set()
        while len(killed) < count:
            wait_for(lambda: {process for process, _ in self.readings()} - killed, "reader to kill")
            for process in sorted({process for process, _ in self.readings()} - killed)[: count - len(killed)]:
                os.kill(process, signal.SIGKILL)
                killed.add(process)

    def stop(self) -> None:
        for process in reversed(self.processes):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def start_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Cluster]]:
    """Starts schedulers without workers; all of them end with the session."""
    pytest.importorskip("distributed")
    clusters: list[Cluster] = []

    def start() -> Cluster:
        clusters.append(Cluster(tmp_path_factory.mktemp("cluster")))
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(start_cluster: Callable[[], Cluster]) -> Cluster:
    """A scheduler and four workers that come back when they are killed."""
    found = start_cluster()
    found.add(4)
    return found
