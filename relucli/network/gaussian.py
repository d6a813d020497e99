"""Closed forms for ReLUs of standard normal inputs, on arrays."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["distances", "normal_cdf", "relu_gram", "relu_mean", "relu_second_moment"]

Floats = NDArray[np.float64]


def distances(u: Floats, v: Floats) -> tuple[Floats, Floats]:
    """|u_i - v_j| and |u_i + v_j|, each (len(u), len(v)), from differences: tiny angles keep their digits."""
    minus, plus = np.empty((2, len(u), len(v)))
    for i, row in enumerate(u):
        minus[i] = np.linalg.norm(v - row, axis=1)
        plus[i] = np.linalg.norm(v + row, axis=1)
    return minus, plus


def normal_cdf(z: Floats) -> Floats:
    """Phi(z); SciPy is imported when it is first called, since scoring without a teacher does without."""
    from scipy.special import ndtr

    return np.asarray(ndtr(z))


def _phi(z: Floats) -> Floats:
    with np.errstate(over="ignore"):
        density: Floats = np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return density


def _ratio(x: Floats, y: Floats) -> Floats:
    """x / y, with 0 / 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient: Floats = np.where(x == 0, 0.0, x / y)
    return quotient


def relu_mean(h: Floats) -> Floats:
    """E relu(z + h) = phi(h) + h Phi(h) for z ~ N(0, 1)."""
    mean: Floats = _phi(h) + h * normal_cdf(h)
    return mean


def relu_second_moment(h: Floats) -> Floats:
    """E relu(z + h)^2 = (1 + h^2) Phi(h) + h phi(h) for z ~ N(0, 1)."""
    second: Floats = np.maximum((1 + h * h) * normal_cdf(h) + h * _phi(h), 0.0)
    return second


def relu_gram(u: Floats, h: Floats, v: Floats, k: Floats) -> Floats:
    """E relu(<u_i, x> + h_i) relu(<v_j, x> + k_j) for x ~ N(0, I), to about 1e-16 (1 + |h_i|) (1 + |k_j|).

    Parameters
    ----------
    u, v : ndarray, shapes (a, d) and (b, d)
        Unit rows.
    h, k : ndarray, shapes (a,) and (b,)

    Returns
    -------
    ndarray, shape (a, b)

    Notes
    -----
    With r = <u, v>, s = sqrt(1 - r^2), p = (k - r h) / s and q = (h - r k) / s,

        J = (r + h k) L + k phi(h) Phi(p) + h phi(k) Phi(q) + s phi(h) phi(p),
        L = Pr(z1 < h, z2 < k) = (Phi(h) + Phi(k)) / 2 - T(h, p / h) - T(k, q / k) - [one of h, k < 0] / 2,

    the first two moments of a truncated bivariate normal and Owen's T.  For h = k = 0 this is the
    arc-cosine kernel (s + r (pi - t)) / (2 pi) at angle t.

    Sources: S. Rosenbaum, J. R. Statist. Soc. B 23 (1961), for the moments; D. B. Owen, Ann. Math. Statist.
    27 (1956), for L; Y. Cho and L. Saul, NeurIPS 2009, section 2.
    """
    from scipy.special import owens_t

    h, k = h[:, None] + 0.0, k[None, :] + 0.0  # no negative zeros: they would turn infinities
    minus, plus = distances(u, v)
    sign = np.where(minus < plus, 1.0, -1.0)
    gap = np.minimum(minus, plus) ** 2 / 2  # 1 - |r|, with all its digits
    r, s = sign * (1 - gap), minus * plus / 2
    over_k, over_h = (k - sign * h) + sign * gap * h, (h - sign * k) + sign * gap * k
    p, q = _ratio(over_k, s), _ratio(over_h, s)
    limit = _ratio(minus, plus)  # tan(t / 2): where p / h and q / k go as h = k goes to 0
    both = (h == 0) & (k == 0)
    owen = owens_t(h, np.where(both, limit, _ratio(over_k, h * s)))
    owen += owens_t(k, np.where(both, limit, _ratio(over_h, k * s)))
    L = (normal_cdf(h) + normal_cdf(k)) / 2 - owen - ((h < 0) != (k < 0)) / 2
    J: Floats = (r + h * k) * L + k * _phi(h) * normal_cdf(p) + h * _phi(k) * normal_cdf(q) + s * _phi(h) * _phi(p)
    return J
