import numpy as np
import pytest

from relucli.learning.descent import Fit, descend
from relucli.learning.polish import polish, settle, standard_errors, to_network
from relucli.learning.student import Student, augmented, normal_equations
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine


def student(beta, signs, linear, free=()):
    return Student(
        np.array(beta, float), np.array(signs, float), np.array(linear, float), np.array(free, dtype=np.intp)
    )


def fitted(x, y, start):
    return descend(lambda s, stale: normal_equations(x, y, s, stale), start, tolerance=1e-8)


def test_errors_of_a_linear_function_are_those_of_linear_regression():
    rng = np.random.default_rng(0)
    x = augmented(rng.standard_normal((80, 3)) @ rng.standard_normal((3, 3)) + 2, True)
    y = x @ [1.0, 2.0, 3.0, 4.0] + 0.5 * rng.standard_normal(80)
    fit = fitted(x, y, student(np.empty((0, 4)), [], np.zeros(4), range(4)))
    theta, rest = np.linalg.lstsq(x, y, rcond=None)[:2]
    classical = np.sqrt(rest[0] / 76 * np.diag(np.linalg.inv(x.T @ x)))
    found = standard_errors(fit, True)
    np.testing.assert_allclose(np.append(found.linear, found.offset), classical, rtol=1e-9)
    assert found.weights.shape == found.coefficients.shape == found.biases.shape == (0,)
    np.testing.assert_allclose(fit.student.linear, theta, rtol=1e-5)


def test_errors_of_a_neuron_with_a_known_gate_are_those_of_linear_regression():
    # The neuron is active on all rows, so beta is a regression coefficient; the delta method does the rest.
    rng = np.random.default_rng(1)
    x = augmented(rng.standard_normal((200, 3)), True)
    y = x @ [3.0, 0.0, 0.0, 60.0] + 0.3 * rng.standard_normal(200)
    fit = fitted(x, y, student([[3, 0, 0, 60]], [1], np.zeros(4)))
    covariance = fit.quadratic.loss / 196 * np.linalg.inv(x.T @ x)
    beta = fit.student.beta[0]
    found, h = standard_errors(fit, True), 1e-6

    def parts(b):
        size = np.linalg.norm(b[:3])
        return np.array([size, b[3] / size, *(b[:3] / size)])

    jacobian = np.column_stack([(parts(beta + h * e) - parts(beta - h * e)) / (2 * h) for e in np.eye(4)])
    spread = jacobian @ covariance @ jacobian.T
    assert found.coefficients[0] == pytest.approx(np.sqrt(spread[0, 0]), rel=1e-6)
    assert found.biases[0] == pytest.approx(np.sqrt(spread[1, 1]), rel=1e-6)
    assert found.weights[0] == pytest.approx(np.sqrt(np.trace(spread[2:, 2:])), rel=1e-6)
    assert not found.linear.any()
    assert found.offset == 0.0


def test_errors_are_the_spread_over_replications():
    # 200 replications know a standard deviation to 5 percent: 25 percent is five of these, for four numbers.
    rng = np.random.default_rng(2)
    truth = student([[1.2, -0.9, 0.0, 0.5]], [-1], [0, 0, 0, 0.3], [3])
    estimates, predicted = [], []
    for _ in range(200):
        x = augmented(rng.standard_normal((400, 3)), True)
        fit = fitted(x, truth(x) + 0.2 * rng.standard_normal(400), truth)
        net, errors = to_network(fit.student, True), standard_errors(fit, True)
        angle = np.linalg.norm(net.weights[0] - truth.beta[0, :3] / 1.5)
        estimates.append([net.coefficients[0] + 1.5, net.biases[0] - 0.5 / 1.5, angle, net.offset - 0.3])
        predicted.append([errors.coefficients[0], errors.biases[0], errors.weights[0], errors.offset])
    spread = np.sqrt(np.mean(np.square(estimates), axis=0))
    np.testing.assert_allclose(spread, np.sqrt(np.mean(np.square(predicted), axis=0)), rtol=0.25)


def test_errors_of_a_singular_problem_are_finite():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((100, 2)), rng.standard_normal(100)
    pair = student([[1, 0], [-1, 0]], [1, 1], [0, 0], [0, 1])
    errors = standard_errors(Fit(pair, normal_equations(x, y, pair), (), True), False)
    assert np.isfinite(np.concatenate([errors.weights, errors.coefficients, errors.linear])).all()


@pytest.mark.parametrize("bias", [False, True])
def test_network_is_the_student(bias):
    rng = np.random.default_rng(4)
    p = 3 + bias
    s = student(rng.standard_normal((4, p)), [1, -1, -1, 1], rng.standard_normal(p))
    x = rng.standard_normal((50, 3))
    net = to_network(s, bias)
    np.testing.assert_allclose(net(x), s(augmented(x, bias)), atol=1e-12)
    assert np.sign(net.coefficients).tolist() == [1, -1, -1, 1]
    assert (net.offset != 0) is bias


def test_polishing_takes_a_pass_for_each_evaluation():
    rng = np.random.default_rng(5)
    x, told = rng.standard_normal((3000, 4)), []
    truth = student(rng.standard_normal((2, 4)), [1, -1], np.zeros(4))
    engine = Engine(progress=lambda name, done, rows: told.append(name))
    fit = polish(MemoryRows(x, truth(x)), truth.moved(0.05 * rng.standard_normal(8)), False, engine)
    assert fit.quadratic.exact
    assert len(fit.history) <= engine.passes <= 2 * len(fit.history) + 2
    assert told == ["polish"] * engine.passes


def free_fit(signs, beta, noise, n=3000, linear=None, bias=False):
    """A polished fit with a free linear part, every second neuron the wrong way round."""
    rng = np.random.default_rng(16)
    d = len(beta[0]) - bias
    truth = student(beta, signs, np.zeros(d + bias) if linear is None else linear, range(d + bias))
    x = rng.standard_normal((n, d))
    rows = MemoryRows(x, truth(augmented(x, bias)) + noise * rng.standard_normal(n))
    start = truth.flipped(np.arange(len(signs)) % 2 == 0)
    return truth, rows, polish(rows, start, bias, Engine())


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("bias", [False, True])
def test_settling_drops_a_linear_part_that_is_not_needed(noise, bias):
    beta = np.random.default_rng(7).standard_normal((3, 4 + bias))
    truth, rows, fit = free_fit([1, -1, 1], beta, noise, bias=bias)
    settled = settle(rows, fit, bias, Engine())
    assert settled.student.parameters == 3 * (4 + bias) + bias
    assert not settled.student.linear[:4].any()
    np.testing.assert_allclose(settled.student.beta, truth.beta, atol=0.1 if noise else 1e-10)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_settling_keeps_a_linear_part_that_is(noise):
    _, rows, fit = free_fit([1, -1], [[1, 0, 0], [0, 1, 0.5]], noise, linear=[0.3, -0.2, 0.9])
    settled = settle(rows, fit, False, Engine())
    assert settled.student.parameters == 9
    assert settled.mse == pytest.approx(fit.mse, rel=1e-9, abs=1e-25)
