"""Whether labels can be those of a network without biases, of whatever size.

Such a network is homogeneous, f(t x) = t f(x) for t > 0, and so is f q, of degree 1 + deg q, for a form q.  By Euler's
identity <x, grad (f q)> = (1 + deg q) f q, and by Stein's, for x ~ N(mu, Sigma), E <x, grad h> = E h s with

    s(x) = <x, Sigma^-1 (x - mu)> - d,      so      E y q (s - 1 - deg q) = 0

for every f without biases or offset, any number of neurons, and noise of mean zero given x.  An offset a makes it -a
for q = 1, and biases -sum_i c_i b_i Pr(<w_i, x> + b_i > 0).  A network that was fitted without biases has the same
identity, so that it may be subtracted from y, which leaves less chance.  The q are 1, and <u_j, x> and <u_j, x>^2 for
the directions u_j of the span.

With the sample mean and covariance in s, the mean of w (s - 1 - deg q), w = y q, varies as that of

    w (s - 1 - deg q) - z^T A z - <a, z>,      A = E w z' z^T,  a = E w z',

z = L^-1 (x - mu) and z' = L^-1 x with Sigma = L L^T (its influence function).

Inputs that are not Gaussian make every homogeneous function fail, and how far is known from some: the fitted network,
each |<u_j, x>|, sum_j |x_j| and |z'|.  Labels are only called out of reach where they fail by far more than these.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from relucli.storage.views import part
from relucli.streaming.accumulator import Block, Gathered
from relucli.streaming.fold import Engine, Rows

__all__ = ["BEYOND_REACH", "sigmas_out_of_reach"]

Array = NDArray[np.float64]

BEYOND_REACH = 7.0
"""Standard deviations of chance from which on labels are not those of a network without biases."""

FLOATS = 2**20
LEAST_ROWS = 1000
A_COLUMN = 20
DIRECTIONS = 5
CONTROL = 2.0


def _seen(predict: Callable[[Array], Array], block: Block) -> Array:
    return np.column_stack([block.wide, block.y, predict(block.wide)])


class _Identity:
    """Tests of the identity on the rows x (n, d)."""

    def __init__(self, x: Array) -> None:
        mean = x.mean(axis=0)
        root = np.linalg.cholesky(np.cov(x, rowvar=False, bias=True).reshape(x.shape[1], -1))
        self.z, self.raw = (solve_triangular(root, rows.T, lower=True).T for rows in (x - mean, x))
        self.s = (self.z * self.raw).sum(axis=1) - x.shape[1]

    def sigmas(self, w: Array, degree: int) -> float:
        """Of the mean of w (s - degree), w homogeneous of that degree, in standard deviations of chance."""
        weighted = self.raw * w[:, None]
        terms = w * (self.s - degree)
        mean = terms.mean()
        terms -= ((self.z @ (self.z.T @ weighted / len(w))) * self.z).sum(axis=1) + self.z @ weighted.mean(axis=0)
        spread = terms.std()
        return float(abs(mean) / spread * np.sqrt(len(w))) if spread > 0 else np.inf * bool(mean)


def sigmas_out_of_reach(
    rows: Rows, predict: Callable[[Array], Array], directions: Array, engine: Engine
) -> float | None:
    """How far the identity fails, in standard deviations of chance, less what it may on inputs like these.

    Parameters
    ----------
    rows : Rows
    predict : callable
        Values at rows (n, d) of a network without biases that was fitted to the labels.
    directions : ndarray, shape (d, r)
        Of the span, scaled to unit covariance; the first few are used.
    engine : Engine
        Runs a pass over some of the rows.

    Returns
    -------
    float, optional
        From ``BEYOND_REACH`` on, a network without biases is out of the question; None if the rows are too few, the
        inputs too many or dependent, to tell.
    """
    d = rows.dim
    few = part(rows, max(1, -(-rows.samples * d // FLOATS)), True) or rows
    if few.samples < max(LEAST_ROWS, A_COLUMN * d):
        return None
    seen = engine.fold(Gathered(partial(_seen, predict), d + 2), few, "check").values
    x, residual, fitted = seen[:, :d], seen[:, d] - seen[:, d + 1], seen[:, d + 1]
    try:
        identity = _Identity(x)
    except np.linalg.LinAlgError:
        return None
    along = (x @ directions[:, :DIRECTIONS]).T
    forms = [(np.ones(len(x)), 0), *((t, 1) for t in along), *((t * t, 2) for t in along)]
    known = [*np.abs(along), np.abs(x).sum(axis=1), np.sqrt((identity.raw**2).sum(axis=1))]
    chance = max(identity.sigmas(w, 1) for w in known)
    chance = max(chance, *(identity.sigmas(fitted * q, 1 + degree) for q, degree in forms))
    return max(identity.sigmas(residual * q, 1 + degree) for q, degree in forms) - CONTROL * chance
