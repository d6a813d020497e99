"""Pairs of which a linear part is all that shows: found where they are, and only there."""

import numpy as np
import pytest

from relucli.learning.hidden import revealed
from relucli.learning.polish import polish, to_network
from relucli.learning.structured import Metric
from relucli.learning.student import Student
from relucli.network import ReluNetwork
from relucli.network.comparison import population_error
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

DIM, SAMPLES, NOISE, ANGLE = 20, 20_000, 0.3, 0.06


def directions(rng, count):
    w = rng.standard_normal((count, DIM))
    return w / np.linalg.norm(w, axis=1)[:, None]


def paired(seed, bias):
    """One clear neuron, and a pair an angle apart."""
    rng = np.random.default_rng(seed)
    first, clear, aside = directions(rng, 3)
    aside -= (aside @ first) * first
    second = np.cos(ANGLE) * first + np.sin(ANGLE) * aside / np.linalg.norm(aside)
    teacher = ReluNetwork(
        np.stack([first, second, clear]), np.array([1.0, -1.0, 1.0]), bias * np.array([0.3, 0.3, -0.5])
    )
    x = rng.standard_normal((SAMPLES, DIM))
    return teacher, MemoryRows(x, teacher(x) + NOISE * rng.standard_normal(SAMPLES))


def linear_fit(rows, teacher, bias, turned=False):
    """Least squares of the clear neuron and a linear part."""
    neuron = np.append(teacher.weights[2], teacher.biases[2]) if bias else teacher.weights[2]
    start = Student(neuron[None], np.ones(1), np.zeros(DIM + bias), np.arange(DIM + bias))
    start = start.flipped(np.array([turned]))
    return polish(rows, start, bias, Engine(), Metric.standard(DIM), tolerance=1e-6)


def error(fit, teacher, bias):
    """E (f - g)^2 as a multiple of sigma^2 p / N."""
    value = population_error(to_network(fit.student, bias), teacher).value * teacher.variance()
    return value / (NOISE**2 * 3 * (DIM + bias) / SAMPLES)


@pytest.mark.parametrize("bias", [False, True])
def test_a_pair_is_found_in_the_linear_part_it_leaves(bias):
    gains = []
    for seed in range(5):
        teacher, rows = paired(seed, bias)
        fit = linear_fit(rows, teacher, bias)
        found = revealed(rows, fit, 3, bias, Engine(), Metric.standard(DIM))
        assert found.student.neurons == 3
        assert found.blurred == ((1, 2),)
        assert list(found.student.free) == list(range(DIM, DIM + bias))
        gains.append((error(fit, teacher, bias), error(found, teacher, bias)))
    before, after = np.mean(gains, axis=0)
    # The linear part misses half of the jump, |<S, x>| / 2 on either side of it.
    assert before > 3
    assert after < 2


def test_neurons_may_point_either_way():
    teacher, rows = paired(0, False)
    one, two = (linear_fit(rows, teacher, False, turned) for turned in (False, True))
    assert one.student.beta[0] @ two.student.beta[0] < 0
    assert one.quadratic.loss == pytest.approx(two.quadratic.loss, rel=1e-9)
    one, two = (revealed(rows, fit, 3, False, Engine(), Metric.standard(DIM)) for fit in (one, two))
    assert one.student.neurons == two.student.neurons == 3
    assert one.quadratic.loss == pytest.approx(
        two.quadratic.loss, abs=0.1 * 3 * DIM * NOISE**2
    )  # of what chance explains


@pytest.mark.parametrize("size", [0.03, 1.0])
def test_a_linear_part_of_its_own_stays(size):
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clear, along = directions(rng, 2)
        teacher = ReluNetwork(clear[None], np.ones(1), linear=size * along)
        x = rng.standard_normal((SAMPLES, DIM))
        rows = MemoryRows(x, teacher(x) + NOISE * rng.standard_normal(SAMPLES))
        start = Student(clear[None], np.ones(1), size * along, np.arange(DIM))
        fit = polish(rows, start, False, Engine(), Metric.standard(DIM))
        assert revealed(rows, fit, 3, False, Engine(), Metric.standard(DIM)) is fit


def test_a_linear_part_of_nothing_but_noise_is_no_pair():
    for seed in range(3):  # without its volume each would have one
        rng = np.random.default_rng(seed)
        w = rng.standard_normal(100)
        teacher = ReluNetwork((w / np.linalg.norm(w))[None], np.ones(1))
        x = rng.standard_normal((5000, 100))
        rows = MemoryRows(x, teacher(x) + NOISE * rng.standard_normal(5000))
        start = Student(teacher.weights, np.ones(1), np.zeros(100), np.arange(100))
        fit = polish(rows, start, False, Engine(), Metric.standard(100))
        assert revealed(rows, fit, 3, False, Engine(), Metric.standard(100)) is fit


@pytest.mark.parametrize("bias", [False, True])
def test_a_pair_is_found_where_the_linear_part_was_left_out(bias):
    teacher, rows = paired(2, bias)
    neuron = np.append(teacher.weights[2], teacher.biases[2]) if bias else teacher.weights[2]
    start = Student(neuron[None], np.ones(1), np.zeros(DIM + bias), np.arange(DIM, DIM + bias))
    fit = polish(rows, start, bias, Engine(), Metric.standard(DIM))
    found = revealed(rows, fit, 3, bias, Engine(), Metric.standard(DIM))
    assert found.blurred == ((1, 2),)
    assert error(found, teacher, bias) < 2 < error(fit, teacher, bias)


def test_no_pair_where_a_linear_part_was_left_out_that_is_chance(monkeypatch):
    monkeypatch.setattr("relucli.learning.hidden._in_place_of_linear", lambda rows, fit, *a: fit)  # whatever it says
    rng = np.random.default_rng(0)
    clear = directions(rng, 1)
    x = rng.standard_normal((SAMPLES, DIM))
    rows = MemoryRows(x, np.maximum(x @ clear[0], 0) + NOISE * rng.standard_normal(SAMPLES))
    start = Student(clear, np.ones(1), np.zeros(DIM), np.empty(0, dtype=int))
    fit = polish(rows, start, False, Engine(), Metric.standard(DIM))
    assert revealed(rows, fit, 3, False, Engine(), Metric.standard(DIM)) is fit


def test_no_more_neurons_than_were_asked_for():
    teacher, rows = paired(1, False)
    fit = linear_fit(rows, teacher, False)
    assert revealed(rows, fit, 2, False, Engine(), Metric.standard(DIM)) is fit
