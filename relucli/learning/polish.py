"""Polishing: damped Gauss-Newton in all dimensions, and the standard errors that come with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Fit, descend
from relucli.learning.identify import tied, tolerated_rise
from relucli.learning.student import NormalAccumulator, Quadratic, Student
from relucli.network import ReluNetwork
from relucli.streaming.fold import Engine, Rows

__all__ = ["StandardErrors", "polish", "settle", "standard_errors", "to_network"]

Array = NDArray[np.float64]

STEPS = 60
HOPELESS = 30.0


def polish(
    rows: Rows, student: Student, bias: bool, engine: Engine, *, steps: int = STEPS, tolerance: float = 1e-3
) -> Fit:
    """Fit a student to all rows from a start close by: one pass for each Gauss-Newton step.

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
    steps : int
        Largest number of steps.
    tolerance : float
        As in `descend`.
    """

    def evaluate(moved: Student, stale: Array | None) -> Quadratic:
        return engine.fold(NormalAccumulator(moved, bias, stale), rows, "polish").quadratic

    return descend(evaluate, student, steps=steps, tolerance=tolerance, damping=1e-4)


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
    without = polish(rows, student, bias, engine, steps=12)
    return without if without.quadratic.exact or without.quadratic.loss - fit.quadratic.loss <= allowed else fit


@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of a network's parts, at the noise level of the residuals.

    Attributes
    ----------
    weights : ndarray, shape (k,)
        Root mean square angle between estimated and true direction, radians.
    coefficients, biases : ndarray, shape (k,)
        Of c_i and b_i.
    linear : ndarray, shape (d,)
        Of the linear part; zero where it is not a parameter.
    offset : float
        Of the offset; zero where it is not a parameter.
    """

    weights: Array
    coefficients: Array
    biases: Array
    linear: Array
    offset: float


def standard_errors(fit: Fit, bias: bool, shift: Array | None = None) -> StandardErrors:
    """Standard errors from the inverse normal matrix, sigma^2 (F^T F)^-1, by the delta method.

    With beta = c (w, b) (up to the sign of c), |w| = 1 and u = w:
    A bias of inputs less a shift s is one of the inputs less <w, s>.
    d|c| = <w, d beta_w>, dw = (I - w w^T) d beta_w / |c|, db = (d beta_b - b d|c|) / |c|.
    """
    m, p = fit.student.beta.shape
    d = p - bias
    normal = fit.quadratic.normal
    scale = 1 / np.sqrt(np.maximum(np.diag(normal), np.finfo(float).tiny))
    inverse = np.linalg.pinv(normal * scale[:, None] * scale, rcond=1e-14, hermitian=True)
    covariance = fit.quadratic.noise_variance * inverse * scale[:, None] * scale
    back = np.eye(p)
    if bias and shift is not None:
        back[d, :d] = -shift
    weights, coefficients, biases = np.zeros(m), np.zeros(m), np.zeros(m)
    for j, beta in enumerate(fit.student.beta):
        block = back @ covariance[j * p : (j + 1) * p, j * p : (j + 1) * p] @ back.T
        beta = back @ beta
        size = float(np.linalg.norm(beta[:d]))
        w = beta[:d] / size
        radial = float(w @ block[:d, :d] @ w)
        coefficients[j] = np.sqrt(max(0.0, radial))
        weights[j] = np.sqrt(max(0.0, float(np.trace(block[:d, :d])) - radial)) / size
        if bias:
            along = np.append(-w * beta[d] / size, 1.0) / size
            biases[j] = np.sqrt(max(0.0, float(along @ block @ along)))
    rest = np.zeros(p)
    rest[fit.student.free] = np.sqrt(np.maximum(0.0, np.diag(covariance)[m * p :]))
    return StandardErrors(weights, coefficients, biases, rest[:d], float(rest[d]) if bias else 0.0)


def to_network(student: Student, bias: bool, shift: Array | None = None) -> ReluNetwork:
    """The student, of inputs less a shift, as a network of the inputs with unit weights."""
    d = student.beta.shape[1] - bias
    moved = np.zeros(d) if shift is None else shift
    offset = float(student.linear[d] - student.linear[:d] @ moved) if bias else 0.0
    biases = student.beta[:, d] - student.beta[:, :d] @ moved if bias else np.zeros(student.neurons)
    return ReluNetwork.from_vectors(student.beta[:, :d], student.signs, biases, student.linear[:d], offset)
