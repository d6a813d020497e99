from __future__ import annotations

import numpy as np
import pytest

from relucli.learning.fallback import fit_linear
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

RNG = np.random.default_rng(3)
X = RNG.standard_normal((400, 6)) * [1, 10, 0.1, 1, 1, 1] + [0, 50, 0, 0, 0, 1]
Y = X @ [1.0, 0.2, -3.0, 0.0, 0.5, 0.0] + 7.0 + 0.3 * RNG.standard_normal(400)
WIDE = np.column_stack([X, X[:, 0], np.full(400, 3.0), np.zeros(400)])


def fit(x, y):
    return fit_linear(MemoryRows(x, y), Engine())


def test_it_is_least_squares():
    found = fit(X, Y)
    expected, squares, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(400)]), Y, rcond=None)
    assert found.network.neurons == 0
    np.testing.assert_allclose(found.network.linear, expected[:6], rtol=1e-8, atol=1e-8)
    assert found.network.offset == pytest.approx(expected[6], rel=1e-8)
    assert found.r2 == pytest.approx(1 - squares[0] / ((Y - Y.mean()) ** 2).sum(), rel=1e-9)
    assert found.noise_std == pytest.approx(np.sqrt(squares[0] / 393), rel=1e-8)


def test_columns_that_repeat_or_never_change_change_nothing():
    plain, more = fit(X, Y), fit(WIDE, Y)
    np.testing.assert_allclose(more.network(WIDE), plain.network(X))
    assert not more.network.linear[7:].any()
    assert more.noise_std == pytest.approx(plain.noise_std)


def test_labels_that_do_not_depend_on_the_inputs_leave_their_mean():
    # An F-test at 5e-4 rejects in one of 2,000 on average: four or more of 200 have a chance of 4e-6.
    rejected = sum(
        fit(rng.standard_normal((60, 5)), rng.standard_normal(60)).network.linear.any()
        for rng in map(np.random.default_rng, range(200))
    )
    assert rejected < 4
    found = fit(X, np.random.default_rng(0).standard_normal(400) + 5)
    assert (found.r2, found.network.linear.any()) == (0.0, False)


@pytest.mark.parametrize("rows", [1, 2, 6, 7])
def test_as_many_parameters_as_rows_explain_nothing(rows):
    found = fit(X[:rows], Y[:rows])
    assert not found.network.linear.any()
    assert found.network.offset == pytest.approx(Y[:rows].mean(), rel=1e-12)
    assert found.noise_std == pytest.approx(Y[:rows].std(ddof=rows > 1), abs=1e-12)


def test_constant_labels():
    found = fit(X, np.full(400, 4.0))
    assert (found.network.offset, found.noise_std, found.r2) == (4.0, 0.0, 0.0)
