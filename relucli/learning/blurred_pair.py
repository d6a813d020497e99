"""Two neurons of opposite signs that are known by a distribution, and its mean at rows.

The pair is relu(<M + S / 2, x>) - relu(<M - S / 2, x>), and M is normal with mean kappa u and standard deviation
tau = kappa rho of z = <M, x>.  With m = kappa <u, x>, h = |<S, x>| / 2, s the sign of <S, x>, alpha = (-h - m) / tau,
omega = (h - m) / tau, phi and Phi the normal density and distribution, and W = Phi(omega) - Phi(alpha),

    E (z + h) 1[|z| < h] = (m + h) W - tau (phi(omega) - phi(alpha)),        E d pair / dz = s W,
    E pair = s (E (z + h) 1[|z| < h] + 2 h Phi(-omega)),        E d pair / d<S, x> = (Phi(-alpha) + Phi(-omega)) / 2,

and derivatives by tau follow from those by m, since d/dtau = tau d^2/dm^2 for the mean of a normal.

E pair itself is no pair of neurons.  The answer is the pair nearest to it, in E (f - g)^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from relucli.learning.descent import fitted
from relucli.learning.structured import Metric
from relucli.learning.student import Student

__all__ = ["BlurredPair", "Wedge", "length", "turned"]

Array = NDArray[np.float64]

SMALLEST = math.log(1e-5)
STRIDE = 2.0
GRID = 400


@dataclass(frozen=True)
class BlurredPair:
    """A student two of whose neurons are known by a distribution.

    Attributes
    ----------
    rest : Student
        The other neurons and the linear part.
    step : ndarray, shape (p,)
        S.
    along : ndarray, shape (p,)
        u, of unit length in the metric.
    logs : ndarray, shape (2,)
        Of kappa and rho.
    metric : Metric
        Of the inputs.
    """

    rest: Student
    step: Array
    along: Array
    logs: Array
    metric: Metric

    @classmethod
    def of(cls, student: Student, i: int, j: int, rho: float, metric: Metric) -> BlurredPair:
        """Of neurons i, of positive sign, and j, of negative sign, no closer to each other than rho."""
        mean, step = (student.beta[i] + student.beta[j]) / 2, student.beta[i] - student.beta[j]
        kappa = length(mean, metric)
        logs = np.log([min(kappa, length(step, metric) / rho), rho])  # beyond, nothing says which kappa
        return cls(student.without([i, j]), step, mean / kappa, logs, metric)

    @property
    def kappa(self) -> float:
        """The length of the mean of M."""
        return float(np.exp(self.logs[0]))

    @property
    def rho(self) -> float:
        """The standard deviation of its direction, in radians."""
        return float(np.exp(self.logs[1]))

    @property
    def angle(self) -> float:
        """Between the two neurons, to first order."""
        lengthwise = self.along * float(turned(self.along, self.metric) @ self.step)
        return length(self.step - lengthwise, self.metric) / self.kappa

    @property
    def parameters(self) -> int:
        """Those of the rest, S, u, and two."""
        return self.rest.parameters + 2 * len(self.step) + 2

    def moved(self, change: Array) -> BlurredPair:
        """After a step in the parameters: the rest, S, u, log kappa, log rho."""
        p, q = len(self.step), self.rest.parameters
        along = self.along + change[q + p : q + 2 * p]
        return replace(
            self,
            rest=self.rest.moved(change[:q]),
            step=self.step + change[q : q + p],
            along=along / length(along, self.metric),
            logs=np.maximum(self.logs + np.clip(change[q + 2 * p :], -STRIDE, STRIDE), SMALLEST),
        )

    def nearest(self) -> Student:
        """The student with the two neurons nearest to the mean of the pair on normal inputs: they come last.

        They are combinations of S and u, since the mean depends on <S, x> and <u, x> alone.  These are taken where
        two independent normal variables are at the middles of equal shares of their distributions.
        """
        spanning, d = np.stack([self.step, self.along]), len(self.metric.mean)
        white = np.linalg.qr(self.metric.white(spanning[:, :d].T))[1]
        shares = ndtri((np.arange(GRID) + 0.5) / GRID)
        t = np.stack(np.meshgrid(*[shares] * len(white)), axis=-1).reshape(-1, len(white))
        seen = t @ white + spanning[:, :d] @ self.metric.mean + spanning[:, d:].sum(axis=1)
        values = Wedge.at(seen[:, 0], self.kappa * seen[:, 1], self.kappa * self.rho).mean
        beta = np.array([[0.5, self.kappa], [-0.5, self.kappa]])
        start = Student(beta, np.array([1.0, -1.0]), np.zeros(2), np.empty(0, dtype=np.intp))
        return self.rest.plus(fitted(np.asfortranarray(seen), values, start).student.beta @ spanning, start.signs)


def length(vector: Array, metric: Metric) -> float:
    """Of a vector (p,) in the metric; a bias counts as it is."""
    d = len(metric.mean)
    return float(np.hypot(np.linalg.norm(metric.white(vector[:d, None])), np.linalg.norm(vector[d:])))


def turned(vector: Array, metric: Metric) -> Array:
    """The covariance times a vector (p,); a bias stays as it is."""
    d = len(metric.mean)
    return np.append(metric.times(vector[:d, None])[:, 0], vector[d:])


@dataclass(frozen=True)
class Wedge:
    """E pair, the variance of its part linear in z, and their derivatives by <S, x>, m and tau, at rows (n,)."""

    mean: Array
    spread: Array
    mean_by: tuple[Array, Array, Array]
    spread_by: tuple[Array, Array, Array]
    across_by: tuple[Array, Array, Array]
    """Those of the mean's derivative by <S, x>."""

    @classmethod
    def at(cls, across: Array, m: Array, tau: float) -> Wedge:
        """For <S, x>, m and tau."""
        h, s = np.abs(across) / 2, np.sign(across)
        low, high = (-h - m) / tau, (h - m) / tau
        at_low, at_high = (np.exp(-t * t / 2) / np.sqrt(2 * np.pi) for t in (low, high))
        inside, above = ndtr(high) - ndtr(low), ndtr(-high)
        mean = s * ((m + h) * inside - tau * (at_high - at_low) + 2 * h * above)
        mean_by = (ndtr(-low) + above) / 2, s * inside, s * (at_low - at_high)
        by = s * (at_low + at_high), 2 * (at_low - at_high), 2 * (inside + low * at_low - high * at_high)
        spread_by = tau * inside * by[0], tau * inside * by[1], tau * inside * by[2]
        across_by = s * (at_low - at_high) / 2, at_low + at_high, low * at_low + high * at_high
        halved = across_by[0] / (2 * tau), across_by[1] / (2 * tau), across_by[2] / (2 * tau)
        return cls(mean, (tau * inside) ** 2, mean_by, spread_by, halved)
