import numpy as np
import pytest

from relucli.learning.descent import fitted
from relucli.learning.discover import GATE_ROWS, _correlations, _splits, grown, iterative, overcomplete, random_start
from relucli.learning.student import Student, augmented


def teacher(rng, m, p, bias=False):
    beta = rng.standard_normal((m, p))
    return Student(beta, rng.choice([-1.0, 1.0], m), rng.standard_normal(p), np.arange(p))


@pytest.mark.parametrize("rows", [1, GATE_ROWS, 3 * GATE_ROWS + 7])
def test_correlations_are_means_over_half_spaces(rows):
    rng = np.random.default_rng(0)
    x, residual, net = rng.standard_normal((rows, 3)), rng.standard_normal(rows), rng.standard_normal((20, 3))
    wanted = [np.mean(residual[:, None] * (x @ u > 0)[:, None] * x, axis=0) for u in net]
    np.testing.assert_allclose(_correlations(np.asfortranarray(x), residual, net), wanted, atol=1e-14)


@pytest.mark.parametrize("route", [overcomplete, iterative])
@pytest.mark.parametrize("bias", [False, True])
def test_both_routes_recover_exactly(route, bias):
    rng = np.random.default_rng(3)
    truth = teacher(rng, 4, 3 + bias)
    x = augmented(rng.standard_normal((3000, 3)), bias)
    path = route(np.asfortranarray(x), truth(x), 5, bias, rng)
    assert path[4].quadratic.exact


def test_many_neurons_with_biases_are_recovered():
    rng = np.random.default_rng(4)
    truth = teacher(rng, 12, 5)
    x = augmented(rng.standard_normal((4000, 4)), True)
    best = min(
        (overcomplete(x, truth(x), 12, True, np.random.default_rng(s))[12] for s in range(2)), key=lambda f: f.mse
    )
    assert best.quadratic.exact
    unit, found = (b / np.linalg.norm(b, axis=1, keepdims=True) for b in (truth.beta, best.student.beta))
    np.testing.assert_allclose(np.abs(unit @ found.T).max(axis=1), 1, atol=1e-9)


@pytest.mark.parametrize("angle", [0.3, 0.1, 0.03])
def test_growing_splits_a_pair_that_was_taken_as_one(angle):
    rng = np.random.default_rng(5)
    beta = np.array([[1.0, 0, 0], [0.6 * np.cos(angle), 0.6 * np.sin(angle), 0], [0, 0.2, 1]])
    truth = Student(beta, np.array([1.0, -1.0, 1.0]), np.zeros(3), np.arange(3))
    x = np.asfortranarray(rng.standard_normal((20_000, 3)))
    y = truth(x)
    one = fitted(x, y, Student(beta[[0, 2]], np.array([1.0, 1.0]), np.zeros(3), np.arange(3)))
    assert one.mse > 1e-9
    more = grown(x, y, one, False, np.random.default_rng(6))
    np.testing.assert_array_equal(grown(x, y, one, False, np.random.default_rng(6), 2).student.beta, more.student.beta)
    assert more.student.neurons > 2
    assert fitted(x, y, more.student).quadratic.exact


@pytest.mark.parametrize("angle", [0.1, 0.02])
@pytest.mark.parametrize("coefficients", [(-1.35, 1.42, -0.97), (0.67, -0.52, 0.92)])
def test_growing_makes_three_of_a_pair_that_stood_for_them(angle, coefficients):
    turns, c = angle * np.array([-1.0, 0.0, 1.2]), np.array(coefficients)
    beta = np.abs(c)[:, None] * np.column_stack([np.cos(turns), np.sin(turns), np.zeros(3)])
    truth = Student(np.vstack([beta, [0.0, 0.2, 1.0]]), np.append(np.sign(c), 1.0), np.zeros(3), np.arange(3))
    x = np.asfortranarray(np.random.default_rng(7).standard_normal((20_000, 3)))
    y = truth(x)
    apart = 2 * angle * np.array([-1.0, 1.0])
    pair = 0.3 * np.column_stack([np.cos(apart), np.sin(apart), np.zeros(2)])
    signs = np.array([*np.full(2, np.sign(c.sum())), 1.0])
    two = fitted(x, y, Student(np.vstack([pair, [0.0, 0.2, 1.0]]), signs, np.zeros(3), np.arange(3)))
    assert two.mse > 1e-12
    three = grown(x, y, two, False, np.random.default_rng(8))
    assert fitted(x, y, three.student).quadratic.exact


def test_random_start_has_the_coefficients_of_least_squares():
    rng = np.random.default_rng(6)
    x, basis = rng.standard_normal((500, 6)), np.eye(6)[:, :2]
    y = np.maximum(x[:, 0], 0) - 2 * np.maximum(x[:, 1], 0) + x[:, 5]
    start = random_start(x, y, basis, 3, False, rng)
    assert not start.beta[:, 2:].any()
    residual = y - start(x)
    hidden = np.maximum(x @ start.beta.T, 0)
    for feature in (*hidden.T, *x.T):  # normal equations, up to a ridge of a thousandth
        assert abs(feature @ residual) < 0.01 * np.linalg.norm(feature) * np.linalg.norm(y)


def test_a_neuron_is_split_along_what_it_lacks():
    # The pair differs along the second axis; the one neuron taken for it must be split there, not the other.
    rng = np.random.default_rng(7)
    beta = np.array([[1.0, 0.1, 0, 0], [1.0, -0.1, 0, 0], [0, 0.2, 1, 0]])
    truth = Student(beta, np.ones(3), np.zeros(4), np.arange(4))
    x = rng.standard_normal((20_000, 4))
    one = fitted(x, truth(x), Student(np.array([[2.0, 0, 0, 0], beta[2]]), np.ones(2), np.zeros(4), np.arange(4)))
    split = _splits(x, truth(x) - one.student(x), one.student, False)[0]
    half = split[-1] - split[-2]
    assert abs(half[1]) > 0.95 * np.linalg.norm(half)
    assert abs(split[0] @ beta[2]) > 0.99 * np.linalg.norm(split[0]) * np.linalg.norm(beta[2])
