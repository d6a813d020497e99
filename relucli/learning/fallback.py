"""What can be said of labels where rows do not support a network: a linear function, or their mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import f as fisher

from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.network import ReluNetwork
from relucli.streaming.fold import Engine, Rows

__all__ = ["Linear", "fit_linear"]

Array = NDArray[np.float64]

CHANCE = 5e-4
RANK = 1e-10
"""Eigenvalues of the correlations below which an input is a linear function of others: their rounding errors."""


@dataclass(frozen=True)
class Linear:
    """A network without neurons, fitted to rows.

    Attributes
    ----------
    network : ReluNetwork
        offset + <linear, x>; ``linear`` is zero where the labels do not depend on it beyond chance.
    r2 : float
        Share of the label variance explained.
    noise_std : float
        Root mean squared residual, for the degrees of freedom used.
    """

    network: ReluNetwork
    r2: float
    noise_std: float


def fit_linear(rows: Rows, engine: Engine) -> Linear:
    """Least squares on the inputs and a constant, in one pass; the mean alone unless an F-test at 5e-4 rejects it.

        F = (R^2 / r) / ((1 - R^2) / (N - r - 1)),    r the rank of the inputs

    With N <= r + 1 rows every label is explained, whatever it is, and the mean is taken.

    Raises
    ------
    DataError
        If a number is not finite.
    UsageError
        If a d x d matrix does not fit into memory.
    """
    moments = estimate_moments(rows, MomentSettings((1,), 0, 1, 0, "whole"), engine)
    samples, variance = moments.samples, moments.label_variance
    linear, rank = _regression(moments)
    spare = samples - rank - 1
    explained = min(1.0, float(linear @ moments.first) / variance) if variance > 0 else 0.0
    ratio = explained / rank * spare / max(1 - explained, np.finfo(float).eps) if rank and spare > 0 else 0.0
    if not rank or spare <= 0 or fisher.sf(ratio, rank, spare) > CHANCE:
        linear, explained, spare = np.zeros(rows.dim), 0.0, max(1, samples - 1)
    offset = moments.label_mean - float(linear @ moments.mean)
    network = ReluNetwork(np.empty((0, rows.dim)), np.empty(0), linear=linear, offset=offset)
    return Linear(network, explained, float(np.sqrt(variance * (1 - explained) * samples / spare)))


def _regression(moments: Moments) -> tuple[Array, int]:
    """Coefficients of the linear function of least squares and least norm, and the rank of the inputs."""
    spread = np.sqrt(np.maximum(np.diag(moments.covariance), 0.0))
    varies = spread > RANK * np.abs(moments.mean)
    scale = np.where(varies, spread, 1.0)
    correlation = np.where(varies[:, None] & varies, moments.covariance / scale[:, None] / scale, 0.0)
    values, vectors = np.linalg.eigh(correlation)
    kept = values > RANK * max(1.0, values[-1])
    axes = vectors[:, kept]
    coefficients = axes @ ((axes.T @ np.where(varies, moments.first / scale, 0.0)) / values[kept])
    return np.where(varies, coefficients / scale, 0.0), int(kept.sum())
