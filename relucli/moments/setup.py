"""What a moments pass is to take, and what it must know before: from a pilot of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from relucli.errors import UsageError
from relucli.moments.sliced import Second, quantile_edges
from relucli.moments.whitening import looks_standard, projection_whitening
from relucli.storage.columns import squares
from relucli.storage.dataset import pilot
from relucli.streaming.fold import Rows

__all__ = ["PROJECTIONS", "MomentSettings", "Setup", "set_up"]

Array = NDArray[np.float64]

PILOT_ROWS = 65_536
PILOT_FLOATS = 2**22
LARGEST_ORDER = 16
PROJECTIONS = 8
FAR = 4.0
FAR_OUT = 1e6
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
    second : {"slices", "whole", "columns", "auto"}
        As in `SliceMoments`; auto is columns where the inputs look like N(0, I), else whole.
    """

    orders: tuple[int, ...] = (1, 2, 4, 6)
    contractions: int = 8
    slices: int = 16
    seed: int = 0
    second: Second | Literal["auto"] = "slices"

    def __post_init__(self) -> None:
        if not all(1 <= order <= LARGEST_ORDER for order in self.orders):
            raise UsageError(f"--orders {','.join(map(str, self.orders))}: each must be from 1 to {LARGEST_ORDER}")
        if self.contractions < 0 or self.slices < 0:
            raise UsageError("--contractions and --slices must not be negative")


@dataclass(frozen=True)
class Setup:
    """Edges of the slices, directions of the projections, and what is subtracted from inputs and labels."""

    edges: Array
    shift: Array
    directions: Array
    offsets: Array
    center: float
    second: Second = "slices"
    scale: float = 1.0
    narrow: bool = False


def set_up(rows: Rows, settings: MomentSettings) -> tuple[Setup, bool, tuple[Array, Array]]:
    """Edges, centres and directions from a pilot, and whether its inputs look like N(0, I)."""
    d = rows.dim
    x, y = pilot(rows, min(PILOT_ROWS, PILOT_FLOATS // d))
    if not np.isfinite(squares(x)):  # the pass over the rows will not be finite either, and says in which row
        x = np.clip(x, -1.0, 1.0)
    y_near = _near(y)
    mean = x.mean(axis=0)
    x -= mean  # the pilot is large: in place
    spread = np.sqrt(np.einsum("ni,ni->i", x, x) / len(x))
    standard = looks_standard(mean, x)
    second: Second = ("columns" if standard else "whole") if settings.second == "auto" else settings.second
    shift = np.where(np.abs(mean) > FAR * spread, mean, 0.0)
    if second != "slices":
        narrow, whitening = standard, (mean, np.where(spread > 0, spread, 1.0))
    else:
        covariance = x.T @ x / len(x)
        whitening = np.zeros(d), np.eye(d)
        if not standard and len(x) > d:
            whitening = projection_whitening(mean, covariance, len(x), settings.contractions > 0)
        narrow = standard or _well_scaled(spread, covariance)
    g = np.random.default_rng([settings.seed, 1]).standard_normal((max(settings.contractions, PROJECTIONS), d))
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    root = whitening[1]
    directions = g / root if root.ndim == 1 else solve_triangular(root, g.T, lower=True, trans="T").T
    edges = quantile_edges(y, settings.slices)
    center, scale = float(y_near.mean()), 2.0 ** np.frexp(y_near.std())[1]
    if narrow:  # what is subtracted from float32 inputs must be float32 itself
        shift = shift.astype(np.float32).astype(np.float64)
    setup = Setup(edges, shift, directions, directions @ whitening[0], center, second, scale, narrow)
    return setup, standard, whitening


def _near(y: Array) -> Array:
    """The labels that are not so far out that their mean says nothing of the others."""
    distance = np.abs(y - np.median(y))
    return y[distance <= FAR_OUT * np.median(distance[distance > 0])] if distance.any() else y


def _well_scaled(spread: Array, covariance: Array) -> bool:
    """Whether single precision, in which float32 inputs would be multiplied, resolves this covariance."""
    if not (spread.min() > 1 / LARGEST_SCALE and spread.max() < LARGEST_SCALE):
        return False
    least = np.linalg.eigvalsh(covariance / spread[:, None] / spread)[0]
    return bool(least > SMALLEST_EIGENVALUE)
