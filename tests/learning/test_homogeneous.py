from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import chi2

from relucli.learning import search
from relucli.learning.homogeneous import BEYOND_REACH, _Identity, sigmas_out_of_reach
from relucli.learning.pipeline import LearnOptions, learn
from relucli.network import ReluNetwork
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

INPUTS = {
    "standard": lambda rng, n, d: rng.standard_normal((n, d)),
    "correlated, off zero": lambda rng, n, d: rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + 1.0,
    "uniform": lambda rng, n, d: rng.uniform(-1.7, 1.7, (n, d)),
    "heavy tails": lambda rng, n, d: rng.standard_t(5, (n, d)),
    "of changing size": lambda rng, n, d: rng.standard_normal((n, d)) * np.exp(0.1 * rng.standard_normal((n, 1))),
    "signs": lambda rng, n, d: rng.choice([-1.0, 1.0], (n, d)),
}


def unbiased(rng, d, k=3):
    weights = rng.standard_normal((k, d))
    return ReluNetwork(weights / np.linalg.norm(weights, axis=1, keepdims=True), rng.standard_normal(k))


def zero(x):
    return np.zeros(len(x))


def beyond(x, y, network, fitted=zero):
    return sigmas_out_of_reach(MemoryRows(x, y), fitted, np.linalg.qr(network.weights.T)[0], Engine())


def test_the_identity_sees_offset_and_biases_as_derived():
    rng, n = np.random.default_rng(0), 400_000
    x, b, c = rng.standard_normal((n, 3)), np.array([0.7, -0.4]), np.array([1.0, -2.0])
    y = ReluNetwork(np.eye(3)[:2], c, biases=b, offset=0.3)(x)
    terms = y * (_Identity(x).s - 1)
    wanted = -0.3 - c @ (b * [NormalDist().cdf(value) for value in b])
    assert abs(terms.mean() - wanted) < 5 * terms.std() / np.sqrt(n)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_its_spread_allows_for_the_estimated_mean_and_covariance(degree):
    rng, trials = np.random.default_rng(degree), 150
    squares = 0.0
    for _ in range(trials):
        x = rng.standard_normal((1000, 4)) @ np.diag([1, 2, 3, 4]) + 0.5
        y = np.abs(x[:, 0]) + 0.2 * rng.standard_normal(1000)
        squares += _Identity(x).sigmas(y * x[:, 1] ** degree, 1 + degree) ** 2
    assert chi2.cdf(squares, trials) > 1e-4
    assert chi2.sf(squares / 1.3, trials) > 1e-4  # heavier tails than Gaussian leave some of it in the spread


@pytest.mark.parametrize("law", INPUTS)
def test_no_network_without_biases_is_called_out_of_reach(law):
    rng = np.random.default_rng(5)
    for trial in range(25):
        x = INPUTS[law](rng, int(rng.choice([1000, 4000])), int(rng.choice([2, 10])))
        network = unbiased(rng, x.shape[1], int(rng.integers(1, 6)))
        y = network(x) + rng.choice([0.0, 0.3]) * rng.standard_normal(len(x))
        partly = ReluNetwork(network.weights[1:], network.coefficients[1:])
        found = beyond(x, y, network, partly if trial % 2 else zero)
        assert found is not None
        assert found < BEYOND_REACH


@pytest.mark.parametrize("more", [{"offset": 1.0}, {"biases": [0.6, -0.5, 0.4]}])
@pytest.mark.parametrize("law", ["standard", "correlated, off zero"])
def test_offsets_and_biases_are(law, more):
    rng = np.random.default_rng(1)
    x = INPUTS[law](rng, 20_000, 8)
    bare = ReluNetwork(np.eye(8)[:3], np.array([1.0, -0.8, 0.6]))
    network = ReluNetwork(bare.weights, bare.coefficients, **more)
    assert beyond(x, network(x), network, bare) > BEYOND_REACH


def test_too_few_rows_or_dependent_columns_tell_nothing():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2000, 3))
    network = unbiased(rng, 3)
    assert beyond(x[:900], network(x[:900]) + 1, network) is None
    x[:, 2] = 0.0
    assert beyond(x, network(x) + 1, network) is None


@pytest.mark.parametrize("neurons", [None, 3])
def test_the_search_ends_at_once_and_says_what_to_pass(neurons, monkeypatch):
    rng = np.random.default_rng(3)
    x, network = rng.standard_normal((20_000, 8)), unbiased(rng, 8)
    rows = MemoryRows(x, network(x) + 1 + 0.1 * rng.standard_normal(len(x)))
    rounds, discover = [], search._discover
    monkeypatch.setattr(search, "_discover", lambda *a: rounds.append(1) or discover(*a))
    found = learn(rows, LearnOptions(neurons=neurons), Engine(2))
    assert len(rounds) == 1
    (residual,) = [f for f in found.findings if f.stage == "residual" and not f.ok]
    assert residual.message.startswith("no network without biases gives such labels (")
    assert residual.message.endswith(" sigma): they look offset, or kinked off zero; pass --bias")
    assert residual.numbers["beyond"] > BEYOND_REACH
    again = learn(rows, LearnOptions(neurons=3, bias=True), Engine(2))
    assert abs(again.network.offset - 1) < 0.05
    assert all(f.ok for f in again.findings if f.stage == "residual")
