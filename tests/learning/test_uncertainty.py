import numpy as np
import pytest

from relucli.learning.descent import fitted
from relucli.learning.loss import SQUARED, Loss
from relucli.learning.polish import to_network
from relucli.learning.student import Student, augmented
from relucli.learning.uncertainty import _quantile, sandwich, standard_errors


def student(beta, signs, linear, free=()):
    return Student(
        np.array(beta, float), np.array(signs, float), np.array(linear, float), np.array(free, dtype=np.intp)
    )


def white(x, residual):
    """White's covariance of a linear regression, in the form HC3."""
    bread = np.linalg.inv(x.T @ x)
    leverage = np.diag(x @ bread @ x.T)
    return bread @ (x * (residual / (1 - leverage))[:, None] ** 2).T @ x @ bread


def test_errors_of_a_linear_function_are_whites():
    rng = np.random.default_rng(0)
    x = augmented(rng.standard_normal((80, 3)) @ rng.standard_normal((3, 3)) + 2, True)
    y = x @ [1.0, 2.0, 3.0, 4.0] + 0.5 * rng.standard_normal(80) * x[:, 0]
    fit = fitted(x, y, student(np.empty((0, 4)), [], np.zeros(4), range(4)), tolerance=1e-8)
    covariance = sandwich(x, y, fit.student, SQUARED, 80)
    np.testing.assert_allclose(covariance, white(x, y - fit.student(x)), rtol=1e-6)
    found = standard_errors(fit.student, covariance, True)
    np.testing.assert_allclose(np.append(found.linear, found.offset), np.sqrt(np.diag(covariance)), rtol=1e-9)
    assert found.weights.shape == found.coefficients.shape == found.biases.shape == (0,)


def test_errors_of_a_neuron_are_those_of_regression_by_finite_differences():
    # The neuron is active on all rows, so beta is a regression coefficient; the delta method does the rest.
    rng = np.random.default_rng(1)
    x = augmented(rng.standard_normal((200, 3)), True)
    y = x @ [3.0, 0.0, 0.0, 60.0] + 0.3 * rng.standard_normal(200)
    fit = fitted(x, y, student([[3, 0, 0, 60]], [1], np.zeros(4)), tolerance=1e-8)
    covariance = white(x, y - fit.student(x))
    beta, h = fit.student.beta[0], 1e-6
    found = standard_errors(fit.student, sandwich(x, y, fit.student, SQUARED, 200), True)

    def parts(b):
        size = np.linalg.norm(b[:3])
        return np.array([size, b[3] / size, *(b[:3] / size)])

    jacobian = np.column_stack([(parts(beta + h * e) - parts(beta - h * e)) / (2 * h) for e in np.eye(4)])
    spread = jacobian @ covariance @ jacobian.T
    assert found.coefficients[0] == pytest.approx(np.sqrt(spread[0, 0]), rel=1e-5)
    assert found.biases[0] == pytest.approx(np.sqrt(spread[1, 1]), rel=1e-5)
    assert found.weights[0] == pytest.approx(np.sqrt(np.trace(spread[2:, 2:])), rel=1e-5)
    assert not found.linear.any()
    assert found.offset == 0.0


def test_errors_of_shifted_inputs_are_those_of_the_inputs():
    # The same fit in the coordinates x and x - s: biases and offset of the latter, taken back, have the same errors.
    rng = np.random.default_rng(2)
    shift = np.array([2.0, -1.0])
    x = rng.standard_normal((500, 2)) + shift
    truth = student([[1, 0.5, -2]], [1], [0, 0, 1], [0, 1, 2])
    y = truth(augmented(x, True)) + 0.1 * rng.standard_normal(500)
    there = student([[1, 0.5, -2 + shift @ [1, 0.5]]], [1], [0, 0, 1], [0, 1, 2])
    found = []
    for rows, start, back in ((x, truth, None), (x - shift, there, shift)):
        data = augmented(rows, True)
        fit = fitted(data, y, start, tolerance=1e-10)
        found.append(standard_errors(fit.student, sandwich(data, y, fit.student, SQUARED, 500), True, back))
    for name in ("weights", "within", "coefficients", "biases", "linear", "offset"):
        np.testing.assert_allclose(getattr(found[0], name), getattr(found[1], name), rtol=1e-5)


@pytest.mark.parametrize("loss", [SQUARED, Loss(0.3, 2.0)])
def test_errors_are_the_spread_over_replications(loss):
    # 200 replications know a standard deviation to 5 percent: 25 percent is five of these, for four numbers.
    # The noise depends on the inputs, which errors from the normal matrix alone would not see.
    rng = np.random.default_rng(2)
    truth = student([[1.2, -0.9, 0.0, 0.5]], [-1], [0, 0, 0, 0.3], [3])
    estimates, predicted, inside = [], [], 0
    for _ in range(200):
        x = augmented(rng.standard_normal((400, 3)), True)
        y = truth(x) + 0.2 * rng.standard_normal(400) * np.abs(x[:, 0])
        fit = fitted(x, y, truth, tolerance=1e-8, loss=loss)
        net = to_network(fit.student, True)
        errors = standard_errors(fit.student, sandwich(x, y, fit.student, loss, 400), True)
        angle = np.linalg.norm(net.weights[0] - truth.beta[0, :3] / 1.5)
        inside += angle < errors.within[0]
        estimates.append([net.coefficients[0] + 1.5, net.biases[0] - 0.5 / 1.5, angle, net.offset - 0.3])
        predicted.append([errors.coefficients[0], errors.biases[0], errors.weights[0], errors.offset])
    spread = np.sqrt(np.mean(np.square(estimates), axis=0))
    np.testing.assert_allclose(spread, np.sqrt(np.mean(np.square(predicted), axis=0)), rtol=0.25)
    assert inside >= 170  # 190 expected, 3 a standard deviation; the rest is for the estimated covariance


def test_quantile_is_that_of_chi_squared():
    from scipy.stats import chi2

    assert _quantile(12.0, 48.0) == pytest.approx(2 * np.sqrt(chi2.ppf(0.95, 3)))
    assert _quantile(9.0, 81.0) == pytest.approx(3 * 1.959964, rel=1e-6)
    assert _quantile(0.0, 0.0) == 0.0


def test_errors_of_a_singular_problem_are_finite():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((100, 2)), rng.standard_normal(100)
    pair = student([[1, 0], [-1, 0]], [1, 1], [0, 0], [0, 1])
    errors = standard_errors(pair, sandwich(x, y, pair, SQUARED, 100), False)
    assert np.isfinite(np.concatenate([errors.weights, errors.coefficients, errors.linear])).all()
