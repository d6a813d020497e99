from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from relucli.network import ReluNetwork
from relucli.report.survey import survey
from relucli.scoring import score
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine


@pytest.fixture
def network():
    weights = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    return ReluNetwork(weights, np.array([2.0, -1.0]), np.array([0.5, 0.0]))


@pytest.fixture
def rows(network):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((40_000, 3))
    return MemoryRows(x, network(x) + 0.1 * rng.standard_normal(len(x)))


def test_counts_are_those_of_numpy(network, rows):
    directions = np.eye(3)[:, :2]
    seen = survey(network, directions, rows, Engine())
    cells, _, _ = np.histogram2d(network(rows.x), rows.y, bins=[seen.label_edges] * 2)
    np.testing.assert_array_equal(seen.fit, cells)
    for j in range(2):
        cells, _, _ = np.histogram2d(rows.x[:, j], rows.y, bins=[seen.direction_edges[j], seen.label_edges])
        np.testing.assert_array_equal(seen.summary[j], cells)


def test_partial_residuals_are_means_within_bins(network, rows):
    seen = survey(network, np.eye(3)[:, :1], rows, Engine())
    z = rows.x @ network.weights[1]
    partial = rows.y - network(rows.x) - np.maximum(z, 0)
    at = np.digitize(z, seen.line_edges[1]) - 1
    bins = [b for b in range(seen.line_edges.shape[1] - 1) if (at == b).sum() >= 2]
    middle, mean, se = seen.residuals(1)
    np.testing.assert_allclose(middle, [z[at == b].mean() for b in bins], rtol=1e-9)
    np.testing.assert_allclose(mean, [partial[at == b].mean() for b in bins], rtol=1e-9)
    wanted = [partial[at == b].std(ddof=1) / np.sqrt((at == b).sum()) for b in bins]
    np.testing.assert_allclose(se, wanted, rtol=1e-6)


def test_partial_residuals_show_the_kink_of_the_truth_and_not_that_of_the_fit(network, rows):
    wrong = ReluNetwork(network.weights, np.array([2.0, 1e-9]), network.biases)
    z, mean, se = survey(wrong, np.eye(3)[:, :1], rows, Engine()).residuals(1)
    # Least squares of the partial residual on the planted ReLU finds its coefficient, though the fit has none.
    relu = np.maximum(z, 0)
    weight = 1 / se**2
    slope = (weight * relu * mean).sum() / (weight * relu * relu).sum()
    assert abs(slope + 1) < 5 / np.sqrt((weight * relu * relu).sum())


def test_the_score_is_that_of_evaluate_and_nothing_depends_on_workers(network, rows):
    one, two = (survey(network, np.eye(3)[:, :2], rows, Engine(workers)) for workers in (1, 2))
    assert one.score == score(network, rows, Engine())
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_a_constant_label_has_cells_about_it():
    rows = MemoryRows(np.random.default_rng(0).standard_normal((100, 2)), np.full(100, 3.0))
    seen = survey(ReluNetwork(np.empty((0, 2)), np.empty(0), offset=3.0), np.empty((2, 0)), rows, Engine())
    assert seen.fit.sum() == 100
    assert seen.partial.shape[0] == 0


def test_the_farthest_rows_are_left_out_not_heaped_up(network):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40_000, 3))
    y = network(x)
    y[:4] = 1e6
    seen = survey(network, np.eye(3)[:, :1], MemoryRows(x, y), Engine())
    assert seen.label_edges[-1] < 100
    assert 39_900 < seen.fit.sum() <= 39_996
