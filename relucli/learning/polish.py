"""Polishing in all dimensions: a pass over the rows for each step.

Quasi-Newton steps need memory and time linear in the parameters.  The structured normal matrix that they use would be
Gauss-Newton's on Gaussian inputs and many rows.  For other inputs, and few rows, it is a first guess.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Outcome, descend
from relucli.learning.loss import SQUARED, Loss
from relucli.learning.quasi_newton import quasi_newton
from relucli.learning.structured import Metric, StructuredAccumulator, StructuredNormal, frame_of
from relucli.learning.student import NormalAccumulator, Quadratic, Slope, Student
from relucli.network import ReluNetwork
from relucli.storage.views import ShiftedRows
from relucli.streaming.fold import Engine, Rows

__all__ = ["Polished", "polish", "polish_need", "slope_at", "to_network"]

Array = NDArray[np.float64]

STEPS = 60
NORMAL_ROWS = 500_000
QUICK = 12
DENSE_WORK = 2e11
DENSE_PARAMETERS = 2048
"""Parameters up to which a few normal matrices fit into the memory that is there by default."""
CHEAP = 100
"""Parameters up to which a pass costs no more than reading, so that its normal matrix comes with it."""


@dataclass(frozen=True)
class Polished(Outcome):
    """Where polishing ended.

    Attributes
    ----------
    normal : StructuredNormal
        The normal matrix at the student.
    blurred : tuple of pairs of int
        Neurons of which only the sum is known (`hidden`, `blurred`).
    bent : bool
        Whether quasi-Newton steps did not end it, as far as they were allowed, or were left out.
    """

    normal: StructuredNormal
    blurred: tuple[tuple[int, int], ...] = ()
    bent: bool = False


def slope_at(
    rows: Rows, bias: bool, engine: Engine, metric: Metric, loss: Loss, student: Student
) -> tuple[Slope, StructuredNormal]:
    """Loss and gradient at a student, and its structured normal matrix: one pass."""
    thinning = max(1, rows.samples // NORMAL_ROWS)
    empty = StructuredAccumulator(student, frame_of(student, bias, metric), bias, loss, thinning)
    return engine.fold(empty, rows, "polish").slope(metric)


def polish(
    rows: Rows,
    student: Student,
    bias: bool,
    engine: Engine,
    metric: Metric,
    *,
    loss: Loss = SQUARED,
    narrow: bool = False,
    dense: bool = True,
    bent: bool = False,
    steps: int = STEPS,
    tolerance: float = 3e-3,
) -> Polished:
    """Fit a student to all rows from a start close by.

    1. Quasi-Newton steps with the structured normal matrix.  Most fits end here, after a handful of passes.
    2. If it takes many, some neurons are so close that the loss bends within a step.  Then damped Gauss-Newton from
       the start, whose shorter steps find better minima, unless its normal matrices would cost too much.

    Parameters
    ----------
    rows : Rows
    student : Student
        Where to start, with a linear part that is free, fixed, or fixed but for the offset, in the coordinates of the
        rows (with the column of ones if there are biases).
    bias : bool
    engine : Engine
        Runs the passes.
    metric : Metric
        Of the inputs.
    loss : Loss
    narrow : bool
        Whether float32 inputs may be multiplied as such: the residual must be far larger than their rounding.
    dense : bool
        Whether the second may follow: in vain where noise blurs what makes the loss bend.
    bent : bool
        Whether the first is known to take many, and left out if the second may follow.
    steps : int
        Largest number of steps.
    tolerance : float
        Decrease of the loss that a step must promise for each parameter, in units of the noise variance (what is left
        to gain is then about that share of the excess risk, which is one noise variance for each parameter).
    """
    structured = partial(slope_at, ShiftedRows(rows, np.zeros(rows.dim), narrow), bias, engine, metric, loss)

    def exactly(moved: Student, stale: Array | None) -> Quadratic:
        return engine.fold(NormalAccumulator(moved, bias, stale, loss), rows, "polish").quadratic

    affordable = _affordable(rows, student)
    if not (affordable and dense and bent):
        quick = quasi_newton(structured, student, min(steps, QUICK) if affordable else steps, tolerance)
        if quick.converged or not (affordable and dense):
            found = quick.point, quick.slope, quick.history, quick.converged, quick.curvature
            return Polished(*found, bent=not quick.converged)
    fit = descend(exactly, student, steps=steps, tolerance=tolerance, damping=1e-4, probing=student.parameters > CHEAP)
    normal = structured(fit.student)[1]
    return Polished(fit.student, fit.quadratic, fit.history, fit.converged, normal, bent=True)


def _affordable(rows: Rows, student: Student) -> bool:
    """Whether there may be dense normal matrices: no matter of the memory bound, on which no result depends."""
    return student.parameters <= DENSE_PARAMETERS and rows.samples * student.parameters**2 < DENSE_WORK


def polish_need(rows: Rows, neurons: int, bias: bool) -> int:
    """Bytes of memory that polishing so many neurons and a linear part may take."""
    p = rows.dim + bias
    student = replace(Student.empty(p), beta=np.zeros((neurons, p)), signs=np.ones(neurons))
    frame = np.zeros((p, min(p, neurons + 2)))
    structured = StructuredAccumulator(student, frame, bias, SQUARED, max(1, rows.samples // NORMAL_ROWS))
    dense = Engine.need(NormalAccumulator(student, bias), rows) if _affordable(rows, student) else 0
    return max(dense, Engine.need(structured, rows))


def to_network(student: Student, bias: bool, shift: Array | None = None) -> ReluNetwork:
    """The student, of inputs less a shift, as a network of the inputs with unit weights."""
    d = student.beta.shape[1] - bias
    moved = np.zeros(d) if shift is None else shift
    offset = float(student.linear[d] - student.linear[:d] @ moved) if bias else 0.0
    biases = student.beta[:, d] - student.beta[:, :d] @ moved if bias else np.zeros(student.neurons)
    return ReluNetwork.from_vectors(student.beta[:, :d], student.signs, biases, student.linear[:d], offset)
