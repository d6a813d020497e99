"""Probabilists' Hermite polynomials, and the Hermite coefficients of a ReLU."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import eval_hermitenorm, ndtr

__all__ = ["hermite", "relu_coefficient"]


def hermite(order: int, z: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """He_order(z), the probabilists' Hermite polynomial; zero for a negative order.

    Parameters
    ----------
    order : int
        Degree; He_0 = 1, He_1 = z, He_2 = z^2 - 1, ...
    z : ndarray
        Where to evaluate it.

    Returns
    -------
    ndarray
        Values of the shape of ``z``.
    """
    if order < 0:
        return np.zeros_like(np.asarray(z, dtype=np.float64))
    return np.asarray(eval_hermitenorm(order, np.asarray(z, dtype=np.float64)))


def relu_coefficient(order: int, bias: float = 0.0) -> float:
    """chat_l(b) = E[relu(z + b) He_l(z)] for standard normal z.

    chat_0 = phi(b) + b Phi(b), chat_1 = Phi(b), chat_l = He_{l-2}(-b) phi(b) for l >= 2: relu has the second
    derivative delta(z + b), and E[g He_l] = E[g''  He_{l-2}] by parts.  For b = 0 every odd l >= 3 vanishes.

    Parameters
    ----------
    order : int
        l >= 0.
    bias : float
        b.
    """
    density = math.exp(-0.5 * bias * bias) / math.sqrt(2 * math.pi)
    if order == 0:
        return density + bias * float(ndtr(bias))
    if order == 1:
        return float(ndtr(bias))
    return float(hermite(order - 2, -bias)) * density
