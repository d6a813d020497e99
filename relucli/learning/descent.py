"""Damped Gauss-Newton (Levenberg-Marquardt) to convergence, whatever evaluates the normal equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from relucli.learning.student import Quadratic, Student

__all__ = ["Fit", "descend"]

SMALLEST_DAMPING = 1e-13
REJECTIONS = 14


@dataclass(frozen=True)
class Fit:
    """Where a descent ended.

    Attributes
    ----------
    student : Student
        The student of least loss.
    quadratic : Quadratic
        Its normal equations.
    history : tuple of float
        Mean squared residual at each accepted step, the start first.
    converged : bool
        Whether the last step promised less than the tolerance.
    """

    student: Student
    quadratic: Quadratic
    history: tuple[float, ...]
    converged: bool

    @property
    def mse(self) -> float:
        """Mean squared residual."""
        return self.quadratic.loss / self.quadratic.samples


def _step(quadratic: Quadratic, damping: float) -> NDArray[np.float64] | None:
    """Solve (F^T F + damping diag(F^T F)) step = F^T r after scaling the diagonal to one; None if not definite."""
    diagonal = np.diag(quadratic.normal)
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.mean() + np.finfo(float).tiny))
    system = quadratic.normal * scale[:, None] * scale
    system[np.diag_indices_from(system)] += damping
    try:
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    return np.asarray(scale * cho_solve(factor, scale * quadratic.gradient, check_finite=False))


def descend(
    evaluate: Callable[[Student], Quadratic],
    student: Student,
    *,
    steps: int = 60,
    tolerance: float = 1e-3,
    damping: float = 1e-3,
    start: Quadratic | None = None,
) -> Fit:
    """Minimise the sum of squared residuals by damped Gauss-Newton.

    1. Solve the damped normal equations, scaled to a unit diagonal.
    2. Evaluate the student moved by the step; accept it if the loss falls, and lower the damping;
       else raise the damping and return to 1, up to a dozen times.
    3. Stop when a step promises, or two in a row bring, less than ``tolerance`` noise variances for each parameter
       (what is left to gain is then less than that share of the excess risk, which is one noise variance for each
       parameter), or when the loss is at the rounding level of the labels.

    Parameters
    ----------
    evaluate : callable
        Gives the normal equations at a student; one call is one pass over the rows.
    student : Student
        Where to start.
    steps : int
        Largest number of accepted steps.
    tolerance : float
        Decrease of the loss for each parameter, in units of the noise variance, at which to stop.
    damping : float
        First damping, relative to the diagonal.
    start : Quadratic, optional
        Normal equations at the start, if they are known.

    Returns
    -------
    Fit

    Notes
    -----
    Levenberg (1944), Marquardt (1963).  The loss is piecewise quadratic in the parameters, so close to a minimum
    full steps end in finitely many iterations once the activation patterns no longer change.
    """
    current = evaluate(student) if start is None else start
    history = [current.loss / current.samples]
    small = 0
    for _ in range(steps):
        rejected = 0
        enough = tolerance * student.parameters * current.noise_variance
        while True:
            step = _step(current, damping)
            if step is not None:
                promise = float(2 * step @ current.gradient - step @ current.normal @ step)
                settled = damping <= 1e-3 and promise <= enough
                if settled or current.exact:
                    return Fit(student, current, tuple(history), True)
                trial = student.moved(step)
                moved = evaluate(trial)
                if moved.loss < current.loss:
                    break
            rejected += 1
            if rejected > REJECTIONS:
                return Fit(student, current, tuple(history), False)
            damping = max(10 * damping, 1e-12)
        small = small + 1 if current.loss - moved.loss <= enough else 0
        student, current = trial, moved
        history.append(current.loss / current.samples)
        damping = max(0.2 * damping, SMALLEST_DAMPING) if rejected == 0 else damping
        if small == 2:
            return Fit(student, current, tuple(history), True)
    return Fit(student, current, tuple(history), False)
