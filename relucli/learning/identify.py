"""Which coordinates are identifiable: turning lines into neurons.

A fit with a free linear part v knows each neuron only up to its orientation, since s relu(z) = s relu(-z) + s z.  If
some choice F of neurons to turn leaves no linear part,

    v_F = v + sum_{j in F} s_j beta_j = 0,

then the network is m neurons in general position with m p parameters, and fitting the linear part too would waste p of
them.  If none does, as with antipodal pairs, the linear part belongs to the function and stays.  The choice is that of
least Wald statistic v_F^T Cov(v_F)^-1 v_F, and the likelihood ratio of the two fits decides.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Fit
from relucli.learning.student import Student

__all__ = ["orientations", "tied", "tolerated_rise"]

Array = NDArray[np.float64]

ENUMERATED = 14
FINALISTS = 8


def orientations(beta: Array, signs: Array, linear: Array) -> list[NDArray[np.bool_]]:
    """Choices of neurons to turn, those that leave the smallest linear part first.

    Up to 14 neurons every choice is compared; beyond, least squares for sum_j t_j s_j beta_j = -v is rounded to
    t in {0, 1} and improved one neuron at a time.
    """
    vectors = signs[:, None] * beta
    m = len(signs)
    if m <= ENUMERATED:
        masks = np.array(list(itertools.product([False, True], repeat=m)))
        left = linear + masks.astype(np.float64) @ vectors
        order = np.argsort((left**2).sum(axis=1), kind="stable")
        return list(masks[order[:FINALISTS]])
    mask = np.linalg.lstsq(vectors.T, -linear, rcond=None)[0] > 0.5
    while True:
        left = linear + vectors[mask].sum(axis=0)
        change = left + np.where(mask, -1.0, 1.0)[:, None] * vectors
        sizes = (change**2).sum(axis=1)
        if sizes.min() >= left @ left:
            return [mask]
        mask[int(np.argmin(sizes))] ^= True


def tied(fit: Fit, pinned: NDArray[np.intp], free: NDArray[np.intp]) -> tuple[Student, float]:
    """The student with every neuron turned so that no linear part is left, moved to where that holds exactly.

    Parameters
    ----------
    fit : Fit
        A fit with a free linear part.
    pinned : ndarray of int
        Components of the linear part that must vanish.
    free : ndarray of int
        Components that stay free (the offset).

    Returns
    -------
    student : Student
        The best choice of orientations, after the step of least rise of the loss to v_F = 0.
    statistic : float
        Its Wald statistic, in units of the loss: the rise that the step would cause were the loss quadratic.
    """
    student, m, p = fit.student, fit.student.neurons, fit.student.beta.shape[1]
    normal = fit.quadratic.normal
    ridge = 1e-13 * np.trace(normal) / len(normal)
    covariance = np.linalg.inv(normal + ridge * np.eye(len(normal)))
    best: tuple[float, Student] | None = None
    for mask in orientations(student.beta[:, pinned], student.signs, student.linear[pinned]):
        weights = np.append(np.where(mask, student.signs, 0.0), 1.0)
        spread = np.tensordot(weights, covariance.reshape(m + 1, p, m + 1, p), axes=(0, 0))
        left = student.flipped(mask).linear[pinned]
        inner = np.tensordot(weights, spread, axes=(0, 1))[np.ix_(pinned, pinned)]
        solved = np.asarray(np.linalg.lstsq(inner, left, rcond=1e-14)[0], dtype=np.float64)
        if best is None or left @ solved < best[0]:
            step = np.asarray(-solved @ spread[pinned].reshape(len(pinned), -1), dtype=np.float64)
            turned = student.moved(step).flipped(mask)
            linear = turned.linear.copy()
            linear[pinned] = 0.0
            best = float(left @ solved), Student(turned.beta, turned.signs, linear, free)
    assert best is not None
    return best[1], best[0]


def tolerated_rise(fit: Fit, fewer: int) -> float:
    """How much more loss a fit with ``fewer`` parameters may have and still be preferred.

    If the parameters left out are superfluous, N (L_tied - L_free) / sigma^2 is chi-squared with as many degrees of
    freedom; four standard deviations are allowed, or twice their number where that is more, since up to there the
    smaller model predicts better (Akaike).
    """
    return float(max(2.0 * fewer, fewer + 4 * np.sqrt(2.0 * fewer)) * fit.quadratic.noise_variance)
