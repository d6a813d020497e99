"""Settling: a linear part is dropped where none is needed, and only there."""

from dataclasses import replace

import numpy as np
import pytest

from relucli.learning.identify import tied
from relucli.learning.polish import polish
from relucli.learning.settle import BRIEFLY, SETTLING, settle
from relucli.learning.structured import Metric
from relucli.learning.student import Student, augmented
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine


def student(beta, signs, linear, free=()):
    return Student(
        np.array(beta, float), np.array(signs, float), np.array(linear, float), np.array(free, dtype=np.intp)
    )


def free_fit(signs, beta, noise, n=3000, linear=None, bias=False):
    """A polished fit with a free linear part, every second neuron the wrong way round."""
    rng = np.random.default_rng(16)
    d = len(beta[0]) - bias
    truth = student(beta, signs, np.zeros(d + bias) if linear is None else linear, range(d + bias))
    x = rng.standard_normal((n, d))
    rows = MemoryRows(x, truth(augmented(x, bias)) + noise * rng.standard_normal(n))
    start = truth.flipped(np.arange(len(signs)) % 2 == 0)
    return truth, rows, polish(rows, start, bias, Engine(), Metric.standard(d))


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("bias", [False, True])
def test_settling_drops_a_linear_part_that_is_not_needed(noise, bias):
    beta = np.random.default_rng(7).standard_normal((3, 4 + bias))
    truth, rows, fit = free_fit([1, -1, 1], beta, noise, bias=bias)
    without = settle(rows, fit, bias, Engine(), Metric.standard(4))
    assert without.student.parameters == 3 * (4 + bias) + bias
    assert not without.student.linear[:4].any()
    np.testing.assert_allclose(without.student.beta, truth.beta, atol=0.1 if noise else 1e-10)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_settling_keeps_a_linear_part_that_is(noise):
    _, rows, fit = free_fit([1, -1], [[1, 0, 0], [0, 1, 0.5]], noise, linear=[0.3, -0.2, 0.9])
    without = settle(rows, fit, False, Engine(), Metric.standard(3))
    assert without.student.parameters == 9
    assert without.mse == pytest.approx(fit.mse, rel=1e-9, abs=1e-25)


DIM, ROWS, NOISE = 20, 10_000, 0.3


def close(seed, angle, side):
    """Two clear neurons beside a close pair of opposite signs, on one side or on either: parameters, and rows."""
    rng = np.random.default_rng(seed)
    beta = rng.standard_normal((4, DIM))
    beta /= np.linalg.norm(beta, axis=1)[:, None]
    beta[1] = side * (beta[0] + angle * beta[1])
    truth = student(beta, [1, -1, 1, 1], np.zeros(DIM), range(DIM))
    x = rng.standard_normal((ROWS, DIM))
    return truth, MemoryRows(x, truth(x) + NOISE * rng.standard_normal(ROWS))


def settled(rows, start):
    fit = polish(rows, start, False, Engine(), Metric.standard(DIM))
    return settle(rows, fit, False, Engine(), Metric.standard(DIM))


@pytest.mark.parametrize("seed", range(5, 8))
def test_every_likely_choice_of_neurons_to_turn_is_tried(seed, monkeypatch):
    monkeypatch.setattr("relucli.learning.settle._on_span", lambda *more: None)
    # A close pair may be turned together nearly unnoticed: of seed 6 the likeliest choice is wrong.
    truth, rows = close(seed, 0.15, 1)
    assert settled(rows, truth.flipped(np.arange(4) < 2)).student.parameters == 4 * DIM


@pytest.mark.parametrize("seed", [6, 10])
def test_a_choice_that_may_not_be_the_best_is_not_fitted_to_the_end(seed, monkeypatch):
    ends = []

    def recorded(rows, start, *more, **settings):
        ends.append((settings["steps"], polish(rows, start, *more, **settings)))
        return ends[-1][1]

    monkeypatch.setattr("relucli.learning.settle.polish", recorded)
    truth, rows = close(seed, 0.15, 1)
    found = settled(rows, truth.flipped(np.arange(4) < 2))
    brief = [end.quadratic.loss for steps, end in ends if steps == BRIEFLY]
    whole = [end for steps, end in ends if steps == SETTLING]
    assert len(brief) > 1
    assert whole == [found]
    assert found.quadratic.loss <= min(brief)


def test_at_most_two_choices_are_fitted_to_the_end(monkeypatch):
    truth, rows = close(6, 0.15, 1)
    fit = polish(rows, truth.flipped(np.arange(4) < 2), False, Engine(), Metric.standard(DIM))
    choices = tied(fit.student, fit.normal, False)[:3]
    losses = dict(zip((choice.student.beta[0, 0] for choice in choices), (3.0, 1.0, 2.0), strict=True))
    asked = []

    def ending(rows, start, *more, steps, **settings):
        asked.append((steps, losses[start.beta[0, 0]]))
        loss = fit.quadratic.loss + losses[start.beta[0, 0]] * fit.quadratic.noise_variance
        return replace(fit, student=start, quadratic=replace(fit.quadratic, loss=loss), converged=False)

    monkeypatch.setattr("relucli.learning.settle.polish", ending)
    monkeypatch.setattr("relucli.learning.settle.tied", lambda *more: [replace(c, statistic=0.0) for c in choices])
    settle(rows, fit, False, Engine(), Metric.standard(DIM))
    assert asked == [(BRIEFLY, 3.0), (BRIEFLY, 1.0), (BRIEFLY, 2.0), (SETTLING, 1.0), (SETTLING, 2.0)]


@pytest.mark.parametrize(("rise", "dense"), [(30.0, [False]), (36.0, [False, True]), (50.0, [False, True])])
def test_damped_steps_follow_where_the_loss_rises_by_more_than_expected(rise, dense, monkeypatch):
    # By as many noise variances as there are parameters fewer: 20 +- 6.3; two standard deviations are expected, and
    # four allowed.
    truth, rows = close(7, 0.15, 1)
    fit = polish(rows, truth.flipped(np.arange(4) < 2), False, Engine(), Metric.standard(DIM))
    asked = []

    def ending(rows, start, *more, **settings):
        asked.append(settings["dense"])
        loss = fit.quadratic.loss + rise * fit.quadratic.noise_variance
        return replace(fit, student=start, quadratic=replace(fit.quadratic, loss=loss), converged=False)

    monkeypatch.setattr("relucli.learning.settle.polish", ending)
    monkeypatch.setattr("relucli.learning.settle._on_span", lambda *more: None)
    found = settle(rows, fit, False, Engine(), Metric.standard(DIM))
    assert asked == dense
    assert found.student.parameters == (4 * DIM if rise < 45 else 5 * DIM)


@pytest.mark.parametrize("seed", range(3))
def test_on_the_span_where_the_loss_bends_within_the_step(seed):
    # The size of a close pair is hardly known: of seed 2 the step from one too large ends elsewhere.
    truth, rows = close(seed, 0.1, -1)
    turned = truth.flipped(np.arange(4) == 1)
    start = student(turned.beta * [[1.2], [1.2], [1], [1]], turned.signs, turned.linear, turned.free)
    assert settled(rows, start).student.parameters == 4 * DIM
