"""Which coordinates are identifiable: turning lines into neurons.

A fit with a free linear part v knows each neuron only up to its orientation, since s relu(z) = s relu(-z) + s z.  If
some choice F of neurons to turn leaves no linear part,

    v_F = v + sum_{j in F} s_j beta_j = 0,

then the network is m neurons in general position with m p parameters, and fitting the linear part too would waste p of
them.  If none does, as with antipodal pairs, the linear part belongs to the function and stays.  Of the few choices of
least |v_F| those of least Wald statistic v_F^T Cov(v_F)^-1 v_F are fitted, for close pairs may be turned together
unnoticed, and the likelihood ratio of the fits with and without a linear part decides.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import Outcome
from relucli.learning.structured import StructuredNormal
from relucli.learning.student import Student

__all__ = ["Tied", "orientations", "tied", "tolerated_rise"]

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


@dataclass(frozen=True)
class Tied:
    """A student without a linear part.

    Attributes
    ----------
    statistic : float
        Its Wald statistic, in units of the loss: the rise that the step to it would cause were the loss quadratic.
    student : Student
        After the step of least rise of the loss to v_F = 0.
    """

    statistic: float
    student: Student


def tied(student: Student, normal: StructuredNormal, bias: bool) -> list[Tied]:
    """The student with neurons turned so that hardly a linear part is left, moved to where there is none.

    With weights a = (s_j for the turned, 0 for the others, 1 for v), v_F = sum a_j theta_j over theta = (beta, v), and
    of the covariance B T^-1 B^T + P^-1 K the weights leave B Q B^T + c K, K = S^-1 - B B^T: the span, where
    Q = a^T T^-1 a, and what is off it, where c = a^T P^-1 a, are apart.

    Parameters
    ----------
    student : Student
        A fit with a free linear part.
    normal : StructuredNormal
        Its normal matrix.
    bias : bool
        Whether there are biases; the offset stays free.

    Returns
    -------
    list of Tied
        For each of the likely choices of neurons to turn, that of least statistic first.
    """
    (m, p), metric = student.beta.shape, normal.metric
    d, r = p - bias, normal.frame.shape[1] - bias
    frame = normal.frame[:d, :r]
    turned = metric.white(frame)
    along, off = normal.inverse
    along = along.reshape(m + 1, r + bias, m + 1, r + bias)
    found = []
    for mask in orientations(student.beta[:, :d], student.signs, student.linear[:d]):
        weights = np.append(np.where(mask, student.signs, 0.0), 1.0)
        left = student.flipped(mask).linear[:d]
        white = metric.white(left[:, None])[:, 0]
        onto = turned.T @ white
        rest, outside = left - frame @ onto, white - turned @ onto
        spread = np.tensordot(weights, along, axes=(0, 0))[:r]
        inner = np.tensordot(weights, spread, axes=(0, 1))[:, :r]
        solved = np.linalg.lstsq(inner, onto, rcond=1e-14)[0]
        crossed = weights @ off
        scale = max(float(weights @ crossed), np.finfo(float).tiny)
        statistic = float(onto @ solved) + (float(outside @ outside) / scale if r < d else 0.0)
        step = -np.tensordot(solved, spread, axes=(0, 0)) @ normal.frame.T
        if r < d:
            step[:, :d] -= np.outer(crossed / scale, rest)
        moved = student.moved(step.ravel()).flipped(mask)
        linear = moved.linear.copy()
        linear[:d] = 0.0
        free = np.arange(d, p, dtype=np.intp)
        found.append(Tied(statistic, Student(moved.beta, moved.signs, linear, free)))
    return sorted(found, key=lambda choice: choice.statistic)


def tolerated_rise(fit: Outcome, fewer: int) -> float:
    """How much more loss a fit with ``fewer`` parameters may have and still be preferred.

    If the parameters left out are superfluous, N (L_tied - L_free) / sigma^2 is chi-squared with as many degrees of
    freedom; four standard deviations are allowed, or twice their number where that is more, since up to there the
    smaller model predicts better (Akaike).
    """
    return float(max(2.0 * fewer, fewer + 4 * np.sqrt(2.0 * fewer)) * fit.quadratic.noise_variance)
