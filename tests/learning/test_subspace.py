import numpy as np
import pytest

from relucli.errors import UsageError
from relucli.learning.pipeline import LearnOptions, learn
from relucli.learning.sketch import label_functions
from relucli.learning.structured import Metric
from relucli.learning.subspace import estimate_subspace, given_subspace
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine
from relucli.synthesis import plant


def taken(x, y, orders=(1, 2, 4), contractions=4, slices=16, seed=0):
    return estimate_moments(MemoryRows(x, y), MomentSettings(orders, contractions, slices, seed), Engine())


def planted(family, d, k, n, seed):
    net = plant(family, d, k, seed=seed)
    x = np.random.default_rng([seed, 1]).standard_normal((n, d))
    return net, x, net(x)


def missed(weights, basis):
    """Sine of the largest angle between a neuron and the span of a basis."""
    q = np.linalg.qr(basis)[0]
    return np.linalg.norm(weights - weights @ q @ q.T, axis=1).max()


@pytest.mark.parametrize("method", ["sliced", "contracted", "both"])
@pytest.mark.parametrize("seed", range(3))
def test_rank_and_span_of_planted_networks(method, seed):
    net, x, y = planted("positive", 8, 2, 20_000, seed)
    found = estimate_subspace(taken(x, y), method, "auto", 8)
    assert found.method == method
    wanted = found.significant + 1
    assert found.basis.shape == (8, wanted if wanted <= 0.6 * 8 else 8)
    assert found.significant >= 2
    assert method != "sliced" or found.significant <= 3
    assert (np.diff(found.eigenvalues) <= 0).all()
    assert (found.eigenvalues > found.null).sum() == found.significant
    assert missed(net.weights, estimate_subspace(taken(x, y), method, "auto", 2).basis) < 0.15


@pytest.mark.parametrize("seed", range(3))
def test_slices_see_what_no_low_moment_does(seed):
    # Alternating networks with 8 neurons have no moment of order 1, 2 or 3, and the others drown.
    net, x, y = planted("alternating", 12, 8, 30_000, seed)
    moments = taken(x, y)
    sliced = estimate_subspace(moments, "sliced", "auto", 2)
    assert sliced.significant >= 2
    assert missed(net.weights, sliced.basis) < 0.2
    low = taken(x, y, orders=(1, 2), contractions=1)
    assert missed(net.weights, estimate_subspace(low, "contracted", "auto", 2).basis) > 0.3


def test_higher_orders_see_neurons_that_cancel_at_order_two():
    x = np.random.default_rng(0).standard_normal((60_000, 6))
    y = np.abs(x[:, 0]) + np.abs(x[:, 1]) - np.abs(x[:, 0] + x[:, 1]) / np.sqrt(2)
    y -= np.abs(x[:, 0] - x[:, 1]) / np.sqrt(2)  # order 2 is zero, order 4 is not
    plane = np.eye(6)[:2]
    assert missed(plane, estimate_subspace(taken(x, y, (1, 2)), "contracted", "auto", 2).basis) > 0.3
    assert missed(plane, estimate_subspace(taken(x, y, (4,)), "contracted", "auto", 2).basis) < 0.2


def test_each_kind_of_moment_works_without_the_other():
    net, x, y = planted("random", 6, 2, 20_000, 0)
    for method, settings in (("sliced", {"contractions": 0}), ("contracted", {"slices": 0})):
        found = estimate_subspace(taken(x, y, **settings), method, "auto", 2)
        assert missed(net.weights, found.basis) < 0.15


def test_moments_that_were_not_taken_are_asked_for():
    _, x, y = planted("random", 3, 1, 500, 0)
    with pytest.raises(UsageError) as caught:
        estimate_subspace(taken(x, y, slices=0), "sliced", "auto", 2)
    assert str(caught.value) == "there are no slice moments to find the subspace from; take them with --slices 16"
    with pytest.raises(UsageError) as caught:
        estimate_subspace(taken(x, y, contractions=0), "both", "auto", 2)
    assert str(caught.value) == "there are no contracted moments; take them with --contractions 8"


def false_positives(method, n=2000, d=10, seeds=60):
    count = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, n])
        moments = taken(rng.standard_normal((n, d)), rng.standard_normal(n), contractions=3, seed=seed)
        count += estimate_subspace(moments, method, "auto", d, seed).significant > 0
    return count


def test_independent_labels_show_no_direction_to_slices():
    # Three standard deviations, estimated from five draws: one in 25 by Student's t; 60 labels give more than
    # nine with probability 2e-4.
    assert false_positives("sliced") <= 9


@pytest.mark.parametrize("method", ["contracted", "both"])
def test_independent_labels_show_no_direction_to_contractions(method):
    assert false_positives(method) <= 9


@pytest.mark.parametrize("method", ["sliced", "contracted"])
def test_span_of_shifted_and_scaled_inputs_is_found_in_raw_coordinates(method):
    rng = np.random.default_rng(3)
    root, mean = (
        np.linalg.qr(rng.standard_normal((6, 6)))[0] * np.geomspace(0.3, 3, 6),
        rng.standard_normal(6),
    )
    net, white, _ = planted("positive", 6, 2, 30_000, 3)
    x = white @ root.T + mean
    found = estimate_subspace(taken(x, net(x - mean)), method, "auto", 2)
    assert missed(net.weights, found.basis) < 0.15
    np.testing.assert_allclose(np.cov((x @ found.basis).T), np.eye(2), atol=0.05)
    assert found.whitened


@pytest.mark.parametrize(("whiten", "whitened"), [("on", True), ("off", False), ("auto", True)])
def test_whitening_is_as_asked(whiten, whitened):
    net, x, y = planted("positive", 6, 1, 5000, 0)
    found = estimate_subspace(taken(x, y), "sliced", whiten, 1)
    assert found.whitened is whitened
    assert missed(net.weights, found.basis) < 0.1


@pytest.mark.parametrize("whiten", ["on", "off", "auto"])
def test_contracted_moments_of_standard_inputs_are_not_whitened_and_not_said_to_be(whiten):
    _, x, y = planted("positive", 6, 1, 5000, 0)
    assert not estimate_subspace(taken(x, y), "contracted", whiten, 1).whitened


def test_few_rows_of_standard_inputs_are_not_whitened():
    _, x, y = planted("random", 20, 1, 35, 0)
    assert not estimate_subspace(taken(x, y, slices=8), "sliced", "auto", 2).whitened


@pytest.mark.parametrize("count", [1, 2, 3])
def test_label_functions_are_orthonormal_to_each_other_and_to_one(count):
    share = np.array([0.1, 0.3, 0.25, 0.2, 0.15])
    functions = np.column_stack([np.ones(5), label_functions(share, count)])
    np.testing.assert_allclose(functions.T @ (share[:, None] * functions), np.eye(count + 1), atol=1e-12)
    assert (np.diff(functions[:, 1]) > 0).all()


def test_the_same_moments_give_the_same_span():
    _, x, y = planted("random", 5, 2, 3000, 0)
    one, two = (estimate_subspace(taken(x, y), "both", "auto", 3, seed=4) for _ in range(2))
    assert np.array_equal(one.basis, two.basis)
    assert one.null == two.null


@pytest.mark.parametrize("bias", [False, True])
def test_a_span_that_is_given_takes_the_place_of_the_moments(bias):
    net = plant("random", 6, 2, seed=3, bias_sd=0.5 * bias)
    x = np.random.default_rng(3).standard_normal((4_000, 6)) * np.arange(1, 7) + 1
    y = net(x)
    near = net.weights.T + 0.05 * np.random.default_rng(4).standard_normal((6, 2))
    found = learn(MemoryRows(x, y), LearnOptions(neurons=2, bias=bias), Engine(), span=near)
    assert missed(near.T / np.linalg.norm(near, axis=0)[:, None], found.subspace.basis) < 1e-12
    seen = x @ found.subspace.basis
    np.testing.assert_allclose(np.cov(seen.T, ddof=0), np.eye(2), atol=1e-9)
    assert (found.subspace.method, found.subspace.significant) == ("given", 2)
    assert "2 directions, as given" in {item.message for item in found.findings}
    np.testing.assert_allclose(found.network(x), y, atol=1e-9 * np.abs(y).max())


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (np.ones(6), r"^a span for 6 inputs must be an array of shape \(6, r\), not \(6,\)$"),
        (np.ones((2, 6)), r"not \(2, 6\)$"),
        (np.ones((6, 0)), r"not \(6, 0\)$"),
        (np.ones((6, 2)), r"^the directions of a span must be finite and independent of each other$"),
        (np.full((6, 1), np.nan), r"must be finite"),
    ],
)
def test_a_span_that_is_none_is_refused(span, message):
    with pytest.raises(UsageError, match=message):
        given_subspace(span, Metric.standard(6), np.zeros(6, np.int64))
