"""Finite numbers whose sums are not: the row is named, wherever it is."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relucli.errors import DataError
from relucli.storage.dataset import MemoryRows, open_dataset
from relucli.storage.views import RelabelledRows, ShiftedRows, part
from relucli.streaming import blocks as partition
from relucli.streaming.accumulator import Accumulator
from relucli.streaming.fold import Engine

DIM = 3
WHY = ", too large beside the others: sums overflow; drop the row or correct it"


class Squares(Accumulator):
    """Sums of squares of all that a row holds."""

    def __init__(self):
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self):
        return {"xx": (), "yy": ()}

    def update(self, block):
        self.sums["xx"] += np.einsum("ni,ni->", block.wide, block.wide)
        self.sums["yy"] += block.y @ block.y


class Trial(Squares):
    guarded = False


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 64 rows and groups of 256."""
    monkeypatch.setattr(partition, "STRIPE_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "ROWS_PER_COLUMN", 256 // DIM)


def ones(rows):
    return np.ones((rows, DIM)), np.ones(rows)


def folded(rows, workers=1):
    return Engine(workers).fold(Squares(), rows)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 700), st.data())
def test_the_first_row_that_overflows_is_named(samples, data):
    x, y = ones(samples)
    row, column = data.draw(st.integers(0, samples - 1)), data.draw(st.integers(0, DIM))
    later = data.draw(st.integers(row, samples - 1))
    (y if column == DIM else x[:, column])[[row, later]] = -1e200
    what = f"y row {row}" if column == DIM else f"x row {row} column {column}"
    for workers in (1, 3):
        with pytest.raises(DataError) as error:
            folded(MemoryRows(x, y), workers)
        assert str(error.value) == f"{what} is -1e+200{WHY}"


def test_large_numbers_that_do_not_overflow_are_fine():
    x, y = ones(500)
    x[300], y[17] = 1e150, 1e150
    assert folded(MemoryRows(x, y)).finite


def test_rows_that_overflow_only_together():
    x, y = ones(300)
    y[200:210] = 1e154
    with pytest.raises(DataError, match=r"^y row 201 is 1e\+154, too large") as error:
        folded(MemoryRows(x, y))
    assert str(error.value).endswith(WHY)
    y[:] = 1.0
    y[[10, 280]] = 1.2e154
    with pytest.raises(DataError, match=r"^sums overflow over 300 rows, none of them alone; rescale the data$"):
        folded(MemoryRows(x, y))


def test_the_file_and_its_row_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, rows in (("a.h5", 100), ("b.h5", 400)):
        x, y = ones(rows)
        if name == "b.h5":
            x[333, 2] = 1e160
        with h5py.File(name, "w") as file:
            file["in"], file["out"] = x, y
    with open_dataset(["a.h5", "b.h5"], "in", "out") as rows, pytest.raises(DataError) as error:
        folded(rows)
    assert str(error.value) == f"b.h5: in row 333 column 2 is 1e+160{WHY}"


def test_views_name_the_rows_that_they_show():
    x, y = ones(640)
    x[575, 1] = 1e200
    rows = MemoryRows(x, y)
    stored = ShiftedRows(rows, np.ones(DIM))
    for seen in (stored, RelabelledRows(rows, y), part(stored, 3, True)):
        with pytest.raises(DataError) as error:
            folded(seen)
        assert str(error.value) == f"x row 575 column 1 is 1e+200{WHY}"
    assert folded(part(stored, 3, False)).finite


def test_what_a_trial_adds_up_to_is_its_own_affair():
    x, y = ones(9)
    y[3] = 1e200
    assert not Engine().fold(Trial(), MemoryRows(x, y)).finite
