"""Pairs too close for the noise, each taken at the mean of its field (`mean_field`) in place of the least squares."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np

from relucli.learning.blurred_pair import BlurredPair
from relucli.learning.loss import SQUARED
from relucli.learning.mean_field import field
from relucli.learning.polish import Polished, slope_at
from relucli.learning.structured import Metric
from relucli.learning.student import Student
from relucli.storage.views import ShiftedRows
from relucli.streaming.fold import Engine, Rows

__all__ = ["STEPS", "TOLERANCE", "at_mean", "sharpened", "unresolved"]

CLOSE = 0.5
RESOLVED = 6.0
UNSURE = 4.0
TOLERATED = 4.0
WIDE = 0.12
STEPS = 60
TOLERANCE = 1e-4


def unresolved(fit: Polished, metric: Metric) -> list[tuple[int, int]]:
    """Pairs of opposite signs whose angle is not far above the error of their common direction, closest first.

    The neuron of positive sign is named first.  There are none where there is no noise.
    """
    if fit.quadratic.exact:
        return []
    student, d = fit.student, len(metric.mean)
    whole = len(student.free) == len(student.linear)
    white = np.hstack([metric.white(student.beta[:, :d].T).T, student.beta[:, d:]])
    lengths = np.linalg.norm(white, axis=1)
    spread = fit.quadratic.noise_variance * fit.normal.inverse[1] * (white.shape[1] - 1)
    found: list[tuple[float, int, int]] = []
    for i, j in permutations(range(student.neurons), 2):
        cosine = float(white[i] @ white[j] / max(lengths[i] * lengths[j], np.finfo(float).tiny))
        if student.signs[i] <= student.signs[j] or abs(cosine) < CLOSE or (cosine < 0 and not whole):
            continue
        variance = spread[i, i] + spread[j, j] + 2 * np.sign(cosine) * spread[i, j]
        angle = math.acos(min(1.0, abs(cosine)))
        if angle < RESOLVED * math.sqrt(max(0.0, variance)) / (lengths[i] + lengths[j]):
            found.append((angle, i, j))
    return [(i, j) for _, i, j in sorted(found)]


def at_mean(rows: Rows, fit: Polished, student: Student, bias: bool, engine: Engine, metric: Metric) -> Polished:
    """The fit with another student."""
    slope, normal = slope_at(ShiftedRows(rows, np.zeros(rows.dim)), bias, engine, metric, SQUARED, student)
    history = (*fit.history, slope.loss / slope.samples)
    return replace(fit, student=student, quadratic=slope, history=history, normal=normal)


def sharpened(rows: Rows, fit: Polished, bias: bool, engine: Engine, metric: Metric) -> Polished:
    """A fit with pairs that noise blurs at the mean of the field nearest to their posterior.

    Parameters
    ----------
    rows : Rows
        The data that ``fit`` was made on.
    fit : Polished
        By least squares.
    bias, engine, metric
        As in `polish`.

    Returns
    -------
    Polished
        The same fit where no pair is blurred.
    """
    noise = fit.quadratic.noise_variance
    for i, j in unresolved(fit, metric):
        if (min(i, j), max(i, j)) in fit.blurred:
            continue
        student = fit.student
        if student.beta[i] @ student.beta[j] < 0:  # the linear part is free, so that a neuron may be turned
            student = student.flipped(np.arange(student.neurons) == j)
        start = BlurredPair.of(student, i, j, WIDE, metric)
        found = field(rows, start, bias, engine, noise, volume=False, steps=STEPS, tolerance=TOLERANCE)
        beta, nearest = student.beta.copy(), found.pair.nearest()
        beta[[*np.setdiff1d(np.arange(student.neurons), [i, j]), i, j]] = nearest.beta
        mean = at_mean(rows, fit, replace(student, beta=beta, linear=nearest.linear), bias, engine, metric)
        rise = mean.quadratic.loss - fit.quadratic.loss
        # A mean of what the data allow is among it, or nearly so; one on the way to it may mend a descent that ended
        # in a bad minimum.
        if rise < -noise or (found.converged and rise <= TOLERATED * noise * beta.shape[1]):
            unsure = ((min(i, j), max(i, j)),) if found.pair.angle < UNSURE * found.pair.rho else ()
            fit = replace(mean, blurred=(*fit.blurred, *unsure))
    return fit
