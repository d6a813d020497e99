"""The moments pass: settings from a pilot, all sums in one fold, and what they estimate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from relucli.errors import DataError, UsageError
from relucli.moments.base import BaseMoments
from relucli.moments.contracted import ContractedMoments
from relucli.moments.sliced import SliceMoments, quantile_edges
from relucli.moments.whitening import looks_standard, projection_whitening, whitened
from relucli.storage.dataset import ShiftedRows, pilot
from relucli.streaming.accumulator import Joint
from relucli.streaming.fold import Engine, Rows

__all__ = ["MomentSettings", "Moments", "estimate_moments"]

Array = NDArray[np.float64]

PILOT_ROWS = 65_536
PILOT_FLOATS = 2**23
LARGEST_ORDER = 16
PROJECTIONS = 8
FAR = 4.0
LARGEST_SCALE = 1e9
SMALLEST_EIGENVALUE = 1e-3


@dataclass(frozen=True)
class MomentSettings:
    """Which moments to take.

    Attributes
    ----------
    orders : tuple of int
        Orders of the Hermite moments, each at least 1.
    contractions : int
        G, random unit directions to contract with; 0 leaves the contracted moments out.
    slices : int
        H, slices of the label; 0 leaves the slice moments out.
    seed : int
        Of the directions.
    """

    orders: tuple[int, ...] = (1, 2, 4, 6)
    contractions: int = 8
    slices: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        if not all(1 <= order <= LARGEST_ORDER for order in self.orders):
            raise UsageError(f"--orders {','.join(map(str, self.orders))}: each must be from 1 to {LARGEST_ORDER}")
        if self.contractions < 0 or self.slices < 0:
            raise UsageError("--contractions and --slices must not be negative")


@dataclass(frozen=True)
class Moments:
    """Moments of a dataset.

    Attributes
    ----------
    sums : Joint
        The folded sums: ``base``, ``sliced`` and, if asked for, ``contracted``.
    settings : MomentSettings
        What was asked for.
    standard : bool
        Whether the inputs of the pilot look like N(0, I); if not, projections are of whitened inputs.
    whitening : tuple of ndarray
        Mean (d,) and lower Cholesky factor (d, d) of the covariance of the inputs that the projections used.
    fingerprint : str
        Of the rows.
    """

    sums: Joint
    settings: MomentSettings
    standard: bool
    whitening: tuple[Array, Array]
    fingerprint: str

    @property
    def samples(self) -> int:
        """N."""
        return int(self.sums.sums["base/y"][0])

    @property
    def dim(self) -> int:
        """d."""
        return int(self.sums.sums["base/yx"].shape[0])

    @property
    def _sliced(self) -> SliceMoments:
        part = self.sums.parts["sliced"]
        assert isinstance(part, SliceMoments)
        return part

    @property
    def _base(self) -> BaseMoments:
        part = self.sums.parts["base"]
        assert isinstance(part, BaseMoments)
        return part

    @cached_property
    def mean(self) -> Array:
        """Mean of the inputs, (d,)."""
        return np.asarray(self._sliced.shift + self._sliced.sums["x"].sum(axis=0) / self.samples)

    @cached_property
    def covariance(self) -> Array:
        """Covariance of the inputs (divisor N), (d, d)."""
        offset = self.mean - self._sliced.shift
        return np.asarray(self._sliced.sums["xx"].sum(axis=0) / self.samples - np.outer(offset, offset))

    @property
    def label_mean(self) -> float:
        """Mean of the labels."""
        return float(self._base.center + self._base.sums["y"][1] / self.samples)

    @property
    def label_variance(self) -> float:
        """Variance of the labels (divisor N)."""
        _, first, second = self._base.sums["y"] / self.samples
        return float(max(0.0, second - first * first))

    @property
    def label_energy(self) -> float:
        """Sum of y^2 over the rows."""
        count, first, second = self._base.sums["y"]
        return float(second + 2 * self._base.center * first + count * self._base.center**2)

    @cached_property
    def first(self) -> Array:
        """E[(y - E y)(x - E x)], (d,): the first Hermite moment of a centred label."""
        offset = self.mean - self._base.shift
        return np.asarray(self._base.sums["yx"] / self.samples - (self.label_mean - self._base.center) * offset)

    @cached_property
    def slice_count(self) -> Array:
        """Rows in each slice, (H,)."""
        return self._sliced.sums["count"]

    def slices(self, mean: Array, root: Array) -> tuple[Array, Array]:
        """Means (H, d) and covariances about zero less I (H, d, d) of root^-1 (x - mean) within each slice."""
        sums, count = self._sliced.sums, np.maximum(self.slice_count, 1)[:, None]
        offset = mean - self._sliced.shift
        m = sums["x"] / count - offset
        cross = (sums["x"] / count)[:, :, None] * offset
        second = sums["xx"] / count[:, :, None] - cross - cross.transpose(0, 2, 1) + np.outer(offset, offset)
        means = solve_triangular(root, m.T, lower=True).T
        white = np.stack([whitened(s, root) for s in second])
        return means, white - np.eye(self.dim)

    def contracted(self, order: int) -> Array:
        """M_{l,g} in whitened coordinates for each direction, (G, d, d); a single one for order 2.

        Raises
        ------
        UsageError
            If the order was not asked for.
        """
        part = self.sums.parts.get("contracted")
        if not isinstance(part, ContractedMoments) or order not in part.orders:
            raise UsageError(f"order {order} is not among the moments; take it with --orders")
        mean, root = self.whitening
        n, offset = self.samples, mean - part.shift
        s = {key: part.sums[f"{key}_{order}"] / n for key in ("xx", "x", "one", "down", "down_one", "low")}
        unit = solve_triangular(root, np.eye(self.dim), lower=True)
        found = []
        for i in range(len(s["one"])):
            g = root.T @ part.directions[i] if order > 2 else np.zeros(self.dim)
            cross = np.outer(s["x"][i], offset)
            second = s["xx"][i] - cross - cross.T + s["one"][i] * np.outer(offset, offset)
            down = np.outer(unit @ (s["down"][i] - s["down_one"][i] * offset), g)
            whole = whitened(second, root) - s["one"][i] * np.eye(self.dim)
            whole -= (order - 2) * (down + down.T)
            found.append(whole + (order - 2) * (order - 3) * s["low"][i] * np.outer(g, g))
        return np.stack(found)

    @cached_property
    def kurtosis(self) -> Array:
        """Excess kurtosis of the inputs along random lines, (G,): 0 +- sqrt(24 / N) for Gaussian inputs."""
        z = self._base.sums["z"] / self.samples
        m, second = z[1], z[2] - z[1] ** 2
        fourth = z[4] - 4 * m * z[3] + 6 * m**2 * z[2] - 3 * m**4
        return np.asarray(fourth / np.maximum(second, np.finfo(float).tiny) ** 2 - 3)

    def arrays(self) -> dict[str, Array]:
        """Everything that a file must hold to restore these moments."""
        base, sliced = self._base, self._sliced
        return self.sums.sums | {
            "edges": sliced.edges,
            "shift": sliced.shift,
            "directions": base.directions,
            "offsets": base.offsets,
            "mean": self.whitening[0],
            "root": self.whitening[1],
        }

    def scalars(self) -> dict[str, Any]:
        """The settings, as scalars."""
        return {
            "orders": ",".join(map(str, self.settings.orders)),
            "contractions": self.settings.contractions,
            "slices": self.settings.slices,
            "seed": self.settings.seed,
            "center": self._base.center,
            "standard": self.standard,
        }

    @classmethod
    def restore(cls, arrays: dict[str, Array], scalars: dict[str, Any], fingerprint: str) -> Moments:
        """Moments from `arrays` and `scalars`.

        Raises
        ------
        DataError
            If an array is missing or has the wrong shape.
        """
        try:
            orders = tuple(int(order) for order in str(scalars["orders"]).split(",") if order)
            counts = [int(scalars[name]) for name in ("contractions", "slices", "seed")]
            settings = MomentSettings(orders, *counts)
            setup = _Setup(
                arrays["edges"],
                arrays["shift"],
                arrays["directions"],
                arrays["offsets"],
                float(scalars["center"]),
            )
            sums = _empty_sums(setup, settings)
            for name, total in sums.sums.items():
                total[...] = arrays[name].reshape(total.shape)
            whitening = (arrays["mean"], arrays["root"])
            return cls(sums, settings, bool(scalars["standard"]), whitening, fingerprint)
        except (KeyError, ValueError) as error:
            raise DataError(f"the moments are incomplete ({error}); take them again") from error


@dataclass(frozen=True)
class _Setup:
    edges: Array
    shift: Array
    directions: Array
    offsets: Array
    center: float
    scale: float = 1.0
    narrow: bool = False


def _empty_sums(setup: _Setup, settings: MomentSettings) -> Joint:
    dim, used = setup.directions.shape[1], slice(settings.contractions)
    label: dict[str, Any] = {"center": setup.center, "shift": setup.shift, "scale": setup.scale}
    joint: dict[str, Any] = {
        "base": BaseMoments(setup.directions, setup.offsets, **label),
        "sliced": SliceMoments(dim, setup.edges, setup.shift),
    }
    if settings.contractions:
        joint["contracted"] = ContractedMoments(
            setup.directions[used], setup.offsets[used], orders=settings.orders, **label
        )
    return Joint(joint)


def _set_up(rows: Rows, settings: MomentSettings) -> tuple[_Setup, bool, tuple[Array, Array]]:
    """Edges, centres and directions from a pilot, and whether its inputs look like N(0, I)."""
    d = rows.dim
    x, y = pilot(rows, min(PILOT_ROWS, PILOT_FLOATS // d))
    if not 1e-140 < np.abs(y).max() < 1e140 and y.any():
        raise DataError(f"y holds labels of size {np.abs(y).max():.1g}, whose squares are out of range; rescale them")
    mean = x.mean(axis=0)
    spread = x.std(axis=0)
    shift = np.where(np.abs(mean) > FAR * spread, mean, 0.0)
    centered = x - mean
    covariance = centered.T @ centered / len(x)
    standard = looks_standard(mean, covariance, len(x))
    whitening = np.zeros(d), np.eye(d)
    if not standard and len(x) > d:
        whitening = projection_whitening(mean, covariance, len(x), settings.contractions > 0)
    g = np.random.default_rng([settings.seed, 1]).standard_normal((max(settings.contractions, PROJECTIONS), d))
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    directions = solve_triangular(whitening[1], g.T, lower=True, trans="T").T
    edges = quantile_edges(y, settings.slices)
    center, scale = float(y.mean()), 2.0 ** np.frexp(y.std())[1]
    narrow = standard or _well_scaled(spread, covariance)
    if narrow:  # what is subtracted from float32 inputs must be float32 itself
        shift = shift.astype(np.float32).astype(np.float64)
    setup = _Setup(edges, shift, directions, directions @ whitening[0], center, scale, narrow)
    return setup, standard, whitening


def _well_scaled(spread: Array, covariance: Array) -> bool:
    """Whether single precision, in which float32 inputs would be multiplied, resolves this covariance."""
    if not (spread.min() > 1 / LARGEST_SCALE and spread.max() < LARGEST_SCALE):
        return False
    least = np.linalg.eigvalsh(covariance / spread[:, None] / spread)[0]
    return bool(least > SMALLEST_EIGENVALUE)


def estimate_moments(rows: Rows, settings: MomentSettings, engine: Engine, fingerprint: str = "") -> Moments:
    """Take the moments of a dataset in one pass.

    Parameters
    ----------
    rows : Rows
        The dataset.
    settings : MomentSettings
        Which moments.
    engine : Engine
        Runs the pass.
    fingerprint : str
        Of the rows, kept with the moments.

    Returns
    -------
    Moments

    Raises
    ------
    DataError
        If moments are to be contracted, the inputs are not N(0, I), and their covariance is singular.
    """
    setup, standard, whitening = _set_up(rows, settings)
    shifted = ShiftedRows(rows, setup.shift, setup.narrow)
    sums = engine.fold(_empty_sums(setup, settings), shifted, "moments")
    return Moments(sums, settings, standard, whitening, fingerprint)
