"""Pairs too close for the noise: the mean over what their common direction may be, in place of the least squares.

Two neurons of opposite signs, relu(<a, x>) - relu(<b, x>) with a = M + S / 2 and b = M - S / 2, differ from
1[<M, x> > 0] <S, x> in the wedge between their half-spaces alone, |<M, x>| < |<S, x>| / 2.  When noise drowns what
happens there, M / |M| is a change point, and |M| hardly matters: the sum of squares has many minima of about equal
depth, most of them with |M| far too large, and the least is no better than the others.  At a change point the mean
of the posterior has a smaller risk than the maximum of the likelihood (Ibragimov and Has'minskii, Statistical
Estimation, 1981, chapter VII).  Here it is the mean of the field nearest to the posterior: M is normal with mean
kappa u, |u| = 1, and standard deviation tau = kappa rho of z = <M, x> (`blurred_pair`), all else is a point, and

    F = sum_n (y_n - E f(x_n))^2 + tau^2 (E df/dz (x_n))^2 - 2 sigma^2 (p - 1) log sin arctan rho

is least (a free energy in units of 2 sigma^2: M makes an angle of about arctan rho with u, and the directions that do
have the entropy (p - 1) log sin arctan rho, up to a constant; the priors of direction and log |M| are uniform).
Where the wedge is resolved, rho is small and the minimum is that of least squares.

The mean field alone has Var f in place of tau^2 (E df/dz)^2, the variance of the part of f that is linear in z, and
is an upper bound of the free energy.  The rest, of Hermite degrees 2 and more, is nearly independent between rows,
whose z have correlations of order p^{-1/2}, so that the field of a row's own residual makes up for it: to second order
in 1 / sigma^2 (T. Plefka, J. Phys. A 15, 1971, 1982) the free energy falls by that variance times (y_n - E f)^2 /
sigma^2, which is one in the mean.

Whether there is a pair at all (`hidden`) asks for the volume of all else too: with uniform priors it is normal about
the point, with a normal matrix of about G times the metric, G = sum_n a_n a_n^T, a_n the derivatives of E f by the
other neurons' <beta_j, x>, by <S, x> and, if it is free, by <v, x>.  That adds sigma^2 p log det G to F.  Since

    log det G <= log det G_0 + tr G_0^{-1} (G - G_0),

a pass with G_0 known gives a bound and its gradient as sums over rows; F falls with every G_0 taken where the last
bound is least.  (A pair that least squares has found is left without it: over 24 networks with pairs 0.03 rad apart
its mean misses by 1.29 sigma^2 p / N without it, and by 1.33 with it.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relucli.learning.blurred_pair import BlurredPair, Wedge, turned
from relucli.learning.quasi_newton import quasi_newton
from relucli.learning.structured import Metric, scaled_inverse
from relucli.learning.student import Slope, Student, augmented
from relucli.storage.views import ShiftedRows
from relucli.streaming.accumulator import Accumulator, Block
from relucli.streaming.fold import Engine, Rows

__all__ = ["BlurAccumulator", "Field", "FieldGram", "blur_need", "field", "mean_field"]

Array = NDArray[np.float64]

COLUMNS = 32
ROUNDS = 5


@dataclass(frozen=True)
class FieldGram:
    """The normal matrix: one number for each pair of vectors of parameters, times the metric."""

    pair: BlurredPair
    matrix: Array
    samples: int
    noise: float

    @property
    def others(self) -> Array:
        """G."""
        rest = self.pair.rest
        used = [*range(rest.neurons + 1), *([rest.neurons + 2] if len(rest.free) == len(rest.linear) else [])]
        return self.matrix[np.ix_(used, used)]

    @property
    def volume(self) -> float:
        """log det G."""
        return float(np.linalg.slogdet(self.others)[1])

    def solve(self, gradient: Array) -> Array:
        """The inverse times a vector of parameters."""
        rest, metric = self.pair.rest, self.pair.metric
        (k, p), q, d = rest.beta.shape, rest.parameters, len(self.pair.metric.mean)
        whole = len(rest.free) == p
        rows = np.vstack([gradient[: k * p].reshape(k, p), gradient[q : q + 2 * p].reshape(2, p)])
        if whole:
            rows = np.vstack([rows, gradient[k * p : q]])
        solved = scaled_inverse(self.matrix[: len(rows), : len(rows)]) @ rows
        solved[:, :d] = metric.solve(solved[:, :d].T).T
        linear = solved[k + 2] if whole else gradient[k * p : q] / self.samples
        logs = gradient[q + 2 * p :] / (self.noise * (p - 1) * np.array([1.0, 2.0]))
        return np.concatenate([solved[:k].ravel(), linear, solved[k : k + 2].ravel(), logs])


class BlurAccumulator(Accumulator):
    """The loss (y - E f)^2 + tau^2 (E df/dz)^2 + a^T C a, minus half its gradient, and `FieldGram`: sums over rows.

    Parameters
    ----------
    pair : BlurredPair
    bias : bool
    known : ndarray
        C, sigma^2 p G_0^{-1}.
    """

    guarded = False  # a trial step may be at fault

    def __init__(self, pair: BlurredPair, bias: bool, known: Array) -> None:
        self.pair, self.bias, self.known = pair, bias, known
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        k, p = self.pair.rest.beta.shape
        return {"loss": (), "energy": (), "count": (), "gradient": (k + 3, p), "logs": (2,), "gram": (k + 3, k + 3)}

    def scratch(self, rows: int) -> int:
        """Bytes of the products with the inputs."""
        k, p = self.pair.rest.beta.shape
        return int(8 * rows * (p * self.bias + 6 * k + COLUMNS))

    def update(self, block: Block) -> None:
        """Add a block."""
        pair, rest = self.pair, self.pair.rest
        k = rest.neurons
        x = augmented(block.wide, self.bias)
        seen = x @ np.vstack([rest.beta, pair.step, pair.along, rest.linear]).T
        active = (seen[:, :k] > 0) * rest.signs
        kappa, rho = pair.kappa, pair.rho
        wedge = Wedge.at(seen[:, k], kappa * seen[:, k + 1], kappa * rho)
        residual = block.y - (seen[:, :k] * active).sum(axis=1) - seen[:, k + 2]
        pull = residual - wedge.mean
        others = np.column_stack([active, wedge.mean_by[0], np.ones(len(x))])[:, : len(self.known)]
        fields = others @ self.known
        by_step, by_mean, by_blur = (
            pull * first - second / 2 - fields[:, k] * third
            for first, second, third in zip(wedge.mean_by, wedge.spread_by, wedge.across_by, strict=True)
        )
        s = self.sums
        s["loss"] += (pull**2 + wedge.spread).sum() + np.vdot(others, fields)
        s["energy"] += block.y @ block.y
        s["count"] += len(x)
        s["gradient"] += np.column_stack([active * pull[:, None], by_step, kappa * by_mean, pull]).T @ x
        blur = kappa * rho * by_blur.sum()
        s["logs"] += [kappa * (by_mean @ seen[:, k + 1]) + blur, blur]
        features = np.column_stack([active, wedge.mean_by[0], kappa * wedge.mean_by[1], np.ones(len(x))])
        s["gram"] += features.T @ features

    def slope(self, noise: float) -> tuple[Slope, FieldGram]:
        """The bound of F up to a constant, minus half its gradient, and the normal matrix, for a noise variance."""
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
    rows: Rows, bias: bool, engine: Engine, noise: float, known: Array
) -> Callable[[BlurredPair], tuple[Slope, FieldGram]]:
    """What gives the bound of F for G_0 and its gradient at a pair, by one pass.

    ``noise`` is sigma^2, ``known`` sigma^2 p G_0^{-1}.
    """
    seen = ShiftedRows(rows, np.zeros(rows.dim))
    return lambda pair: engine.fold(BlurAccumulator(pair, bias, known), seen, "polish").slope(noise)


@dataclass(frozen=True)
class Field:
    """Where F is least.

    Attributes
    ----------
    pair : BlurredPair
    energy : float
        F.
    converged : bool
        Whether to the tolerance.
    """

    pair: BlurredPair
    energy: float
    converged: bool


def field(
    rows: Rows,
    pair: BlurredPair,
    bias: bool,
    engine: Engine,
    noise: float,
    *,
    volume: bool,
    steps: int,
    tolerance: float,
) -> Field:
    """The field of least F, with the volume of all else or without, from a start close by.

    Its bounds are minimised in turn, as `quasi_newton` does.
    """
    weight, k = noise * (rows.dim + bias), pair.rest.neurons
    known = np.zeros((k + 1, k + 1))
    found = quasi_newton(mean_field(rows, bias, engine, noise, known), pair, 0 if volume else steps, tolerance)
    energy = found.slope.loss
    for _ in range(ROUNDS if volume else 0):
        known = weight * scaled_inverse(found.curvature.others)
        found = quasi_newton(mean_field(rows, bias, engine, noise, known), found.point, steps, tolerance)
        energy = found.slope.loss + weight * found.curvature.volume - float(np.vdot(known, found.curvature.others))
        if len(found.history) == 1 or not found.converged:
            break
    return Field(found.point, energy, found.converged and bool(np.isfinite(energy)))


def blur_need(rows: Rows, neurons: int, bias: bool) -> int:
    """Bytes of memory that a pass over a pair beside so many neurons may take."""
    p = rows.dim + bias
    rest = replace(Student.empty(p), beta=np.zeros((neurons, p)), signs=np.ones(neurons))
    pair = BlurredPair(rest, np.zeros(p), np.zeros(p), np.zeros(2), Metric.standard(rows.dim))
    return Engine.need(BlurAccumulator(pair, bias, np.eye(neurons + 2)), rows)
