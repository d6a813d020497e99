from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from relucli.errors import DataError, UsageError
from relucli.learning import dimension
from relucli.learning.dimension import DimensionOptions, PermutedSums, SegmentSums, span_dimension
from relucli.learning.subspace import estimate_subspace
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.network import ReluNetwork
from relucli.storage.dataset import MemoryRows
from relucli.streaming.blocks import Span
from relucli.streaming.fold import Engine

SETTINGS = MomentSettings((1,), 0, 16, 0)


def planar(samples, dim, seed=0, noise=0.1):
    """Eight neurons in a plane with alternating signs: moments below order four vanish."""
    angles = np.arange(8) * np.pi / 4
    weights = np.zeros((8, dim))
    weights[:, 0], weights[:, 1] = np.cos(angles), np.sin(angles)
    network = ReluNetwork(weights, np.where(np.arange(8) % 2, -1.0, 1.0))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((samples, dim))
    return MemoryRows(x, network(x) + noise * rng.standard_normal(samples))


def frame_of(rows):
    return dimension._frame(estimate_moments(rows, SETTINGS, Engine()), 0)[0]


def whole(frame, rows):
    return rows.block(Span(0, rows.samples)), *frame.of(rows.block(Span(0, rows.samples)))


def spectrum(z, functions):
    """Eigenvalues of K from its definition."""
    z = z - z.mean(axis=0)
    values, vectors = np.linalg.eigh(z.T @ z / len(z))
    z = z @ (vectors / np.sqrt(values))
    total = np.zeros((z.shape[1],) * 2)
    for phi in (functions[:, 1:]).T:
        matrix = (z * phi[:, None]).T @ z / len(z) - phi.mean() * np.eye(z.shape[1])
        vector = z.T @ phi / len(z)
        total += matrix @ matrix.T + np.outer(vector, vector)
    return np.linalg.eigvalsh(total)[::-1]


def test_eigenvalues_are_those_that_learn_shows():
    rows = planar(5000, 6)
    found = span_dimension(rows, DimensionOptions(permutations=0), Engine())
    span = estimate_subspace(estimate_moments(rows, SETTINGS, Engine()), "sliced", "on", 4)
    np.testing.assert_allclose(found.eigenvalues, span.eigenvalues, rtol=1e-8)
    assert found.null == span.null
    assert found.tests == ()
    assert found.dimension is None


@pytest.mark.parametrize("m", [0, 1, 3])
def test_permuted_sums_are_those_of_permuted_rows(m):
    rows = planar(300, 5)
    frame = frame_of(rows)
    block, z, functions = whole(frame, rows)
    sums, actual = PermutedSums(frame, 2, 3, 7), SegmentSums(frame, 4, rows.samples)
    sums.update(block)
    actual.update(block)
    rng = np.random.default_rng([7, 9, 0])
    for b in range(2):
        order = rng.permutation(len(z))
        moved = np.column_stack([z[order, :m], z[:, m:]])
        found = dimension._eigenvalues(*sums.moments(b, m, actual))
        np.testing.assert_allclose(found, spectrum(moved, functions[order]), rtol=1e-9)


def test_products_are_formed_in_parts_that_do_not_matter(monkeypatch):
    rows = planar(1000, 4)
    frame = frame_of(rows)
    block, found = whole(frame, rows)[0], []
    for floats in (2**22, 1):
        monkeypatch.setattr(dimension, "PAIRS_AT_ONCE", floats)
        found.append(PermutedSums(frame, 3, 2, 1))
        found[-1].update(block)
    for name, total in found[0].sums.items():
        np.testing.assert_allclose(found[1].sums[name], total, atol=1e-9)


def test_standard_errors_are_those_of_leaving_segments_out():
    rows = planar(1003, 4)
    frame = frame_of(rows)
    _, z, functions = whole(frame, rows)
    segment = np.arange(1003) * 20 // 1003
    left = np.array([1003 * spectrum(z[segment != j], functions[segment != j]) for j in range(20)])
    wanted = np.sqrt(19 / 20 * ((left - left.mean(axis=0)) ** 2).sum(axis=0))
    found = span_dimension(rows, DimensionOptions(permutations=0), Engine())
    np.testing.assert_allclose(found.errors, wanted, rtol=1e-7)
    np.testing.assert_allclose(found.high - found.eigenvalues, 2.093024 * wanted, rtol=1e-6)
    np.testing.assert_allclose(found.low, np.maximum(found.eigenvalues - 2.093024 * wanted, 0), rtol=1e-6)


def test_nothing_depends_on_workers_or_on_who_took_the_moments():
    rows = planar(40_000, 70)
    options = DimensionOptions(most=1, permutations=2)
    taken = estimate_moments(rows, SETTINGS, Engine())
    first, second = span_dimension(rows, options, Engine(1)), span_dimension(rows, options, Engine(2), taken)
    assert first.tests == second.tests
    np.testing.assert_array_equal(first.eigenvalues, second.eigenvalues)
    np.testing.assert_array_equal(first.errors, second.errors)


def test_one_pass_with_moments_and_two_without():
    rows, engine = planar(2000, 4), Engine()
    span_dimension(rows, DimensionOptions(permutations=1), engine)
    assert engine.passes == 2


def test_linear_maps_of_the_inputs_change_nothing():
    rows = planar(3000, 5, seed=1)
    map_ = np.random.default_rng(4).standard_normal((5, 5))
    moved = MemoryRows(rows.x @ map_ + np.arange(5.0), rows.y)
    options = DimensionOptions(permutations=39)
    first, second = span_dimension(rows, options, Engine()), span_dimension(moved, options, Engine())
    np.testing.assert_allclose(first.eigenvalues, second.eigenvalues, rtol=1e-8)
    assert first.tests[0].p_value == second.tests[0].p_value
    assert first.dimension == second.dimension == 2


def test_the_plane_of_alternating_neurons_is_found():
    found = span_dimension(planar(4000, 8), DimensionOptions(permutations=99), Engine())
    assert found.dimension == 2
    assert [test.p_value for test in found.tests[:2]] == [0.01, 0.01]
    assert (found.low[:2] > found.null).all()


def test_labels_independent_of_the_inputs_are_rejected_at_the_level_alone():
    rng, trials = np.random.default_rng(11), 120
    options = DimensionOptions(most=1, permutations=19, slices=6)
    below = 0
    for trial in range(trials):
        rows = MemoryRows(rng.standard_normal((200, 3)), rng.standard_normal(200))
        found = span_dimension(rows, replace(options, seed=trial), Engine())
        below += found.tests[0].p_value <= 0.05
    # One in twenty exactly, as any of the twenty orders may be the largest.
    assert binom.cdf(below, trials, 0.05) > 1e-4
    assert binom.sf(below - 1, trials, 0.05) > 1e-4


def test_what_cannot_be_tested_says_why():
    x = np.random.default_rng(0).standard_normal((100, 3))
    with pytest.raises(DataError, match=r"^the labels fill only one slice"):
        span_dimension(MemoryRows(x, np.ones(100)), DimensionOptions(), Engine())
    with pytest.raises(DataError, match=r"^the covariance of x is singular"):
        span_dimension(MemoryRows(x[:, [0, 1, 1]], x[:, 0]), DimensionOptions(), Engine())
    with pytest.raises(UsageError, match=r"too small for this pass: pass --memory"):
        span_dimension(planar(2000, 30), DimensionOptions(), Engine(memory=2**22))
    whole = estimate_moments(planar(2000, 3), MomentSettings((1,), 0, 16, 0, "whole"), Engine())
    with pytest.raises(UsageError, match=r"^second moments by slices are needed"):
        span_dimension(planar(2000, 3), DimensionOptions(), Engine(), whole)
