"""Units of a dataset: powers of two, near the spread of each column, whatever a few rows hold."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relucli.errors import DataError
from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.moments.scaling import Scaling
from relucli.storage.dataset import MemoryRows
from relucli.streaming.blocks import Span
from relucli.streaming.fold import Engine

N, DIM = 2000, 3


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, DIM)), rng.standard_normal(N)


def units(x, y):
    found = Scaling.of(MemoryRows(x, y))
    return [*found.inputs.tolist(), found.labels]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-900, 900), min_size=DIM, max_size=DIM), st.integers(-460, 460), st.floats(-100, 100))
def test_units_follow_powers_of_two_exactly(data, inputs, labels, shift):
    assume(np.abs(np.subtract(inputs, np.median(inputs))).max() != 1)  # columns as alike as that share a unit
    x, y = data[0] + shift, data[1]
    known = Scaling.of(MemoryRows(x, y))
    scaled = MemoryRows(np.ldexp(x, inputs), np.ldexp(y, labels))
    found = Scaling.of(scaled)
    # Columns that are alike share a unit; here, of standard deviation one, that is 1 anyway.
    assert known.trivial
    assert found.inputs.tolist() == inputs
    assert found.labels == labels
    block = found.rows(scaled).block(Span(0, N))
    np.testing.assert_array_equal(block.x, x)
    np.testing.assert_array_equal(block.y, y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12, 1e30])
def test_numbers_are_near_one_in_their_units(data, scale, dtype):
    rows = MemoryRows((scale * data[0]).astype(dtype), data[1])
    block = Scaling.of(rows).rows(rows).block(Span(0, N))
    assert 0.6 < block.x.std() < 1.6
    assert block.x.dtype == dtype


def test_standard_normal_rows_stay_as_they_are_however_few(data):
    for n in (20, 40, 100, N):
        assert Scaling.of(MemoryRows(data[0][:n], data[1][:n])).inputs.tolist() == [0] * DIM


def test_a_few_outliers_do_not_change_the_units(data):
    x, y = data[0].copy(), data[1].copy()
    x[5, 1], y[9] = 1e300, -1e300
    assert units(x, y) == units(*data)


def test_units_of_columns_that_hardly_vary():
    ramp = np.linspace(-600, 600, 1000)
    sparse = np.where(ramp > 500, ramp * 2.0**60, 0.0)
    x = np.column_stack([np.zeros(1000), np.full(1000, 2.0**80), sparse, ramp, np.full(1000, 5e-324)])
    inputs = units(x, ramp)[:-1]
    assert inputs[0] == 0
    assert inputs[1] == 80
    assert inputs[2] == round(60 + np.log2(1.4826 * 550))
    assert inputs[3] == round(np.log2(1.4826 * 300))
    assert inputs[4] == -1074


@pytest.mark.parametrize("n", [1, 2])
def test_hardly_any_rows(data, n):
    assert len(units(data[0][:n], data[1][:n])) == DIM + 1


@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e300, 1e-300, 1e-310])
def test_labels_whose_squares_are_out_of_range_are_refused(data, scale):
    with pytest.raises(DataError, match=r"^y holds labels of size .*, whose squares are out of range; rescale them$"):
        Scaling.of(MemoryRows(data[0], scale * data[1]))


def test_moments_keep_their_units(data):
    rows = MemoryRows(np.ldexp(data[0], [40, -40, 0]), 8 * data[1])
    taken = estimate_moments(rows, MomentSettings(), Engine(), scaling=Scaling.of(rows))
    plain = estimate_moments(MemoryRows(*data), MomentSettings(), Engine())
    for name, total in plain.sums.sums.items():
        np.testing.assert_array_equal(taken.sums.sums[name], total)
    again = Moments.restore(taken.arrays(), taken.scalars(), "")
    assert again.scaling.inputs.tolist() == [40, -40, 0]
    assert again.scaling.labels == 3
    assert again.scaling.label(1.5) == 12.0
    assert again.scaling.label(1.5, 2) == 96.0
