"""Standard errors that hold whatever the noise of a row depends on, and the regions that come with them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from relucli.learning.loss import Loss
from relucli.learning.student import Student, weighted_gram

__all__ = ["StandardErrors", "sandwich", "standard_errors"]

Array = NDArray[np.float64]

CONFIDENCE = 0.95
LARGEST_LEVERAGE = 0.99


@dataclass(frozen=True)
class StandardErrors:
    """Standard errors of a network's parts.

    Attributes
    ----------
    weights : ndarray, shape (k,)
        Root mean square angle between estimated and true direction, radians.
    within : ndarray, shape (k,)
        The angle that 95 % of estimates stay within, radians.
    coefficients, biases : ndarray, shape (k,)
        Of c_i and b_i.
    linear : ndarray, shape (d,)
        Of the linear part; zero where it is not a parameter.
    offset : float
        Of the offset; zero where it is not a parameter.
    """

    weights: Array
    within: Array
    coefficients: Array
    biases: Array
    linear: Array
    offset: float


def sandwich(x: Array, y: Array, student: Student, loss: Loss, samples: int) -> Array:
    """The covariance of the parameters fitted to ``samples`` rows, as these rows tell.

        Cov = B^-1 M B^-1 n / N,    B = sum psi'(r) F F^T,    M = sum (psi(r) / (1 - h))^2 F F^T

    with the leverage h = psi'(r) F^T B^-1 F n / N of a row, to make up for what its own label takes from its residual.
    Rows may differ in their noise, heavy-tailed or not.  Sources: White, A heteroskedasticity-consistent covariance
    matrix, Econometrica 48, 1980; MacKinnon and White, J. Econometrics 29, 1985 (HC3, nearly the jackknife); Huber,
    Robust Statistics, section 7.6.

    Parameters
    ----------
    x, y : ndarray, shapes (n, p) and (n,)
        Rows, with the column of ones if there are biases.
    student : Student
        The fit.
    loss : Loss
        That it was fitted by.
    samples : int
        N, the number of rows that it was fitted to; these are n of them.

    Returns
    -------
    ndarray, shape (q, q)
    """
    share = len(y) / samples
    bread = weighted_gram(x, y, student, lambda residual, _: loss.curvature(residual))
    scale = 1 / np.sqrt(np.maximum(np.diag(bread), np.finfo(float).tiny))
    inverse = np.linalg.pinv(bread * scale[:, None] * scale, rcond=1e-14, hermitian=True) * scale[:, None] * scale

    def squared(residual: Array, features: Array) -> Array:
        leverage = loss.curvature(residual) * (features * (inverse @ features)).sum(axis=0) * share
        return np.asarray((loss.pull(residual) / (1 - np.minimum(leverage, LARGEST_LEVERAGE))) ** 2)

    return np.asarray(inverse @ weighted_gram(x, y, student, squared) @ inverse * share)


def _quantile(spread: Array) -> float:
    """The 95 % quantile of |z|, z ~ N(0, spread), by a multiple of chi-squared with the same two moments."""
    mean, square = float(np.trace(spread)), float((spread * spread).sum())
    if square <= 0:
        return 0.0
    return float(np.sqrt(square / mean * chi2.ppf(CONFIDENCE, mean * mean / square)))


def standard_errors(student: Student, covariance: Array, bias: bool, shift: Array | None = None) -> StandardErrors:
    """Standard errors from the covariance of the parameters, by the delta method.

    With beta = c (w, b) (up to the sign of c), |w| = 1:
    d|c| = <w, d beta_w>, dw = (I - w w^T) d beta_w / |c|, db = (d beta_b - b d|c|) / |c|.
    A bias of inputs less a shift s is one of the inputs less <w, s>.
    """
    m, p = student.beta.shape
    d = p - bias
    back = np.eye(p)
    if bias and shift is not None:
        back[d, :d] = -shift
    weights, within, coefficients, biases = np.zeros((4, m))
    for j, scaled in enumerate(student.beta):
        block = back @ covariance[j * p : (j + 1) * p, j * p : (j + 1) * p] @ back.T
        beta = back @ scaled
        size = float(np.linalg.norm(beta[:d]))
        w = beta[:d] / size
        across = (np.eye(d) - np.outer(w, w)) / size
        turn = across @ block[:d, :d] @ across
        coefficients[j] = np.sqrt(max(0.0, float(w @ block[:d, :d] @ w)))
        weights[j] = np.sqrt(max(0.0, float(np.trace(turn))))
        within[j] = _quantile(turn)
        if bias:
            along = np.append(-w * beta[d] / size, 1.0) / size
            biases[j] = np.sqrt(max(0.0, float(along @ block @ along)))
    rest = np.zeros(p)
    rest[student.free] = np.sqrt(np.maximum(0.0, np.diag(covariance)[m * p :]))
    # The offset of inputs less a shift s is one of the inputs less <v, s>.
    offset = 0.0
    if bias:
        tail = covariance[m * p :, m * p :]
        along = back[d][student.free]
        offset = float(np.sqrt(max(0.0, float(along @ tail @ along))))
    return StandardErrors(weights, within, coefficients, biases, rest[:d], offset)
