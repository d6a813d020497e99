"""Collapsing neurons: from a model with many neurons, the path of models with ever fewer.

Close neurons act as one at the scale of their distance, and superfluous ones share the work of those that are there.
So a model is made smaller in two ways: a neuron is dropped and the others take over what they can of it, or two
neurons on nearby lines become one whose scaled vector is the sum of theirs.  Each candidate is refitted before it is
judged; while there are far more neurons than wanted, those that cost nothing go together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Fit, fitted
from relucli.learning.student import Student

__all__ = [
    "CLEAR_GAIN",
    "PROMISING",
    "Path",
    "by_chance",
    "candidates",
    "cheaper",
    "collapse",
    "explains",
    "merged",
    "without_idle",
]

Array = NDArray[np.float64]

Path = dict[int, Fit]
"""The best fit found for each number of neurons."""

CANDIDATES = 3
FINALISTS = 2
FREE_RISE = 0.01
IDLE = 1e-10
CLEAR_GAIN = 6.0
PROMISING = 2.0
BELOW = 3


def merged(student: Student, i: int, j: int) -> Student:
    """The student with neurons i and j replaced by one on their common line; v free takes what turning j gives.

    Their scaled vectors s beta are added after j is turned, if need be, to the side of i.
    """
    if student.beta[i] @ student.beta[j] < 0:
        student = student.flipped(np.arange(student.neurons) == j)
    total = student.signs[i] * student.beta[i] + student.signs[j] * student.beta[j]
    sign = 1.0 if total @ student.beta[i] > 0 else -1.0
    return student.without([i, j]).plus(sign * total[None], np.array([sign]))


class _Surgeon:
    """Drops neurons from a fit with its activation patterns fixed, so that the others are refitted in closed form.

    Dropping the parameters J from a least squares fit theta with normal matrix H raises the loss by
    theta_J^T [H^-1]_JJ^-1 theta_J and moves the rest by -[H^-1]_KJ [H^-1]_JJ^-1 theta_J (optimal brain surgeon:
    Hassibi and Stork, NeurIPS 1992).
    """

    def __init__(self, fit: Fit) -> None:
        self.student = fit.student
        normal = fit.quadratic.normal
        ridge = 1e-11 * np.trace(normal) / len(normal) or 1.0  # of no rows in any half-space
        self.inverse = np.linalg.inv(normal + ridge * np.eye(len(normal)))

    def _part(self, j: int) -> slice:
        p = self.student.beta.shape[1]
        return slice(j * p, (j + 1) * p)

    def costs(self) -> Array:
        """Rise of the loss when each neuron alone is dropped."""
        parts = [self._part(j) for j in range(self.student.neurons)]
        solved = [
            np.linalg.solve(self.inverse[part, part], b) for part, b in zip(parts, self.student.beta, strict=True)
        ]
        return np.array([b @ s for b, s in zip(self.student.beta, solved, strict=True)])

    def dropped(self, j: int) -> Student:
        """The student without neuron j, the others moved to make up for it."""
        part, student = self._part(j), self.student
        step = -self.inverse[:, part] @ np.linalg.solve(self.inverse[part, part], student.beta[j])
        return student.moved(step).without([j])

    def drop(self, j: int) -> None:
        """Drop neuron j here, so that ``costs`` speaks of what is left."""
        part = self._part(j)
        student = self.dropped(j)
        inner = np.linalg.solve(self.inverse[part, part], self.inverse[part])
        keep = np.delete(np.arange(len(self.inverse)), np.arange(part.start, part.stop))
        self.inverse = (self.inverse - self.inverse[:, part] @ inner)[np.ix_(keep, keep)]
        self.student = student


def without_idle(fit: Fit, smallest: int) -> Student:
    """The student without the neurons that together cost at most a hundredth of the loss.

    Where the loss is next to nothing, at most 1e-10 of the labels' energy: refitting returns from there.
    """
    surgeon, spent = _Surgeon(fit), 0.0
    allowed = max(FREE_RISE * fit.quadratic.loss, IDLE * fit.quadratic.energy)
    while surgeon.student.neurons > smallest:
        costs = surgeon.costs()
        spent += max(0.0, float(costs.min()))
        if spent > allowed:
            break
        surgeon.drop(int(np.argmin(costs)))
    return surgeon.student


def cheaper(fit: Fit) -> Student:
    """The student without its cheapest neuron."""
    surgeon = _Surgeon(fit)
    return surgeon.dropped(int(np.argmin(surgeon.costs())))


def candidates(fit: Fit, each: int) -> list[Student]:
    """Students with one neuron fewer: one of the cheapest dropped, or one of the closest pairs merged."""
    student, surgeon = fit.student, _Surgeon(fit)
    found = [surgeon.dropped(int(j)) for j in np.argsort(surgeon.costs())[:each]]
    unit = student.beta / np.maximum(np.linalg.norm(student.beta, axis=1, keepdims=True), 1e-300)
    rows, columns = np.triu_indices(student.neurons, 1)
    closeness = np.abs((unit @ unit.T)[rows, columns])
    for pair in np.argsort(-closeness)[:each]:
        found.append(merged(student, int(rows[pair]), int(columns[pair])))
    return [s for s in found if np.linalg.norm(s.beta, axis=1).min(initial=np.inf) > 0]


def collapse(x: Array, y: Array, fit: Fit, largest: int, smallest: int = 1) -> Path:
    """The path of models from a fit down to ``smallest`` neurons.

    1. While there are more than ``largest`` neurons, drop at once those that cost next to nothing, and refit.
    2. Then list candidates with one neuron fewer, refit each for a few steps, keep the best two, refit these to
       convergence; the better is the next model of the path.
    3. End where three models explain far less than the one before, or one does whose forerunner explains everything:
       smaller ones explain less still.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Pilot inputs in the coordinates of the fit.
    y : ndarray, shape (n,)
        Their labels.
    fit : Fit
        Where to start.
    largest, smallest : int
        The numbers of neurons between which every model is wanted.

    Returns
    -------
    Path
    """

    def refit(student: Student, steps: int, tolerance: float = 1e-3) -> Fit:
        return fitted(x, y, student, steps=steps, tolerance=tolerance, damping=1e-2)

    while fit.student.neurons > largest:
        kept = without_idle(fit, largest)
        fit = refit(cheaper(fit) if kept.neurons == fit.student.neurons else kept, 10, 1e-2)
    fit = refit(fit.student, 20)
    path, spared = {fit.student.neurons: fit}, 0
    while fit.student.neurons > smallest and spared < BELOW:
        rough = sorted((refit(s, 2, 1e-2) for s in candidates(fit, CANDIDATES)), key=lambda f: f.quadratic.loss)
        if not rough:  # every neuron left has shrunk to nothing
            break
        smaller = min((refit(f.student, 20) for f in rough[:FINALISTS]), key=lambda f: f.quadratic.loss)
        spared += BELOW if fit.quadratic.exact and not smaller.quadratic.exact else explains(fit, smaller)
        fit = path[smaller.student.neurons] = smaller
    return path


def by_chance(fit: Fit) -> float:
    """How much of the loss one more neuron may explain by chance: 2 p + 10 noise variances.

    It fits p parameters to noise over many half-spaces.
    """
    return float((2 * fit.student.linear.size + 10) * fit.quadratic.noise_variance)


def explains(larger: Fit, smaller: Fit, times: float = CLEAR_GAIN) -> bool:
    """Whether a larger model explains far more than noise could: so many times what chance does, for each neuron.

    Fits to different numbers of rows are not compared, and a fit without residual leaves nothing to explain.
    """
    if larger.quadratic.samples != smaller.quadratic.samples or smaller.quadratic.exact:
        return False
    gain = smaller.quadratic.loss - larger.quadratic.loss
    return gain > times * by_chance(larger) * max(1, larger.student.neurons - smaller.student.neurons)
