"""The span of the neurons, from sliced or contracted moments, and how many of its dimensions stand out from noise.

Every moment used is a symmetric matrix or a vector whose range lies in the span, scaled so that its entries would
have unit variance (two on a diagonal) if labels and inputs were independent.  Stacked side by side they form a
matrix whose left singular vectors find the span; alternating least squares on the two input modes (higher-order
orthogonal iteration; De Lathauwer, De Moor and Vandewalle, SIAM J. Matrix Anal. Appl. 2000) refines them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular

from relucli.errors import UsageError
from relucli.learning.sketch import Sketch, label_functions
from relucli.learning.structured import Metric
from relucli.moments.estimate import Moments, estimate_moments
from relucli.moments.scaling import Scaling
from relucli.moments.whitening import cholesky_root
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

__all__ = [
    "Method",
    "Subspace",
    "Whitening",
    "dependence",
    "estimate_subspace",
    "given_subspace",
    "noise_level",
    "sliced_evidence",
    "stacked",
]

Array = NDArray[np.float64]
Method = Literal["sliced", "contracted", "both"]
Whitening = Literal["auto", "on", "off"]

REFINEMENTS = 8
NULL_DRAWS = 8
NEARLY_ALL = 0.6


@dataclass(frozen=True)
class Subspace:
    """An estimate of the span of the neurons.

    Attributes
    ----------
    basis : ndarray, shape (d, r)
        Columns span it, in raw coordinates, scaled so that ``x @ basis`` has unit covariance.
    wide : ndarray, shape (d, s)
        Directions of the largest moments, more of them, scaled alike.
    eigenvalues : ndarray
        Of the stacked moments, largest first.
    null : float
        The largest eigenvalue that independent labels would give.
    significant : int
        Eigenvalues above ``null``; all directions of a span that was given.
    method : str
        The moments used, or "given".
    whitened : bool
        Whether inputs were whitened by their own mean and covariance.
    """

    basis: Array
    wide: Array
    eigenvalues: Array
    null: float
    significant: int
    method: Method | Literal["given"]
    whitened: bool

    def in_file_units(self, scaling: Scaling) -> Subspace:
        """The same span, found from inputs in these units, for inputs in those of the file."""
        return replace(self, basis=scaling.directions(self.basis), wide=scaling.directions(self.wide))


def sliced_evidence(moments: Moments, mean: Array, root: Array) -> list[Array]:
    """sqrt(N) sum_h p_h phi(h) (C_h, m_h) for a few smooth functions phi of the label."""
    used = moments.slice_count > 0
    if used.sum() < 2:
        raise UsageError("there are no slice moments to find the subspace from; take them with --slices 16")
    share = moments.slice_count[used] / moments.samples
    means, covariances = moments.slices(mean, root)
    functions = label_functions(share)
    weights = math.sqrt(moments.samples) * share[:, None] * functions
    matrices = np.einsum("hq,hij->qij", weights, covariances[used])
    vectors = weights.T @ means[used]
    return [np.column_stack([matrix, vector]) for matrix, vector in zip(matrices, vectors, strict=True)]


def _contracted_evidence(moments: Moments) -> list[Array]:
    """sqrt(N / Var y) M_{l,g} / sqrt((l - 2)!) for every order and direction, and the first moment."""
    if "contracted" not in moments.sums.parts:
        raise UsageError("there are no contracted moments; take them with --contractions 8")
    scale = math.sqrt(moments.samples / max(moments.label_variance, np.finfo(float).tiny))
    found: list[Array] = []
    if 1 in moments.settings.orders:
        found.append(scale * solve_triangular(moments.whitening[1], moments.first, lower=True)[:, None])
    for order in moments.settings.orders:
        if order >= 2:
            found += list(scale / math.sqrt(math.factorial(order - 2)) * moments.contracted(order))
    return found


def _evidence(moments: Moments, method: Method, mean: Array, root: Array) -> list[Array]:
    found: list[Array] = []
    if method in ("sliced", "both"):
        found += sliced_evidence(moments, mean, root)
    if method in ("contracted", "both"):
        found += _contracted_evidence(moments)
    return found


def stacked(evidence: list[Array]) -> Array:
    """The sum of E E^T over the evidence: its eigenvectors are the left singular vectors of all of it side by side."""
    d = len(evidence[0])
    total = np.zeros((d, d))
    for matrix in evidence:
        total += matrix @ matrix.T
    return total


def _top(evidence: list[Array]) -> float:
    d = len(evidence[0])
    return float(eigh(stacked(evidence), eigvals_only=True, subset_by_index=[d - 1, d - 1])[0])


def _pure_noise(d: int, columns: int, rng: np.random.Generator) -> Array:
    """A symmetric matrix of unit variance, two on the diagonal, and further columns of unit variance."""
    matrix = rng.standard_normal((d, columns))
    upper = np.triu(matrix[:, :d], 1)
    matrix[:, :d] = upper + upper.T + math.sqrt(2) * np.diag(np.diag(matrix))
    return matrix


def noise_level(moments: Moments, evidence: list[Array], method: Method, rng: np.random.Generator) -> float:
    """Largest eigenvalue of the stacked moments under independent labels: mean plus three standard deviations.

    Slices of many rows are symmetric Gaussian matrices.  Slices of few rows are not, and contracted moments depend
    on each other and vary more along their directions; they are taken again, of synthetic rows and labels.
    """
    tops = [_top(_independent(moments, evidence, method, rng)) for _ in range(NULL_DRAWS)]
    return float(np.mean(tops) + 3 * np.std(tops, ddof=1))


def _independent(moments: Moments, evidence: list[Array], method: Method, rng: np.random.Generator) -> list[Array]:
    """Stacked moments like these of labels that are independent of the inputs."""
    d = moments.dim
    if method == "sliced" and moments.samples > 50 * d:
        return [_pure_noise(d, matrix.shape[1], rng) for matrix in evidence]
    rows = min(moments.samples, max(4000, 20 * d))
    synthetic = MemoryRows(rng.standard_normal((rows, d)), rng.standard_normal(rows))
    return _evidence(estimate_moments(synthetic, moments.settings, Engine()), method, np.zeros(d), np.eye(d))


def dependence(moments: Moments, whitened: bool, sketch: Sketch | None = None) -> tuple[float, float]:
    """How far mean and spread of the labels depend on the inputs, in standard deviations of chance.

    Slice moments weighted by an odd function of the label's rank see its mean change with the inputs, those weighted
    by an even one its spread.  The largest eigenvalue of each is compared with simulated independent labels, or in a
    sketch with labels of other rows.
    """
    odd, even = slice(0, None, 2), slice(1, 2)
    if sketch is not None:
        pairs = ((sketch.labels.largest(f) - sketch.chance.largest(f)) / sketch.spread(f) for f in (odd, even))
        mean_z, spread_z = pairs
        return mean_z, spread_z
    d = moments.dim
    mean, root = np.zeros(d), np.eye(d)
    if whitened:
        mean, root = moments.mean, cholesky_root(mean, moments.covariance, moments.samples)
    evidence, rng = sliced_evidence(moments, mean, root), np.random.default_rng([moments.settings.seed, 5])
    draws = [_independent(moments, evidence, "sliced", rng) for _ in range(2 * NULL_DRAWS)]

    def sigmas(functions: slice) -> float:
        if not evidence[functions]:  # labels of two values have no spread of their own
            return 0.0
        null = np.array([_top(draw[functions]) for draw in draws])
        return float((_top(evidence[functions]) - null.mean()) / null.std(ddof=1))

    return sigmas(odd), sigmas(even)


def _refined(evidence: list[Array], basis: Array, frame: Array | None = None) -> Array:
    """Alternate between the two input modes of the stacked moments, whose columns may be those of a frame."""
    rank = basis.shape[1]
    columns = len(basis) if frame is None else frame.shape[1]
    for _ in range(REFINEMENTS):
        side = basis if frame is None else frame.T @ basis
        seen = [
            np.column_stack([matrix[:, :columns] @ side, matrix[:, columns:]]) if matrix.shape[1] >= columns else matrix
            for matrix in evidence
        ]
        basis = np.linalg.svd(np.column_stack(seen), full_matrices=False)[0][:, :rank]
    return basis


def estimate_subspace(
    moments: Moments, method: Method, whiten: Whitening, limit: int, seed: int = 0, sketch: Sketch | None = None
) -> Subspace:
    """Estimate the span of the neurons.

    1. Whiten, unless told not to, or unless there are too few rows to.
    2. Stack the moments, and compare the eigenvalues of the stack with those of pure noise.
    3. Keep one direction more than stand out (the stages that follow prune), at most ``limit``; refine.
       Where that is most of all directions, keep all.

    Parameters
    ----------
    moments : Moments
        From the moments pass.
    method : {"sliced", "contracted", "both"}
        Which moments to use.
    whiten : {"auto", "on", "off"}
        Whether to whiten slice moments by the sample mean and covariance; contracted ones are as they were taken.
    limit : int
        Largest dimension of the span.
    seed : int
        Of the simulated noise.
    sketch : Sketch, optional
        Of the slice moments, if the moments lack their second moments.

    Raises
    ------
    UsageError
        If the moments that the method needs were not taken.
    DataError
        If the inputs are to be whitened and their covariance is singular.
    """
    if sketch is not None:
        return _sketched_subspace(sketch, limit)
    d = moments.dim
    whitened = whiten == "on" or (whiten == "auto" and (moments.samples > 2 * d or not moments.standard))
    mean, root = np.zeros(d), np.eye(d)
    if whitened:
        mean, root = moments.mean, cholesky_root(mean, moments.covariance, moments.samples)
    evidence = _evidence(moments, method, mean, root)
    if method == "contracted":  # whitened, if at all, when the moments were taken
        root = moments.whitening[1]
        whitened = not np.array_equal(root, np.eye(d))
    values, vectors = eigh(stacked(evidence))
    null = noise_level(moments, evidence, method, np.random.default_rng([seed, 2]))
    significant = int((values > null).sum())
    basis = _refined(evidence, vectors[:, ::-1][:, : _rank(d, limit, significant)])
    raw, wide = (solve_triangular(root, b, lower=True, trans="T") for b in (basis, vectors[:, ::-1][:, : 2 * limit]))
    return Subspace(raw, wide, values[::-1], null, significant, method, whitened)


def given_subspace(directions: Array, metric: Metric, units: NDArray[np.int64]) -> Subspace:
    """A span that was found by other means.

    Parameters
    ----------
    directions : ndarray, shape (d, r)
        Columns span it, in raw coordinates.
    metric : Metric
        Of the inputs in their units.
    units : ndarray of int, shape (d,)
        The unit of input j is ``2 ** units[j]``.

    Raises
    ------
    UsageError
        If they are not r independent directions of d inputs.
    """
    d = len(metric.mean)
    if directions.ndim != 2 or len(directions) != d or not 1 <= directions.shape[1] <= d:
        raise UsageError(f"a span for {d} inputs must be an array of shape ({d}, r), not {directions.shape}")
    if not np.isfinite(directions).all() or np.linalg.matrix_rank(directions) < directions.shape[1]:
        raise UsageError("the directions of a span must be finite and independent of each other")
    basis = metric.spanning(np.ldexp(directions, units[:, None]))
    return Subspace(basis, basis, np.empty(0), 0.0, basis.shape[1], "given", bool(metric.mean.any()))


def _rank(d: int, limit: int, significant: int) -> int:
    rank = min(d, limit, significant + 1)
    return d if rank > NEARLY_ALL * d else rank


def _sketched_subspace(sketch: Sketch, limit: int) -> Subspace:
    evidence = sketch.labels.evidence()
    directions, sizes, _ = np.linalg.svd(np.column_stack(evidence), full_matrices=False)
    null = sketch.chance.largest() + 3 * sketch.spread()
    significant = int((sizes**2 > null).sum())
    rank = min(limit, significant + 1)
    basis = _refined(evidence, directions[:, :rank], sketch.labels.frame)
    raw, wide = (sketch.metric.raw(b) for b in (basis, directions[:, : 2 * limit]))
    return Subspace(raw, wide, sizes**2, null, significant, "sliced", bool(sketch.metric.mean.any()))
