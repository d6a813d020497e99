import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.learning.descent import Fit, descend
from relucli.learning.identify import orientations, tied, tolerated_rise
from relucli.learning.loss import SQUARED
from relucli.learning.structured import Metric, StructuredAccumulator, frame_of
from relucli.learning.student import Quadratic, Student, augmented, normal_equations
from relucli.streaming.accumulator import Block


@pytest.mark.parametrize("m", [1, 4, 14, 15, 24])
@pytest.mark.parametrize("seed", range(3))
def test_planted_orientations_come_first(m, seed):
    rng = np.random.default_rng([seed, m])
    beta, signs, mask = rng.standard_normal((m, 30)), rng.choice([-1.0, 1.0], m), rng.random(m) < 0.5
    v = -(signs[mask] @ beta[mask]) + 1e-3 * rng.standard_normal(30)
    assert orientations(beta, signs, v)[0].tolist() == mask.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 4))
def test_few_neurons_are_turned_in_the_order_of_what_is_left(seed, m, p):
    rng = np.random.default_rng(seed)
    beta, signs, v = rng.standard_normal((m, p)), rng.choice([-1.0, 1.0], m), rng.standard_normal(p)
    found = orientations(beta, signs, v)
    assert len(found) == min(8, 2**m)
    assert len({tuple(mask) for mask in found}) == len(found)
    sizes = [np.sum((v + signs[mask] @ beta[mask]) ** 2) for mask in found]
    assert sizes == sorted(sizes)


def test_many_neurons_in_few_dimensions_end_where_no_turn_helps():
    rng = np.random.default_rng(0)
    beta, signs, v = rng.standard_normal((20, 3)), np.ones(20), rng.standard_normal(3)
    (mask,) = orientations(beta, signs, v)

    def size(m):
        return np.sum((v + beta[m].sum(axis=0)) ** 2)

    assert all(size(mask ^ (np.arange(20) == j)) >= size(mask) for j in range(20))


def normal_at(fit, x, y, bias=False):
    """The structured normal matrix of a fit; the span is everything here, so it is the normal matrix."""
    metric = Metric.standard(x.shape[1] - bias)
    empty = StructuredAccumulator(fit.student, frame_of(fit.student, bias, metric), bias, SQUARED)
    empty.update(Block(x[:, : x.shape[1] - bias], y, 0))
    return empty.slope(metric)[1]


def fitted(seed, m, d, n, noise, bias=False, orthogonal=False):
    """A free fit of a planted network without a linear part, some of whose neurons point the wrong way."""
    rng = np.random.default_rng(seed)
    p = d + bias
    beta, signs = rng.standard_normal((m, p)), rng.choice([-1.0, 1.0], m)
    beta = np.linalg.qr(beta)[0] if orthogonal else beta
    linear = np.zeros(p)
    linear[d:] = 0.7
    truth = Student(beta, signs, linear, np.arange(p, dtype=np.intp))
    x = augmented(rng.standard_normal((n, d)), bias)
    y = truth(x) + noise * rng.standard_normal(n)
    start = truth.flipped(rng.random(m) < 0.5)
    fit = descend(lambda s, stale: normal_equations(x, y, s, stale), start, tolerance=1e-9, damping=1e-6)
    return truth, fit, x, y


def likeliest(student, normal, bias):
    choices = tied(student, normal, bias)
    assert [choice.statistic for choice in choices] == sorted(choice.statistic for choice in choices)
    return choices[0].student, choices[0].statistic


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_network_without_linear_part_is_turned_back(seed, bias):
    truth, fit, x, y = fitted(seed, 4, 5, 800, 0.0, bias)
    student, statistic = likeliest(fit.student, normal_at(fit, x, y, bias), bias)
    assert not student.linear[:5].any()
    assert student.free.tolist() == list(range(5, 5 + bias))
    np.testing.assert_allclose(student.beta, truth.beta, atol=1e-8)
    np.testing.assert_allclose(student(x), y, atol=1e-8)
    assert statistic < 1e-10


def test_statistic_is_chi_squared_for_a_network_without_linear_part():
    # The mean of 60 draws of chi-squared with 4 degrees of freedom: 4 +- 6 sqrt(2 x 4 / 60).
    found = []
    for seed in range(60):
        truth, fit, x, y = fitted(seed, 4, 4, 1000, 0.1, orthogonal=True)
        student, statistic = likeliest(fit.student, normal_at(fit, x, y), False)
        np.testing.assert_allclose(student.beta, truth.beta, atol=0.15)
        found.append(statistic / 0.01)
    assert abs(np.mean(found) - 4) < 6 * np.sqrt(8 / 60)


@pytest.mark.parametrize("seed", range(4))
def test_statistic_is_the_rise_of_the_loss(seed):
    _, fit, x, y = fitted(seed, 4, 4, 4000, 0.05)
    student, statistic = likeliest(fit.student, normal_at(fit, x, y), False)
    moved = normal_equations(x, y, student).loss
    assert moved - fit.quadratic.loss == pytest.approx(statistic, rel=0.3)  # the step is the cheapest there is
    refit = descend(lambda s, stale: normal_equations(x, y, s, stale), student, tolerance=1e-9)
    assert refit.quadratic.loss - fit.quadratic.loss == pytest.approx(statistic, rel=0.3)


def test_an_antipodal_pair_keeps_its_linear_part():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((500, 3))
    y = np.maximum(x[:, 0], 0) - 2 * np.maximum(-x[:, 0], 0) + 0.01 * rng.standard_normal(500)
    start = Student(np.array([[1.0, 0.1, 0.0]]), np.ones(1), np.zeros(3), np.arange(3, dtype=np.intp))
    fit = descend(lambda s, stale: normal_equations(x, y, s, stale), start)
    assert likeliest(fit.student, normal_at(fit, x, y), False)[1] > 100 * tolerated_rise(fit, 3)


def test_tolerated_rise_is_in_noise_variances():
    fit = Fit(None, Quadratic(20.0, np.zeros(2), 1.0, 12, np.eye(2)), (), True)
    assert tolerated_rise(fit, 2) == pytest.approx(2 * (2 + 8))
    assert tolerated_rise(fit, 50) == pytest.approx(2 * 100)


@pytest.mark.parametrize("turned", [(), (1,), (0, 2)])
def test_off_the_span_the_step_and_its_cost_are_those_of_the_whole_normal_matrix(turned):
    """Against dense algebra: the least rise of the quadratic under the constraint that no linear part is left."""
    rng = np.random.default_rng(3)
    m, p = 3, 9
    truth = Student(rng.standard_normal((m, p)), np.array([1.0, -1, 1]), np.zeros(p), np.arange(p, dtype=np.intp))
    mask = np.isin(np.arange(m), turned)
    off = truth.flipped(mask).moved(1e-3 * rng.standard_normal((m + 1) * p))
    x = rng.standard_normal((2000, p))
    empty = StructuredAccumulator(off, frame_of(off, False, Metric.standard(p)), False, SQUARED)
    empty.update(Block(x, truth(x), 0))
    normal = empty.slope(Metric.standard(p))[1]
    student, statistic = likeliest(off, normal, False)
    covariance = np.column_stack([normal.solve(e) for e in np.eye((m + 1) * p)])
    weights = np.append(np.where(mask, off.signs, 0.0), 1.0)
    constraint = np.kron(weights, np.eye(p))
    left = off.flipped(mask).linear
    inner = np.linalg.inv(constraint @ covariance @ constraint.T)
    assert statistic == pytest.approx(left @ inner @ left, rel=1e-8)
    expected = off.moved(-covariance @ constraint.T @ inner @ left).flipped(mask)
    np.testing.assert_allclose(expected.linear, 0, atol=1e-12)
    np.testing.assert_allclose(student.beta, expected.beta, atol=1e-12)
