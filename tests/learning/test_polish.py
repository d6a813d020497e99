import numpy as np
import pytest

from relucli.learning.descent import Fit
from relucli.learning.polish import _turned, polish, settle, to_network
from relucli.learning.student import Student, augmented, normal_equations
from relucli.storage.dataset import MemoryRows
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


@pytest.mark.parametrize("bias", [False, True])
def test_normal_matrix_of_turned_neurons_is_that_of_the_student_they_make(bias):
    rng = np.random.default_rng(8)
    p = 3 + bias
    free = student(rng.standard_normal((3, p)), [1, -1, -1], rng.standard_normal(p), range(p))
    x = augmented(rng.standard_normal((200, 3)), bias)
    turned = free.flipped(np.array([True, False, True]))
    tied = Student(turned.beta, turned.signs, turned.linear, np.arange(3, p))
    found = _turned(Fit(free, normal_equations(x, np.zeros(200), free), (), True), tied)
    np.testing.assert_allclose(found.quadratic.normal, normal_equations(x, np.zeros(200), tied).normal, atol=1e-9)
