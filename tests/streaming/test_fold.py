import math
import re
import threading

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from relucli.errors import DataError, UsageError
from relucli.storage.dataset import MemoryRows, open_dataset
from relucli.streaming import blocks as partition
from relucli.streaming.accumulator import Accumulator
from relucli.streaming.fold import DEFAULT_MEMORY, Engine

DIM = 7


class Gram(Accumulator):
    """A product whose bits depend on the order of the rows, and a trace of what was read."""

    def __init__(self, dim, scratch=0, size=0):
        self.dim, self.bytes, self.size = dim, scratch, size
        self.starts, self.threads = [], set()
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self):
        return {"xx": (self.dim, self.dim), "xy": (self.dim,), "count": (), "ballast": (self.size,)}

    def scratch(self, rows):
        return self.bytes

    def update(self, block):
        self.starts.append(block.start)
        self.threads.add(threading.get_ident())
        self.sums["xx"] += block.wide.T @ block.wide
        self.sums["xy"] += block.y @ block.wide
        self.sums["count"] += len(block.y)


class Meeting(Gram):
    """Waits in every block until as many workers are there, or gives up."""

    def __init__(self, dim, parties, **options):
        super().__init__(dim, **options)
        self.barrier, self.met = threading.Barrier(parties), []

    def update(self, block):
        try:
            self.barrier.wait(0.3)
            self.met.append(True)
        except threading.BrokenBarrierError:
            self.met.append(False)
        super().update(block)


class Broken(Gram):
    def update(self, block):
        if block.start >= 300:
            raise ZeroDivisionError(f"at row {block.start}")
        super().update(block)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 64 rows and groups of 256, so that few rows make many."""
    monkeypatch.setattr(partition, "STRIPE_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "ROWS_PER_COLUMN", 256 // DIM)


@pytest.fixture
def data():
    rng = np.random.default_rng(1)
    return rng.standard_normal((1500, DIM)) * np.geomspace(1e-3, 1e3, DIM), rng.standard_normal(1500)


def rows_in(kind, folder, x, y):
    cuts = {"memory": [], "file": [], "shards at groups": [512, 1024], "files": [1, 130, 131, 999]}[kind]
    if kind == "memory":
        return MemoryRows(x, y)
    paths = []
    for i, (a, b) in enumerate(zip([0, *cuts], [*cuts, len(y)], strict=True)):
        paths.append(folder / f"{i}.h5")
        with h5py.File(paths[-1], "w") as file:
            file["x"], file["y"] = x[a:b], y[a:b]
    return open_dataset(paths)


def same(a, b):
    return all(np.array_equal(a.sums[key], b.sums[key]) for key in a.sums)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", ["memory", "file", "shards at groups", "files"])
def test_sums_are_the_same_to_the_bit_however_they_are_taken(tmp_path, data, kind, dtype):
    x, y = data[0].astype(dtype), data[1]
    reference = Engine().fold(Gram(DIM), MemoryRows(x, y))
    np.testing.assert_allclose(reference.sums["xx"], x.T.astype(float) @ x.astype(float), rtol=1e-12, atol=1e-9)
    assert reference.sums["count"] == 1500
    rows = rows_in(kind, tmp_path, x, y)
    for workers in (1, 2, 3, 8):
        for memory in (2**16, 2**20, DEFAULT_MEMORY):
            assert same(Engine(workers, memory).fold(Gram(DIM), rows), reference), (workers, memory)


def test_sums_over_blocks_of_full_size_are_the_same_for_any_workers():
    rng = np.random.default_rng(2)
    rows = MemoryRows(rng.standard_normal((9000, 200)), rng.standard_normal(9000))
    assert len(partition.groups(9000, 200)) == 2
    one, two = (Engine(workers).fold(Gram(200), rows) for workers in (1, 2))
    assert same(one, two)


@pytest.mark.usefixtures("small_blocks")
def test_sums_of_shards_of_a_power_of_two_groups_merge_to_the_whole(data):
    x, y = data
    parts = [Engine().fold(Gram(DIM), MemoryRows(x[cut], y[cut])) for cut in (slice(1024), slice(1024, None))]
    parts[0].merge(parts[1])
    assert same(parts[0], Engine().fold(Gram(DIM), MemoryRows(x, y)))


@pytest.mark.usefixtures("small_blocks")
def test_every_block_is_read_once_and_the_empty_accumulator_stays_empty(data):
    empty = Gram(DIM)
    Engine(3).fold(empty, MemoryRows(*data))  # the copies share the list of starts
    assert sorted(empty.starts) == list(range(0, 1500, 64))
    assert not any(total.any() for total in empty.sums.values())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [1, 2])
def test_passes_rows_and_bytes_are_counted(tmp_path, data, workers):
    told = []
    engine = Engine(workers, progress=lambda *news: told.append(news))
    rows = rows_in("files", tmp_path, data[0].astype(np.float32), data[1])
    engine.fold(Gram(DIM), rows, "first")
    assert (engine.passes, engine.rows_read, engine.bytes_read) == (1, 1500, 1500 * (4 * DIM + 8))
    assert told == [("first", min(stop, 1500), 1500) for stop in range(256, 1537, 256)]
    engine.fold(Gram(DIM), rows)
    assert (engine.passes, engine.rows_read, engine.bytes_read) == (2, 3000, 3000 * (4 * DIM + 8))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_an_error_in_a_group_ends_the_pass(data, workers):
    engine = Engine(workers)
    with pytest.raises(ZeroDivisionError, match=r"^at row 320$"):
        engine.fold(Broken(DIM), MemoryRows(*data))
    assert engine.passes == 0
    assert engine.rows_read == 256


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [1, 3])
def test_the_first_bad_row_is_reported_for_any_workers(data, workers):
    x, y = data
    x[700, 2], x[1300, 0] = np.nan, np.inf
    with pytest.raises(DataError, match="row 700"):
        Engine(workers).fold(Gram(DIM), MemoryRows(x, y))


@pytest.mark.usefixtures("small_blocks")
def test_workers_run_at_the_same_time(data):
    meeting = Meeting(DIM, 2)
    Engine(2).fold(meeting, MemoryRows(data[0][:512], data[1][:512]))
    assert meeting.met == [True] * 8
    assert len(meeting.threads) == 2


@pytest.mark.usefixtures("small_blocks")
def test_only_as_many_workers_run_as_fit_into_memory(data):
    # Two workers of 1 MiB scratch each do not fit into 2 MiB beside the sums.
    meeting = Meeting(DIM, 2, scratch=2**20)
    Engine(8, memory=2 * 2**20).fold(meeting, MemoryRows(data[0][:512], data[1][:512]))
    assert meeting.met == [False] * 8
    assert meeting.threads == {threading.get_ident()}


def test_each_worker_has_one_blas_thread(data):
    seen = []

    class Watch(Gram):
        def update(self, block):
            seen.extend(lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas")

    Engine().fold(Watch(DIM), MemoryRows(*data))
    assert seen
    assert set(seen) == {1}


def test_too_little_memory_is_refused_before_reading(data):
    # One group: two sums of 1 MiB are held, a third is filled, and 6,400 bytes hold a block of 100 rows of 3.
    rows, empty = MemoryRows(data[0][:100, :3], data[1][:100]), Gram(3, size=2**17 - 13)
    assert empty.nbytes == 2**20
    engine = Engine(memory=3 * 2**20)
    with pytest.raises(UsageError) as caught:
        engine.fold(empty, rows)
    assert str(caught.value) == "--memory 3MiB is too small for this pass: pass --memory 4MiB"
    assert empty.starts == []
    assert engine.passes == engine.rows_read == 0
    assert Engine(memory=4 * 2**20).fold(empty, rows).sums["count"] == 100


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**18), st.integers(0, 5 * 2**20), st.integers(1, 40_000))
def test_the_memory_that_a_refusal_asks_for_is_enough_and_a_mebibyte_less_is_not(size, scratch, samples):
    rows = MemoryRows(np.zeros((samples, 1)), np.zeros(samples))
    empty = Gram(1, scratch, size)
    with pytest.raises(UsageError) as caught:
        Engine(memory=0)._executor(empty, rows)
    need = int(re.fullmatch(r"--memory 0MiB is too small for this pass: pass --memory (\d+)MiB", str(caught.value))[1])
    Engine(memory=need * 2**20)._executor(empty, rows)
    with pytest.raises(UsageError):
        Engine(memory=(need - 1) * 2**20)._executor(empty, rows)
    assert need * 2**20 >= empty.nbytes * (math.ceil(math.log2(len(partition.groups(samples, 1)))) + 2) + scratch
