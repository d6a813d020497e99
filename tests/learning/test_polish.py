import numpy as np
import pytest

from relucli.learning.loss import SQUARED, Loss
from relucli.learning.polish import polish, to_network
from relucli.learning.structured import Metric
from relucli.learning.student import Student, augmented, normal_equations
from relucli.storage.dataset import MemoryRows
from relucli.streaming.blocks import Span
from relucli.streaming.fold import Engine


def student(beta, signs, linear, free=()):
    return Student(
        np.array(beta, float), np.array(signs, float), np.array(linear, float), np.array(free, dtype=np.intp)
    )


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
    fit = polish(MemoryRows(x, truth(x)), truth.moved(0.05 * rng.standard_normal(8)), False, engine, Metric.standard(4))
    assert fit.quadratic.exact
    assert len(fit.history) <= engine.passes <= 2 * len(fit.history) + 2
    assert told == ["polish"] * engine.passes


def slope_at(rows, fit, loss=SQUARED):
    x, y = rows.block(Span(0, rows.samples)).x, rows.block(Span(0, rows.samples)).y
    return normal_equations(x, y, fit.student, None, loss)


def uniform(rng, shape):
    return rng.uniform(-1.7, 1.7, shape)


def skewed(rng, shape):
    return rng.exponential(size=shape) - 1


@pytest.mark.parametrize("law", [np.random.Generator.standard_normal, uniform, skewed])
@pytest.mark.parametrize("loss", [SQUARED, Loss(0.2, 1.0)])
def test_polishing_ends_at_a_minimum_whatever_the_inputs(law, loss):
    rng = np.random.default_rng(11)
    truth = student(rng.standard_normal((3, 8)), [1, -1, 1], np.zeros(8))
    x = law(rng, (6000, 8))
    rows = MemoryRows(x, truth(x) + 0.1 * rng.standard_normal(6000))
    start = truth.moved(0.1 * rng.standard_normal(24))
    fit = polish(rows, start, False, Engine(), Metric.standard(8), loss=loss, tolerance=1e-3)
    there = slope_at(rows, fit, loss)
    promise = there.gradient @ np.linalg.solve(there.normal, there.gradient)
    assert fit.converged
    assert promise <= 0.01 * 24 * there.noise_variance
    assert fit.quadratic.loss == pytest.approx(there.loss)


@pytest.mark.parametrize("affordable", [True, False])
def test_polishing_is_exact_without_noise_by_either_route(monkeypatch, affordable):
    if not affordable:
        monkeypatch.setattr("relucli.learning.polish.DENSE_WORK", 0)
    rng = np.random.default_rng(12)
    near = rng.standard_normal(12)
    beta = np.array([near, near + 0.05 * rng.standard_normal(12), rng.standard_normal(12)])
    truth = student(beta, [1, -1, 1], np.zeros(12))
    x = rng.standard_normal((5000, 12))
    start = truth.moved(0.01 * rng.standard_normal(36))
    fit = polish(MemoryRows(x, truth(x)), start, False, Engine(), Metric.standard(12), tolerance=1e-9)
    assert fit.quadratic.exact
    np.testing.assert_allclose(fit.student.beta, truth.beta, atol=1e-10)


def test_quick_steps_are_left_out_where_they_are_known_not_to_end():
    rng = np.random.default_rng(12)
    near = rng.standard_normal(12)
    bending = student([near, near + 0.05 * rng.standard_normal(12)], [1, -1], np.zeros(12))
    straight = student(rng.standard_normal((2, 12)), [1, -1], np.zeros(12))
    x, noise = rng.standard_normal((5000, 12)), 0.01 * rng.standard_normal(5000)
    for truth, bent in ((bending, True), (straight, False)):
        rows, start, engine = MemoryRows(x, truth(x) + noise), truth.moved(0.2 * rng.standard_normal(24)), Engine()
        fit = polish(rows, start, False, engine, Metric.standard(12))
        assert fit.bent == bent
        quickly = engine.passes
        again = polish(rows, start, False, engine, Metric.standard(12), bent=True)
        assert again.bent
        if bent:  # the same damped steps, and no others
            np.testing.assert_array_equal(again.student.beta, fit.student.beta)
            assert engine.passes - quickly < quickly - 12


def test_float32_is_enough_where_the_noise_is_far_larger_than_its_rounding():
    rng = np.random.default_rng(13)
    truth = student(rng.standard_normal((2, 6)), [1, -1], np.zeros(6))
    x = rng.standard_normal((5000, 6)).astype(np.float32)
    rows = MemoryRows(x, truth(x.astype(float)) + 0.3 * rng.standard_normal(5000))
    narrow, wide = (
        polish(rows, truth, False, Engine(), Metric.standard(6), narrow=narrow, tolerance=1e-6)
        for narrow in (True, False)
    )
    np.testing.assert_allclose(narrow.student.beta, wide.student.beta, atol=1e-4)
