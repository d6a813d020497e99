from dataclasses import replace

import numpy as np
import pytest

from relucli.learning.covariance import SandwichAccumulator, StructuredCovariance
from relucli.learning.descent import Fit, fitted
from relucli.learning.discover import overcomplete
from relucli.learning.polish import polish
from relucli.learning.select import (
    Model,
    Selection,
    _not_left_out,
    _one_standard_error,
    _worth_having,
    clearly_needed,
    select,
)
from relucli.learning.split import Split, lifting
from relucli.learning.structured import Metric
from relucli.learning.student import Quadratic, Student
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine


def model(m, mse, excess, polished=True):
    return Model(m, mse, 0.1, excess, polished)


def fits(*neurons, linear=(), p=3, losses=()):
    """Fits with the numbers of parameters that neurons have with, or without, a free linear part."""
    free = {m: np.arange(p) if m in linear else np.empty(0, dtype=int) for m in neurons}
    student = {m: Student(np.ones((m, p)), np.ones(m), np.zeros(p), free[m]) for m in neurons}
    loss = dict.fromkeys(neurons, 9.0) | dict(losses)
    return {m: Fit(student[m], Quadratic(loss[m], np.zeros(1), 1e4, 9, np.eye(1)), (), True) for m in neurons}


def test_the_smallest_model_within_one_standard_error_is_taken():
    table = model(1, 2.0, 0.3), model(2, 1.1, 0.2), model(3, 1.0, 0.0), model(4, 1.05, 0.1)
    assert _one_standard_error(table, fits(1, 2, 3, 4)) == 2
    table = model(1, 2.0, 0.3), model(2, 1.1, 0.05), model(3, 1.0, 0.0)
    assert _one_standard_error(table, fits(1, 2, 3)) == 3


def test_of_models_with_as_many_parameters_the_better_fit_is_taken():
    table = model(2, 1.3, 0.2), model(3, 1.0, 0.0)
    assert _one_standard_error(table, fits(2, 3, linear=(2,), losses={2: 8.0})) == 2
    assert _one_standard_error(table, fits(2, 3, linear=(2,), losses={3: 8.0})) == 3
    assert _one_standard_error((model(2, 1.5, 0.2), table[1]), fits(2, 3, linear=(2,), losses={2: 8.0})) == 3
    assert _one_standard_error((model(2, 1.1, 0.2), table[1]), fits(2, 3, linear=(2, 3), losses={3: 8.0})) == 2


def test_models_that_were_not_polished_are_not_taken():
    table = model(1, 0.9, 0.5, False), model(2, 1.1, 0.2), model(3, 1.0, 0.0)
    assert _one_standard_error(table, fits(2, 3)) == 2


DIM, ROWS = 10, 8000


def nested(seed, size, noise):
    """Rows of two neurons and a third of some size, noise given by the inputs, and fits with two and three."""
    rng = np.random.default_rng(seed)
    beta = np.linalg.qr(rng.standard_normal((DIM, 3)))[0].T
    x = rng.standard_normal((ROWS, DIM))
    y = np.maximum(x @ beta.T, 0) @ [1.0, -1.0, size] + noise(x @ beta.T) * rng.standard_normal(ROWS)
    split = Split.of(MemoryRows(x, y), 0, False, Engine())
    metric, free = Metric.standard(DIM), np.empty(0, dtype=int)
    starts = (Student(beta[:m], np.array([1.0, -1.0, 1.0])[:m], np.zeros(DIM), free) for m in (2, 3))
    return split, {s.neurons: polish(split.rows, s, False, Engine(), metric, tolerance=1e-6) for s in starts}


def test_a_neuron_that_explains_more_than_chance_is_not_left_out():
    # Without noise it would gain size^2 / 4 a row: 125 noise variances, where chance gains 20 +- 6.
    split, fits = nested(0, 0.25, lambda z: np.ones(len(z)))
    assert _not_left_out(2, fits, split) == 3
    assert _not_left_out(3, fits, split) == 3


def test_less_evidence_is_asked_of_the_number_that_is_wanted():
    split, fits = nested(0, 0.0, lambda z: np.ones(len(z)))
    # Ten parameters more: chance gains 20 +- 6 noise variances.
    for gain, alone, wanted in ((20, 2, 2), (42, 2, 3), (65, 3, 3)):
        loss = fits[2].quadratic.loss - gain * fits[3].quadratic.noise_variance
        larger = {2: fits[2], 3: replace(fits[3], quadratic=replace(fits[3].quadratic, loss=loss))}
        assert _not_left_out(2, larger, split) == _not_left_out(2, larger, split, 4) == alone
        assert _not_left_out(2, larger, split, 3) == wanted


@pytest.mark.parametrize(("gain", "taken"), [(15, 2), (25, 3)])
def test_a_larger_model_is_worth_having_from_two_noise_variances_for_each_parameter_on(gain, taken):
    split, fits = nested(0, 0.0, lambda z: np.ones(len(z)))  # ten parameters more
    loss = fits[2].quadratic.loss - gain * fits[3].quadratic.noise_variance
    larger = {2: fits[2], 3: replace(fits[3], quadratic=replace(fits[3].quadratic, loss=loss))}
    assert _worth_having(3, larger, split) == taken
    assert _worth_having(2, larger, split) == 2
    few = Split.of(MemoryRows(*(values[:300] for values in (split.rows.x, split.rows.y))), 0, False, Engine())
    assert _worth_having(3, larger, few) == 3


@pytest.mark.parametrize(("wanted", "taken"), [(None, 2), (3, 3)])
def test_held_out_rows_alone_may_prefer_the_number_that_is_wanted(wanted, taken, monkeypatch):
    monkeypatch.setattr("relucli.learning.select._one_standard_error", lambda table, fits: 3)
    path, seen, split = superfluous(60.0)
    assert select(path, seen, split, Metric.standard(4), wanted).fit.student.neurons == taken


def superfluous(gain):
    """Rows of two neurons, and a path of up to four on their span, the last of which explains so much more.

    Chance explains 18.
    """
    rng = np.random.default_rng(1)
    beta = np.vstack([np.eye(2, 4), rng.standard_normal((2, 4))])
    x = np.asfortranarray(rng.standard_normal((8000, 4)))
    y = np.maximum(x @ beta[:2].T, 0) @ [1.0, -1.0] + rng.standard_normal(8000)
    split = Split.of(MemoryRows(x, y), 5, False, Engine())
    seen = split.seen(np.eye(4))
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    path = {m: fitted(seen.x, seen.y, Student(beta[:m], signs[:m], np.zeros(4), np.arange(4))) for m in range(1, 5)}
    lower = replace(path[4].quadratic, loss=path[3].quadratic.loss - gain)
    return path | {4: replace(path[4], quadratic=lower)}, seen, split


def tried(selection):
    return [model.neurons for model in selection.table if model.polished]


@pytest.mark.parametrize(("gain", "first", "refined"), [(0.0, [2], [2, 3]), (60.0, [2, 3], [2, 3, 4])])
def test_models_are_tried_as_long_as_larger_ones_explain_more_on_a_refined_span(gain, first, refined):
    path, seen, split = superfluous(gain)
    known = select(path, seen, split, Metric.standard(4))
    assert tried(known) == first
    again = select(path, seen, split, Metric.standard(4), known=known)
    assert tried(again) == refined
    assert known.fit.student.neurons == again.fit.student.neurons == 2


@pytest.mark.parametrize(("rise", "kept"), [(0.1, False), (-0.1, True)])
def test_what_is_known_gives_way_only_to_as_many_neurons_that_predict_better(rise, kept):
    path, seen, split = superfluous(0.0)
    first = select(path, seen, split, Metric.standard(4))
    known = replace(first, squares=first.squares + rise)
    again = select(path, seen, split, Metric.standard(4), known=known)
    assert again.fit.student.neurons == 2
    assert (again.fit is known.fit) == kept


def test_of_models_with_as_many_parameters_the_better_fit_is_worth_having():
    split, found = nested(0, 0.0, lambda z: np.ones(len(z)))
    three = found[3]
    worse = replace(three, quadratic=replace(three.quadratic, loss=three.quadratic.loss + 1))
    more = replace(three.student, beta=np.vstack([three.student.beta] * 2), signs=np.tile(three.student.signs, 2))
    largest = replace(three, student=more)
    assert _worth_having(6, {2: worse, 3: three, 6: largest}, split) == 3
    assert _worth_having(6, {2: three, 3: worse, 6: largest}, split) == 2


def test_what_is_known_is_a_candidate():
    path, seen, split = superfluous(0.0)
    known = select(path, seen, split, Metric.standard(4))
    larger = {m: path[m] for m in (3, 4)}
    assert select(larger, seen, split, Metric.standard(4)).fit.student.neurons == 3
    assert select(larger, seen, split, Metric.standard(4), known=known).fit is known.fit


@pytest.mark.parametrize(("gain", "polished"), [(0.0, [2, 3]), (60.0, [2, 4])])
def test_smaller_models_are_left_out_where_the_number_that_is_wanted_explains_more(gain, polished):
    path, seen, split = superfluous(gain)
    known = select(path, seen, split, Metric.standard(4))
    assert tried(select(path, seen, split, Metric.standard(4), 4, known)) == polished


def test_of_models_with_as_many_parameters_the_one_that_explains_most_is_not_left_out():
    split, fits = nested(0, 0.5, lambda z: np.ones(len(z)))
    free = replace(fits[2].student, free=np.arange(DIM))  # a linear part explains half of the third neuron
    linear = polish(split.rows, free, False, Engine(), Metric.standard(DIM))
    assert linear.student.parameters == fits[3].student.parameters
    assert _not_left_out(2, {2: fits[2], 3: linear}, split) == 3
    assert _not_left_out(2, {2: fits[2], 3: linear, 4: fits[3]}, split) == 4


def test_chance_is_the_larger_the_more_rows_differ_in_their_noise(monkeypatch):
    split, fits = nested(0, 0.25, lambda z: np.ones(len(z)))
    monkeypatch.setattr(StructuredCovariance, "inflation", lambda self, noise: 10.0)
    assert _not_left_out(2, fits, split) == 2


@pytest.mark.parametrize("law", [lambda z: np.ones(len(z)), lambda z: np.where(z[:, 2] > 0, 3.0, 1.0)])
def test_superfluous_neurons_are_left_out(law):
    for seed in range(6):
        split, fits = nested(seed, 0.0, law)
        assert fits[3].quadratic.loss < fits[2].quadratic.loss
        assert _not_left_out(2, fits, split) == 2


def test_the_inflation_is_that_of_the_noise_where_a_neuron_sees_it():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, DIM))
    rows = MemoryRows(x, np.maximum(x[:, 0], 0) + np.where(x[:, 0] > 0, 3.0, 1.0) * rng.standard_normal(ROWS))
    start = Student(np.eye(1, DIM), np.ones(1), np.zeros(DIM), np.empty(0, dtype=int))
    fit = polish(rows, start, False, Engine(), Metric.standard(DIM))
    covariance = Engine().fold(SandwichAccumulator(fit.normal), rows).covariance(ROWS)
    # It sees noise of variance 9 alone, where the mean is 5; of its 4000 rows by chance some percent more or less.
    assert covariance.inflation(fit.quadratic.noise_variance) == pytest.approx(9 / 5, rel=0.1)


def test_a_fit_without_residual_is_not_looked_for_beyond_two_neurons_that_do_not_help():
    rng = np.random.default_rng(0)
    x = np.asfortranarray(rng.standard_normal((2000, 4)))
    split = Split.of(MemoryRows(x, np.maximum(x[:, 0], 0) + 0.3 * rng.standard_normal(2000)), 0, False, Engine())
    seen = split.seen(np.eye(4))
    found = select(overcomplete(seen.x, seen.y, 8, False, rng), seen, split, Metric.standard(4))
    assert not found.exact
    assert found.fit.student.neurons == 3


def path(*losses, n=1000, p=3):
    fits = {}
    for m, loss in enumerate(losses, start=1):
        student = Student(np.ones((m, p)), np.ones(m), np.zeros(p), np.arange(p))
        q = m * p + p
        fits[m] = Fit(student, Quadratic(loss, np.zeros(q), 1e4, n, np.eye(q)), (), True)
    return fits


def test_neurons_that_explain_far_more_than_noise_are_needed():
    # One noise variance is about 1 here; six times 2 p + 10 of them are 96.
    assert clearly_needed(path(5000.0, 3000.0, 1000.0, 990.0)) == 3
    assert clearly_needed(path(1060.0, 1000.0, 990.0)) == 1
    assert clearly_needed(path(1100.0, 1090.0, 900.0)) == 3


def test_nothing_is_needed_beyond_a_fit_without_residual():
    # Residuals of rounding have structure: a second split of the same kink may halve them.
    fits = path(5000.0, 1e-25, 1e-28, n=1000)
    assert fits[2].quadratic.exact
    assert clearly_needed(fits) == 2


def test_fits_to_different_rows_do_not_tell_what_is_needed():
    few, many = path(500.0, 490.0, n=500), path(50_000.0, 5000.0, n=5000)
    assert clearly_needed({1: many[1], 2: few[2]}) == 1
    assert clearly_needed(many) == 2


@pytest.mark.parametrize("every", [0, 2, 5])
def test_rows_are_held_out_at_even_distances_and_none_is_lost(every):
    x, y = np.arange(22.0).reshape(11, 2), np.arange(11.0)
    seen = Split.of(MemoryRows(x, y), every, False, Engine()).seen(np.eye(2))
    held = [] if not every else [float(i) for i in range(11) if i % every == every - 1]
    assert seen.held_y.tolist() == held
    assert sorted([*seen.y, *held]) == y.tolist()
    assert np.array_equal(seen.x[:, 0] / 2, seen.y)
    assert np.array_equal(seen.held_x[:, 0] / 2, seen.held_y)


def selection(squares, loss=1.0, exact=False):
    fit = Fit(None, Quadratic(loss, np.zeros(1), 1.0, 9, np.eye(1)), (), True)
    return Selection(fit, (), np.asarray(squares, dtype=float), np.zeros(len(squares)), exact)


def test_better_means_by_more_than_one_standard_error():
    base = np.random.default_rng(0).random(100)
    gain = np.random.default_rng(1).standard_normal(100)
    gain = (gain - gain.mean()) / gain.std()
    assert selection(base - gain - 0.11).better_than(selection(base))
    assert not selection(base - gain - 0.09).better_than(selection(base))
    assert selection(base + 9, exact=True).better_than(selection(base))


def test_without_held_out_rows_half_the_loss_is_better():
    assert selection([], 0.4).better_than(selection([], 1.0))
    assert not selection([], 0.6).better_than(selection([], 1.0))


def test_a_bias_is_lifted_to_a_bias():
    basis = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert lifting(basis, False) is basis
    assert lifting(basis, True).tolist() == [[1, 2, 0], [3, 4, 0], [5, 6, 0], [0, 0, 1]]
