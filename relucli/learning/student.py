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

TILE_FLOATS, TILE_ROWS = 2**16, 1024
GROUPED = 4096
"""Features, q for each row, to each activation pattern from which on it pays to sum the rows of a pattern first."""
SAMPLED = 512
GROUPS = 16
PATTERN_NEURONS = 64
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


def _seen(x: Array, y: Array, student: Student) -> tuple[Array, Array]:
    """Residuals (n,) and signed activation patterns (m, n)."""
    z = student.beta @ x.T
    active = z > 0
    z *= active
    return y - student.signs @ z - x @ student.linear, active * student.signs[:, None]


def _tiles(x: Array, signed: Array, student: Student) -> Iterator[tuple[slice, Array]]:
    """F^T (q, n), the derivatives of the student by its parameters, of a few rows at a time: they stay in cache."""
    step = max(TILE_ROWS, TILE_FLOATS // student.parameters)
    for i in range(0, len(x), step):
        rows = slice(i, i + step)
        inputs, active = np.ascontiguousarray(x[rows].T), signed[:, rows]
        (m, n), p = active.shape, len(inputs)
        features = np.empty((student.parameters, n))
        np.multiply(active[:, None, :], inputs, out=features[: m * p].reshape(m, p, n))
        features[m * p :] = inputs[student.free]
        yield rows, features


def _patterns(signed: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows sorted by activation pattern, and where each pattern begins."""
    words = np.packbits(signed != 0, axis=0)
    size = next(size for size in (1, 2, 4, 8) if size >= len(words))
    padded = np.zeros((signed.shape[1], size), np.uint8)
    padded[:, : len(words)] = words.T
    codes = padded.view(f"u{size}")[:, 0]
    order = np.argsort(codes, kind="stable")
    return order, np.flatnonzero(np.diff(codes[order], prepend=~codes[order[:1]]))


def _gram_by_pattern(x: Array, signed: Array, student: Student, weights: Array | None) -> Array | None:
    """sum_n g_n F_n F_n^T, or None where there are too many patterns for that to pay.

    F_n is the Kronecker product of a_n, the signed pattern and a one for the linear part, with x_n, so that the sum
    over the rows of pattern a is the product of a a^T with their sum of x x^T: p^2 flops for a row in place of q^2.
    """
    most = len(x) * student.parameters // GROUPED
    if not most or not 0 < student.neurons <= PATTERN_NEURONS or len(_patterns(signed[:, :SAMPLED])[1]) > most:
        return None
    order, starts = _patterns(signed)
    if len(starts) > most:
        return None
    rows = x[order]
    if weights is not None:
        rows *= np.sqrt(weights[order])[:, None]
    groups = np.split(rows, starts[1:])
    linear = np.ones((len(starts), int(len(student.free) > 0)))
    active = np.column_stack([signed[:, order[starts]].T, linear])
    p, q = x.shape[1], active.shape[1]
    first, second = np.triu_indices(q)
    products, sums = active[:, first] * active[:, second], np.zeros((len(first), p * p))
    step = max(GROUPS, q * q)  # as many as fill a normal matrix
    for at in range(0, len(groups), step):
        grams = np.stack([group.T @ group for group in groups[at : at + step]])
        sums += products[at : at + step].T @ grams.reshape(len(grams), -1)
    parts = [(slice(j * p, (j + 1) * p), np.arange(p)) for j in range(student.neurons)]
    parts.append((slice(student.neurons * p, student.parameters), student.free))
    normal = np.empty((student.parameters, student.parameters))
    for i, j, block in zip(first, second, sums.reshape(-1, p, p), strict=True):
        (down, of_first), (across, of_second) = parts[i], parts[j]
        normal[down, across] = block[np.ix_(of_first, of_second)]
        normal[across, down] = normal[down, across].T
    return normal


def _gram_by_tile(x: Array, signed: Array, student: Student, weights: Array | None) -> Array:
    """sum_n g_n F_n F_n^T, whatever the patterns."""
    normal = np.zeros((student.parameters, student.parameters))
    for rows, features in _tiles(x, signed, student):
        if weights is not None:
            features *= np.sqrt(weights[rows])
        normal += features @ features.T
    return normal


def weighted_gram(x: Array, y: Array, student: Student, weigh: Callable[[Array, Array], Array]) -> Array:
    """sum_n g_n F_n F_n^T, (q, q), over rows in memory, with weights g = weigh(r, F^T) that are not negative."""
    gram = np.zeros((student.parameters, student.parameters))
    residual, signed = _seen(x, y, student)
    for rows, features in _tiles(x, signed, student):
        scaled = features * np.sqrt(weigh(residual[rows], features))
        gram += scaled @ scaled.T
    return gram


def normal_equations(
    x: Array, y: Array, student: Student, stale: Array | None = None, loss: Loss = SQUARED
) -> Quadratic:
    """The normal equations over rows in memory.

    Parameters
    ----------
    x : ndarray, shape (n, p)
        Inputs, with the column of ones if there are biases; fastest if stored by columns (Fortran order).
    y : ndarray, shape (n,)
        Labels.
    student : Student
        Where to expand.
    stale : ndarray, shape (q, q), optional
        A normal matrix to keep: loss and gradient alone cost far less.
    loss : Loss
        Of a residual.
    """
    residual, signed = _seen(x, y, student)
    pull = loss.pull(residual)
    gradient = np.append(((signed * pull) @ x).ravel(), (pull @ x)[student.free])
    slope = loss.total(residual), gradient, float(y @ y), len(y)
    if stale is not None:
        return Quadratic(*slope, stale, False)
    weights = loss.weights(residual) if loss.robust else None
    normal = _gram_by_pattern(x, signed, student, weights)
    return Quadratic(*slope, _gram_by_tile(x, signed, student, weights) if normal is None else normal)


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
        """Bytes of what is seen of a block, and of its rows in order of their patterns or the features of a tile."""
        q, (m, p) = self.student.parameters, self.student.beta.shape
        seen = rows * (p + 4 * m + 8)
        if self.stale is not None:
            return int(8 * seen)
        return int(8 * (seen + rows * p + 2 * TILE_FLOATS + TILE_ROWS * q + GROUPS * p * p + 3 * (q + p) ** 2))

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
