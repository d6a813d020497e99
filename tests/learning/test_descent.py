import numpy as np
import pytest

from relucli.learning.descent import descend
from relucli.learning.student import Student, normal_equations


def free(p):
    return np.arange(p, dtype=np.intp)


def on(x, y):
    return lambda student, stale: normal_equations(x, y, student, stale)


def planted(seed, m=3, p=5, n=600, linear=True):
    rng = np.random.default_rng(seed)
    v = rng.standard_normal(p) if linear else np.zeros(p)
    truth = Student(rng.standard_normal((m, p)), rng.choice([-1.0, 1.0], m), v, free(p) if linear else free(0))
    x = rng.standard_normal((n, p))
    nearby = truth.moved(0.1 * rng.standard_normal(truth.parameters))
    return truth, nearby, x, truth(x), rng


def test_a_linear_problem_takes_one_step():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 4)), rng.standard_normal(50)
    start = Student(np.empty((0, 4)), np.empty(0), np.zeros(4), free(4))
    fit = descend(on(x, y), start, damping=0.0)
    expected, rest = np.linalg.lstsq(x, y, rcond=None)[:2]
    np.testing.assert_allclose(fit.student.linear, expected, atol=1e-13)
    assert fit.converged
    assert len(fit.history) == 2
    assert fit.history == pytest.approx((y @ y / 50, rest[0] / 50), rel=1e-12)
    assert fit.mse == fit.history[-1]


def test_known_gates_are_a_linear_problem():
    x = np.random.default_rng(1).standard_normal((200, 3)) + 9  # every neuron is active on all rows
    y = x @ [1.0, 2.0, 0.5]
    fit = descend(on(x, y), Student(np.ones((1, 3)), np.ones(1), np.zeros(3), free(0)), damping=0.0)
    np.testing.assert_allclose(fit.student.beta[0], [1, 2, 0.5], atol=1e-12)
    assert fit.quadratic.exact
    assert len(fit.history) == 2


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_data_without_noise_is_fitted_to_rounding(seed, linear):
    truth, start, x, y, _ = planted(seed, linear=linear)
    fit = descend(on(x, y), start)
    assert fit.converged
    assert fit.quadratic.exact
    np.testing.assert_allclose(fit.student.beta, truth.beta, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_the_loss_falls_at_every_step_from_any_start(seed):
    _, _, x, y, rng = planted(seed, n=150)
    y = y + rng.standard_normal(150)
    start = Student(3 * rng.standard_normal((6, 5)), rng.choice([-1.0, 1.0], 6), np.zeros(5), free(5))
    fit = descend(on(x, y), start, steps=25)
    assert (np.diff(fit.history) < 0).all()
    assert fit.history[0] == pytest.approx(np.mean((y - start(x)) ** 2))
    assert fit.mse == pytest.approx(np.mean((y - fit.student(x)) ** 2), rel=1e-10)
    assert len(fit.history) <= 26


@pytest.mark.parametrize("seed", range(5))
def test_it_stops_where_hardly_anything_is_left_to_gain(seed):
    # A full step would gain g' H^-1 g; one noise variance for each parameter is the excess risk.
    _, start, x, y, rng = planted(seed)
    fit = descend(on(x, y + 0.3 * rng.standard_normal(600)), start)
    q = fit.quadratic
    assert fit.converged
    assert q.gradient @ np.linalg.solve(q.normal, q.gradient) < 0.05 * fit.student.parameters * q.noise_variance
    assert fit.mse == pytest.approx(0.09, rel=0.4)


def test_a_singular_problem_is_solved_all_the_same():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((80, 3))
    x = np.column_stack([x, x[:, 0]])
    y = x @ [1.0, 2.0, 3.0, 4.0]
    fit = descend(on(x, y), Student(np.empty((0, 4)), np.empty(0), np.zeros(4), free(4)))
    assert fit.quadratic.loss < 1e-20 * (y @ y)


def test_a_column_of_zeros_is_left_alone():
    rng = np.random.default_rng(3)
    x = np.column_stack([rng.standard_normal((80, 2)), np.zeros(80)])
    fit = descend(on(x, x @ [1.0, -2.0, 0.0]), Student(np.empty((0, 3)), np.empty(0), np.zeros(3), free(3)))
    np.testing.assert_allclose(fit.student.linear, [1, -2, 0], atol=1e-12)


def test_a_start_without_residual_is_kept():
    truth, _, x, y, _ = planted(0)
    fit = descend(on(x, y), truth)
    assert fit.converged
    assert fit.student is truth
    assert len(fit.history) == 1


@pytest.mark.parametrize("probing", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_normal_equations_are_kept_where_little_changes(noise, probing):
    _, start, x, y, rng = planted(0)
    y = y + noise * rng.standard_normal(600)
    calls = []

    def evaluate(student, stale):
        calls.append(stale is not None)
        return normal_equations(x, y, student, stale)

    fit = descend(evaluate, start, tolerance=1e-6, probing=probing)
    assert calls.count(True) >= 3
    exact = normal_equations(x, y, fit.student)
    assert fit.quadratic.loss == pytest.approx(exact.loss, rel=1e-9, abs=1e-20)
    np.testing.assert_allclose(fit.quadratic.normal, exact.normal, atol=0.1 * exact.normal.max())
    again = descend(evaluate, fit.student, normal=fit.quadratic.normal)
    assert len(again.history) <= 3


def test_a_rejected_step_costs_no_normal_matrix_when_probing():
    _, start, x, y, _ = planted(0)
    fresh = []

    def evaluate(student, stale):
        quadratic = normal_equations(x, y, student, stale)
        fresh.append(quadratic.fresh)
        return quadratic

    fit = descend(evaluate, start.moved(0.5 * np.ones(start.parameters)), probing=True)
    assert sum(fresh) <= len(fit.history)


def test_steps_are_bounded():
    _, start, x, y, _ = planted(0)
    fit = descend(on(x, y), start, steps=1)
    assert len(fit.history) == 2
    assert not fit.converged


def test_it_gives_up_where_no_step_helps():
    _, start, x, y, _ = planted(0)
    calls = []

    def never_better(student, stale):
        calls.append(student)
        q = normal_equations(x, y, start)
        return q if student is start else type(q)(2 * q.loss, q.gradient, q.normal, q.energy, q.samples)

    fit = descend(never_better, start)
    assert fit.student is start
    assert not fit.converged
    assert 10 <= len(calls) <= 20
