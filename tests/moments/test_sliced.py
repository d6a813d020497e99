import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.integrate import quad
from scipy.stats import norm

from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.moments.gram import unpacked
from relucli.moments.sliced import SliceMoments, quantile_edges
from relucli.storage.dataset import MemoryRows
from relucli.streaming.accumulator import Block
from relucli.streaming.fold import Engine


@pytest.mark.parametrize("shift", [0.0, 2.5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_are_those_of_a_loop_over_rows(dtype, shift):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)).astype(dtype), rng.integers(-2, 4, 60).astype(float)
    before = x.copy()
    edges, shifts = np.array([-1.0, 0.5, 2.0]), shift * np.array([1.0, -1.0, 0.0])
    found = SliceMoments(3, edges, shifts)
    for i in range(0, 60, 17):
        found.update(Block(x[i : i + 17] - shifts, y[i : i + 17], i))
    expected = {name: np.zeros(shape) for name, shape in found.shapes().items()} | {"xx": np.zeros((4, 3, 3))}
    for row, label in zip(x.astype(float) - shifts, y, strict=True):
        h = sum(label >= edge for edge in edges)
        expected["count"][h] += 1
        expected["y"][h] += label
        expected["x"][h] += row
        expected["xx"][h] += np.outer(row, row)
    assert found.sums["count"].tolist() == expected["count"].tolist()
    found.sums["xx"] = unpacked(found.sums["xx"], 3)
    for name in expected:
        np.testing.assert_allclose(found.sums[name], expected[name], rtol=0, atol=1e-12)
    assert np.array_equal(x, before)


def test_a_slice_that_no_row_of_a_block_falls_into_is_left_alone():
    found = SliceMoments(1, np.array([0.0, 1.0, 2.0]), np.zeros(1))
    found.update(Block(np.array([[5.0]]), np.array([1.0]), 0))
    assert found.sums["count"].tolist() == [0, 0, 1, 0]
    assert found.sums["xx"].ravel().tolist() == [0, 0, 25, 0]


labels = hnp.arrays(np.float64, st.integers(1, 80), elements=st.one_of(st.floats(-1e6, 1e6), st.integers(0, 3)))


@given(labels, st.integers(0, 20))
def test_edges_increase_strictly_and_leave_no_outer_slice_empty(y, slices):
    edges = quantile_edges(y, slices)
    assert len(edges) <= max(0, slices - 1)
    assert (np.diff(edges) > 0).all()
    if len(edges):
        assert (y < edges[0]).any()
        assert (y >= edges[-1]).any()


def test_edges_are_quantiles():
    assert quantile_edges(np.arange(101.0), 4).tolist() == [25, 50, 75]
    assert quantile_edges(np.arange(5.0), 1).tolist() == quantile_edges(np.arange(5.0), 0).tolist() == []


def test_ties_make_fewer_larger_slices():
    half_zero = np.append(np.zeros(500), np.linspace(1, 2, 500))
    edges = quantile_edges(half_zero, 10)
    counts = np.bincount(np.searchsorted(edges, half_zero, side="right"))
    assert counts[0] == 500
    assert len(counts) == 10
    assert (counts[1:] >= 55).all()
    assert quantile_edges(np.full(9, 3.0), 4).tolist() == []
    assert quantile_edges(np.array([0.0, 0, 0, 1]), 2).tolist() == [1.0]


@pytest.mark.parametrize("seed", range(3))
def test_slices_of_one_neuron_are_truncated_normals(seed):
    # A slice of y = relu(z + b) is an interval of z = <w, x>.  20 slices of 9 numbers and 3 seeds: 6 standard
    # deviations of each, from the count of its slice, fail with probability 1e-6 altogether.
    rng, n, d = np.random.default_rng(seed), 40_000, 4
    w = np.linalg.qr(rng.standard_normal((d, d)))[0]
    x = rng.standard_normal((n, d))
    y = np.maximum(x @ w[:, 0] + 0.8, 0)
    moments = estimate_moments(MemoryRows(x, y), MomentSettings((1,), 0, 20), Engine())
    means, covariances = moments.slices(np.zeros(d), np.eye(d))
    ends = np.concatenate([[-np.inf], moments._sliced.edges - 0.8, [np.inf]])
    assert len(means) == len(ends) - 1 >= 15
    for m, c, a, b, count in zip(means, covariances, ends[:-1], ends[1:], moments.slice_count, strict=True):
        share = norm.cdf(b) - norm.cdf(a)
        assert abs(count - n * share) < 6 * np.sqrt(n * share)
        ez, ez2, ez4 = (quad(lambda z, i=i: z**i * norm.pdf(z), max(a, -12), min(b, 12))[0] / share for i in (1, 2, 4))
        bar = 6 / np.sqrt(count)
        along, across = w[:, 0] @ m, w[:, 1:].T @ m
        assert abs(along - ez) < bar * np.sqrt(ez2 - ez**2)
        assert np.abs(across).max() < bar
        turned = w.T @ c @ w
        assert abs(turned[0, 0] - (ez2 - 1)) < bar * np.sqrt(ez4 - ez2**2)
        assert np.abs(turned[0, 1:]).max() < bar * np.sqrt(ez2)
        assert np.abs(np.diag(turned)[1:]).max() < bar * np.sqrt(2)
        assert np.abs(np.triu(turned[1:, 1:], 1)).max() < bar


def test_slices_are_those_of_whitened_inputs():
    rng = np.random.default_rng(4)
    mean, root = np.array([500.0, -3.0, 0.2]), np.linalg.cholesky(np.diag([9.0, 0.01, 1.0]) + 0.005)
    z, y = rng.standard_normal((400, 3)), rng.standard_normal(400)
    moments = estimate_moments(MemoryRows(z @ root.T + mean, y), MomentSettings((1,), 0, 5), Engine())
    means, covariances = moments.slices(mean, root)
    h = np.searchsorted(moments._sliced.edges, y, side="right")
    assert moments._sliced.shift[2] == 0.0
    assert abs(moments._sliced.shift[0] - 500) < 1  # far from zero, so shifted by the pilot
    for i in range(5):
        rows = z[h == i]
        np.testing.assert_allclose(means[i], rows.mean(axis=0), atol=1e-10)
        np.testing.assert_allclose(covariances[i], rows.T @ rows / len(rows) - np.eye(3), atol=1e-9)


@pytest.mark.parametrize(
    ("y", "slices"), [(np.repeat([0.0, 1.0], 50), 16), (np.arange(10.0), 16)], ids=["two classes", "few rows"]
)
def test_slices_without_rows_do_no_harm(y, slices):
    x = np.random.default_rng(0).standard_normal((len(y), 2))
    moments = estimate_moments(MemoryRows(x, y), MomentSettings((1,), 0, slices), Engine())
    means, covariances = moments.slices(np.zeros(2), np.eye(2))
    used = moments.slice_count > 0
    assert np.isfinite(means[used]).all()
    assert np.isfinite(covariances[used]).all()
