import numpy as np
import pytest
from scipy.special import huber

from relucli.learning.descent import fitted
from relucli.learning.loss import EFFICIENT, SQUARED, Loss, robust_scale
from relucli.learning.student import Student, normal_equations, weighted_gram

RESIDUALS = np.linspace(-7, 7, 1401)


def test_square_is_the_limit():
    np.testing.assert_array_equal(SQUARED.values(RESIDUALS), RESIDUALS**2)
    np.testing.assert_array_equal(SQUARED.pull(RESIDUALS), RESIDUALS)
    np.testing.assert_array_equal(SQUARED.curvature(RESIDUALS), 1)
    assert not SQUARED.robust


def test_values_are_hubers_up_to_rejection_and_constant_beyond():
    loss, inside = Loss(1.5, 4.0), np.abs(RESIDUALS) <= 4
    np.testing.assert_allclose(loss.values(RESIDUALS)[inside], 2 * huber(1.5, RESIDUALS[inside]), atol=1e-12)
    np.testing.assert_allclose(loss.values(RESIDUALS)[~inside], 2 * huber(1.5, 4.0), atol=1e-12)


def test_pull_is_half_the_derivative():
    loss, h = Loss(1.5, 4.0), 1e-6
    smooth = RESIDUALS[np.abs(np.abs(RESIDUALS) - 4) > 1e-3]
    slope = (loss.values(smooth + h) - loss.values(smooth - h)) / (2 * h)
    np.testing.assert_allclose(loss.pull(smooth), slope / 2, atol=1e-5)
    np.testing.assert_allclose(loss.pull(RESIDUALS), loss.weights(RESIDUALS) * RESIDUALS, atol=1e-12)


def test_delta_gives_up_five_percent_of_efficiency():
    z = np.random.default_rng(0).standard_normal(400_000)
    loss = Loss(EFFICIENT)
    efficiency = loss.curvature(z).mean() ** 2 / (loss.pull(z) ** 2).mean()
    assert efficiency == pytest.approx(0.95, abs=0.005)  # five standard deviations of chance


def test_robust_scale_is_the_standard_deviation_of_normal_noise():
    z = 3 * np.random.default_rng(1).standard_normal(100_000)
    assert robust_scale(z) == pytest.approx(3, rel=0.015)
    z[:10_000] = 1e6
    assert robust_scale(z) == pytest.approx(3, rel=0.2)


def test_normal_equations_are_those_of_the_weighted_rows():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((300, 3)), rng.standard_normal(300)
    student = Student(rng.standard_normal((2, 3)), np.array([1.0, -1.0]), np.zeros(3), np.arange(3))
    loss = Loss(0.5, 2.0)
    residual = y - student(x)
    gates = (x @ student.beta.T > 0) * student.signs
    features = np.column_stack([gates[:, :1] * x, gates[:, 1:] * x, x])
    found = normal_equations(x, y, student, loss=loss)
    weights = loss.weights(residual)
    np.testing.assert_allclose(found.normal, (features * weights[:, None]).T @ features, atol=1e-10)
    np.testing.assert_allclose(found.gradient, features.T @ loss.pull(residual), atol=1e-10)
    assert found.loss == pytest.approx(loss.values(residual).sum())
    gram = weighted_gram(x, y, student, lambda r, f: r**2 * f[0] ** 2)
    np.testing.assert_allclose(gram, (features * (residual * features[:, 0])[:, None] ** 2).T @ features, atol=1e-9)


def test_wrong_labels_do_not_move_the_fit():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2000, 4))
    truth = Student(rng.standard_normal((2, 4)), np.array([1.0, -1.0]), np.zeros(4), np.arange(0))
    y = truth(x) + 0.1 * rng.standard_normal(2000)
    clean = fitted(x, y, truth)
    y[:60] += 50.0
    spoilt = fitted(x, y, truth, loss=Loss(0.1345, 0.5))
    # Both differ from the truth by about 0.1 sqrt(2 / 2000) a component; ten of these are far less than the pull of 50.
    np.testing.assert_allclose(spoilt.student.beta, clean.student.beta, atol=0.03)
    assert np.abs(fitted(x, y, truth).student.beta - clean.student.beta).max() > 0.3
