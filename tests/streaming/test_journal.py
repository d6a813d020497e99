"""A pass that stops anywhere and goes on, with work cut as it was or in another way, gives the same sums to the bit."""

import numpy as np
import pytest

from relucli.storage.dataset import MemoryRows
from relucli.streaming import blocks as partition
from relucli.streaming.accumulator import Accumulator
from relucli.streaming.executors import SerialExecutor
from relucli.streaming.fold import Engine

DIM = 3


class Sums(Accumulator):
    """Sums whose bits depend on the order of the rows."""

    def __init__(self):
        self.sums = {"xy": np.zeros(DIM)}

    def shapes(self):
        return {"xy": (DIM,)}

    def update(self, block):
        self.sums["xy"] += block.y @ block.wide


class Runs(SerialExecutor):
    """Folds runs of groups, as a cluster does, and stops after some of them."""

    def __init__(self, size, stop=None):
        self.size, self.stop, self.folded = size, stop, 0

    def grain(self, groups):
        return self.size

    def map(self, function, items):
        for item in items:
            if self.folded == self.stop:
                raise KeyboardInterrupt
            self.folded += 1
            yield function(item)


class Memory:
    """A journal in memory, which keeps copies as a file would."""

    def __init__(self):
        self.number, self.kept, self.calls = -1, {}, []

    def begin(self, name, empty):
        self.number += 1
        self.calls.append(name)
        sums = self.kept.get(self.number, [])
        return [(size, empty.filled({key: total.copy() for key, total in kept.items()})) for size, kept in sums]

    def reached(self, nodes):
        self.kept[self.number] = [(size, {key: t.copy() for key, t in node.sums.items()}) for size, node in nodes]

    def merging(self):
        self.calls.append("merging")

    def end(self, groups, total):
        self.reached([(groups, total)])


class Stored(MemoryRows):
    """Rows that may go to a cluster."""

    stored = True


@pytest.fixture
def rows(monkeypatch):
    """Rows of so many groups, of 256 rows but for the last."""
    monkeypatch.setattr(partition, "STRIPE_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "ROWS_PER_COLUMN", 256 // DIM)
    rng = np.random.default_rng(1)

    def make(groups):
        n = 256 * groups - 100
        return Stored(rng.standard_normal((n, DIM)) * [1e-3, 1, 1e3], rng.standard_normal(n))

    return make


def fold(rows, executor, journal):
    return Engine(cluster=executor, journal=journal).fold(Sums(), rows, "sums").sums["xy"]


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 8, 13])
def test_a_pass_goes_on_where_it_stopped(rows, groups):
    data = rows(groups)
    whole = Engine().fold(Sums(), data).sums["xy"]
    for before in (1, 2, 4):
        for stop in range(-(-groups // before) + 1):
            for after in (1, 2, 4):
                journal, first, second = Memory(), Runs(before, stop), Runs(after)
                if stop < -(-groups // before):
                    with pytest.raises(KeyboardInterrupt):
                        fold(data, first, journal)
                else:
                    fold(data, first, journal)
                journal.number = -1
                assert np.array_equal(fold(data, second, journal), whole), (before, stop, after)
                done = min(groups, before * stop)
                left = 0 if done == groups else -(-(groups - done // after * after) // after)
                assert second.folded <= left + (after > before)


def test_a_pass_that_is_done_is_not_taken_again(rows):
    data, journal, again = rows(5), Memory(), Runs(1)
    engine = Engine(cluster=Runs(1), journal=journal)
    first, second = engine.fold(Sums(), data, "a").sums["xy"], engine.fold(Sums(), data, "b").sums["xy"]
    journal.number = -1
    engine = Engine(cluster=again, journal=journal)
    assert np.array_equal(engine.fold(Sums(), data, "a").sums["xy"], first)
    assert np.array_equal(engine.fold(Sums(), data, "b").sums["xy"], second)
    assert (again.folded, engine.passes, engine.rows_read) == (0, 2, 0)
    assert [call for call in journal.calls if call != "merging"] == ["a", "b", "a", "b"]


def test_nodes_are_told_of_only_while_they_do_not_change(rows):
    class Watching(Memory):
        """Compares what is true of the nodes while the next group is folded with what was told."""

        live = None

        def reached(self, nodes):
            super().reached(nodes)
            self.live = [node for _, node in nodes]

        def merging(self):
            if self.live is not None:
                told = [sums["xy"] for _, sums in self.kept[self.number]]
                assert all(np.array_equal(node.sums["xy"], sums) for node, sums in zip(self.live, told, strict=True))
            self.live = None

        def end(self, groups, total):
            assert self.live is None

    fold(rows(7), Runs(1), Watching())
