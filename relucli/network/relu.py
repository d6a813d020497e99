"""One-hidden-layer ReLU networks: evaluation, normal forms, and inner products under N(0, I)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relucli.errors import DataError
from relucli.network.gaussian import distances, normal_cdf, relu_gram, relu_mean

__all__ = ["LINE_TOLERANCE", "ReluNetwork", "check_dims", "gram", "row_slices"]

Floats = NDArray[np.float64]

UNIT_TOLERANCE = 1e-12
LINE_TOLERANCE = 1e-9
_SCRATCH_NUMBERS = 2**17


@dataclass(frozen=True, eq=False, repr=False)
class ReluNetwork:
    """A network f(x) = offset + <linear, x> + sum_i coefficients_i relu(<weights_i, x> + biases_i).

    Attributes
    ----------
    weights : ndarray, shape (k, d), float64
        Unit rows; k may be 0.
    coefficients : ndarray, shape (k,)
    biases : ndarray, shape (k,)
        Zero by default.
    linear : ndarray, shape (d,)
        Zero by default.
    offset : float
    columns : tuple of str
        Names of the inputs, (d,), or none if they have none.

    Raises
    ------
    ValueError
        If shapes disagree, a number is not finite, or a row of ``weights`` is off unit length by over 1e-12.
    """

    weights: Floats
    coefficients: Floats
    biases: Floats = None  # type: ignore[assignment]  # zeros, once the shape is known
    linear: Floats = None  # type: ignore[assignment]
    offset: float = 0.0
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        weights = np.array(self.weights, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[1] < 1:
            raise ValueError(f"weights must have shape (k, d) with d >= 1, not {weights.shape}")
        neurons, dim = weights.shape
        self._freeze("weights", weights)
        for name, size in (("coefficients", neurons), ("biases", neurons), ("linear", dim)):
            given = getattr(self, name)
            array = np.zeros(size) if given is None else np.array(given, dtype=np.float64)
            if array.shape != (size,):
                raise ValueError(f"{name} must have shape ({size},), not {array.shape}")
            self._freeze(name, array)
        object.__setattr__(self, "columns", tuple(self.columns))
        if self.columns and len(self.columns) != dim:
            raise ValueError(f"there are {len(self.columns)} columns for {dim} inputs")
        object.__setattr__(self, "offset", float(self.offset))
        if not math.isfinite(self.offset):
            raise ValueError("offset is not finite")
        off = np.abs(np.linalg.norm(weights, axis=1) - 1.0)
        if np.any(off > UNIT_TOLERANCE):
            raise ValueError(f"row {int(off.argmax())} of weights is not of unit length")

    def _freeze(self, name: str, array: Floats) -> None:
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has a number that is not finite")
        array.setflags(write=False)
        object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        """What it is, and a table of its neurons."""
        from relucli.network.display import as_text, neuron_columns, summary

        return as_text(f"ReluNetwork({summary(self)})", neuron_columns(self))

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        from relucli.network.display import as_html, neuron_columns, summary

        return as_html(f"ReluNetwork: {summary(self)}", neuron_columns(self))

    @classmethod
    def from_vectors(
        cls,
        beta: ArrayLike,
        signs: ArrayLike,
        biases_scaled: ArrayLike,
        linear: ArrayLike | None = None,
        offset: float = 0.0,
    ) -> Self:
        """Network offset + <linear, x> + sum_i signs_i relu(<beta_i, x> + biases_scaled_i).

        Parameters
        ----------
        beta : array_like, shape (k, d)
            |c_i| w_i.  A zero row is dropped: it is a constant, which goes to the offset.
        signs : array_like, shape (k,)
            sign(c_i), +1 or -1.
        biases_scaled : array_like, shape (k,)
            |c_i| b_i.
        linear : array_like, shape (d,), optional
        offset : float
        """
        vectors, sign, bias = (np.asarray(a, dtype=np.float64) for a in (beta, signs, biases_scaled))
        largest = np.abs(vectors).max(axis=1, initial=0.0)
        kept = largest > 0
        scaled = vectors[kept] / largest[kept, None]  # so that squares neither overflow nor vanish
        norms = np.linalg.norm(scaled, axis=1)
        sizes = norms * largest[kept]
        constant = float(sign[~kept] @ np.maximum(bias[~kept], 0.0))
        return cls(
            weights=scaled / norms[:, None],
            coefficients=sign[kept] * sizes,
            biases=bias[kept] / sizes,
            linear=None if linear is None else np.asarray(linear, dtype=np.float64),  # type: ignore[arg-type]
            offset=offset + constant,
        )

    @property
    def neurons(self) -> int:
        """Number of ReLUs, k."""
        return len(self.weights)

    @property
    def dim(self) -> int:
        """Number of inputs, d."""
        return int(self.weights.shape[1])

    def __call__(self, x: NDArray[np.floating]) -> Floats:
        """Values at the rows of ``x`` (n, d), of any float dtype, computed in float64 and in blocks."""
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"inputs must have shape (n, {self.dim}), not {x.shape}")
        values, columns = np.empty(len(x)), np.ascontiguousarray(self.weights.T)
        for part in row_slices(len(x), self.dim + self.neurons):
            rows = x[part].astype(np.float64, copy=False)
            z = rows @ columns
            z += self.biases
            np.maximum(z, 0.0, out=z)
            values[part] = z @ self.coefficients
            if self.linear.any():
                values[part] += rows @ self.linear
        values += self.offset
        return values

    def hidden(self, x: NDArray[np.floating]) -> Floats:
        """Activations max(0, <weights_i, x> + biases_i) at the rows of ``x`` (n, d): (n, k), in float64."""
        z: Floats = x.astype(np.float64, copy=False) @ self.weights.T + self.biases
        return np.maximum(z, 0.0, out=z)

    def flipped(self, mask: NDArray[np.bool_]) -> Self:
        """The same function with the chosen neurons reversed: c relu(z) = c relu(-z) + c z."""
        turn = np.where(mask, -1.0, 1.0)
        moved = np.where(mask, self.coefficients, 0.0)
        return replace(
            self,
            weights=turn[:, None] * self.weights,
            biases=turn * self.biases,
            linear=self.linear + moved @ self.weights,
            offset=self.offset + float(moved @ self.biases),
        )

    def canonical(self, tolerance: float = LINE_TOLERANCE) -> Self:
        """The same function with one ReLU for each line {w x + b = 0}.

        Neurons share a line if (w, b) and (w', b') agree up to sign to within ``tolerance``, in radians for w
        and relative to max(1, |b|) for b.  The largest of them stands for all: its coefficient becomes
        their sum, and those of opposite orientation leave c z to the linear part and the offset.  A ReLU
        whose coefficients cancel is dropped.  Exact for tolerance 0; the order of the neurons is kept.
        """
        return self.merged(tolerance)[0]

    def merged(self, tolerance: float) -> tuple[Self, NDArray[np.intp]]:
        """The canonical form, and for each of its neurons the index of the one that stands for it here."""
        same, opposite = _shared_lines(self, tolerance)
        free = np.ones(self.neurons, dtype=bool)
        totals: dict[int, float] = {}
        reverse = np.zeros(self.neurons, dtype=bool)
        for i in np.argsort(-np.abs(self.coefficients), kind="stable"):
            if free[i]:
                members = free & (same[i] | opposite[i])
                reverse |= members & ~same[i]
                c = self.coefficients[members]
                if abs(c.sum()) > tolerance * np.abs(c).sum():
                    totals[int(i)] = float(c.sum())
                free &= ~members
        kept = np.array(sorted(totals), dtype=np.intp)
        turned = self.flipped(reverse)
        merged = replace(
            turned,
            weights=turned.weights[kept],
            coefficients=np.array([totals[int(i)] for i in kept]),
            biases=turned.biases[kept],
        )
        return merged, kept

    def mean(self) -> float:
        """E f(x) for x ~ N(0, I), in closed form."""
        return self.offset + float(self.coefficients @ relu_mean(self.biases))

    def variance(self) -> float:
        """Var f(x) for x ~ N(0, I), in closed form."""
        centred = replace(self.flipped(self.biases > 0), offset=0.0)
        return max(0.0, gram(centred, centred) - centred.mean() ** 2)


def row_slices(rows: int, width: int) -> Iterator[slice]:
    """Runs of rows of ``width`` numbers each that take some 1 MiB, and stay in the cache."""
    step = max(64, _SCRATCH_NUMBERS // width)
    return (slice(i, min(i + step, rows)) for i in range(0, rows, step))


def _shared_lines(network: ReluNetwork, tolerance: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which neurons share a line in the same and in the opposite orientation, each (k, k)."""
    minus, plus = distances(network.weights, network.weights)
    b = network.biases
    slack = tolerance * np.maximum(1.0, np.abs(b))[:, None]
    same = (minus <= tolerance) & (np.abs(b[:, None] - b) <= slack)
    return same, (plus <= tolerance) & (np.abs(b[:, None] + b) <= slack)


def gram(a: ReluNetwork, b: ReluNetwork) -> float:
    """E a(x) b(x) for x ~ N(0, I), in closed form.

    Rounding errors are about 1e-16 of the sum of the absolute terms; neurons with a positive bias are
    reversed first, so that these terms stay small.

    Raises
    ------
    DataError
        If the networks take inputs of different dimension.
    """
    check_dims(a, b)
    a, b = a.flipped(a.biases > 0), b.flipped(b.biases > 0)
    relus = a.coefficients @ relu_gram(a.weights, a.biases, b.weights, b.biases) @ b.coefficients
    crossed = sum(
        (f.coefficients * normal_cdf(f.biases)) @ (f.weights @ g.linear)  # Stein: E <v, x> relu(z + h) = <v, w> Phi(h)
        for f, g in ((a, b), (b, a))
    )
    means = a.offset * b.mean() + b.offset * (a.mean() - a.offset)
    return float(relus + crossed + a.linear @ b.linear + means)


def check_dims(a: ReluNetwork, b: ReluNetwork) -> None:
    """Raise DataError unless both networks take inputs of one dimension."""
    if a.dim != b.dim:
        raise DataError(f"the networks take inputs of different dimension: {a.dim} and {b.dim}")
