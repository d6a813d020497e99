"""The normal matrix of a student on Gaussian inputs, by its structure.

With B spanning the neurons and x = C t + e, t = B^T x, e is independent of t for Gaussian inputs.  The normal matrix
E[s_j D_j s_l D_l x x^T] then is

    C T_jl C^T + P_jl Cov(e),      T_jl = E[s_j D_j s_l D_l t t^T],      P_jl = E[s_j D_j s_l D_l],

a small block on the span and one number for each pair of neurons off it: to solve with it costs no more than a
gradient, at any d.  T and P are summed over the rows with the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from relucli.learning.loss import Loss
from relucli.learning.student import Slope, Student, augmented
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["Metric", "StructuredAccumulator", "StructuredNormal", "frame_of", "scaled_inverse", "span_of"]

Array = NDArray[np.float64]

INDEPENDENT = 1e-9
SINGULAR = 1e-13


@dataclass(frozen=True)
class Metric:
    """Mean and covariance of the inputs.

    Attributes
    ----------
    mean : ndarray, shape (d,)
    root : ndarray, shape (d,) or (d, d)
        Standard deviations of independent columns, or the lower Cholesky factor of the covariance.
    """

    mean: Array
    root: Array

    @classmethod
    def standard(cls, dim: int) -> Metric:
        """Of N(0, I)."""
        return cls(np.zeros(dim), np.ones(dim))

    @property
    def variances(self) -> Array:
        """Of the inputs, (d,)."""
        return np.asarray(self.root**2 if self.root.ndim == 1 else (self.root**2).sum(axis=1))

    @cached_property
    def precision(self) -> Array:
        """The diagonal of the inverse covariance, (d,)."""
        return np.asarray(
            self.root**-2.0 if self.root.ndim == 1 else (self.raw(np.eye(len(self.root))) ** 2).sum(axis=1)
        )

    @cached_property
    def precision_traces(self) -> tuple[float, float]:
        """Traces of the inverse covariance and of its square."""
        if self.root.ndim == 1:
            return float(self.precision.sum()), float((self.precision**2).sum())
        inverse = self.solve(np.eye(len(self.root)))
        return float(np.trace(inverse)), float((inverse * inverse).sum())

    def white(self, directions: Array) -> Array:
        """root^T times directions (d, r): the same directions for whitened inputs."""
        return np.asarray(self.root[:, None] * directions if self.root.ndim == 1 else self.root.T @ directions)

    def raw(self, directions: Array) -> Array:
        """root^-T times directions (d, r): the way back from `white`."""
        if self.root.ndim == 1:
            return np.asarray(directions / self.root[:, None])
        return np.asarray(solve_triangular(self.root, directions, lower=True, trans="T"))

    def spanning(self, directions: Array) -> Array:
        """Directions (d, r) that span those given (d, m), and give inputs of unit covariance."""
        return self.raw(np.linalg.qr(self.white(directions))[0])

    def whitened(self, sums: Array) -> Array:
        """root^-1 times sums of centred inputs (d, r): the same sums of whitened inputs."""
        if self.root.ndim == 1:
            return np.asarray(sums / self.root[:, None])
        return np.asarray(solve_triangular(self.root, sums, lower=True))

    def times(self, vectors: Array) -> Array:
        """Covariance times vectors (d, r)."""
        return np.asarray(self.root[:, None] ** 2 * vectors if self.root.ndim == 1 else self.root @ self.white(vectors))

    def solve(self, vectors: Array) -> Array:
        """Inverse covariance times vectors (d, r)."""
        if self.root.ndim == 1:
            return np.asarray(vectors / self.root[:, None] ** 2)
        return self.raw(self.whitened(vectors))


def frame_of(student: Student, bias: bool, metric: Metric) -> Array:
    """Columns B (p, r) that span the neurons, the linear part, the mean and the constant, with B^T Cov B = I."""
    p = student.beta.shape[1]
    d = p - bias
    vectors = metric.white(np.vstack([student.beta[:, :d], student.linear[None, :d]]).T)
    if metric.mean.any():
        vectors = np.column_stack([vectors, metric.white(metric.solve(metric.mean[:, None]))])
    # Each vector has its say, whatever its length.
    lengths = np.linalg.norm(vectors, axis=0)
    turned, sizes, _ = np.linalg.svd(vectors[:, lengths > 0] / lengths[lengths > 0], full_matrices=False)
    turned = turned[:, sizes > INDEPENDENT]
    frame = np.zeros((p, turned.shape[1] + bias))
    frame[:d, : turned.shape[1]] = metric.raw(turned)
    if bias:
        frame[d, -1] = 1.0
    return frame


def span_of(student: Student, metric: Metric) -> Array:
    """Directions (d, r) that span the weights and the linear part, and give inputs of unit covariance."""
    return metric.spanning(np.vstack([student.beta, student.linear])[:, : len(metric.mean)].T)


def scaled_inverse(matrix: Array) -> Array:
    """Of a symmetric matrix with its diagonal scaled to one; its null space is left out."""
    scale = 1 / np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    scale[np.diag(matrix) <= 0] = 0.0
    return np.asarray(
        np.linalg.pinv(matrix * scale[:, None] * scale, rcond=SINGULAR, hermitian=True) * scale[:, None] * scale
    )


def _seen(student: Student, frame: Array, x: NDArray[Any]) -> tuple[Array, Array, Array]:
    """Of inputs (n, p), multiplied in their dtype: values, signed patterns (ones if v is free), and x B."""
    m = student.neurons
    onto = np.vstack([student.beta, student.linear[None], frame.T]).T.astype(x.dtype)
    seen = (x @ onto).astype(np.float64, copy=False)
    active = (seen[:, :m] > 0) * student.signs
    values = (seen[:, :m] * active).sum(axis=1) + seen[:, m]
    if len(student.free) == len(frame):
        active = np.column_stack([active, np.ones(len(x))])
    return values, active, seen[:, m + 1 :]


def _features(student: Student, active: Array, span: Array, ones: Array) -> Array:
    """Derivatives by the parameters on the span, (n, features): patterns times x B, and ones for an offset alone."""
    features = (active[:, :, None] * span[:, None, :]).reshape(len(span), -1)
    alone = len(student.free) == 1 and len(student.linear) > 1
    return np.column_stack([features, ones]) if alone else features


@dataclass(frozen=True)
class StructuredNormal:
    """The normal matrix, as a block on the span and a matrix of pairs off it.

    Attributes
    ----------
    student : Student
    frame : ndarray, shape (p, r)
        B, orthonormal in the metric.
    block : ndarray
        T, over the features s_j D_j t, then those of the linear part: all of t if it is free, 1 for an offset.
    pairs : ndarray
        P, over the neurons and the linear part if that is free.
    metric : Metric
    bias : bool
    """

    student: Student
    frame: Array
    block: Array
    pairs: Array
    metric: Metric
    bias: bool

    def _metric_solve(self, vectors: Array) -> Array:
        d = len(self.frame) - self.bias
        return np.vstack([self.metric.solve(vectors[:d]), vectors[d:]])

    @cached_property
    def inverse(self) -> tuple[Array, Array]:
        """Inverses of T and of P, without their null spaces."""
        return scaled_inverse(self.block), scaled_inverse(self.pairs)

    @property
    def diagonal(self) -> Array:
        """About the diagonal of the normal matrix, for the neurons and the linear part if it is free: (m, p)."""
        second = np.append(self.metric.variances + self.metric.mean**2, np.ones(int(self.bias)))
        return np.asarray(np.outer(np.diag(self.pairs), second))

    def features(self, x: Array) -> tuple[Array, Array, Array]:
        """Of inputs (n, p): the student's values, signed activation patterns, and features on the span."""
        values, active, span = _seen(self.student, self.frame, x)
        return values, active, _features(self.student, active, span, np.ones(len(x)))

    def solve(self, gradient: Array) -> Array:
        """The inverse times a vector of parameters (q,)."""
        (m, p), r, whole = self.student.beta.shape, self.frame.shape[1], len(self.student.free) == self.frame.shape[0]
        rows = gradient[: (m + whole) * p].reshape(m + whole, p)
        onto = np.append((rows @ self.frame).ravel(), gradient[(m + whole) * p :])
        along = self.inverse[0] @ onto
        step = along[: (m + whole) * r].reshape(m + whole, r) @ self.frame.T
        if r < p:
            off = self._metric_solve(rows.T).T - (rows @ self.frame) @ self.frame.T
            step += self.inverse[1] @ off
        return np.append(step.ravel(), along[(m + whole) * r :])


class StructuredAccumulator(Accumulator):
    """Loss, gradient, and the two parts of the normal matrix.

    Parameters
    ----------
    student : Student
    frame : ndarray, shape (p, r)
    bias : bool
    loss : Loss
    thinning : int
        One row in so many is taken for the normal matrix.
    """

    guarded = False  # a trial student may be at fault

    def __init__(self, student: Student, frame: Array, bias: bool, loss: Loss, thinning: int = 1) -> None:
        p = student.beta.shape[1]
        if len(student.free) not in (0, int(bias), p):
            raise ValueError("the linear part must be free, fixed, or fixed but for the offset")
        self.student, self.frame, self.bias, self.loss = student, frame, bias, loss
        self.thinning = thinning
        self.whole = len(student.free) == p
        self.offset = not self.whole and len(student.free) == 1
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        m, r = self.student.neurons + self.whole, self.frame.shape[1]
        features = m * r + self.offset
        shapes: dict[str, tuple[int, ...]] = {"loss": (), "energy": (), "count": ()}
        shapes |= {"gradient": (self.student.parameters,)}
        return shapes | {"block": (features, features), "pairs": (m, m)}

    def scratch(self, rows: int) -> int:
        """Bytes of the products with the inputs, and of the features on the span."""
        (p, r), m = self.frame.shape, self.student.neurons
        features, share = (m + 1) * r + 1, rows // self.thinning + 1
        return int(8 * (rows * (p * self.bias + 2 * r + 8 * m + 8) + 2 * share * features + 2 * features**2))

    def update(self, block: Block) -> None:
        """Add a block, multiplied in the dtype that it brings."""
        student = self.student
        x = augmented(block.x, self.bias)
        values, active, span = _seen(student, self.frame, x)
        residual = block.y - values
        pull = self.loss.pull(residual)
        gradient = (active * pull[:, None]).T.astype(x.dtype, copy=False) @ x
        s = self.sums
        s["loss"] += self.loss.total(residual)
        s["energy"] += block.y @ block.y
        s["count"] += len(x)
        s["gradient"] += np.append(gradient.ravel(), [pull.sum()] if self.offset else [])
        # The normal matrix, from a share of the rows; of each, as much as its robust weight.
        rows = slice(None, None, self.thinning)
        roots = np.sqrt(self.loss.weights(residual[rows]) * (len(x) / len(residual[rows])))
        counted = active[rows] * roots[:, None]
        features = _features(student, counted, span[rows], roots)
        s["pairs"] += counted.T @ counted
        s["block"] += features.T @ features

    def slope(self, metric: Metric) -> tuple[Slope, StructuredNormal]:
        """The folded loss and gradient, and the normal matrix."""
        s = self.sums
        slope = Slope(float(s["loss"]), s["gradient"], float(s["energy"]), int(s["count"]))
        return slope, StructuredNormal(self.student, self.frame, s["block"], s["pairs"], metric, self.bias)
