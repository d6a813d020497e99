"""Standard errors that hold whatever the noise of a row depends on, and the regions that come with them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from relucli.learning.covariance import LARGEST_LEVERAGE, DenseBlock, StructuredBlock, StructuredCovariance
from relucli.learning.loss import Loss
from relucli.learning.student import Student, weighted_gram
from relucli.network import ReluNetwork

__all__ = ["StandardErrors", "sandwich", "standard_errors"]

Array = NDArray[np.float64]

CONFIDENCE = 0.95


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

    def by_name(self) -> dict[str, Array]:
        """Those that are arrays, by their names in a network file."""
        return {
            "weight_errors": self.weights,
            "weight_within": self.within,
            "coefficient_errors": self.coefficients,
            "bias_errors": self.biases,
            "linear_errors": self.linear,
        }


def with_unknown_scales(
    errors: StandardErrors, network: ReluNetwork, pairs: tuple[tuple[int, int], ...]
) -> StandardErrors:
    """Where of a pair only the sum is known, coefficients are known no better than to their size."""
    coefficients = errors.coefficients.copy()
    for pair in map(list, pairs):
        coefficients[pair] = np.maximum(coefficients[pair], np.abs(network.coefficients[pair]))
    return replace(errors, coefficients=coefficients)


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


def _quantile(mean: float, square: float) -> float:
    """The 95 % quantile of |z|, z ~ N(0, S) with these traces of S and S^2: a multiple of chi-squared alike in both."""
    if square <= 0 or mean <= 0:
        return 0.0
    if not np.isfinite(square):
        return np.pi  # any direction
    return float(np.sqrt(square / mean * chi2.ppf(CONFIDENCE, mean * mean / square)))


def standard_errors(
    student: Student, covariance: Array | StructuredCovariance, bias: bool, shift: Array | None = None
) -> StandardErrors:
    """Standard errors from the covariance of the parameters, by the delta method.

    With beta = c (w, b) (up to the sign of c), |w| = 1:
    d|c| = <w, d beta_w>, dw = (I - w w^T) d beta_w / |c|, db = (d beta_b - b d|c|) / |c|.
    A bias of inputs less a shift s is one of the inputs less <w, s>.
    """
    m, p = student.beta.shape
    d = p - bias
    back = np.eye(1, p, d)[0]  # the row of the biases, in coordinates of the inputs
    if bias and shift is not None:
        back[:d] = -shift
    weights, within, coefficients, biases = np.zeros((4, m))
    for j, scaled in enumerate(student.beta):
        block = _block(covariance, j, p)
        size = float(np.linalg.norm(scaled[:d]))
        w = scaled[:d] / size
        outward = np.append(w, np.zeros(int(bias)))
        with np.errstate(over="ignore"):  # of a direction that is not known at all
            mean, square = (value / size ** (2 * i) for i, value in enumerate(block.across(w), 1))
        coefficients[j] = np.sqrt(max(0.0, block.along(outward)))
        weights[j] = np.sqrt(max(0.0, mean))
        within[j] = _quantile(mean, square)
        if bias:
            biases[j] = np.sqrt(max(0.0, block.along((back - outward * (back @ scaled) / size) / size)))
    linear, offset = _linear_errors(student, covariance, back)
    return StandardErrors(weights, within, coefficients, biases, linear[:d], offset if bias else 0.0)


def _block(covariance: Array | StructuredCovariance, j: int, p: int) -> DenseBlock | StructuredBlock:
    if isinstance(covariance, StructuredCovariance):
        return covariance.block(j)
    return DenseBlock(covariance[j * p : (j + 1) * p, j * p : (j + 1) * p])


def _linear_errors(student: Student, covariance: Array | StructuredCovariance, back: Array) -> tuple[Array, float]:
    """Of the linear part (p,), and of the offset, which for inputs less a shift s is one of the inputs less <v, s>."""
    (m, p), free = student.beta.shape, student.free
    linear = np.zeros(p)
    if len(free) == p:
        block = _block(covariance, m, p)
        linear[:] = np.sqrt(np.maximum(0.0, block.diagonal))
        return linear, float(np.sqrt(max(0.0, block.along(back))))
    if not len(free):
        return linear, 0.0
    matrix = covariance.core if isinstance(covariance, StructuredCovariance) else covariance
    tail = matrix[-len(free) :, -len(free) :]
    linear[free] = np.sqrt(np.maximum(0.0, np.diag(tail)))
    return linear, float(np.sqrt(max(0.0, float(back[free] @ tail @ back[free]))))
