"""The scale of close pairs: the valley along which Gauss-Newton only crawls.

Two neurons with scaled vectors s_i beta_i = S / 2 + D and s_j beta_j = S / 2 - D that lie close to each other act,
to first order, as 1_u(x) <S, x>, u their common direction (that of D, if their signs differ): only their sum S matters,
and growing coefficients can be traded for a shrinking angle.  The loss changes little along D -> t D, and what it says
about the scale is of higher order.  Trying scales outright finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Fit, fitted
from relucli.learning.student import Student

__all__ = ["rescaled"]

Array = NDArray[np.float64]

SCALES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 2.0, 4.0, 8.0, 16.0)
CLOSE = 0.9
ATTEMPTS = 4
TRIAL_ROWS = 20_000


def _pairs(student: Student) -> Iterator[tuple[Student, int, int]]:
    """Close pairs, with the second neuron turned to the side of the first."""
    unit = student.beta / np.maximum(np.linalg.norm(student.beta, axis=1, keepdims=True), np.finfo(float).tiny)
    cosines = unit @ unit.T
    for i, j in zip(*np.triu_indices(student.neurons, 1), strict=True):
        if abs(cosines[i, j]) > CLOSE:
            turn = cosines[i, j] < 0
            yield student.flipped(np.arange(student.neurons) == j) if turn else student, int(i), int(j)


def _rescalings(student: Student) -> Iterator[Student]:
    """The student with D replaced by t D for one close pair."""
    for pair, i, j in _pairs(student):
        signs = pair.signs[[i, j]]
        vectors = signs[:, None] * pair.beta[[i, j]]
        half_sum, half = vectors.sum(axis=0) / 2, (vectors[0] - vectors[1]) / 2
        for scale in SCALES:
            beta = pair.beta.copy()
            beta[[i, j]] = signs[:, None] * np.stack([half_sum + scale * half, half_sum - scale * half])
            yield replace(pair, beta=beta)


def rescaled(x: Array, y: Array, fit: Fit) -> Fit:
    """A fit at the best scale of its close pairs.

    1. Replace D by t D for each close pair and each t of a geometric grid, and refit each for a few steps
       to a part of the rows.
    2. Refit the best; repeat while that lowers the loss by more than noise would.

    Parameters
    ----------
    x, y : ndarray, shapes (n, p) and (n,)
        Rows on the span, with the column of ones if there are biases.
    fit : Fit
        A fit to them with a free linear part.
    """

    def refit(student: Student, steps: int, every: int = 1) -> Fit:
        return fitted(np.asfortranarray(x[::every]), y[::every], student, steps=steps, tolerance=1e-4)

    every = max(1, len(y) // TRIAL_ROWS)
    for _ in range(ATTEMPTS):
        tried = [refit(student, 5, every) for student in _rescalings(fit.student)]
        if not tried:
            break
        best = refit(min(tried, key=lambda f: f.quadratic.loss).student, 20)
        gain = fit.quadratic.loss - best.quadratic.loss
        if gain > 0:
            fit = best
        if gain <= fit.quadratic.noise_variance:
            break
    return fit
