"""The student: a network in the coordinates in which its least squares problem is regular, and its normal equations.

    f(x) = <v, x> + sum_j s_j relu(<beta_j, x>),     beta_j = |c_j| w_j,  s_j = sign c_j

Inputs may carry a last column of ones: beta then holds a bias and v an offset.  With the activation patterns
D_j = 1[<beta_j, x> > 0] fixed, f is linear in (beta, v) with the features s_j D_j x and x.  A ReLU is half a linear
function and half an absolute value, so with v free every neuron may point either way along its line, and an antipodal
pair of neurons is one line; with v fixed at zero the orientation of each neuron matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.learning.loss import SQUARED, Loss
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["NormalAccumulator", "Quadratic", "Slope", "Student", "augmented", "normal_equations", "weighted_gram"]

Array = NDArray[np.float64]

TILE_FLOATS = 2**16
SPARE_ROWS = 5
ROUNDING = 1e-28
"""Share of the labels' energy below which a sum of squared residuals is rounding error."""


def augmented(x: NDArray[Any], bias: bool) -> NDArray[Any]:
    """The inputs, with a column of ones if there are biases."""
    return np.column_stack([x, np.ones(len(x), x.dtype)]) if bias else x


@dataclass(frozen=True)
class Student:
    """A network under construction.

    Attributes
    ----------
    beta : ndarray, shape (m, p)
        Scaled neurons.
    signs : ndarray, shape (m,)
        +1 or -1.
    linear : ndarray, shape (p,)
        v.
    free : ndarray of int
        Indices of the components of v that are parameters; the others stay as they are.
    """

    beta: Array
    signs: Array
    linear: Array
    free: NDArray[np.intp]

    @classmethod
    def empty(cls, p: int) -> Student:
        """The linear function zero, free to change: no neurons."""
        return cls(np.empty((0, p)), np.empty(0), np.zeros(p), np.arange(p, dtype=np.intp))

    @property
    def neurons(self) -> int:
        """m."""
        return len(self.signs)

    @property
    def parameters(self) -> int:
        """Number of parameters: m p plus the free components of v."""
        return int(self.beta.size + len(self.free))

    def __call__(self, x: Array) -> Array:
        """Values at the rows of ``x``."""
        return np.maximum(x @ self.beta.T, 0) @ self.signs + x @ self.linear

    def moved(self, step: Array) -> Student:
        """The student after a step in its parameters: beta first, then the free components of v."""
        size = self.beta.size
        linear = self.linear.copy()
        linear[self.free] += step[size:]
        return replace(self, beta=self.beta + step[:size].reshape(self.beta.shape), linear=linear)

    def flipped(self, mask: NDArray[np.bool_]) -> Student:
        """The same function with some neurons turned round: s relu(z) = s relu(-z) + s z."""
        beta = np.where(mask[:, None], -self.beta, self.beta)
        return replace(self, beta=beta, linear=self.linear + self.signs[mask] @ self.beta[mask])

    def without(self, neurons: list[int]) -> Student:
        """The student without some of its neurons."""
        keep = np.setdiff1d(np.arange(self.neurons), neurons)
        return replace(self, beta=self.beta[keep], signs=self.signs[keep])

    def plus(self, beta: Array, signs: Array) -> Student:
        """The student with neurons added."""
        return replace(self, beta=np.vstack([self.beta, beta]), signs=np.append(self.signs, signs))

    def lifted(self, basis: Array) -> Student:
        """The student in the coordinates x, where this one works on ``x @ basis``."""
        return Student(self.beta @ basis.T, self.signs, basis @ self.linear, np.arange(len(basis), dtype=np.intp))


@dataclass(frozen=True)
class Slope:
    """The sum of squared residuals at a student, and its gradient.

    With a robust loss each row counts by its weight psi(r) / r.

    Attributes
    ----------
    loss : float
        sum_n (y_n - f(x_n))^2.
    gradient : ndarray, shape (q,)
        F^T (y - f), minus half the gradient of the loss.
    energy : float
        sum_n y_n^2.
    samples : int
        Number of rows.
    """

    loss: float
    gradient: Array
    energy: float
    samples: int

    @property
    def noise_variance(self) -> float:
        """Loss per degree of freedom."""
        return self.loss / max(1, self.samples - len(self.gradient))

    @property
    def exact(self) -> bool:
        """Whether the residual is at the rounding level of float64 labels, with rows to spare: no interpolation."""
        return self.samples > len(self.gradient) + SPARE_ROWS and self.loss <= ROUNDING * self.energy


@dataclass(frozen=True)
class Quadratic(Slope):
    """The sum of squared residuals, to second order about a student (Gauss-Newton).

    Attributes
    ----------
    normal : ndarray, shape (q, q)
        F^T F, here or, if it is not ``fresh``, at a student close by.
    fresh : bool
        Whether ``normal`` was taken at this student.
    """

    normal: Array
    fresh: bool = True


def _forward(x: Array, y: Array, student: Student) -> tuple[Array, Array]:
    """Residuals (n,) and signed activation patterns (m, n) of a few rows, ``x`` (p, n) transposed."""
    z = student.beta @ x
    active = z > 0
    return y - student.signs @ (z * active) - student.linear @ x, active * student.signs[:, None]


def _features(x: Array, signed: Array, student: Student) -> Array:
    """F^T, (q, n): the derivatives of the student by its parameters."""
    m, (p, n) = student.neurons, x.shape
    features = np.empty((student.parameters, n))
    np.multiply(signed[:, None, :], x, out=features[: m * p].reshape(m, p, n))
    features[m * p :] = x[student.free]
    return features


def _tile(x: Array, y: Array, student: Student, loss: Loss, normal: Array) -> tuple[float, Array]:
    """Loss and gradient over a few rows, ``x`` (p, n) transposed so that rows run fastest; adds F^T F to ``normal``."""
    residual, signed = _forward(x, y, student)
    pull = loss.pull(residual)
    features = _features(x, signed, student)
    gradient = features @ pull
    if loss.robust:
        features *= np.sqrt(loss.weights(residual))
    normal += features @ features.T
    return loss.total(residual), gradient


def _slope(x: Array, y: Array, student: Student, loss: Loss) -> tuple[float, Array]:
    """Loss and gradient alone, ``x`` (n, p) as it is stored."""
    z = x @ student.beta.T
    signed = (z > 0) * student.signs
    residual = y - (z * signed).sum(axis=1) - x @ student.linear
    pull = loss.pull(residual)
    gradient = np.append((signed * pull[:, None]).T @ x, (pull @ x)[student.free])
    return loss.total(residual), gradient


def _tiles(x: Array, y: Array, parameters: int) -> Iterator[tuple[Array, Array]]:
    """A few rows at a time, the inputs transposed, so that their features stay in cache."""
    step = max(256, TILE_FLOATS // parameters)
    for i in range(0, len(y), step):
        yield np.ascontiguousarray(x[i : i + step].T), y[i : i + step]


def weighted_gram(x: Array, y: Array, student: Student, weigh: Callable[[Array, Array], Array]) -> Array:
    """sum_n g_n F_n F_n^T, (q, q), over rows in memory, with weights g = weigh(r, F^T) that are not negative."""
    gram = np.zeros((student.parameters, student.parameters))
    for rows, labels in _tiles(x, y, student.parameters):
        residual, signed = _forward(rows, labels, student)
        features = _features(rows, signed, student)
        scaled = features * np.sqrt(weigh(residual, features))
        gram += scaled @ scaled.T
    return gram


def normal_equations(
    x: Array, y: Array, student: Student, stale: Array | None = None, loss: Loss = SQUARED
) -> Quadratic:
    """The normal equations over rows in memory, tile by tile so that the features stay in cache.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Inputs, with the column of ones if there are biases; fastest if stored by columns (Fortran order).
    y : ndarray, shape (n,)
        Labels.
    student : Student
        Where to expand.
    stale : ndarray, shape (q, q), optional
        A normal matrix to keep: loss and gradient alone cost a q-th of it.
    loss : Loss
        Of a residual.
    """
    q, energy = student.parameters, float(y @ y)
    if stale is not None:
        return Quadratic(*_slope(x, y, student, loss), energy, len(y), stale, False)
    value, gradient, normal = 0.0, np.zeros(q), np.zeros((q, q))
    for rows, labels in _tiles(x, y, q):
        terms = _tile(rows, labels, student, loss, normal)
        value += terms[0]
        gradient += terms[1]
    return Quadratic(value, gradient, energy, len(y), normal, True)


class NormalAccumulator(Accumulator):
    """The normal equations as sums over rows: one Gauss-Newton step is one pass.

    Parameters
    ----------
    student : Student
        Where to expand.
    bias : bool
        Whether to append a column of ones to the inputs.
    stale : ndarray, shape (q, q), optional
        A normal matrix to keep: only loss and gradient are summed then.
    loss : Loss
        Of a residual.
    """

    guarded = False  # a trial student may be at fault

    def __init__(self, student: Student, bias: bool, stale: Array | None = None, loss: Loss = SQUARED) -> None:
        self.student = student
        self.loss = loss
        self.bias = bias
        self.stale = stale
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        q = self.student.parameters
        shapes: dict[str, tuple[int, ...]] = {"loss": (), "energy": (), "count": (), "gradient": (q,)}
        return shapes if self.stale is not None else shapes | {"normal": (q, q)}

    def scratch(self, rows: int) -> int:
        """Bytes of the features of a tile and their product, or of the hidden values of a block."""
        q, p = self.student.parameters, self.student.beta.shape[1]
        matrices = 2 * q * q if self.stale is None else 0
        hidden = 4 * rows * self.student.neurons if self.stale is not None else 0
        return int(8 * (2 * TILE_FLOATS + 256 * q + matrices + hidden + rows * (p + 4)))

    def update(self, block: Block) -> None:
        """Add a block."""
        terms = normal_equations(augmented(block.wide, self.bias), block.y, self.student, self.stale, self.loss)
        for name, value in (("loss", terms.loss), ("energy", terms.energy), ("count", terms.samples)):
            self.sums[name] += value
        self.sums["gradient"] += terms.gradient
        if self.stale is None:
            self.sums["normal"] += terms.normal

    @property
    def quadratic(self) -> Quadratic:
        """The folded normal equations."""
        s, fresh = self.sums, self.stale is None
        normal = s["normal"] if self.stale is None else self.stale
        return Quadratic(float(s["loss"]), s["gradient"], float(s["energy"]), int(s["count"]), normal, fresh)
