"""Learning without a large matrix and without a pilot in memory, at a size at which both ways can be compared."""

import h5py
import numpy as np
import pytest

from relucli.learning import pipeline, requirements, sketch
from relucli.learning.pipeline import LearnOptions, learn
from relucli.storage.dataset import open_dataset
from relucli.streaming import blocks as partition
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

D, K, N, NOISE = 60, 3, 30_000, 0.3


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setattr(sketch, "WIDE", 20)
    monkeypatch.setattr(requirements, "PILOT_BYTES", 0)
    monkeypatch.setattr(partition, "STRIPE_BYTES", 2**17)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 2**17)


def planted(seed, bias_sd=0.0, mean=0.0, root=None, noise=NOISE):
    rng = np.random.default_rng([seed, 5])
    net = plant("random", D, K, seed=seed, bias_sd=bias_sd)
    z = rng.standard_normal((N, D))
    x = mean + (z if root is None else z @ root.T)
    return net, x, net(x) + noise * rng.standard_normal(N)


def stored(folder, x, y):
    path = folder / "data.h5"
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = x, y
    return open_dataset([path], "x", "y")


def excess(found, net, mean=0.0, root=None):
    z = np.random.default_rng(11).standard_normal((40_000, D))
    x = mean + (z if root is None else z @ root.T)
    return float(np.mean((found(x) - net(x)) ** 2))


def root_of(seed):
    return np.linalg.cholesky(np.cov(np.random.default_rng(seed).standard_normal((D, 2 * D))))


@pytest.mark.parametrize(("bias_sd", "inputs"), [(0.0, "standard"), (0.0, "correlated"), (0.5, "correlated")])
def test_rows_on_disk_are_learnt_from_to_the_limit(bias_sd, inputs, wide, tmp_path):
    mean, root = (0.0, None) if inputs == "standard" else (0.4, root_of(1))
    net, x, y = planted(1, bias_sd, mean, root)
    bias = bias_sd > 0
    with stored(tmp_path, x, y) as rows:
        engine = Engine(2)
        found = learn(rows, LearnOptions(K, bias=bias), engine)
    assert found.network.neurons == K
    p = K * (D + bias) + bias
    limit = NOISE**2 * p / N
    # chi-squared of p degrees: four standard deviations; 10 % for what is lost to the second order at N = 160 p.
    assert excess(found.network, net, mean, root) < limit * (1.1 + 4 * np.sqrt(2 / p))
    assert all(finding.ok for finding in found.findings)
    assert engine.bytes_read >= found.passes * 0.2 * N * 8 * D


def test_standard_errors_are_those_of_rows_in_memory(wide, tmp_path):
    _, x, y = planted(2, 0.4)
    options = LearnOptions(K, bias=True)
    with stored(tmp_path, x, y) as rows:
        there = learn(rows, options, Engine(2))
    here = pipeline.standard_errors(
        there.fit.student,
        pipeline.sandwich(np.column_stack([x, np.ones(N)]), y, there.fit.student, pipeline.SQUARED, N),
        True,
    )
    # As in test_covariance, for n = 30,000 rows and 3 x 61 parameters.
    bound = 1.5 * 3 * np.sqrt(8 * there.fit.student.parameters / N)
    for name in ("weights", "within", "coefficients", "biases", "offset"):
        np.testing.assert_allclose(getattr(there.errors, name), getattr(here, name), rtol=bound)


def test_noise_free_rows_on_disk_are_recovered_exactly(wide, tmp_path):
    net, x, y = planted(3, noise=0.0)
    with stored(tmp_path, x, y) as rows:
        found = learn(rows, LearnOptions(K), Engine(2))
    assert excess(found.network, net) < 1e-20 * y.var()


def test_the_answer_depends_on_neither_workers_nor_memory(wide, tmp_path):
    _, x, y = planted(4)
    with stored(tmp_path, x[:8000], y[:8000]) as rows:
        one, two = (learn(rows, LearnOptions(K), engine) for engine in (Engine(1), Engine(2, 96 * 2**20)))
    np.testing.assert_array_equal(one.network.weights, two.network.weights)
    assert one.noise_std == two.noise_std
