"""The whole algorithm on planted networks, judged on fresh rows without the project's own evaluation."""

import numpy as np
import pytest

from relucli.errors import DataError, UsageError
from relucli.learning.pipeline import LearnOptions, learn
from relucli.learning.polish import polish
from relucli.learning.search import _refined_basis
from relucli.learning.split import Split
from relucli.learning.structured import Metric
from relucli.learning.student import Student
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.network import ReluNetwork
from relucli.quantities import counted
from relucli.storage.dataset import MemoryRows
from relucli.streaming import blocks as partition
from relucli.streaming.blocks import Span
from relucli.streaming.fold import Engine
from relucli.synthesis import plant


def value(net, x):
    z = np.einsum("nd,kd->nk", x, net.weights) + net.biases
    return np.einsum("nk,k->n", np.where(z > 0, z, 0.0), net.coefficients) + np.dot(x, net.linear) + net.offset


def relative_error(found, truth, mean=0.0, root=None):
    x = np.random.default_rng(987_654).standard_normal((20_000, truth.dim))
    x = mean + (x if root is None else x @ root.T)
    expected = value(truth, x)
    return float(np.mean((value(found, x) - expected) ** 2) / expected.var())


def planted(family, d, k, n, noise=0.0, seed=0, bias_sd=0.0, separation=0.2, mean=0.0, root=None):
    net = plant(family, d, k, seed=seed, bias_sd=bias_sd, separation=separation)
    rng = np.random.default_rng([seed, 5])
    x = rng.standard_normal((n, d))
    x = mean + (x if root is None else x @ root.T)
    return net, MemoryRows(x, value(net, x) + noise * rng.standard_normal(n))


FAMILIES = [
    ("random", 3, 3000),
    ("positive", 3, 3000),
    ("close", 3, 4000),
    ("planar", 4, 4000),
    ("alternating", 8, 5000),
]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("family", "k", "n"), FAMILIES)
def test_networks_are_recovered_exactly(family, k, n, seed):
    net, rows = planted(family, 12, k, n, seed=seed)
    found = learn(rows, LearnOptions(k), Engine())
    assert relative_error(found.network, net) < 1e-20
    assert found.network.neurons == (4 if family == "alternating" else k)
    assert found.samples == n
    assert found.r2 == pytest.approx(1, abs=1e-12)
    if family != "alternating":
        assert not found.network.linear.any()


def test_neurons_in_a_narrow_cone_are_not_split_when_their_number_is_unknown():
    vectors = np.zeros((3, 10))
    vectors[:, 0], vectors[0, 1], vectors[2, 2] = (1.0, 2.0, 1.0), 0.1, -0.1
    net = ReluNetwork.from_vectors(vectors, np.array([1.0, -1.0, 1.0]), np.zeros(3))
    x = np.random.default_rng(1).standard_normal((20_000, 10))
    found = learn(MemoryRows(x, value(net, x)), LearnOptions(), Engine()).network
    assert relative_error(found, net) < 1e-20
    assert found.neurons == 3


@pytest.mark.parametrize("discovery", ["overcomplete", "iterative"])
@pytest.mark.parametrize("subspace", ["sliced", "contracted", "both"])
def test_every_route_leads_there(discovery, subspace):
    net, rows = planted("random", 10, 3, 4000, seed=2)
    found = learn(rows, LearnOptions(3, discovery=discovery, subspace=subspace), Engine())
    assert relative_error(found.network, net) < 1e-20
    assert found.subspace.method == subspace


@pytest.mark.parametrize("seed", [0, 1])
def test_biases_are_recovered_exactly(seed):
    net, rows = planted("random", 10, 3, 5000, seed=seed, bias_sd=0.7)
    found = learn(rows, LearnOptions(3, bias=True), Engine())
    assert relative_error(found.network, net) < 1e-20
    order = [int(np.argmax(found.network.weights @ w)) for w in net.weights]
    np.testing.assert_allclose(found.network.weights[order], net.weights, atol=1e-10)
    np.testing.assert_allclose(found.network.biases[order], net.biases, atol=1e-10)
    np.testing.assert_allclose(found.network.coefficients[order], net.coefficients, atol=1e-10)


def shape(d):
    rng = np.random.default_rng(8)
    return 0.5 * rng.standard_normal(d), np.linalg.qr(rng.standard_normal((d, d)))[0] * np.geomspace(0.3, 3, d)


def test_networks_of_shifted_and_scaled_inputs_are_recovered_exactly():
    mean, root = shape(10)
    net, rows = planted("random", 10, 3, 6000, seed=1, mean=mean, root=root)
    found = learn(rows, LearnOptions(3), Engine())
    assert relative_error(found.network, net, mean, root) < 1e-20
    assert not found.moments.standard


def limit_ratio(found, net, n, noise, parameters, mean=0.0, root=None):
    x = np.random.default_rng(3).standard_normal((50_000, net.dim))
    x = mean + (x if root is None else x @ root.T)
    return relative_error(found, net, mean, root) * value(net, x).var() / (noise**2 * parameters / n)


@pytest.mark.parametrize(
    ("family", "k", "n", "noise", "parameters", "bias_sd"),
    [
        ("random", 3, 8000, 0.3, 30, 0),
        ("positive", 3, 8000, 0.5, 30, 0),
        ("planar", 3, 10_000, 0.1, 30, 0),
        ("alternating", 8, 15_000, 0.1, 50, 0),  # four lines and a linear part
        ("random", 2, 10_000, 0.2, 23, 0.5),  # biases and an offset
    ],
)
@pytest.mark.parametrize("seed", [0, 1])
def test_noisy_data_is_learned_to_the_limit(family, k, n, noise, parameters, bias_sd, seed):
    net, rows = planted(family, 10, k, n, noise, seed, bias_sd)
    found = learn(rows, LearnOptions(k, bias=bias_sd > 0), Engine())
    ratio = limit_ratio(found.network, net, n, noise, parameters)
    assert 0.3 < ratio < 1.1 + 4 * np.sqrt(2 / parameters)
    assert found.noise_std == pytest.approx(noise, rel=6 / np.sqrt(2 * n))


def test_noisy_data_of_shifted_inputs_is_learned_to_the_limit():
    mean, root = shape(10)
    net, rows = planted("random", 10, 2, 10_000, 0.2, 3, mean=mean, root=root)
    found = learn(rows, LearnOptions(2), Engine())
    assert limit_ratio(found.network, net, 10_000, 0.2, 20, mean, root) < 1.1 + 4 * np.sqrt(2 / 20)


@pytest.mark.parametrize(("k", "noise"), [(1, 0.3), (2, 0.3), (3, 0.2), (3, 0.0)])
def test_the_number_of_neurons_is_found(k, noise):
    net, rows = planted("random", 8, k, 8000, noise, seed=4)
    found = learn(rows, LearnOptions(None, most=5), Engine())
    assert found.network.neurons == k
    assert relative_error(found.network, net) < (0.02 if noise else 1e-20)
    if noise:
        assert {model.neurons for model in found.path} - {0} == {1, 2, 3, 4, 5}
        best = min(model.validation_mse for model in found.path if model.polished)
        chosen = next(model for model in found.path if model.neurons == k)
        assert chosen.polished
        assert chosen.validation_mse <= best + chosen.excess_se
        assert chosen.validation_mse == pytest.approx(noise**2, rel=0.3)


def test_errors_cover_the_truth():
    net, rows = planted("random", 8, 2, 8000, 0.3, seed=5)
    found = learn(rows, LearnOptions(2), Engine())
    for w, c in zip(net.weights, net.coefficients, strict=True):
        i = int(np.argmax(found.network.weights @ w))
        assert np.linalg.norm(found.network.weights[i] - w) < 3 * found.errors.weights[i] < 0.3
        assert abs(found.network.coefficients[i] - c) < 5 * found.errors.coefficients[i] < 0.3


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_results_are_the_same_to_the_bit_for_any_workers_and_memory(monkeypatch, noise):
    monkeypatch.setattr(partition, "STRIPE_BYTES", 256 * 8 * 6)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 256 * 8 * 6)
    _, rows = planted("random", 6, 2, 3500, noise, seed=6)
    runs = [learn(rows, LearnOptions(2, seed=3), Engine(w, m * 2**20)) for w, m in ((1, 512), (2, 512), (3, 64))]
    for name in ("weights", "coefficients", "biases", "linear"):
        assert all(np.array_equal(getattr(r.network, name), getattr(runs[0].network, name)) for r in runs), name
    assert len({r.noise_std for r in runs}) == len({r.path for r in runs}) == len({r.passes for r in runs}) == 1


def test_rows_beyond_the_pilot_are_used_for_the_last_digits():
    n = 150_000
    net, rows = planted("random", 4, 1, n, 0.5, seed=1)
    engine = Engine()
    found = learn(rows, LearnOptions(1), engine)
    assert found.passes == engine.passes >= 2
    assert engine.rows_read == n * engine.passes
    assert limit_ratio(found.network, net, n, 0.5, 4) < 1.1 + 4 * np.sqrt(2 / 4)


def test_results_are_the_same_to_the_bit_for_a_memory_bound_below_the_pilot():
    _, rows = planted("random", 10, 1, 16384 * 4, 0.2, seed=1)
    small, large = (learn(rows, LearnOptions(1), Engine(memory=m * 2**20)) for m in (8, 512))
    assert np.array_equal(small.network.weights, large.network.weights)


def test_given_moments_spare_their_pass():
    net, rows = planted("random", 6, 2, 3000)
    moments = estimate_moments(rows, MomentSettings(slices=10), Engine())
    engine = Engine()
    found = learn(rows, LearnOptions(2), engine, moments)
    assert found.moments is moments
    assert found.passes == engine.passes
    assert relative_error(found.network, net) < 1e-20
    assert learn(rows, LearnOptions(2), Engine()).passes == found.passes + 1


def refusal(rows, options, kind=DataError):
    with pytest.raises(kind) as caught:
        learn(rows, options, Engine())
    return str(caught.value)


@pytest.mark.parametrize(
    ("n", "options", "parameters", "asked", "hint"),
    [
        (12, LearnOptions(2), 12, 2, "-k 1 at most"),
        (6, LearnOptions(2), 12, 2, "fewer columns"),
        (21, LearnOptions(3, bias=True), 21, 3, "-k 2 at most"),
    ],
)
def test_too_few_rows_are_refused(n, options, parameters, asked, hint):
    x = np.random.default_rng(0).standard_normal((n, 6))
    assert refusal(MemoryRows(x, x[:, 0]), options) == (
        f"{n} rows cannot determine {counted(asked, 'neuron')} in 6 dimensions ({parameters} parameters); "
        f"it takes more than {parameters} rows, or {hint}"
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_constant_labels_are_refused(value):
    x = np.random.default_rng(0).standard_normal((500, 3))
    message = refusal(MemoryRows(x, np.full(500, value)), LearnOptions(1))
    assert message == "y is constant: there is nothing to learn from it"


@pytest.mark.parametrize("options", [LearnOptions(2), LearnOptions(None, most=3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_labels_that_do_not_depend_on_the_inputs_are_refused(seed, options):
    rng = np.random.default_rng(seed)
    message = refusal(MemoryRows(rng.standard_normal((1500, 5)), rng.standard_normal(1500)), options)
    assert message.startswith(
        "1500 rows do not support a network: held-out labels are predicted no better than by their mean "
    )
    assert "\n" not in message


def test_no_neurons_are_refused():
    with pytest.raises(UsageError, match=r"^-k 0: there must be at least one neuron$"):
        LearnOptions(0)


def test_fewer_rows_than_slices_are_no_obstacle():
    x = np.random.default_rng(0).standard_normal((12, 2))
    found = learn(MemoryRows(x, np.maximum(x[:, 0], 0)), LearnOptions(1), Engine())
    np.testing.assert_allclose(found.network.weights, [[1, 0]], atol=1e-9)


def test_two_classes_are_fitted_as_well_as_can_be():
    x = np.random.default_rng(0).standard_normal((1000, 3))
    y = (x[:, 0] > np.median(x[:, 0])).astype(float)  # half of each: the edge between the classes is neither
    found = learn(MemoryRows(x, y), LearnOptions(2, bias=True), Engine())
    assert found.r2 > 0.7


def test_whitening_off_makes_do_with_a_constant_column():
    x = np.random.default_rng(0).standard_normal((1000, 4))
    x[:, 2] = 0.0
    message = refusal(MemoryRows(2 * x, np.maximum(x[:, 0], 0)), LearnOptions(1))
    assert message == "x column 2 is constant; remove it, or pass --whiten off"
    learn(MemoryRows(2 * x, np.maximum(x[:, 0], 0)), LearnOptions(1, whiten="off"), Engine())


def test_a_neuron_that_is_rarely_active_is_recovered():
    x = np.random.default_rng(0).standard_normal((4000, 4))
    found = learn(MemoryRows(x, np.maximum(x[:, 0] - 2, 0)), LearnOptions(1, bias=True), Engine()).network
    np.testing.assert_allclose(found.weights, [[1, 0, 0, 0]], atol=1e-9)


def test_a_dead_neuron_does_no_harm_to_the_refined_span():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1000, 4))
    y = np.maximum(x[:, 0], 0) + 0.1 * rng.standard_normal(1000)
    beta = np.array([[1.0, 0, 0, 0, 0], [0, 0.1, 0, 0, -9]])
    student = Student(beta, np.ones(2), np.zeros(5), np.arange(5))
    fit = polish(MemoryRows(x, y), student, True, Engine(), Metric.standard(4), steps=0)
    split = Split.of(MemoryRows(x, y), 5, True, Engine())
    basis, unexplained = _refined_basis(fit, split, LearnOptions(2, bias=True), Metric.standard(4))
    assert np.linalg.norm(np.linalg.qr(basis)[0][0]) > 0.99
    assert not unexplained


@pytest.mark.parametrize("scale", [1e-60, 1e-8, 1e8, 1e60])
def test_units_do_not_matter(scale):
    net, rows = planted("random", 5, 2, 2000, seed=1)
    block = rows.block(partition.Span(0, 2000))
    found = learn(MemoryRows(block.x, scale * block.y), LearnOptions(2), Engine()).network
    np.testing.assert_allclose(np.sort(found.coefficients) / scale, np.sort(net.coefficients), rtol=1e-9)
    found = learn(MemoryRows(scale * block.x, block.y), LearnOptions(2), Engine()).network
    np.testing.assert_allclose(np.sort(found.coefficients) * scale, np.sort(net.coefficients), rtol=1e-9)


@pytest.mark.parametrize(("n", "d", "k"), [(5, 3, 1), (8, 5, 1), (13, 5, 2), (20, 5, 3), (200, 5, 1)])
def test_a_few_labels_that_do_not_depend_on_the_inputs_are_refused(n, d, k):
    # Ten t statistics at one in a thousand: more than one passes with probability 5e-5.
    accepted = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        try:
            learn(MemoryRows(rng.standard_normal((n, d)), rng.standard_normal(n)), LearnOptions(k), Engine())
            accepted += 1
        except DataError:
            pass
    assert accepted <= 1


def test_one_wild_label_does_not_pass_for_structure():
    _, rows = planted("random", 5, 3, 4000)
    labels = rows.block(Span(0, 4000)).y.copy()
    labels[5] = 1e6
    message = refusal(MemoryRows(rows.block(Span(0, 4000)).x, labels), LearnOptions(3))
    assert message.startswith("4000 rows do not support a network: ")
    found = learn(MemoryRows(rows.block(Span(0, 4000)).x, labels), LearnOptions(3, loss="huber"), Engine())
    clean = learn(rows, LearnOptions(3), Engine())
    by_first = [net.weights[np.argsort(net.weights[:, 0])] for net in (found.network, clean.network)]
    np.testing.assert_allclose(*by_first, atol=1e-9)


def test_labels_that_are_linear_have_no_neurons():
    x = np.random.default_rng(0).standard_normal((2000, 5))
    found = learn(MemoryRows(x, x @ np.arange(5.0)), LearnOptions(3), Engine())
    assert found.network.neurons == 0
    np.testing.assert_allclose(found.network.linear, np.arange(5.0), atol=1e-12)


@pytest.mark.parametrize("mean", [10.0, 1000.0])
def test_biases_are_found_about_a_mean_far_from_zero(mean):
    net, rows = planted("random", 5, 3, 8000, bias_sd=0.5, seed=1)
    block = rows.block(Span(0, 8000))
    found = learn(MemoryRows(block.x + mean, block.y), LearnOptions(3, bias=True), Engine())
    x = np.random.default_rng(9).standard_normal((5000, 5))
    error = np.mean((value(found.network, x + mean) - value(net, x)) ** 2) / value(net, x).var()
    assert error < 1e-20


def test_moments_of_other_labels_are_noticed_while_polishing():
    _, rows = planted("random", 5, 2, 3000, noise=0.1)
    moments = estimate_moments(rows, MomentSettings(contractions=0), Engine())
    block = rows.block(Span(0, 3000))
    labels = block.y.copy()
    labels[17] += 1.0
    with pytest.raises(DataError, match=r"^the labels are not those that the moments were taken of"):
        learn(MemoryRows(block.x, labels), LearnOptions(2), Engine(), moments)


def test_more_neurons_than_memory_allows_are_refused():
    _, rows = planted("random", 10, 3, 20_000)
    message = refusal(rows, LearnOptions(1000), UsageError)
    assert message.startswith("--memory 512MiB is too small to discover 1,000 neurons: pass --memory ")
