import numpy as np
import pytest

from relucli.learning import search
from relucli.learning.descent import Fit
from relucli.learning.options import LearnOptions
from relucli.learning.search import _discover, _found_twice
from relucli.learning.split import Seen
from relucli.learning.student import Quadratic, Student

ROWS = 1000


def path(losses, energy=1e4):
    """Models on a plane with 1, 2, ... neurons; twice what one more gains by chance is 28, for losses near 1000."""
    fits = {}
    for m, loss in enumerate(losses, start=1):
        student = Student(np.ones((m, 2)), np.ones(m), np.zeros(2), np.arange(2))
        fits[m] = Fit(student, Quadratic(loss, np.zeros(1), energy, ROWS, np.eye(1)), (), True)
    return fits


def test_the_best_is_found_twice_where_two_starts_agree_up_to_chance():
    low = path([5000.0, 2000.0, 1000.0])
    assert not _found_twice([low])
    assert _found_twice([low, path([5000.0, 2000.0, 1020.0])])
    assert not _found_twice([low, path([5000.0, 2000.0, 1040.0])])
    assert _found_twice([low, path([5000.0, 2000.0, 1040.0]), path([6000.0, 2000.0, 1020.0])])


def test_starts_need_agree_on_models_only_that_are_not_clearly_too_small():
    assert _found_twice([path([5000.0, 2000.0, 1000.0]), path([6000.0, 3000.0, 1005.0])])
    assert not _found_twice([path([5000.0, 1010.0, 1000.0]), path([5000.0, 1100.0, 1005.0])])


def test_a_fit_without_residual_need_not_be_found_twice():
    assert _found_twice([path([5000.0, 1e-28]), path([5000.0, 4000.0])])


@pytest.mark.parametrize(
    ("least", "losses", "made"),
    [
        (1, [1000.0] * 8, 2),
        (1, [1000.0, 1100.0, 1000.0, 1100.0] + 4 * [900.0], 4),
        (1, [1000.0 + 50 * i for i in range(8)], 8),
        (4, [1000.0] * 8, 8),
    ],
)
def test_starts_are_made_until_the_best_is_found_twice(monkeypatch, least, losses, made):
    starts = []

    def route(x, y, most, bias, rng):
        starts.append(rng.bit_generator.state["state"]["state"])
        return path([5000.0, losses[len(starts) - 1]])

    monkeypatch.setattr(search, "overcomplete", route)
    seen = Seen(np.eye(2), np.ones((ROWS, 2)), np.ones(ROWS), np.ones((0, 2)), np.ones(0))
    found = _discover(seen, 2, LearnOptions(neurons=2), 0, 1, least)
    assert len(starts) == len(set(starts)) == made
    assert found[2].quadratic.loss == min(losses[:made])


def test_models_that_are_not_clearly_too_small_see_all_rows_of_a_refined_span():
    rng = np.random.default_rng(0)
    x, beta = rng.standard_normal((40_000, 4)), rng.standard_normal((3, 4))
    y = np.maximum(x @ beta.T, 0).sum(axis=1) + rng.standard_normal(40_000)
    seen = Seen(np.eye(4), x, y, x[:0], y[:0])
    first, refined = (_discover(seen, 10, LearnOptions(), turn, 2) for turn in (0, 1))
    assert max(fit.quadratic.samples for fit in first.values()) < 10_000
    assert {m: fit.quadratic.samples for m, fit in refined.items() if m > 1} == dict.fromkeys(range(2, 11), 40_000)
    for m in range(3, 11):  # as good as the truth, to which chance adds as many noise variances as parameters or so
        assert refined[m].quadratic.loss < ((y - np.maximum(x @ beta.T, 0).sum(axis=1)) ** 2).sum()
