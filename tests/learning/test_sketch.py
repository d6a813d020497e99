"""Moments that are only multiplied, against the same moments as matrices."""

import numpy as np
import pytest

from relucli.errors import UsageError
from relucli.learning.sketch import LABEL_FUNCTIONS, label_functions, metric_of, sketched, slice_settings
from relucli.learning.subspace import dependence, estimate_subspace
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.moments.sliced import others, slice_of
from relucli.storage.dataset import MemoryRows
from relucli.streaming import blocks as partition
from relucli.streaming.fold import Engine
from relucli.synthesis import plant


def taken(rows, second, seed=0):
    return estimate_moments(rows, MomentSettings((1,), 0, 16, seed, second), Engine())


def planted(d, k, n, seed, root=None, noise=0.3):
    rng = np.random.default_rng([seed, 1])
    net = plant("random", d, k, seed=seed)
    x = rng.standard_normal((n, d)) if root is None else 0.5 + rng.standard_normal((n, d)) @ root.T
    return net, MemoryRows(x, net(x) + noise * rng.standard_normal(n))


def correlated(d, seed=9):
    return np.linalg.cholesky(np.cov(np.random.default_rng(seed).standard_normal((d, 3 * d))))


@pytest.mark.parametrize(("second", "root"), [("columns", None), ("whole", None), ("whole", correlated(80))])
def test_products_are_those_of_the_matrices(second, root, monkeypatch):
    monkeypatch.setattr(partition, "STRIPE_BYTES", 2**16)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 2**16)
    _, rows = planted(80, 2, 3000, 0, root)
    moments = taken(rows, second)
    sketch = sketched(rows, moments, 5, Engine())
    metric = metric_of(moments, np.zeros(80))
    z = metric.whitened((rows.x - metric.mean).T).T
    functions = label_functions(moments.slice_count / 3000)
    step = partition.block_rows(80)
    blocks = [slice_of(rows.y[i : i + step], moments.edges) for i in range(0, 3000, step)]
    assert len(blocks) > 1
    for chain, label in (
        (sketch.labels, np.concatenate(blocks)),
        (sketch.chance, np.concatenate([others(block) for block in blocks])),
    ):
        np.testing.assert_allclose(chain.frame.T @ chain.frame, np.eye(chain.frame.shape[1]), atol=1e-10)
        for q in range(LABEL_FUNCTIONS):
            phi = functions[label, q] / np.sqrt(3000)
            np.testing.assert_allclose(chain.products[q], (z * phi[:, None]).T @ z @ chain.frame, atol=1e-8)
            np.testing.assert_allclose(chain.means[q], phi @ z, atol=1e-9)


@pytest.mark.parametrize("root", [None, correlated(55)])
def test_once_the_frame_is_everything_the_largest_value_is_that_of_the_matrices(root):
    # Five blocks of eleven columns fill 55 dimensions.
    _, rows = planted(55, 2, 4000, 1, root)
    sketch = sketched(rows, taken(rows, "whole"), 0, Engine())
    whole = taken(rows, "slices")
    exact = estimate_subspace(whole, "sliced", "off" if root is None else "on", 2)
    assert sketch.labels.largest() == pytest.approx(exact.eigenvalues[0], rel=2e-3)  # (N - 1 for N, and standard)


@pytest.mark.parametrize("seed", range(2))
def test_the_span_is_as_good_as_that_of_the_matrices(seed):
    d = 200
    net, rows = planted(d, 3, 20_000, seed)

    def missed(basis):
        q = np.linalg.qr(basis)[0]
        return np.linalg.norm(net.weights - net.weights @ q @ q.T)

    moments = taken(rows, "columns")
    found = estimate_subspace(moments, "sliced", "auto", 3, sketch=sketched(rows, moments, seed, Engine()))
    exact = estimate_subspace(taken(rows, "slices"), "sliced", "auto", 3)
    assert found.significant == exact.significant
    assert missed(found.basis) < 1.1 * missed(exact.basis)


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_other_rows_show_no_direction(seed):
    # The null is three standard deviations above, so one seed in 700 would fail.
    rng = np.random.default_rng([seed, 3])
    rows = MemoryRows(rng.standard_normal((12_000, 600)).astype(np.float32), rng.standard_normal(12_000))
    moments = taken(rows, "columns")
    sketch = sketched(rows, moments, seed, Engine())
    assert estimate_subspace(moments, "sliced", "auto", 3, sketch=sketch).significant == 0
    assert max(map(abs, dependence(moments, False, sketch))) < 4


def test_dependence_of_mean_and_spread_are_told_apart():
    rng = np.random.default_rng(4)
    x, noise = rng.standard_normal((20_000, 60)), rng.standard_normal(20_000)
    for labels, (mean, spread) in (
        (x[:, 0] + 0.1 * noise, (True, True)),
        (noise * (0.5 + (x[:, 0] > 0)), (False, True)),
    ):
        rows = MemoryRows(x, labels)
        moments = taken(rows, "columns")
        found = dependence(moments, False, sketched(rows, moments, 0, Engine()))
        assert (found[0] > 5, found[1] > 5) == (mean, spread)


def test_moments_with_matrices_need_no_sketch_and_one_slice_gives_none():
    _, rows = planted(5, 1, 500, 0)
    assert sketched(rows, taken(rows, "slices"), 0, Engine()) is None
    flat = MemoryRows(rows.x, np.ones(500))
    with pytest.raises(UsageError, match="no slice moments to find the subspace from"):
        sketched(flat, taken(flat, "columns"), 0, Engine())


@pytest.mark.parametrize(("whiten", "second"), [("auto", "auto"), ("on", "whole"), ("off", "columns")])
def test_wide_data_have_no_matrix_for_each_slice(whiten, second):
    assert slice_settings(100, 16, whiten, 3) == MomentSettings((1,), 0, 16, 3)
    assert slice_settings(5000, 8, whiten, 3) == MomentSettings((1,), 0, 8, 3, second)
