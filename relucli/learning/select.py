"""How many neurons: polish the models of the path on training rows, compare them on held-out rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.learning.collapse import Path
from relucli.learning.descent import Fit
from relucli.learning.polish import polish
from relucli.learning.student import Student, augmented
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

__all__ = ["Model", "Selection", "select"]

Array = NDArray[np.float64]

HELD_OUT = 5
PATIENCE = 2
CLEAR_GAIN = 6.0


@dataclass(frozen=True)
class Model:
    """A model of the path, judged.

    Attributes
    ----------
    neurons : int
    validation_mse, validation_se : float
        Mean squared error on held-out rows, and its standard error.
    excess_se : float
        Standard error of its difference from the best model, row by row.
    polished : bool
        Whether it was fitted in all dimensions; the others were fitted on the span only.
    """

    neurons: int
    validation_mse: float
    validation_se: float
    excess_se: float
    polished: bool


@dataclass(frozen=True)
class Selection:
    """The chosen model, and the models it was chosen from.

    Attributes
    ----------
    fit : Fit
        Fitted to all pilot rows, with a free linear part.
    table : tuple of Model
    squares : ndarray
        Its squared errors on the held-out rows, when fitted to the others.
    exact : bool
        Whether it leaves no residual.
    """

    fit: Fit
    table: tuple[Model, ...]
    squares: Array
    exact: bool

    @property
    def validation_mse(self) -> float:
        """Mean squared error on the held-out rows."""
        return float(self.squares.mean())

    def gain_se(self, other: Selection) -> float:
        """Standard error of the difference in validation error from another selection on the same rows."""
        return float((self.squares - other.squares).std() / np.sqrt(len(self.squares)))


def _clearly_needed(path: Path) -> int:
    """The least number of neurons such that no larger model explains far more than noise could.

    One more neuron may fit p parameters to noise over many half-spaces; a gain of six times 2 p + 10 noise variances
    is beyond that.
    """
    needed = min(path)
    for m in sorted(path)[:-1]:
        gain = path[m].quadratic.loss - path[m + 1].quadratic.loss
        noise = path[m + 1].quadratic.noise_variance
        if gain > CLEAR_GAIN * (2 * path[m].student.beta.shape[1] + 10) * noise:
            needed = m + 1
    return needed


def _squares(student: Student, x: Array, y: Array) -> Array:
    return np.asarray((y - student(x)) ** 2)


def _table(squares: dict[int, Array], polished: set[int]) -> tuple[Model, ...]:
    best = min((m for m in squares if m in polished), key=lambda m: squares[m].mean())
    root = np.sqrt(len(squares[best]))

    def spread(values: Array) -> float:
        return float(values.std() / root)

    return tuple(
        Model(m, float(s.mean()), spread(s), spread(s - squares[best]), m in polished)
        for m, s in sorted(squares.items())
    )


def _one_standard_error(table: tuple[Model, ...]) -> int:
    """The smallest polished model whose error exceeds the least by no more than its standard error."""
    least = min(model.validation_mse for model in table if model.polished)
    return min(m.neurons for m in table if m.polished and m.validation_mse <= least + m.excess_se)


def select(path: Path, basis: Array, x: Array, y: Array, bias: bool, engine: Engine) -> Selection:
    """Choose the number of neurons.

    1. Polish upwards from the least number that is clearly needed; a fit without residual ends the search.
    2. Else polish each on four fifths of the pilot rows too and square its errors on the rest; end the search when
       two more neurons have not lowered the mean.
    3. Take the smallest model within one standard error of the best.

    Parameters
    ----------
    path : Path
        Fits on the span.
    basis : ndarray, shape (d, r)
        The span.
    x, y : ndarray, shapes (n, d) and (n,)
        Pilot rows.
    bias : bool
        Whether there are biases.
    engine : Engine
        Runs the passes over the pilot.
    """
    held = np.arange(len(y)) % HELD_OUT == HELD_OUT - 1
    whole, train = MemoryRows(x, y), MemoryRows(x[~held], y[~held])
    rest, rest_y = augmented(x[held], bias), y[held]
    lift = np.zeros((x.shape[1] + bias, basis.shape[1] + bias))
    lift[: len(basis), : basis.shape[1]] = basis
    lift[len(basis) :, basis.shape[1] :] = np.eye(int(bias))
    squares = {m: _squares(fit.student.lifted(lift), rest, rest_y) for m, fit in path.items()}
    fits: dict[int, Fit] = {}
    best, stale = np.inf, 0
    for m in range(_clearly_needed(path), max(path) + 1):
        fits[m] = polish(whole, path[m].student.lifted(lift), bias, engine)
        if fits[m].quadratic.exact:
            squares[m] = _squares(fits[m].student, rest, rest_y)
            return Selection(fits[m], _table(squares, {m}), squares[m], True)
        squares[m] = _squares(polish(train, fits[m].student, bias, engine).student, rest, rest_y)
        stale = 0 if squares[m].mean() < best else stale + 1
        best = min(best, float(squares[m].mean()))
        if stale >= PATIENCE:
            break
    table = _table(squares, set(fits))
    chosen = _one_standard_error(table)
    return Selection(fits[chosen], table, squares[chosen], False)
