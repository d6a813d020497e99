"""Discovering neurons in the few dimensions of their span, where everything is cheap.

Two routes lead to the same thing, a path of models with 1, 2, ... k lines and a free linear part:

*overcomplete*: many random neurons, fitted together, then collapsed;
*iterative*: the neuron, or the pair of close neurons, that explains the residual best, one after the other.

With the linear part free a neuron may point either way along its line, so no start can be on the wrong side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from relucli.learning.collapse import CLEAR_GAIN, Path, collapse, without_idle
from relucli.learning.descent import Fit, fitted
from relucli.learning.student import Student
from relucli.streaming.executors import executor_for

__all__ = ["grown", "iterative", "overcomplete", "random_start", "width"]

Array = NDArray[np.float64]

BIAS_SPREAD = 0.7
NET = 512
GATE_ROWS = 512
COARSE_ROWS = 4
LEAST_ROWS = 3000
STAGE = 12
REFILLS = 3
FAINT = 1e-2
SPLIT_SCALES = (0.3, 0.1, 0.03)
SPLITS = 4
TRIPLE_SCALES = (0.5, 0.25)
NEAR = 0.9
TRIPLES = 4
PAIR_RIDGE = 1e-8
PAIR_SCALES = (0.3, 0.05)


def width(neurons: int) -> int:
    """Neurons to start with where ``neurons`` are wanted."""
    return min(2 * neurons + 6, int(1.6 * neurons) + 8)


def _directions(count: int, p: int, bias: bool, rng: np.random.Generator) -> Array:
    """Random half-spaces: unit directions, with a random threshold as last component if there are biases."""
    normals = rng.standard_normal((count, p - bias))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return np.column_stack([normals, BIAS_SPREAD * rng.standard_normal(count)]) if bias else normals


def _least_squares(features: Array, y: Array, ridge: float) -> Array:
    normal = features.T @ features
    normal[np.diag_indices_from(normal)] *= 1 + ridge
    return np.asarray(np.linalg.lstsq(normal, features.T @ y, rcond=None)[0])


def _fitted(directions: Array, x: Array, y: Array, ridge: float = 1e-3) -> Student:
    """A student with neurons in the given directions, coefficients and linear part by least squares.

    The ridge is relative to the diagonal; close pairs with opposite coefficients need a small one.
    """
    hidden = np.maximum(x @ directions.T, 0)
    coefficients = _least_squares(np.column_stack([hidden, x]), y, ridge)
    c, v = coefficients[: len(directions)], coefficients[len(directions) :]
    signs = np.where(c < 0, -1.0, 1.0)
    size = np.maximum(np.abs(c), 1e-3 * np.abs(c).max())
    return Student(directions * size[:, None], signs, v, np.arange(x.shape[1], dtype=np.intp))


def _refilled(student: Student, directions: Array, rng: np.random.Generator) -> Student:
    """The student with faint neurons in new directions, in place of those that did nothing."""
    size = FAINT * np.linalg.norm(student.beta, axis=1).mean()
    return student.plus(size * directions, rng.choice([-1.0, 1.0], len(directions)))


def random_start(x: Array, y: Array, directions: Array, neurons: int, bias: bool, rng: np.random.Generator) -> Student:
    """Neurons in random directions of a span (d, r), in all dimensions, with coefficients by least squares."""
    drawn = _directions(neurons, directions.shape[1] + bias, bias, rng)
    lifted = np.column_stack([drawn[:, : directions.shape[1]] @ directions.T, drawn[:, directions.shape[1] :]])
    return _fitted(lifted, x, y)


def overcomplete(x: Array, y: Array, neurons: int, bias: bool, rng: np.random.Generator) -> Path:
    """Fit more neurons than wanted from random directions, then collapse.

    1. Fit neurons in random directions, to a part of the rows first.
    2. While the loss falls fast, drop those that do nothing, and go on.
    3. When it does not, put new ones in their place, and go on if that explains more than noise could.
    4. Collapse to the path.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Pilot inputs on the span, white; the last column is ones if there are biases.
    y : ndarray, shape (n,)
        Labels.
    neurons : int
        Largest number of neurons wanted.
    bias : bool
        Whether there are biases.
    rng : numpy.random.Generator
        Source of the directions.

    Returns
    -------
    Path
        The best fit for every number of neurons from ``neurons`` down to where fewer clearly explain less.
    """
    p = x.shape[1]
    few = max(LEAST_ROWS, COARSE_ROWS * p * (width(neurons) + 1))

    def refit(student: Student, steps: int, rows: int) -> Fit:
        return fitted(np.asfortranarray(x[:rows]), y[:rows], student, steps=steps, tolerance=1e-2, damping=1e-2)

    student = _fitted(_directions(width(neurons), p, bias, rng), x, y)
    if len(y) > 2 * few:
        student = refit(student, 20, few).student
    fit = refit(student, 2 * STAGE, len(y))
    falling, refills = True, 0
    while not fit.quadratic.exact and refills <= REFILLS:
        kept = without_idle(fit, neurons)
        fresh = 0 if falling else width(neurons) - kept.neurons
        if fresh:
            kept = _refilled(kept, _directions(fresh, p, bias, rng), rng)
        again = refit(kept, STAGE if falling else 2 * STAGE, len(y))
        gain, noise = fit.quadratic.loss - again.quadratic.loss, again.quadratic.noise_variance
        if gain <= 0 or (not falling and gain <= CLEAR_GAIN * max(1, fresh) * p * noise):
            break
        refills += not falling
        falling, fit = again.quadratic.loss < 0.5 * fit.quadratic.loss, again
    return collapse(x, y, fit, neurons)


def _correlations(x: Array, residual: Array, net: Array) -> Array:
    """E[r 1_u x] for every half-space u of a net (g, p): (g, p).  A few rows at a time: they stay in cache."""
    scores = np.zeros_like(net)
    weighted = x * residual[:, None]
    for i in range(0, len(x), GATE_ROWS):
        inside = net @ x[i : i + GATE_ROWS].T
        np.greater(inside, 0, out=inside)
        scores += inside @ weighted[i : i + GATE_ROWS]
    return scores / len(x)


def _best_gate(x: Array, residual: Array, bias: bool, rng: np.random.Generator) -> tuple[Array, Array]:
    """The half-space u whose inputs correlate best with the residual, and the correlation E[r 1_u x].

    A net of random half-spaces is refined around its best member.  Any cluster of neurons close to u acts as
    1_u(x) <b, x> with some vector b, so |E r 1_u x| is the right score for it, whatever cancels within.
    """
    p = x.shape[1]
    best, gate = np.zeros(p), np.zeros(p)
    spread = np.inf
    for _ in range(5):
        net = _directions(NET, p, bias, rng)
        if np.isfinite(spread):
            net = gate + spread * net
        scores = _correlations(x, residual, net)
        top = int(np.argmax((scores**2).sum(axis=1)))
        if scores[top] @ scores[top] > best @ best:
            best, gate = scores[top], net[top] / np.linalg.norm(net[top][: p - bias])
        spread = 0.4 if not np.isfinite(spread) else spread / 3
    return gate, best


def _additions(gate: Array, pull: Array) -> list[Array]:
    """Directions to try for a gate: the neuron itself, and close pairs that differ along what it lacks."""
    across = pull - (pull @ gate) / max(float(gate @ gate), 1e-300) * gate
    norm = np.linalg.norm(across)
    tries = [gate[None]]
    if norm > 0:
        tries += [np.stack([gate + 0.5 * s * across / norm, gate - 0.5 * s * across / norm]) for s in PAIR_SCALES]
    return tries


def _splits(x: Array, residual: Array, student: Student, bias: bool) -> list[Array]:
    """Directions (m + 1, p) in which one neuron is replaced by two, the most promising first.

    To second order, splitting u into u +- v lowers the loss by E r delta(<u, x>) <v, x>^2, so that the eigenvectors of
    E r delta(<u, x>) x x^T are the directions to split along (splitting steepest descent: Wu, Wang and Liu,
    NeurIPS 2019).  The delta is a Gaussian kernel, as wide as the split, at several scales.
    """
    unit = student.beta / np.maximum(
        np.linalg.norm(student.beta[:, : x.shape[1] - bias], axis=1, keepdims=True), 1e-300
    )
    found = []
    for j, u in enumerate(unit):
        z = x @ u
        for scale in SPLIT_SCALES:
            near = np.abs(z) < 3 * scale
            kernel = residual[near] * np.exp(-0.5 * (z[near] / scale) ** 2)
            inputs = x[near] - np.outer(z[near], u) / max(float(u @ u), 1e-300)
            curvature, directions = np.linalg.eigh((inputs * kernel[:, None]).T @ inputs)
            top = int(np.argmax(np.abs(curvature)))
            strength = abs(curvature[top]) / np.sqrt(max(1.0, float(kernel @ kernel)))
            half = 0.5 * scale * directions[:, top]
            found.append((strength, np.vstack([np.delete(unit, j, axis=0), u + half, u - half])))
    found.sort(key=lambda item: -item[0])
    return [directions for _, directions in found[:SPLITS]]


def _triples(unit: Array) -> list[Array]:
    """Directions (m + 1, p) in which a close pair is replaced by three neurons between them, closest pairs first.

    Two neurons that stand for three in a narrow cone agree with its moments up to the third order, so that they lie
    farther apart than the three, and splitting either of them lowers the loss by next to nothing.
    """
    cosines = unit @ unit.T
    rows, columns = np.triu_indices(len(unit), 1)
    closeness = np.abs(cosines[rows, columns])
    found = []
    for pair in [n for n in np.argsort(-closeness)[:TRIPLES] if closeness[n] > NEAR]:
        i, j = int(rows[pair]), int(columns[pair])
        other = np.sign(cosines[i, j]) * unit[j]
        middle, half = (unit[i] + other) / 2, (unit[i] - other) / 2
        rest = np.delete(unit, [i, j], axis=0)
        found += [np.vstack([rest, middle, middle + t * half, middle - t * half]) for t in TRIPLE_SCALES]
    return found


def grown(x: Array, y: Array, fit: Fit, bias: bool, rng: np.random.Generator, workers: int = 1) -> Fit:
    """A fit with a neuron more, where the residual asks for it; at times with two, if these are close to each other.

    1. Find the half-space whose inputs correlate best with the residual.
    2. Try one neuron there, and pairs at a coarse and a fine scale; try to split the neurons that are there, and to
       make three of close pairs.  Refit everything jointly, and keep what is best.

    Parameters and result are those of `overcomplete`, but for the fit to grow and the threads that try.
    """
    residual = y - fit.student(x)
    gate, pull = _best_gate(x, residual, bias, rng)
    old = fit.student.beta / np.maximum(np.linalg.norm(fit.student.beta, axis=1, keepdims=True), 1e-300)
    tries = [np.vstack([old, added]) for added in _additions(gate, pull)]
    tries += _splits(x, residual, fit.student, bias) + _triples(old)

    def refit(directions: Array) -> Fit:
        return fitted(x, y, _fitted(directions, x, y, PAIR_RIDGE), steps=12, tolerance=1e-2, damping=1e-2)

    return min(executor_for(workers).map(refit, tries), key=lambda trial: trial.quadratic.loss)


def iterative(x: Array, y: Array, neurons: int, bias: bool, rng: np.random.Generator) -> Path:
    """Add the neurons that explain the residual best, one gate after the other, then collapse.

    When there are two more neurons than wanted, the fit is collapsed to the path.

    Parameters and result are those of `overcomplete`.  Source: the iterative discovery and the multi-scale clusters
    of Chen, Dou, Goel, Klivans and Meka, COLT 2023, with joint refits in place of their grid.
    """
    empty = Student.empty(x.shape[1])
    fit = fitted(x, y, Student(empty.beta, empty.signs, _least_squares(x, y, 1e-3), empty.free), steps=1)
    while fit.student.neurons < neurons + 2:
        fit = grown(x, y, fit, bias, rng)
    return collapse(x, y, fit, neurons)
