from __future__ import annotations

import numpy as np
import pytest

from relucli.inspection.statistics import ColumnStatistics, column_statistics
from relucli.storage.dataset import MemoryRows
from relucli.streaming.blocks import group_rows
from relucli.streaming.fold import Engine

DIM = 5
ROWS = 2 * group_rows(DIM) + 7


def rows_of(scale=1.0, shift=0.0, count=ROWS):
    rng = np.random.default_rng(0)
    return MemoryRows(shift + scale * rng.standard_normal((count, DIM)), rng.standard_normal(count))


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1e-9, 1e3), (1e200, 0), (1e-200, 0), (0, 7)])
def test_full_statistics_are_those_of_numpy(workers, scale, shift):
    rows = rows_of(scale, shift)
    found = column_statistics(rows, Engine(workers), full=True)
    assert found.rows == rows.samples
    columns = [*rows.x.T, rows.y]
    for column, stats in zip(columns, [*found.inputs, found.label], strict=True):
        centred = column - column[0]
        unit = np.abs(centred).max() or 1.0
        sd = unit * np.std(centred / unit)
        assert (stats.min, stats.max) == (column.min(), column.max())
        # Rounding: one unit of the largest number for the mean; the differences from the shift are exact to that too.
        slack = 8 * np.finfo(float).eps * np.abs(column).max()
        assert abs(stats.mean - (column[0] + unit * np.mean(centred / unit))) <= slack
        assert abs(stats.sd - sd) <= slack + 1e-12 * sd


def test_a_sample_is_of_rows_from_all_over_the_dataset():
    rows = rows_of(count=400_000)
    rows.x[:, 0] = np.arange(400_000)
    found = column_statistics(rows, Engine(), full=False)
    assert 100_000 <= found.rows < 120_000
    assert found.inputs[0].min == 0
    assert found.inputs[0].max > 300_000


def test_statistics_do_not_depend_on_workers():
    rows = rows_of()
    one, three = (column_statistics(rows, Engine(workers), full=True) for workers in (1, 3))
    assert one == three


def test_ranges_merge_in_any_order():
    shift, scale = np.zeros(DIM + 1), np.ones(DIM + 1)
    rows = rows_of(count=300)
    whole = Engine().fold(ColumnStatistics(shift, scale), rows).result()
    halves = [MemoryRows(rows.x[part], rows.y[part]) for part in (slice(100), slice(100, 300))]
    a, b = (Engine().fold(ColumnStatistics(shift, scale), half) for half in halves)
    b.merge(a)
    joined = b.result()
    assert [(c.min, c.max) for c in joined.inputs] == [(c.min, c.max) for c in whole.inputs]
    assert joined.rows == 300
