"""What a residual costs: its square, or Huber's compromise between square and absolute value."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["EFFICIENT", "GROSS", "SQUARED", "Loss", "robust_scale"]

Array = NDArray[np.float64]

EFFICIENT = 1.345
"""Huber's delta in noise standard deviations that gives up 5 % of efficiency where noise is normal."""

GROSS = 5.0
"""Residual in noise standard deviations from which on a label is taken to be wrong."""

NORMAL_MAD = 1.4826


@dataclass(frozen=True)
class Loss:
    """Huber's loss with rejection, 2 rho(r), with the pull psi = rho':

        psi(r) = r                  if |r| <= delta
                 delta sign r       if delta < |r| <= reject
                 0                  beyond

    so no row pulls by more than delta, and grossly wrong labels do not pull at all, not even when all are wrong to the
    same side.  With both infinite, the default, it is the square.

    Sources: Huber, Robust estimation of a location parameter, Ann. Math. Statist. 35, 1964; rejection: Hampel et al.,
    Robust Statistics, 1986, section 2.6.

    Attributes
    ----------
    delta, reject : float
        In units of the labels; reject is at least delta.
    """

    delta: float = math.inf
    reject: float = math.inf

    @property
    def robust(self) -> bool:
        """Whether large residuals are tempered at all."""
        return math.isfinite(self.delta)

    def pull(self, residual: Array) -> Array:
        """psi(r), half the derivative of the loss."""
        if not self.robust:
            return residual
        psi = np.clip(residual, -self.delta, self.delta)
        return np.where(np.abs(residual) > self.reject, 0.0, psi)

    def values(self, residual: Array) -> Array:
        """The loss of each residual."""
        size = np.minimum(np.abs(residual), self.reject)
        inner = np.minimum(size, self.delta)
        return np.asarray(inner * (2 * size - inner))

    def total(self, residual: Array) -> float:
        """The loss of all residuals together."""
        return float(self.values(residual).sum() if self.robust else residual @ residual)

    def weights(self, residual: Array) -> Array:
        """psi(r) / r, with which least squares has the same gradient, and a normal matrix that bounds the Hessian."""
        if not self.robust:
            return np.ones_like(residual)
        size = np.abs(residual)
        return np.where(size > self.reject, 0.0, self.delta / np.maximum(size, self.delta))

    def curvature(self, residual: Array) -> Array:
        """psi'(r): one where the loss is a square, else zero."""
        return np.asarray((np.abs(residual) <= self.delta).astype(np.float64))


SQUARED = Loss()


def robust_scale(residual: Array) -> float:
    """The standard deviation of normal noise with the median absolute residual of these."""
    return float(NORMAL_MAD * np.median(np.abs(residual)))
