"""Pairs too close for the noise: the mean over what their common direction may be, in place of the least squares.

Two neurons of opposite signs, relu(<a, x>) - relu(<b, x>) with a = M + S / 2 and b = M - S / 2, differ from
1[<M, x> > 0] <S, x> in the wedge between their half-spaces alone, |<M, x>| < |<S, x>| / 2.  When noise drowns what
happens there, M / |M| is a change point, and |M| hardly matters: the sum of squares has many minima of about equal
depth, most of them with |M| far too large, and the least is no better than the others.  At a change point the mean
of the posterior has a smaller risk than the maximum of the likelihood (Ibragimov and Has'minskii, Statistical
Estimation, 1981, chapter VII).  Here it is the mean of the field nearest to the posterior: M is normal with mean
kappa u, |u| = 1, and standard deviation tau = kappa rho of z = <M, x>, all else is a point, and

    F = sum_n (y_n - E f(x_n))^2 + tau^2 (E df/dz (x_n))^2 - 2 sigma^2 (p - 1) log sin arctan rho

is least (a free energy in units of 2 sigma^2: M makes an angle of about arctan rho with u, and the directions that do
have the entropy (p - 1) log sin arctan rho, up to a constant; the priors of direction and log |M| are uniform).

The mean field alone has Var f in place of tau^2 (E df/dz)^2, the variance of the part of f that is linear in z, and
is an upper bound of the free energy.  The rest, of Hermite degrees 2 and more, is nearly independent between rows,
whose z have correlations of order p^{-1/2}, so that the field of a row's own residual makes up for it: to second order
in 1 / sigma^2 (T. Plefka, J. Phys. A 15, 1971, 1982) the free energy falls by that variance times (y_n - E f)^2 /
sigma^2, which is one in the mean.

With m = kappa <u, x>, h = |<S, x>| / 2, s the sign of <S, x>, alpha = (-h - m) / tau, omega = (h - m) / tau, phi and
Phi the normal density and distribution, and W = Phi(omega) - Phi(alpha),

    R_1 = E (z + h) 1[|z| < h] = (m + h) W - tau (phi(omega) - phi(alpha)),        E d pair / dz = s W,
    R_2 = E (z + h)^2 1[|z| < h] = ((m + h)^2 + tau^2) W - tau ((m + 3 h) phi(omega) - (m + h) phi(alpha)),
    E pair = s (R_1 + 2 h Phi(-omega)),        E pair^2 = R_2 + 4 h^2 Phi(-omega),

and derivatives by tau follow from those by m, since d/dtau = tau d^2/dm^2 for the mean of a normal.
Where the wedge is resolved, rho is small and the minimum is that of least squares.

E pair itself is no pair of neurons.  The answer is the pair nearest to it, in E (f - g)^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from relucli.learning.descent import fitted
from relucli.learning.structured import Metric
from relucli.learning.student import Slope, Student, augmented
from relucli.storage.views import ShiftedRows
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.fold import Engine, Rows

__all__ = ["BlurAccumulator", "BlurredPair", "FieldGram", "blur_need", "length", "mean_field"]

Array = NDArray[np.float64]

COLUMNS = 24
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
        values = _Wedge.at(seen[:, 0], self.kappa * seen[:, 1], self.kappa * self.rho).mean
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
class _Wedge:
    """E pair and its variance, or that of its linear part, and their derivatives by <S, x>, m and tau, at rows (n,)."""

    mean: Array
    spread: Array
    mean_by: tuple[Array, Array, Array]
    spread_by: tuple[Array, Array, Array]

    @classmethod
    def at(cls, across: Array, m: Array, tau: float, whole: bool = False) -> _Wedge:
        """For <S, x>, m and tau; the variance of it all, or of what is linear in z."""
        h, s = np.abs(across) / 2, np.sign(across)
        low, high = (-h - m) / tau, (h - m) / tau
        at_low, at_high = (np.exp(-t * t / 2) / np.sqrt(2 * np.pi) for t in (low, high))
        inside, above = ndtr(high) - ndtr(low), ndtr(-high)
        first = (m + h) * inside - tau * (at_high - at_low)
        mean = s * (first + 2 * h * above)
        mean_by = (ndtr(-low) + above) / 2, s * inside, s * (at_low - at_high)
        if whole:
            second = ((m + h) ** 2 + tau**2) * inside - tau * ((m + 3 * h) * at_high - (m + h) * at_low)
            spread = second + 4 * h * h * above - mean**2
            square_by = s * (first + 4 * h * above), 2 * first, 2 * tau * inside - 4 * h * at_high
            by = [square - 2 * mean * slope for square, slope in zip(square_by, mean_by, strict=True)]
        else:
            spread = (tau * inside) ** 2
            by = [s * (at_low + at_high), 2 * (at_low - at_high), 2 * (inside + low * at_low - high * at_high)]
            by = [tau * inside * each for each in by]
        return cls(mean, spread, mean_by, (by[0], by[1], by[2]))


@dataclass(frozen=True)
class FieldGram:
    """The normal matrix: one number for each pair of vectors of parameters, times the metric."""

    pair: BlurredPair
    matrix: Array
    samples: int
    noise: float

    def solve(self, gradient: Array) -> Array:
        """The inverse times a vector of parameters."""
        rest, metric = self.pair.rest, self.pair.metric
        (k, p), q, d = rest.beta.shape, rest.parameters, len(self.pair.metric.mean)
        whole = len(rest.free) == p
        rows = np.vstack([gradient[: k * p].reshape(k, p), gradient[q : q + 2 * p].reshape(2, p)])
        if whole:
            rows = np.vstack([rows, gradient[k * p : q]])
        used = np.arange(len(rows))
        solved: Array = np.linalg.solve(self.matrix[np.ix_(used, used)], rows).astype(np.float64)
        solved[:, :d] = metric.solve(solved[:, :d].T).T
        linear = solved[k + 2] if whole else gradient[k * p : q] / self.samples
        logs = gradient[q + 2 * p :] / (self.noise * (p - 1) * np.array([1.0, 2.0]))
        return np.concatenate([solved[:k].ravel(), linear, solved[k : k + 2].ravel(), logs])


class BlurAccumulator(Accumulator):
    """The loss (y - E f)^2 + tau^2 (E df/dz)^2, minus half its gradient, and the normal matrix of `FieldGram`.

    Summed over rows.

    Parameters
    ----------
    pair : BlurredPair
    bias : bool
    bound : bool
        Whether the loss is (y - E f)^2 + Var f.
    """

    guarded = False  # a trial step may be at fault

    def __init__(self, pair: BlurredPair, bias: bool, bound: bool = False) -> None:
        self.pair, self.bias, self.bound = pair, bias, bound
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        k, p = self.pair.rest.beta.shape
        return {"loss": (), "energy": (), "count": (), "gradient": (k + 3, p), "logs": (2,), "gram": (k + 3, k + 3)}

    def scratch(self, rows: int) -> int:
        """Bytes of the products with the inputs."""
        k, p = self.pair.rest.beta.shape
        return int(8 * rows * (p * self.bias + 4 * k + COLUMNS))

    def update(self, block: Block) -> None:
        """Add a block."""
        pair, rest = self.pair, self.pair.rest
        k = rest.neurons
        x = augmented(block.wide, self.bias)
        seen = x @ np.vstack([rest.beta, pair.step, pair.along, rest.linear]).T
        active = (seen[:, :k] > 0) * rest.signs
        kappa, rho = pair.kappa, pair.rho
        wedge = _Wedge.at(seen[:, k], kappa * seen[:, k + 1], kappa * rho, self.bound)
        residual = block.y - (seen[:, :k] * active).sum(axis=1) - seen[:, k + 2]
        pull = residual - wedge.mean
        by_step, by_mean, by_blur = (
            pull * first - second / 2 for first, second in zip(wedge.mean_by, wedge.spread_by, strict=True)
        )
        s = self.sums
        s["loss"] += (pull**2 + wedge.spread).sum()
        s["energy"] += block.y @ block.y
        s["count"] += len(x)
        s["gradient"] += np.column_stack([active * pull[:, None], by_step, kappa * by_mean, pull]).T @ x
        blur = kappa * rho * by_blur.sum()
        s["logs"] += [kappa * (by_mean @ seen[:, k + 1]) + blur, blur]
        features = np.column_stack([active, wedge.mean_by[0], kappa * wedge.mean_by[1], np.ones(len(x))])
        s["gram"] += features.T @ features

    def slope(self, noise: float) -> tuple[Slope, FieldGram]:
        """F and minus half its gradient, and the normal matrix, for a noise variance."""
        s, pair = self.sums, self.pair
        k, p = pair.rest.beta.shape
        weight = noise * (p - 1)
        around = s["gradient"][k + 1]
        around = around - (around @ pair.along) * turned(pair.along, pair.metric)  # its length changes nothing
        gradient = [s["gradient"][:k].ravel(), s["gradient"][k + 2][pair.rest.free], s["gradient"][k]]
        gradient += [around, s["logs"] + [0.0, weight / (1 + pair.rho**2)]]
        gram = s["gram"].copy()
        gram[k + 1, : k + 1] = gram[: k + 1, k + 1] = gram[k + 1, k + 2] = gram[k + 2, k + 1] = 0.0
        gram[np.diag_indices_from(gram)] *= 1 + 1e-9
        loss = float(s["loss"]) - 2 * weight * (float(pair.logs[1]) - math.log1p(pair.rho**2) / 2)
        slope = Slope(loss, np.concatenate(gradient), float(s["energy"]), int(s["count"]))
        return slope, FieldGram(pair, gram, slope.samples, noise)


def mean_field(
    rows: Rows, bias: bool, engine: Engine, noise: float, bound: bool = False
) -> Callable[[BlurredPair], tuple[Slope, FieldGram]]:
    """What gives F, or its upper bound, and its gradient at a pair, by one pass, for a noise variance."""
    seen = ShiftedRows(rows, np.zeros(rows.dim))
    return lambda pair: engine.fold(BlurAccumulator(pair, bias, bound), seen, "polish").slope(noise)


def blur_need(rows: Rows, neurons: int, bias: bool) -> int:
    """Bytes of memory that a pass over a pair beside so many neurons may take."""
    p = rows.dim + bias
    rest = replace(Student.empty(p), beta=np.zeros((neurons, p)), signs=np.ones(neurons))
    pair = BlurredPair(rest, np.zeros(p), np.zeros(p), np.zeros(2), Metric.standard(rows.dim))
    return Engine.need(BlurAccumulator(pair, bias), rows)
