import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.learning.loss import SQUARED, Loss
from relucli.learning.student import (
    TILE_FLOATS,
    TILE_ROWS,
    NormalAccumulator,
    Quadratic,
    Student,
    augmented,
    normal_equations,
)
from relucli.storage.dataset import MemoryRows
from relucli.streaming.accumulator import Block
from relucli.streaming.fold import Engine

seeds = st.integers(0, 2**32 - 1)


def student(rng, m, p, free):
    linear = rng.standard_normal(p)
    return Student(rng.standard_normal((m, p)), rng.choice([-1.0, 1.0], m), linear, np.asarray(free, dtype=np.intp))


def data(rng, n, d, bias=False):
    return augmented(rng.standard_normal((n, d)), bias), rng.standard_normal(n)


def value(s, x):
    return sum(sign * np.maximum(x @ b, 0) for sign, b in zip(s.signs, s.beta, strict=True)) + x @ s.linear


def features(s, x):
    """One column for each parameter, written down parameter by parameter."""
    columns = [sign * (x @ b > 0) * x[:, i] for sign, b in zip(s.signs, s.beta, strict=True) for i in range(x.shape[1])]
    return np.column_stack([*columns, *(x[:, i] for i in s.free)])


CASES = [
    (4, 3, range(3), False, 50),
    (4, 3, (), False, 50),
    (3, 5, (4,), True, 700),
    (1, 2, (1, 0), False, 5),
    (0, 3, range(3), False, 40),
    (2, 1, (), False, 1),
    (60, 5, range(5), False, 1024),
    (60, 5, range(5), False, 1025),
    (60, 5, (), True, 3 * 1024 - 1),
]


@pytest.mark.parametrize(("m", "p", "free", "bias", "n"), CASES)
def test_normal_equations_are_those_of_the_features(m, p, free, bias, n):
    rng = np.random.default_rng(m)
    s, (x, y) = student(rng, m, p, free), data(rng, n, p - bias, bias)
    F, residual = features(s, x), y - value(s, x)
    for stored in (x, np.asfortranarray(x)):
        q = normal_equations(stored, y, s)
        np.testing.assert_allclose(q.normal, F.T @ F, rtol=0, atol=1e-11 * n)
        np.testing.assert_allclose(q.gradient, F.T @ residual, rtol=0, atol=1e-11 * n * m if m else 1e-10)
        assert q.loss == pytest.approx(residual @ residual, rel=1e-12)
        assert q.energy == pytest.approx(y @ y, rel=1e-12)
        assert q.samples == n


@pytest.mark.parametrize("loss", [SQUARED, Loss(delta=0.5, reject=2.0)])
@pytest.mark.parametrize(("m", "free"), [(1, range(5)), (3, ()), (3, (4,)), (9, range(5)), (17, ()), (33, range(5))])
def test_rows_summed_pattern_by_pattern_give_the_same_normal_matrix(m, free, loss, monkeypatch):
    rng = np.random.default_rng(m)
    s, (x, y) = student(rng, m, 5, free), data(rng, 3000, 5)
    s = replace(s, beta=s.beta[:, :2] @ rng.standard_normal((2, 5)))  # in a plane: as many patterns as 2 m
    by_pattern = normal_equations(x, y, s, loss=loss)
    with monkeypatch.context() as patch:
        patch.setattr("relucli.learning.student._gram_by_pattern", lambda *more: None)
        by_tile = normal_equations(x, y, s, loss=loss)
    assert not np.array_equal(by_pattern.normal, by_tile.normal)  # otherwise it was not the other way
    np.testing.assert_allclose(by_pattern.normal, by_tile.normal, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(by_pattern.normal, by_pattern.normal.T)
    assert by_pattern.loss == by_tile.loss


def test_where_every_row_has_a_pattern_of_its_own_there_are_tiles(monkeypatch):
    rng = np.random.default_rng(0)
    s, (x, y) = student(rng, 40, 20, ()), data(rng, 1000, 20)
    found = normal_equations(x, y, s).normal
    monkeypatch.setattr("relucli.learning.student._gram_by_pattern", lambda *more: None)
    np.testing.assert_array_equal(found, normal_equations(x, y, s).normal)


@pytest.mark.parametrize(
    ("m", "p", "rank", "n"), [(8, 60, 2, 10_000), (8, 60, 8, 10_000), (30, 20, 20, 4000), (2, 200, 2, 600)]
)
def test_scratch_covers_what_the_normal_matrix_takes(m, p, rank, n):
    rng = np.random.default_rng(m)
    s, (x, y) = student(rng, m, p, range(p)), data(rng, n, p)
    s = replace(s, beta=s.beta[:, :rank] @ rng.standard_normal((rank, p)))
    accumulator = NormalAccumulator(s, False)
    tracemalloc.start()
    try:
        accumulator.update(Block(x, y, 0))
        assert tracemalloc.get_traced_memory()[1] < accumulator.scratch(n)
    finally:
        tracemalloc.stop()


def test_tiles_are_full_and_one_more_row_begins_another():
    rng = np.random.default_rng(0)
    s = student(rng, 2, 4, ())
    step = TILE_FLOATS // s.parameters
    assert step > TILE_ROWS
    for n in (step, step + 1, 2 * step):
        x, y = data(rng, n, 4)
        F = features(s, x)
        np.testing.assert_allclose(normal_equations(x, y, s).normal, F.T @ F, rtol=1e-9, atol=1e-7)


@pytest.mark.parametrize(("m", "p", "free", "bias", "n"), CASES)
def test_a_kept_normal_matrix_changes_neither_loss_nor_gradient(m, p, free, bias, n):
    rng = np.random.default_rng(m)
    s, (x, y) = student(rng, m, p, free), data(rng, n, p - bias, bias)
    old = rng.standard_normal((s.parameters, s.parameters))
    before, whole, kept = old.copy(), normal_equations(x, y, s), normal_equations(x, y, s, old)
    assert (whole.fresh, kept.fresh) == (True, False)
    assert np.array_equal(kept.normal, before)
    assert kept.loss == pytest.approx(whole.loss, rel=1e-12)
    np.testing.assert_allclose(kept.gradient, whole.gradient, rtol=1e-12, atol=1e-11 * n)
    accumulator = NormalAccumulator(s, bias, old)
    accumulator.update(Block(x[:, : p - bias], y, 0))
    q = accumulator.quadratic
    assert (q.loss, q.fresh, q.samples) == (kept.loss, False, n)
    assert np.array_equal(q.gradient, kept.gradient)
    assert np.array_equal(q.normal, before)


@pytest.mark.parametrize("free", [(), (0, 2), range(3)])
def test_gradient_is_that_of_the_loss(free):
    rng = np.random.default_rng(5)
    s, (x, y) = student(rng, 3, 3, free), data(rng, 80, 3)

    def loss(step):
        return np.sum((y - value(s.moved(step), x)) ** 2)

    h = 1e-6  # between kinks the loss is quadratic, so central differences are exact but for rounding
    slope = [(loss(h * e) - loss(-h * e)) / (2 * h) for e in np.eye(s.parameters)]
    np.testing.assert_allclose(-2 * normal_equations(x, y, s).gradient, slope, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_accumulator_is_the_normal_equations_of_all_rows(bias):
    rng = np.random.default_rng(6)
    x, y = rng.standard_normal((900, 3)), rng.standard_normal(900)
    s = student(rng, 3, 3 + bias, (3,) if bias else ())
    whole = normal_equations(augmented(x, bias), y, s)
    found = Engine().fold(NormalAccumulator(s, bias), MemoryRows(x, y)).quadratic
    parts = NormalAccumulator(s, bias)
    for i in range(0, 900, 128):
        parts.update(Block(x[i : i + 128], y[i : i + 128], i))
    for q in (found, parts.quadratic):
        np.testing.assert_allclose(q.normal, whole.normal, rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(q.gradient, whole.gradient, rtol=1e-12, atol=1e-10)
        assert q.loss == pytest.approx(whole.loss, rel=1e-13)
        assert (q.energy, q.samples) == (pytest.approx(whole.energy, rel=1e-13), 900)


def test_noise_variance_is_the_loss_per_degree_of_freedom():
    assert Quadratic(12.0, np.zeros(4), 1.0, 10, np.eye(4)).noise_variance == 2.0
    assert Quadratic(12.0, np.zeros(4), 1.0, 3, np.eye(4)).noise_variance == 12.0
    assert Quadratic(1e-28, np.zeros(1), 1.0, 9, np.eye(1)).exact
    assert not Quadratic(1e-27, np.zeros(1), 1.0, 9, np.eye(1)).exact


@given(seeds, st.integers(0, 6), st.integers(1, 5), st.data())
def test_turning_neurons_leaves_the_function(seed, m, p, draws):
    rng = np.random.default_rng(seed)
    s, (x, _) = student(rng, m, p, range(p)), data(rng, 20, p)
    mask = np.array(draws.draw(st.lists(st.booleans(), min_size=m, max_size=m)), dtype=bool)
    turned = s.flipped(mask)
    np.testing.assert_allclose(value(turned, x), value(s, x), rtol=0, atol=1e-12)
    assert np.array_equal(turned.beta, np.where(mask[:, None], -s.beta, s.beta))
    np.testing.assert_allclose(turned.flipped(mask).linear, s.linear, rtol=0, atol=1e-13)


@given(seeds, st.integers(0, 4), st.integers(1, 4), st.integers(0, 3))
def test_lifting_evaluates_on_the_projection(seed, m, r, more):
    rng = np.random.default_rng(seed)
    s, basis = student(rng, m, r, ()), rng.standard_normal((r + more, r))
    x = rng.standard_normal((10, r + more))
    lifted = s.lifted(basis)
    np.testing.assert_allclose(value(lifted, x), value(s, x @ basis), rtol=0, atol=1e-11)
    assert lifted.free.tolist() == list(range(r + more))


@given(seeds, st.integers(0, 5), st.integers(1, 4))
def test_values_are_the_definition(seed, m, p):
    rng = np.random.default_rng(seed)
    s, (x, _) = student(rng, m, p, ()), data(rng, 9, p)
    np.testing.assert_allclose(s(x), value(s, x), rtol=0, atol=1e-12)


def test_a_step_moves_beta_first_and_then_the_free_part():
    s = student(np.random.default_rng(0), 2, 3, (2, 0))
    moved = s.moved(np.arange(8.0))
    np.testing.assert_allclose(moved.beta - s.beta, [[0, 1, 2], [3, 4, 5]], atol=1e-12)
    np.testing.assert_allclose(moved.linear - s.linear, [7, 0, 6], atol=1e-12)
    assert (s.parameters, s.neurons) == (8, 2)


def test_neurons_are_taken_out_and_added():
    rng = np.random.default_rng(1)
    s, (x, _) = student(rng, 4, 3, ()), data(rng, 20, 3)
    left = s.without([3, 1])
    assert np.array_equal(left.beta, s.beta[[0, 2]])
    back = left.plus(s.beta[[1, 3]], s.signs[[1, 3]])
    np.testing.assert_allclose(back(x), s(x), atol=1e-13)


def test_the_column_of_ones_comes_last():
    x = np.zeros((3, 2))
    assert augmented(x, True).tolist() == [[0, 0, 1]] * 3
    assert augmented(x, False) is x
