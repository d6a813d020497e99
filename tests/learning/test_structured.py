"""The structured normal matrix against dense algebra: exact where the span is everything, in the limit elsewhere."""

import numpy as np
import pytest
from students import CASES, METRICS, draw, metric_of, planted

from relucli.learning.loss import SQUARED, Loss
from relucli.learning.structured import Metric, StructuredAccumulator, frame_of
from relucli.learning.student import Student, augmented, normal_equations
from relucli.streaming.accumulator import Block


def taken(student, x, y, bias, metric, loss=SQUARED, thinning=1, blocks=3):
    total = StructuredAccumulator(student, frame_of(student, bias, metric), bias, loss, thinning)
    for part in np.array_split(np.arange(len(y)), blocks):
        total.update(Block(x[part], y[part], int(part[0])))
    return total.slope(metric)


@pytest.mark.parametrize(("bias", "free"), CASES)
@pytest.mark.parametrize("loss", [SQUARED, Loss(0.5, 2.0)])
def test_loss_and_gradient_are_those_of_the_normal_equations(bias, free, loss):
    rng = np.random.default_rng(0)
    student = planted(rng, 3, 6, bias, free)
    x, y = rng.standard_normal((300, 6)), rng.standard_normal(300)
    slope, _ = taken(student, x, y, bias, Metric.standard(6), loss)
    exact = normal_equations(augmented(x, bias), y, student, None, loss)
    np.testing.assert_allclose(slope.gradient, exact.gradient, atol=1e-11)
    assert (slope.loss, slope.energy) == (pytest.approx(exact.loss), pytest.approx(exact.energy))
    assert slope.samples == 300


@pytest.mark.parametrize(("bias", "free"), CASES)
@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize("loss", [SQUARED, Loss(0.5, 2.0)])
def test_it_is_the_normal_matrix_where_the_span_is_everything(bias, free, kind, loss):
    rng = np.random.default_rng(1)
    student, metric = planted(rng, 5, 4, bias, free), metric_of(rng, 4, kind)
    x, y = draw(rng, 400, metric), rng.standard_normal(400)
    slope, normal = taken(student, x, y, bias, metric, loss)
    exact = normal_equations(augmented(x, bias), y, student, None, loss)
    np.testing.assert_allclose(
        normal.solve(slope.gradient), np.linalg.solve(exact.normal, exact.gradient), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize(("bias", "free"), CASES)
@pytest.mark.parametrize("kind", METRICS)
def test_on_gaussian_inputs_it_is_the_normal_matrix_in_the_limit(bias, free, kind):
    rng = np.random.default_rng(2)
    n, d = 60_000, 12
    student, metric = planted(rng, 2, d, bias, free), metric_of(rng, d, kind)
    x = draw(rng, n, metric)
    _, normal = taken(student, x, np.zeros(n), bias, metric)
    exact = normal_equations(augmented(x, bias), np.zeros(n), student).normal
    q = len(exact)
    inverse = np.column_stack([normal.solve(e) for e in np.eye(q)])
    np.testing.assert_allclose(inverse, inverse.T, rtol=1e-6, atol=1e-9 * np.abs(inverse).max())
    # Eigenvalues of n rows whitened by the truth lie within (1 +- sqrt(q / n))^2; neurons weigh the rows by up to
    # eight times their mean, which costs as many rows.
    spread = np.linalg.eigvals(inverse @ exact).real
    assert np.abs(spread - 1).max() < 3 * np.sqrt(8 * q / n)


@pytest.mark.parametrize("kind", METRICS)
def test_frame_is_orthonormal_and_spans_the_neurons_the_linear_part_and_the_mean(kind):
    rng = np.random.default_rng(3)
    student, metric = planted(rng, 2, 7, True, "all"), metric_of(rng, 7, kind)
    close = student.beta[0] + 1e-5 * rng.standard_normal(8)
    student = student.plus(close[None], np.ones(1))
    frame = frame_of(student, True, metric)
    white = metric.white(frame[:7, :-1])
    np.testing.assert_allclose(white.T @ white, np.eye(white.shape[1]), atol=1e-10)
    assert frame[:, -1].tolist() == [0] * 7 + [1]
    for vector in (*student.beta, student.linear, np.append(metric.solve(metric.mean[:, None])[:, 0], 0.0)):
        left = vector - frame @ np.linalg.lstsq(frame, vector, rcond=None)[0]
        assert np.linalg.norm(left) <= 1e-9 * np.linalg.norm(vector)


def test_a_thinned_normal_matrix_has_the_size_of_the_whole():
    rng = np.random.default_rng(4)
    student, x = planted(rng, 2, 5, False, "none"), rng.standard_normal((40_000, 5))
    whole, thinned = (taken(student, x, np.zeros(40_000), False, Metric.standard(5), thinning=t)[1] for t in (1, 7))
    # Shares of n / 7 rows are known to sqrt(7 / n) of at most one half.
    np.testing.assert_allclose(thinned.pairs, whole.pairs, atol=5 * 0.5 * np.sqrt(7 * 40_000))


def test_an_idle_neuron_takes_no_step():
    rng = np.random.default_rng(5)
    x = np.abs(rng.standard_normal((200, 3)))
    student = Student(np.array([[1.0, 1, 1], [-1, -1, -1]]), np.ones(2), np.zeros(3), np.arange(0))
    slope, normal = taken(student, x, rng.standard_normal(200), False, Metric.standard(3))
    step = normal.solve(slope.gradient)
    assert np.isfinite(step).all()
    assert not step[3:].any()


def test_what_it_takes_is_refused_for_other_free_components():
    student = Student(np.ones((1, 3)), np.ones(1), np.zeros(3), np.arange(2))
    with pytest.raises(ValueError, match="must be free, fixed"):
        StructuredAccumulator(student, np.eye(3), False, SQUARED)
