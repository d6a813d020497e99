"""The moments pass: all sums in one fold, and what they estimate."""

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
from relucli.moments.gram import packed, unpacked
from relucli.moments.scaling import Scaling
from relucli.moments.setup import PROJECTIONS, MomentSettings, Setup, set_up
from relucli.moments.sliced import Second, SliceMoments
from relucli.moments.whitening import whitened
from relucli.quantities import counted
from relucli.storage.views import ShiftedRows
from relucli.streaming.accumulator import Joint
from relucli.streaming.fold import Engine, Rows, check_memory

__all__ = ["MomentSettings", "Moments", "estimate_moments", "moments_need"]

Array = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
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
        Mean (d,) and lower Cholesky factor (d, d) of the covariance of the inputs that the projections used; standard
        deviations (d,) in its place where second moments are not taken by slices.
    fingerprint : str
        Of the rows.
    scaling : Scaling
        The units that all of these are in.
    narrow : bool
        Whether inputs stored as float32 were multiplied as such.
    """

    sums: Joint
    settings: MomentSettings
    standard: bool
    whitening: tuple[Array, Array]
    fingerprint: str
    scaling: Scaling
    narrow: bool = False

    def __repr__(self) -> str:
        """What they are moments of, and which."""
        orders = ", ".join(map(str, self.settings.orders))
        along = f"orders {orders} along {counted(self.settings.contractions, 'direction')}"
        what = f"{counted(self.samples, 'row')} of {counted(self.dim, 'input')}"
        return f"Moments({what}; {along}, {counted(self.settings.slices, 'slice')})"

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

    @property
    def setup(self) -> Setup:
        """What was known before the pass."""
        base, sliced = self._base, self._sliced
        label = base.center, sliced.second, base.scale
        return Setup(sliced.edges, sliced.shift, base.directions, base.offsets, *label, self.narrow)

    @cached_property
    def mean(self) -> Array:
        """Mean of the inputs, (d,)."""
        return np.asarray(self._sliced.shift + self._sliced.sums["x"].sum(axis=0) / self.samples)

    @cached_property
    def covariance(self) -> Array:
        """Covariance of the inputs (divisor N), (d, d), or their variances, (d,), if only those were taken."""
        offset = self.mean - self._sliced.shift
        second = self._sliced.sums["xx"] / self.samples
        if second.ndim == 1:
            return np.asarray(second - offset**2)
        return np.asarray(unpacked(second.sum(axis=0), self.dim) - np.outer(offset, offset))

    @property
    def by_slices(self) -> bool:
        """Whether there are second moments of each slice."""
        return self._sliced.second == "slices"

    @property
    def edges(self) -> Array:
        """Of the slices, (H - 1,)."""
        return self._sliced.edges

    @property
    def slice_sums(self) -> tuple[Array, Array]:
        """Sums of x - mean within each slice, (H, d), and of the rows that another row's label chooses."""
        offset = self.slice_count[:, None] * (self.mean - self._sliced.shift)
        return self._sliced.sums["x"] - offset, self._sliced.sums["other"] - offset

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
        second = unpacked(sums["xx"] / count, self.dim) - cross - cross.transpose(0, 2, 1) + np.outer(offset, offset)
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
        s["xx"] = unpacked(s["xx"], self.dim)
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
        setup = self.setup
        exponents = {} if self.scaling.trivial else {"input_exponents": self.scaling.inputs.astype(np.float64)}
        known = {
            "edges": setup.edges,
            "shift": setup.shift,
            "directions": setup.directions,
            "offsets": setup.offsets,
            "mean": self.whitening[0],
            "root": self.whitening[1],
        }
        sums = {name: unpacked(t, self.dim) if _is_packed(name, t) else t for name, t in self.sums.sums.items()}
        return sums | exponents | known

    def scalars(self) -> dict[str, Any]:
        """The settings, as scalars."""
        return {
            "orders": ",".join(map(str, self.settings.orders)),
            "contractions": self.settings.contractions,
            "slices": self.settings.slices,
            "seed": self.settings.seed,
            "center": self._base.center,
            "standard": self.standard,
            "scale": self._base.scale,
            "narrow": self.narrow,
            "label_exponent": self.scaling.labels,
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
            contractions, slices, seed = (int(scalars[name]) for name in ("contractions", "slices", "seed"))
            settings = MomentSettings(orders, contractions, slices, seed)
            setup = Setup(
                arrays["edges"],
                arrays["shift"],
                arrays["directions"],
                arrays["offsets"],
                float(scalars["center"]),
                scale=float(scalars.get("scale", 1.0)),
                narrow=bool(scalars.get("narrow", False)),
            )
            sums = _empty_sums(setup, settings)
            for name, total in sums.sums.items():
                stored, d = arrays[name], setup.directions.shape[1]
                total[...] = (
                    packed(stored.reshape(len(total), d, d)) if _is_packed(name, total) else stored.reshape(total.shape)
                )
            whitening = (arrays["mean"], arrays["root"])
            # Without units, moments are in those of the data.
            exponents = arrays.get("input_exponents", np.zeros(len(setup.shift))).astype(np.int64)
            scaling = Scaling(exponents, int(scalars.get("label_exponent", 0)))
            return cls(sums, settings, bool(scalars["standard"]), whitening, fingerprint, scaling, setup.narrow)
        except (KeyError, ValueError) as error:
            raise DataError(f"the moments are incomplete ({error}); take them again") from error


def _is_packed(name: str, total: Array) -> bool:
    """Whether a sum is one of upper triangles; files hold whole matrices."""
    return total.ndim == 2 and name.split("/")[1].startswith("xx")


def _empty_sums(setup: Setup, settings: MomentSettings) -> Joint:
    dim, used = setup.directions.shape[1], slice(settings.contractions)
    label: dict[str, Any] = {"center": setup.center, "shift": setup.shift, "scale": setup.scale}
    joint: dict[str, Any] = {
        "base": BaseMoments(setup.directions, setup.offsets, **label),
        "sliced": SliceMoments(dim, setup.edges, setup.shift, setup.second),
    }
    if settings.contractions:
        joint["contracted"] = ContractedMoments(
            setup.directions[used], setup.offsets[used], orders=settings.orders, **label
        )
    return Joint(joint)


def moments_need(rows: Rows, settings: MomentSettings) -> int:
    """Bytes of memory that the pass will take at least, known before the pilot is read."""
    d, lines = rows.dim, max(settings.contractions, PROJECTIONS)
    second: Second = "columns" if settings.second == "auto" else settings.second
    edges = np.arange(1.0, max(1, settings.slices))
    setup = Setup(edges, np.zeros(d), np.zeros((lines, d)), np.zeros(lines), 0.0, second)
    return Engine.need(_empty_sums(setup, settings), rows)


def estimate_moments(
    rows: Rows,
    settings: MomentSettings,
    engine: Engine,
    fingerprint: str = "",
    like: Moments | None = None,
    scaling: Scaling | None = None,
) -> Moments:
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
    like : Moments, optional
        Of another shard: settings and what was known before the pass are taken from there, so that they can be merged.
    scaling : Scaling, optional
        Units to take them in; by default those of ``like`` or else of the rows.

    Returns
    -------
    Moments

    Raises
    ------
    DataError
        If moments are to be contracted, the inputs are not N(0, I), and their covariance is singular; or if there are
        not as many inputs as in ``like``.
    """
    if like is None:
        check_memory(engine.memory, moments_need(rows, settings), "for this pass")
        scaling = scaling or Scaling.none(rows.dim)
        rows = scaling.rows(rows)
        setup, standard, whitening = set_up(rows, settings)
    elif like.dim == rows.dim:
        scaling, rows = like.scaling, like.scaling.rows(rows)
        settings, setup, standard, whitening = like.settings, like.setup, like.standard, like.whitening
    else:
        raise DataError(f"there are {rows.dim} inputs, but {like.dim} in the moments to be like; check which is meant")
    shifted = ShiftedRows(rows, setup.shift, setup.narrow)
    sums = engine.fold(_empty_sums(setup, settings), shifted, "moments")
    return Moments(sums, settings, standard, whitening, fingerprint, scaling, setup.narrow)
