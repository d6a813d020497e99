"""What is learned does not depend on the units of the data, nor on the order of columns and rows."""

from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from relucli.errors import DataError
from relucli.learning.dimension import DimensionOptions, span_dimension
from relucli.learning.loss import SQUARED
from relucli.learning.pipeline import ERROR_ROWS, LearnOptions, learn
from relucli.learning.uncertainty import sandwich
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.moments.scaling import Scaling
from relucli.storage.dataset import MemoryRows
from relucli.streaming import blocks as partition
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

DIM, N = 4, 2000
REPEATED = {"max_examples": 12, "deadline": None}


def value(net, x):
    return np.maximum(x @ net.weights.T + net.biases, 0) @ net.coefficients + x @ net.linear + net.offset


@cache
def data(bias, seed=3):
    net = plant("random", DIM, 2, seed=seed, bias_sd=0.5 * bias)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((N, DIM))
    return x, value(net, x) + 0.1 * rng.standard_normal(N), net


def learned(x, y, bias=False, **options):
    return learn(MemoryRows(x, y), LearnOptions(2, bias=bias, **options), Engine())


@cache
def reference(bias):
    return learned(*data(bias)[:2], bias=bias)


def vectors(net):
    """The neurons as what they do to the labels: c w, c b, and the other parts."""
    return {
        "beta": net.coefficients[:, None] * net.weights,
        "bias": net.coefficients * net.biases,
        "linear": net.linear,
        "offset": np.array(net.offset),
    }


def assert_close(found, expected, rtol):
    for name, part in vectors(expected).items():
        np.testing.assert_allclose(vectors(found)[name], part, rtol=rtol, atol=rtol * np.abs(part).max(initial=1.0))


@pytest.mark.parametrize("bias", [False, True])
@settings(**REPEATED)
@given(st.integers(-500, 500), st.integers(-400, 400))
def test_powers_of_two_scale_the_network_exactly(bias, inputs, labels):
    x, y, _ = data(bias)
    known, found = reference(bias), learned(np.ldexp(x, inputs), np.ldexp(y, labels), bias)
    a, b = known.network, found.network
    np.testing.assert_array_equal(b.weights, a.weights)
    np.testing.assert_array_equal(b.coefficients, np.ldexp(a.coefficients, labels - inputs))
    np.testing.assert_array_equal(b.biases, np.ldexp(a.biases, inputs))
    assert b.offset == np.ldexp(a.offset, labels)
    assert found.noise_std == np.ldexp(known.noise_std, labels)
    assert found.r2 == known.r2
    for model, old in zip(found.path, known.path, strict=True):
        assert model.validation_mse == np.ldexp(old.validation_mse, 2 * labels)
    np.testing.assert_array_equal(found.errors.weights, known.errors.weights)
    np.testing.assert_array_equal(found.errors.coefficients, np.ldexp(known.errors.coefficients, labels - inputs))
    np.testing.assert_array_equal(found.errors.biases, np.ldexp(known.errors.biases, inputs))
    assert [item.message for item in found.findings] == [item.message for item in known.findings]


@pytest.mark.parametrize("bias", [False, True])
@settings(**REPEATED)
@given(st.lists(st.integers(-45, 45), min_size=DIM, max_size=DIM))
def test_columns_in_other_units_give_the_same_function(bias, exponents):
    off = np.abs(np.array(exponents) - np.median(exponents)).max()
    assume(off == 0 or off >= 2)  # columns nearer to each other share a unit
    x, y, _ = data(bias)
    a, b = vectors(reference(bias).network), vectors(learned(np.ldexp(x, exponents), y, bias).network)
    np.testing.assert_allclose(np.ldexp(b["beta"], exponents), a["beta"], rtol=1e-14)
    np.testing.assert_allclose(b["bias"], a["bias"], rtol=1e-14)
    np.testing.assert_allclose(b["offset"], a["offset"], rtol=1e-14)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("exponents", [(0, 0, 0, 1), (0, -1, 0, 1)])
def test_columns_that_share_a_unit_give_the_same_function_but_for_where_the_polish_ends(bias, exponents):
    x, y, _ = data(bias)
    found, known = learned(np.ldexp(x, exponents), y, bias).network, reference(bias).network
    moved = np.mean((value(found, np.ldexp(x, exponents)) - value(known, x)) ** 2)
    assert moved < 0.01 * 0.1**2 * 2 * (DIM + bias) / N  # a hundredth of the excess risk


@settings(**REPEATED)
@given(st.lists(st.floats(-12, 12), min_size=DIM, max_size=DIM), st.floats(-100, 100))
def test_any_units_give_the_same_network_to_rounding(powers, labels):
    x, y, _ = data(True)
    x = x * [1.0, 0.8, 1.2, 2.5] + [3.0, 0.0, -1.0, 0.5]  # not N(0, I): whitened in any units
    scale = 10.0 ** np.array(powers)
    a, b = (vectors(learned(*rows, True).network) for rows in ((x, y), (x * scale, y * 10.0**labels)))
    np.testing.assert_allclose(10.0**-labels * b["beta"] * scale, a["beta"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(10.0**-labels * b["offset"], a["offset"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sd", [1e-12, 1.0, 1e12])
def test_means_a_million_standard_deviations_from_zero(sd):
    x, y, net = data(True)
    mean = 1e6 * np.array([1.0, -1.0, 0.5, -2.0])
    known, b = vectors(reference(True).network), learned(sd * (x + mean), y, True).network
    a, found = known["beta"], sd * vectors(b)["beta"]
    match = [int(np.argmin(np.linalg.norm(found - row, axis=1))) for row in a]
    np.testing.assert_allclose(found[match], a, atol=0.02)
    # A bias moves with the mean.
    back = b.coefficients * (b.biases + sd * b.weights @ mean)
    np.testing.assert_allclose(back[match], known["bias"], atol=0.02)
    residual = value(net, x) - value(b, sd * (x + mean))
    assert np.mean(residual**2) < 4 * 0.01 * (2 * (DIM + 1) + 1) / N


def test_standard_errors_in_other_units():
    """Of a network of scaled inputs, by the delta method in the units of the file."""
    x, y, _ = data(True)
    exponents = np.array([20, -3, 0, -30])
    found = learned(np.ldexp(x, exponents), y, True)
    student = reference(True).fit.student
    used = slice(None, None, N // (ERROR_ROWS * student.parameters))
    covariance = sandwich(np.column_stack([x, np.ones(N)])[used], y[used], student, SQUARED, N)
    p, parameters = DIM + 1, student.parameters
    stretch = np.append(np.ldexp(1.0, -exponents), 1.0)

    def numbers(vector):
        beta = vector[: 2 * p].reshape(2, p) * stretch
        size = np.linalg.norm(beta[:, :DIM], axis=1)
        return np.concatenate([size, beta[:, DIM] / size])

    at = np.append(student.beta.ravel(), student.linear[student.free])
    jacobian = np.empty((4, parameters))
    for i in range(parameters):
        step = np.zeros(parameters)
        step[i] = 1e-6 * max(1.0, abs(at[i]))
        jacobian[:, i] = (numbers(at + step) - numbers(at - step)) / (2 * step[i])
    expected = np.sqrt(np.diag(jacobian @ covariance @ jacobian.T))
    np.testing.assert_allclose(np.append(found.errors.coefficients, found.errors.biases), expected, rtol=1e-4)


@settings(**REPEATED)
@given(st.permutations(range(DIM)), st.integers(0, 2**32 - 1))
def test_columns_and_rows_in_another_order(columns, seed):
    x, y, _ = data(False)
    order = np.random.default_rng(seed).permutation(N)
    known, found = reference(False), learned(x[order][:, columns], y[order])
    assert found.network.neurons == known.network.neurons
    a, b = vectors(known.network)["beta"][:, columns], vectors(found.network)["beta"]
    match = [int(np.argmin(np.linalg.norm(b - row, axis=1))) for row in a]
    # Polishing stops within a small share of a standard error of the minimum, from any start.
    np.testing.assert_allclose(b[match], a, atol=0.2 * known.errors.coefficients.max())


@pytest.mark.parametrize("rows", [64, 256, 1024])
def test_blocks_of_another_size_change_rounding_alone(monkeypatch, rows):
    x, y, _ = data(True)
    monkeypatch.setattr(partition, "STRIPE_BYTES", rows * 8 * DIM)
    monkeypatch.setattr(partition, "BLOCK_BYTES", rows * 8 * DIM)
    found = learned(x, y, True)
    assert_close(found.network, reference(True).network, 1e-6)


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_workers_change_no_bit(monkeypatch, workers):
    x, y, _ = data(True)
    monkeypatch.setattr(partition, "STRIPE_BYTES", 64 * 8 * DIM)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 64 * 8 * DIM)
    one, many = (learn(MemoryRows(x, y), LearnOptions(2, bias=True), Engine(w)) for w in (1, workers))
    for name, part in vectors(one.network).items():
        np.testing.assert_array_equal(vectors(many.network)[name], part)


def test_moments_of_a_file_and_moments_taken_here_give_the_same_bits():
    x, y, _ = data(False)
    rows = MemoryRows(np.ldexp(x, [30, 0, -30, 7]), 1e5 * y)
    options = LearnOptions(2)
    here = learn(rows, options, Engine())
    given_ = estimate_moments(rows, here.moments.settings, Engine(), scaling=Scaling.of(rows))
    there = learn(rows, options, Engine(), given_)
    np.testing.assert_array_equal(there.network.weights, here.network.weights)
    assert there.passes == here.passes - 1


def test_the_span_and_its_dimension_in_other_units():
    x, y, _ = data(False)
    rows, exponents = MemoryRows(x, y), np.array([40, -3, 0, -40])
    other = MemoryRows(np.ldexp(x, exponents), 4096 * y)
    np.testing.assert_allclose(
        learn(other, LearnOptions(2), Engine()).subspace.basis,
        np.ldexp(reference(False).subspace.basis, -exponents[:, None]),
        rtol=1e-13,
    )
    options, wanted = DimensionOptions(permutations=39), MomentSettings((1,), 0, 16)
    known = span_dimension(rows, options, Engine())
    given_ = estimate_moments(other, wanted, Engine(), scaling=Scaling.of(other))
    for moments in (None, given_):
        found = span_dimension(other, options, Engine(), moments)
        np.testing.assert_array_equal(found.eigenvalues, known.eigenvalues)
        np.testing.assert_array_equal(found.errors, known.errors)
        assert found.tests == known.tests
    assert known.dimension == 2


def test_moments_taken_in_the_units_of_the_data_serve_too():
    x, y, _ = data(False)
    rows = MemoryRows(1e12 * x, y)
    taken = estimate_moments(rows, reference(False).moments.settings, Engine())
    found = learn(rows, LearnOptions(2), Engine(), taken)
    assert found.r2 == pytest.approx(reference(False).r2, abs=1e-6)


@pytest.mark.parametrize("size", [1e8, 1e30, 1e70])
def test_inputs_that_outweigh_all_others_are_refused(size):
    x, y, _ = data(False)
    x = 1000 * x
    x[17, 2] = 1000 * size
    spread = rf"{size * 1000 / N**0.5:.2g}".replace("+", r"\+")
    message = (
        rf"^x column 2 has a few rows so far out .* \(its standard deviation is {spread}, its typical spread 1e\+03\)"
    )
    with pytest.raises(DataError, match=message):
        learned(x, y)


def test_a_network_that_numbers_cannot_hold_is_refused():
    x, y, _ = data(False)
    message = r"^the coefficients of the network are out of the range of numbers in these units; rescale x or y$"
    for inputs, labels in ((-1000, 400), (950, -300)):
        with pytest.raises(DataError, match=message):
            learned(np.ldexp(x, inputs), np.ldexp(y, labels))
    with pytest.raises(DataError, match=r"^x columns 1 and 0 differ too much in scale for one network; rescale them$"):
        learned(np.ldexp(x, [500, -500, 0, 0]), y)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("neurons", [1, 2, None])
def test_one_input(bias, neurons):
    net = plant("random", 1, 1, seed=1, bias_sd=0.5 * bias)
    x = np.random.default_rng(1).standard_normal((N, 1))
    found = learn(MemoryRows(x, value(net, x)), LearnOptions(neurons, bias=bias), Engine())
    np.testing.assert_allclose(value(found.network, x), value(net, x), atol=1e-12)
    assert found.network.neurons == 1
