"""The covariance of many parameters, by the structure of their normal matrix: small matrices, no large one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from relucli.learning.structured import StructuredNormal
from relucli.learning.student import augmented
from relucli.streaming.accumulator import Accumulator, Block

__all__ = ["LARGEST_LEVERAGE", "DenseBlock", "SandwichAccumulator", "StructuredBlock", "StructuredCovariance"]

Array = NDArray[np.float64]

LARGEST_LEVERAGE = 0.99


@dataclass(frozen=True)
class DenseBlock:
    """The covariance C of the scaled vector of one neuron, (p, p), whose first d components are weights."""

    matrix: Array

    @property
    def diagonal(self) -> Array:
        """Variances, (p,)."""
        return np.asarray(np.diag(self.matrix))

    def along(self, v: Array) -> float:
        """v^T C v, for v (p,)."""
        return float(v @ self.matrix @ v)

    def across(self, w: Array) -> tuple[float, float]:
        """tr T and tr T^2 of T = (I - w w^T) C_w (I - w w^T), C_w of the weights and w (d,) a unit vector."""
        project = np.eye(len(w)) - np.outer(w, w)
        turn = project @ self.matrix[: len(w), : len(w)] @ project
        return float(np.trace(turn)), float((turn * turn).sum())


@dataclass(frozen=True)
class StructuredBlock:
    """The same as B E B^T + c (S^-1 - B B^T), with the frame B (p, r) and the covariance S of the inputs."""

    normal: StructuredNormal
    core: Array
    scale: float

    @cached_property
    def _frame(self) -> Array:
        bias = int(self.normal.bias)
        return self.normal.frame[: len(self.normal.frame) - bias, : self.normal.frame.shape[1] - bias]

    @cached_property
    def _inner(self) -> Array:
        """E - c I on the weights: C_w = B E' B^T + c S^-1."""
        r = self._frame.shape[1]
        return self.core[:r, :r] - self.scale * np.eye(r)

    @property
    def diagonal(self) -> Array:
        """Variances, (p,)."""
        metric, frame = self.normal.metric, self._frame
        on = np.einsum("pi,ij,pj->p", self.normal.frame, self.core, self.normal.frame)
        off = metric.precision - (frame * frame).sum(axis=1)
        return np.asarray(on + self.scale * np.append(off, np.zeros(int(self.normal.bias))))

    def along(self, v: Array) -> float:
        """v^T C v, for v (p,)."""
        u, d = self.normal.frame.T @ v, len(self._frame)
        off = v[:d] @ self.normal.metric.solve(v[:d, None])[:, 0] - np.sum((self._frame.T @ v[:d]) ** 2)
        return float(u @ self.core @ u + self.scale * off)

    def across(self, w: Array) -> tuple[float, float]:
        """tr T and tr T^2 of T = (I - w w^T) C_w (I - w w^T), C_w of the weights and w (d,) a unit vector."""
        metric, frame, inner, c = self.normal.metric, self._frame, self._inner, self.scale
        gram, solved = frame.T @ frame, metric.solve(frame)
        first, second = metric.precision_traces
        image = frame @ (inner @ (frame.T @ w)) + c * metric.solve(w[:, None])[:, 0]  # C_w w
        trace = float(np.trace(inner @ gram)) + c * first
        square = inner @ gram @ inner @ gram + 2 * c * inner @ (frame.T @ solved)
        along = float(w @ image)
        return trace - along, float(np.trace(square)) + c * c * second - 2 * float(image @ image) + along**2


@dataclass(frozen=True)
class StructuredCovariance:
    """Covariance of the parameters of a student: (r m)^2 numbers on the span, m^2 off it.

    Attributes
    ----------
    normal : StructuredNormal
    core : ndarray
        On the span: the covariance of the coordinates of `StructuredNormal.block`.
    off : ndarray
        Off the span, for the neurons and the linear part if that is free.
    """

    normal: StructuredNormal
    core: Array
    off: Array

    def inflation(self, noise: float) -> float:
        """The most that the variances of a neuron exceed those where all rows have this noise variance: a ratio."""
        on, off = self.normal.inverse
        d, r = len(self.normal.frame), self.normal.frame.shape[1]

        def variances(core: Array, outside: Array) -> Array:
            neurons = len(self.normal.student.beta)
            inside = np.diag(core)[: neurons * r].reshape(neurons, r).sum(axis=1)
            return np.asarray(inside + (d - r) * np.diag(outside)[:neurons])

        return float(np.max(variances(self.core, self.off) / (noise * variances(on, off))))

    def block(self, j: int) -> StructuredBlock:
        """Of neuron j; of the linear part, if that is free, for j = m."""
        r = self.normal.frame.shape[1]
        part = slice(j * r, (j + 1) * r)
        return StructuredBlock(self.normal, self.core[part, part], float(self.off[j, j]))


class SandwichAccumulator(Accumulator):
    """The middle of the sandwich: sum (r / (1 - h))^2 F F^T, on the span and off it.

    With the leverage h = F^T N^-1 F of a row, N the structured normal matrix, as in HC3 (see
    `relucli.learning.uncertainty`).  Off the span it takes the residual for independent of the inputs there.

    Parameters
    ----------
    normal : StructuredNormal
        At the student, of all rows.
    """

    def __init__(self, normal: StructuredNormal) -> None:
        self.normal = normal
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        return {"count": (), "block": self.normal.block.shape, "pairs": self.normal.pairs.shape}

    def scratch(self, rows: int) -> int:
        """Bytes of the inputs, white, and of the features on the span."""
        d = len(self.normal.frame)
        return 8 * (rows * (2 * d + 4 * len(self.normal.block) + 8) + 2 * self.normal.block.size)

    def update(self, block: Block) -> None:
        """Add a block."""
        normal, d = self.normal, len(self.normal.frame) - int(self.normal.bias)
        x = augmented(block.wide, normal.bias)
        values, active, features = normal.features(x)
        residual = block.y - values
        on, off = normal.inverse
        white = normal.metric.whitened((x[:, :d] - normal.metric.mean).T)
        span = x[:, :d] @ normal.frame[:d, : normal.frame.shape[1] - int(normal.bias)]
        inside = span - normal.metric.mean @ normal.frame[:d, : span.shape[1]]
        outside = np.maximum((white * white).sum(axis=0) - (inside * inside).sum(axis=1), 0.0)
        leverage = ((features @ on) * features).sum(axis=1) + ((active @ off) * active).sum(axis=1) * outside
        pull = residual / (1 - np.minimum(leverage, LARGEST_LEVERAGE))
        self.sums["count"] += len(x)
        for name, of in (("block", features), ("pairs", active)):
            weighted = of * pull[:, None]
            self.sums[name] += weighted.T @ weighted

    def covariance(self, samples: int) -> StructuredCovariance:
        """N^-1 M N^-1 for a fit to so many rows."""
        share = samples / float(self.sums["count"])
        on, off = self.normal.inverse
        return StructuredCovariance(
            self.normal, share * on @ self.sums["block"] @ on, share * off @ self.sums["pairs"] @ off
        )
