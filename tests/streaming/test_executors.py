import platform
import subprocess
import sys
import threading

import pytest

from relucli.streaming.executors import SerialExecutor, ThreadExecutor


def repr_of(executor):
    return f"{type(executor).__name__}-{executor.workers}"


@pytest.fixture(params=[SerialExecutor(), *map(ThreadExecutor, (1, 2, 5))], ids=repr_of)
def executor(request):
    return request.param


def test_results_come_in_the_order_of_the_items(executor):
    gates = [threading.Event() for _ in range(40)]

    def work(i):
        gates[i].set()
        if executor.workers > 1 and i % 2 == 0 and i + 1 < len(gates):
            gates[i + 1].wait(10)  # so that odd items end before even ones
        return i * i

    assert list(executor.map(work, range(40))) == [i * i for i in range(40)]


def test_no_items_give_no_results(executor):
    assert list(executor.map(str, [])) == []


def test_an_error_reaches_the_caller_after_the_results_before_it(executor):
    def work(i):
        if i == 3:
            raise ZeroDivisionError("item 3")
        return i

    with pytest.raises(ZeroDivisionError, match=r"^item 3$"):
        list(executor.map(work, range(10)))
    results = executor.map(work, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_at_most_one_item_more_than_workers_is_begun_ahead_of_the_caller(executor):
    begun = []

    def items():
        for i in range(50):
            begun.append(i)
            yield i

    for done, _ in enumerate(executor.map(str, items()), start=1):
        assert len(begun) - done <= executor.workers


def test_an_error_leaves_the_rest_undone(executor):
    started = []

    def work(i):
        started.append(i)
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        list(executor.map(work, range(100)))
    assert len(started) <= executor.workers + 1


def test_a_caller_may_stop_early(executor):
    results = executor.map(str, range(100))
    assert next(results) == "0"
    results.close()


def test_threads_work_at_the_same_time():
    meeting = threading.Barrier(3)
    assert sorted(ThreadExecutor(3).map(lambda _: meeting.wait(10), range(3))) == [0, 1, 2]


def test_serial_stays_in_the_calling_thread():
    assert set(SerialExecutor().map(lambda _: threading.get_ident(), range(3))) == {threading.get_ident()}


FAULTS = """
import resource
import numpy as np
from relucli.network import ReluNetwork
from relucli.scoring import ScoreAccumulator
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

rows = MemoryRows(np.ones((2**19, 10)), np.ones(2**19))
network, engine = ReluNetwork(np.eye(5, 10), np.ones(5)), Engine(workers={workers})
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    engine.fold(ScoreAccumulator(network), rows)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep pages by rules of their own")
@pytest.mark.parametrize("workers", [1, 2])
def test_arrays_of_a_block_take_the_pages_of_those_before(workers):
    done = subprocess.run([sys.executable, "-c", FAULTS.format(workers=workers)], capture_output=True, text=True)
    # Of the hidden values of one block there are 160 pages, and the pass has 32 blocks; threads' stacks take some.
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 160 * 32 / 4
