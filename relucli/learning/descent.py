"""Damped Gauss-Newton (Levenberg-Marquardt) to convergence, whatever evaluates the normal equations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from relucli.learning.loss import SQUARED, Loss
from relucli.learning.student import Quadratic, Slope, Student, normal_equations

__all__ = ["Evaluate", "Fit", "Outcome", "descend", "fitted"]

SMALLEST_DAMPING = 1e-13
REJECTIONS = 14
KEPT = (0.5, 1.6)


@dataclass(frozen=True)
class Outcome:
    """Where a descent ended.

    Attributes
    ----------
    student : Student
        The student of least loss.
    quadratic : Slope
        Its loss and gradient.
    history : tuple of float
        Mean squared residual at each accepted step, the start first.
    converged : bool
        Whether the last step promised less than the tolerance.
    """

    student: Student
    quadratic: Slope
    history: tuple[float, ...]
    converged: bool

    @property
    def mse(self) -> float:
        """Mean squared residual."""
        return self.quadratic.loss / self.quadratic.samples


@dataclass(frozen=True)
class Fit(Outcome):
    """Where a descent with normal matrices ended.

    Attributes
    ----------
    quadratic : Quadratic
        The normal equations of the student; their matrix may be that of a student close by.
    """

    quadratic: Quadratic


def _step(quadratic: Quadratic, damping: float) -> NDArray[np.float64] | None:
    """Solve (F^T F + damping diag(F^T F)) step = F^T r after scaling the diagonal to one; None if not definite."""
    diagonal = np.diag(quadratic.normal)
    if not diagonal.any():
        return None
    scale = 1 / np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.mean() + np.finfo(float).tiny))
    system = quadratic.normal * scale[:, None] * scale
    system[np.diag_indices_from(system)] += damping
    try:
        factor = cho_factor(system, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    return np.asarray(scale * cho_solve(factor, scale * quadratic.gradient, check_finite=False))


Evaluate = Callable[[Student, "NDArray[np.float64] | None"], Quadratic]
"""Gives the normal equations at a student, with the normal matrix given if there is one; one call is one pass."""


def descend(
    evaluate: Evaluate,
    student: Student,
    *,
    steps: int = 60,
    tolerance: float = 1e-3,
    damping: float = 1e-3,
    probing: bool = False,
    normal: NDArray[np.float64] | None = None,
) -> Fit:
    """Minimise the sum of squared residuals by damped Gauss-Newton.

    1. Solve the damped normal equations, scaled to a unit diagonal.
    2. Evaluate the student moved by the step; accept it if the loss falls, and lower the damping;
       else raise the damping and return to 1, a dozen times or so.
    3. Keep the normal matrix for the next step if this one brought what it promised: the activation patterns have
       hardly changed, and loss and gradient alone are far cheaper.  A step that fails with an old matrix is
       tried again with a new one.
    4. Stop when a step promises, or two in a row bring, less than ``tolerance`` noise variances for each parameter
       (what is left to gain is then less than that share of the excess risk, which is one noise variance for each
       parameter), or when the loss is at the rounding level of the labels.

    Parameters
    ----------
    evaluate : callable
        Gives the normal equations at a student.
    student : Student
        Where to start.
    steps : int
        Largest number of accepted steps.
    tolerance : float
        Decrease of the loss for each parameter, in units of the noise variance, at which to stop.
    damping : float
        First damping, relative to the diagonal.
    probing : bool
        Whether to try a step by its loss and gradient alone, and take the normal matrix once it is accepted:
        for rows in memory, where that is far cheaper; with rows on disk it would cost a pass.
    normal : ndarray, shape (q, q), optional
        A normal matrix to begin with, of a student close by.

    Returns
    -------
    Fit

    Notes
    -----
    Levenberg (1944), Marquardt (1963).  The loss is piecewise quadratic in the parameters, so close to a minimum
    full steps end in finitely many iterations once the activation patterns no longer change.
    """
    current = evaluate(student, normal)
    history = [current.loss / current.samples]
    small, kept, converged = 0, normal is not None, False
    while len(history) <= steps and not converged:
        enough = tolerance * student.parameters * current.noise_variance
        rejected = 0
        while rejected <= REJECTIONS:
            step = _step(current, damping)
            promise = 0.0 if step is None else float(2 * step @ current.gradient - step @ current.normal @ step)
            converged = current.exact or (step is not None and damping <= 1e-3 and promise <= enough)
            if converged:
                break
            if step is not None:
                trial = student.moved(step)
                moved = evaluate(trial, current.normal if kept or probing else None)
                if moved.loss < current.loss:
                    break
            if not current.fresh:
                current = evaluate(student, None)
                continue
            rejected += 1
            damping = max(10 * damping, 1e-12)
        if converged or rejected > REJECTIONS:
            break
        kept = KEPT[0] * promise < current.loss - moved.loss < KEPT[1] * promise
        if probing and not kept:
            moved = evaluate(trial, None)
        small = small + 1 if current.loss - moved.loss <= enough else 0
        student, current = trial, moved
        history.append(current.loss / current.samples)
        damping = max(0.2 * damping, SMALLEST_DAMPING) if rejected == 0 else damping
        converged = small == 2
    return Fit(student, current, tuple(history), converged)


def fitted(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    student: Student,
    *,
    steps: int = 60,
    tolerance: float = 1e-3,
    damping: float = 1e-3,
    loss: Loss = SQUARED,
) -> Fit:
    """A student fitted to rows in memory: `descend` on their normal equations."""

    def evaluate(moved: Student, stale: NDArray[np.float64] | None) -> Quadratic:
        return normal_equations(x, y, moved, stale, loss)

    return descend(evaluate, student, steps=steps, tolerance=tolerance, damping=damping, probing=True)
