import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.learning.collapse import _Surgeon, collapse, merged
from relucli.learning.descent import Fit, descend
from relucli.learning.student import Student, normal_equations


def features(s, x):
    gates = (x @ s.beta.T > 0) * s.signs
    return np.column_stack([(gates[:, :, None] * x[:, None]).reshape(len(x), -1), x[:, s.free]])


def random_student(rng, m, p):
    return Student(
        rng.standard_normal((m, p)),
        rng.choice([-1.0, 1.0], m),
        rng.standard_normal(p),
        np.arange(p, dtype=np.intp),
    )


def least_squares_fit(seed, m=4, p=3, n=400):
    """A student that is the least squares solution for its own patterns, and what it was fitted to."""
    rng = np.random.default_rng(seed)
    s, x = random_student(rng, m, p), rng.standard_normal((n, p))
    F, noise = features(s, x), rng.standard_normal(n)
    y = s(x) + noise - F @ np.linalg.lstsq(F, noise, rcond=None)[0]
    q = normal_equations(x, y, s)
    assert np.abs(q.gradient).max() < 1e-9
    return Fit(s, q, (), True), x, y, F


def constrained(F, y, p, dropped):
    """Loss and parameters of least squares without the neurons ``dropped``."""
    keep = [i for i in range(F.shape[1]) if i // p not in dropped]
    theta = np.linalg.lstsq(F[:, keep], y, rcond=None)[0]
    return np.sum((y - F[:, keep] @ theta) ** 2), theta


@pytest.mark.parametrize("seed", range(4))
def test_cost_of_a_neuron_is_the_rise_of_constrained_least_squares(seed):
    fit, _, y, F = least_squares_fit(seed)
    rise = [constrained(F, y, 3, {j})[0] - fit.quadratic.loss for j in range(4)]
    np.testing.assert_allclose(_Surgeon(fit).costs(), rise, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_dropping_leaves_the_constrained_least_squares_solution(seed):
    fit, _, y, F = least_squares_fit(seed)
    for j in range(4):
        left = _Surgeon(fit).dropped(j)
        theta = constrained(F, y, 3, {j})[1]
        np.testing.assert_allclose(np.append(left.beta.ravel(), left.linear), theta, atol=1e-5)
        assert np.array_equal(left.signs, np.delete(fit.student.signs, j))


@pytest.mark.parametrize("seed", range(4))
def test_costs_after_a_drop_are_those_of_what_is_left(seed):
    fit, _, y, F = least_squares_fit(seed)
    surgeon = _Surgeon(fit)
    surgeon.drop(1)
    base = constrained(F, y, 3, {1})[0]
    rise = [constrained(F, y, 3, {1, j})[0] - base for j in (0, 2, 3)]
    np.testing.assert_allclose(surgeon.costs(), rise, rtol=1e-5)
    surgeon.drop(2)  # what was neuron 3
    theta = constrained(F, y, 3, {1, 3})[1]
    np.testing.assert_allclose(np.append(surgeon.student.beta.ravel(), surgeon.student.linear), theta, atol=1e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10) | st.floats(-10, -0.1), st.integers(0, 3), st.integers(0, 3))
def test_neurons_on_one_line_merge_without_loss(seed, ratio, i, j):
    rng = np.random.default_rng(seed)
    s, x = random_student(rng, 4, 3), rng.standard_normal((30, 3))
    if i == j:
        return
    s.beta[j] = ratio * s.beta[i]
    if abs(s.signs[i] + s.signs[j] * abs(ratio)) < 0.05:
        return  # they cancel, and what is left has no direction
    one = merged(s, i, j)
    assert one.neurons == 3
    np.testing.assert_allclose(one(x), s(x), rtol=0, atol=1e-11)


@pytest.mark.parametrize("turn", [1, -1])
def test_merging_close_neurons_adds_their_vectors(turn):
    beta = np.array([[2.0, 0.1], [1.0, -0.2], [5.0, 5.0]])
    beta[1] *= turn
    s = Student(beta, np.array([1.0, -1.0, 1.0]), np.zeros(2), np.arange(2, dtype=np.intp))
    one = merged(s, 0, 1)
    np.testing.assert_allclose(one.signs[-1] * one.beta[-1], [1.0, 0.3])
    assert np.array_equal(one.beta[0], [5.0, 5.0])
    back = merged(Student(beta, np.array([1.0, -3.0, 1.0]), np.zeros(2), s.free), 0, 1)
    assert back.neurons == 2


def planted(seed, m, p=3, n=1500, noise=0.0):
    rng = np.random.default_rng(seed)
    truth, x = random_student(rng, m, p), rng.standard_normal((n, p))
    return truth, x, truth(x) + noise * rng.standard_normal(n), rng


@pytest.mark.parametrize(("largest", "smallest"), [(6, 1), (4, 1), (4, 2), (3, 3), (9, 2)])
def test_path_has_a_model_of_every_size(largest, smallest):
    truth, x, y, rng = planted(0, 2, n=500, noise=0.1)
    start = truth.plus(rng.standard_normal((4, 3)), np.ones(4))
    fit = descend(lambda s, stale: normal_equations(x, y, s, stale), start, steps=10)
    path = collapse(x, y, fit, largest, smallest)
    assert sorted(path) == list(range(smallest, min(6, largest) + 1))
    for m, model in path.items():
        assert model.student.neurons == m
        assert model.quadratic.loss == pytest.approx(np.sum((y - model.student(x)) ** 2), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_superfluous_neurons_go_and_needed_ones_stay(seed):
    truth, x, y, rng = planted(seed, 3)
    halves = Student(np.vstack([truth.beta] * 2) / 2, np.tile(truth.signs, 2), truth.linear, truth.free)
    start = halves.moved(0.02 * rng.standard_normal(halves.parameters))
    fit = descend(lambda s, stale: normal_equations(x, y, s, stale), start, steps=10)
    path = collapse(x, y, fit, 5)
    assert path[3].mse < 1e-20 * y.var()
    assert path[2].mse > 1e-4 * y.var()
    assert min(path) == 2  # three explain everything, so that one has no chance
