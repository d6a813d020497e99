"""Polishing: damped Gauss-Newton in all dimensions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Fit, descend
from relucli.learning.identify import tied, tolerated_rise
from relucli.learning.loss import SQUARED, Loss
from relucli.learning.student import NormalAccumulator, Quadratic, Student
from relucli.network import ReluNetwork
from relucli.streaming.fold import Engine, Rows

__all__ = ["polish", "settle", "to_network"]

Array = NDArray[np.float64]

STEPS = 60
HOPELESS = 30.0
SETTLING = 12
CHEAP = 100
"""Parameters up to which a pass costs no more than reading, so that its normal matrix comes with it."""


def polish(
    rows: Rows,
    student: Student,
    bias: bool,
    engine: Engine,
    *,
    loss: Loss = SQUARED,
    steps: int = STEPS,
    tolerance: float = 1e-3,
    near: Fit | None = None,
) -> Fit:
    """Fit a student to all rows from a start close by: a pass or two for each Gauss-Newton step.

    Parameters
    ----------
    rows : Rows
        The data.
    student : Student
        Where to start, in the coordinates of the rows (with the column of ones if there are biases).
    bias : bool
        Whether there are biases.
    engine : Engine
        Runs the passes.
    loss : Loss
        Of a residual.
    steps : int
        Largest number of steps.
    tolerance : float
        As in `descend`.
    near : Fit, optional
        Of the same parameters to other rows of the same kind: its normal matrix is begun with.
    """

    def evaluate(moved: Student, stale: Array | None) -> Quadratic:
        return engine.fold(NormalAccumulator(moved, bias, stale, loss), rows, "polish").quadratic

    normal = None
    if near is not None and near.student.parameters == student.parameters and not near.quadratic.exact:
        normal = near.quadratic.normal * (rows.samples / near.quadratic.samples)
    probing = student.parameters > CHEAP
    return descend(evaluate, student, steps=steps, tolerance=tolerance, damping=1e-4, probing=probing, normal=normal)


def _turned(fit: Fit, student: Student) -> Fit:
    """The fit with neurons turned as in the student, and the linear part left out.

    A turned neuron has the features s x - s D x, combinations of its own and those of the linear part.
    """
    m, p = student.beta.shape
    kept = np.isin(fit.student.free, student.free)
    change = np.eye(m * p + len(fit.student.free))
    for j in np.flatnonzero((student.beta * fit.student.beta).sum(axis=1) < 0):
        own = slice(j * p, (j + 1) * p)
        change[own, own] *= -1
        change[own, m * p + np.arange(len(fit.student.free))] = student.signs[j] * np.eye(p)[:, fit.student.free]
    change = change[np.append(np.ones(m * p, dtype=bool), kept)]
    return replace(
        fit, student=student, quadratic=replace(fit.quadratic, normal=change @ fit.quadratic.normal @ change.T)
    )


def settle(rows: Rows, fit: Fit, bias: bool, engine: Engine) -> Fit:
    """Polish in the identifiable coordinates: without the linear part if orientations exist that need none.

    Parameters
    ----------
    rows : Rows
        The data that ``fit`` was made on.
    fit : Fit
        A fit with a free linear part.
    bias, engine
        As in `polish`.
    """
    p = fit.student.beta.shape[1]
    pinned = np.arange(p - bias, dtype=np.intp)
    free = np.arange(p - bias, p, dtype=np.intp)
    student, statistic = tied(fit, pinned, free)
    allowed = tolerated_rise(fit, len(pinned))
    if statistic > HOPELESS * allowed and not fit.quadratic.exact:
        return fit
    without = polish(rows, student, bias, engine, steps=SETTLING, tolerance=1e-2, near=_turned(fit, student))
    return without if without.quadratic.exact or without.quadratic.loss - fit.quadratic.loss <= allowed else fit


def to_network(student: Student, bias: bool, shift: Array | None = None) -> ReluNetwork:
    """The student, of inputs less a shift, as a network of the inputs with unit weights."""
    d = student.beta.shape[1] - bias
    moved = np.zeros(d) if shift is None else shift
    offset = float(student.linear[d] - student.linear[:d] @ moved) if bias else 0.0
    biases = student.beta[:, d] - student.beta[:, :d] @ moved if bias else np.zeros(student.neurons)
    return ReluNetwork.from_vectors(student.beta[:, :d], student.signs, biases, student.linear[:d], offset)
