"""Limited-memory BFGS on a sum over rows: one pass for each evaluation, memory linear in the parameters.

A normal matrix that is easy to solve with is the first guess of the curvature; what is seen of it between passes
corrects the guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from relucli.learning.student import Slope

__all__ = ["Descent", "quasi_newton"]

Array = NDArray[np.float64]

MEMORY = 10
HALVINGS = 8
SUFFICIENT = 1e-4


class Point(Protocol):
    """Where a sum is evaluated."""

    @property
    def parameters(self) -> int:
        """Their number."""

    def moved(self, step: Array) -> Self:
        """The point after a step in its parameters."""


class Curvature(Protocol):
    """A guess of half the second derivatives."""

    def solve(self, gradient: Array) -> Array:
        """Its inverse times a vector of parameters."""


P = TypeVar("P", bound=Point)
C = TypeVar("C", bound=Curvature)


@dataclass(frozen=True)
class Descent(Generic[P, C]):
    """Where a descent ended.

    Attributes
    ----------
    point : Point
    slope : Slope
        The loss there, and minus half its gradient.
    curvature : Curvature
        As it was guessed there.
    history : tuple of float
        Mean loss at each accepted step, the start first.
    converged : bool
        Whether the last step promised less than the tolerance.
    """

    point: P
    slope: Slope
    curvature: C
    history: tuple[float, ...]
    converged: bool


def _direction(slope: Slope, curvature: Curvature, pairs: list[tuple[Array, Array]]) -> Array:
    """The step of limited-memory BFGS (Nocedal and Wright, Numerical Optimization, 2nd edition, algorithm 7.4)."""
    q, shares = slope.gradient.copy(), []
    for moved, change in reversed(pairs):
        share = (moved @ q) / (moved @ change)
        q -= share * change
        shares.append(share)
    step = curvature.solve(q)
    for (moved, change), share in zip(pairs, reversed(shares), strict=True):
        step += (share - (change @ step) / (moved @ change)) * moved
    return step


def quasi_newton(evaluate: Callable[[P], tuple[Slope, C]], point: P, steps: int, tolerance: float) -> Descent[P, C]:
    """Descend until a step promises less than ``tolerance`` noise variances for each parameter.

    Parameters
    ----------
    evaluate : callable
        Gives the slope and the curvature at a point.
    point : Point
        Where to start.
    steps : int
        Largest number of accepted steps.
    tolerance : float
    """
    slope, curvature = evaluate(point)
    history, pairs, converged = [slope.loss / slope.samples], list[tuple[Array, Array]](), False
    while len(history) <= steps:
        step = _direction(slope, curvature, pairs)
        promise = float(step @ slope.gradient)
        converged = slope.exact or promise <= tolerance * point.parameters * slope.noise_variance
        if converged:
            break
        length = 1.0
        for _ in range(HALVINGS):
            trial = point.moved(length * step)
            moved, its_curvature = evaluate(trial)
            if moved.loss <= slope.loss - SUFFICIENT * length * promise:
                break
            # The parabola through both losses and the slope has its minimum here.
            rise = moved.loss - slope.loss + 2 * length * promise
            length *= min(0.5, max(0.1, length * promise / rise)) if rise > 0 else 0.5
        else:
            break
        change = slope.gradient - moved.gradient
        if length * (step @ change) > 1e-3 * length**2 * promise:
            pairs = [*pairs[1 - MEMORY :], (length * step, change)]
        point, slope, curvature = trial, moved, its_curvature
        history.append(slope.loss / slope.samples)
    return Descent(point, slope, curvature, tuple(history), converged)
