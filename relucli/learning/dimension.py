"""The dimension of the span: permutation tests, and jackknife bands on the eigenvalues.  Two passes over the rows.

In whitened inputs z and functions phi_q of the label with mean zero (`relucli.learning.sketch.label_functions`), the
slice moments are C_q = E phi_q(y) z z^T and c_q = E phi_q(y) z.  K = sum_q C_q C_q^T + c_q c_q^T has its range in the
span, so the rank of K is at most the dimension of the span, and N K has the eigenvalues that ``learn`` shows.

**Permutation tests** (Cook and Weisberg, JASA 86, 1991, pages 328 to 332; Cook and Yin, Australian and New Zealand
Journal of Statistics 43, 2001, section 4).  Let lambda_1 >= lambda_2 >= ... be the eigenvalues of N K and u_1, u_2, ...
its eigenvectors, and

    Lambda_m = sum_{j > m} lambda_j,      U_1 = (u_1 ... u_m),      U_2 = (u_{m+1} ... u_d).

If the span has m dimensions and is that of U_1, and z is Gaussian, then U_2^T z is independent of (y, U_1^T z): to
permute the rows of U_2^T z against those of (y, U_1^T z) leaves their law as it is.  With B random permutations, after
each of which the inputs are whitened again and Lambda*_m is taken as Lambda_m was,

    p_m = (1 + #{b: Lambda*_m,b >= Lambda_m}) / (B + 1).

The dimension is the first m with p_m above the level.  For m = 0 the test is exact; for m > 0 it is as good as the
estimate U_1.  Rows are permuted within canonical blocks: such permutations form a group, so the test is as valid, and
one pass over the rows serves all B and m.

**Bands** (Tukey, Annals of Mathematical Statistics 29, 1958; Efron and Stein, Annals of Statistics 9, 1981).  Rows are
cut into J consecutive segments of equal length; lambda_(j) is the eigenvalue without segment j, in units of all N rows.
The variance of an eigenvalue over samples is

    s^2 = (J - 1) / J sum_j (lambda_(j) - mean)^2,

and its band is lambda +- t s, t the 97.5 % point of Student's law with J - 1 degrees of freedom, for the mean of the
eigenvalue over samples of N rows.  It holds for eigenvalues that stand apart; those within noise are sorted by chance,
and so are their bands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve_triangular
from scipy.stats import t as student_t

from relucli.errors import DataError, UsageError
from relucli.learning.sketch import label_functions
from relucli.learning.subspace import noise_level, sliced_evidence, stacked
from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.moments.scaling import Scaling
from relucli.moments.sliced import slice_of
from relucli.moments.whitening import cholesky_root, whitened
from relucli.streaming.accumulator import Accumulator, Block, Joint
from relucli.streaming.executors import one_blas_thread
from relucli.streaming.fold import Engine, Rows

__all__ = ["Dimension", "DimensionOptions", "DimensionTest", "Frame", "PermutedSums", "SegmentSums", "span_dimension"]

Array = NDArray[np.float64]

PAIRS_AT_ONCE = 2**22


@dataclass(frozen=True)
class DimensionOptions:
    """What to test.

    Attributes
    ----------
    most : int
        Largest dimension that is tested.
    permutations : int
        B; 0 for bands alone.
    level : float
        Of each test.
    segments : int
        J.
    slices : int
        Of the label, if moments are to be taken.
    seed : int
    """

    most: int = 6
    permutations: int = 199
    level: float = 0.05
    segments: int = 20
    slices: int = 16
    seed: int = 0


@dataclass(frozen=True)
class DimensionTest:
    """Of the hypothesis that the span has ``dim`` dimensions, against more: statistic and p-value."""

    dim: int
    statistic: float
    p_value: float


@dataclass(frozen=True)
class Dimension:
    """What was found.

    Attributes
    ----------
    samples : int
    eigenvalues, errors, low, high : ndarray, shape (d,)
        Largest first, with standard errors and bands.
    null : float
        The largest eigenvalue that independent labels would give.
    tests : tuple of DimensionTest
        Of dimensions 0, 1, ...
    dimension : int, optional
        The first that is not rejected; None if all are, or none was tested.
    """

    samples: int
    eigenvalues: Array
    errors: Array
    low: Array
    high: Array
    null: float
    tests: tuple[DimensionTest, ...]
    dimension: int | None


@dataclass(frozen=True)
class Frame:
    """Coordinates of the inputs and functions of the label.

    Attributes
    ----------
    mean : ndarray, shape (d,)
    basis : ndarray, shape (d, d)
        z = (x - mean) @ basis has mean zero and covariance I, and N K is diagonal in it, largest first.
    functions : ndarray, shape (H, 1 + Q)
        1 and phi_q, by slice.
    edges : ndarray, shape (H - 1,)
    """

    mean: Array
    basis: Array
    functions: Array
    edges: Array

    def of(self, block: Block) -> tuple[Array, Array]:
        """z, (n, d), and the functions of the labels, (n, 1 + Q)."""
        return (block.x - self.mean) @ self.basis, self.functions[slice_of(block.y, self.edges)]


class SegmentSums(Accumulator):
    """Sums of phi_q(y), phi_q(y) z and phi_q(y) z z^T over each segment of the rows.

    Parameters
    ----------
    frame : Frame
    segments, samples : int
        J and N: row n belongs to segment floor(J n / N).
    """

    def __init__(self, frame: Frame, segments: int, samples: int) -> None:
        self.frame, self.segments, self.samples = frame, segments, samples
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        d, q, j = len(self.frame.mean), self.frame.functions.shape[1], self.segments
        return {"weight": (j, q), "first": (j, q, d), "second": (j, q, d, d)}

    def scratch(self, rows: int) -> int:
        """Bytes of the projections, a weighted copy and a product."""
        d = len(self.frame.mean)
        return int(8 * (rows * (3 * d + self.frame.functions.shape[1]) + d * d))

    def update(self, block: Block) -> None:
        """Add a block, cut where segments meet."""
        z, functions = self.frame.of(block)
        segment = (block.start + np.arange(len(z))) * self.segments // self.samples
        for j in np.unique(segment):
            inside = slice(*np.searchsorted(segment, [j, j + 1]))
            rows, weights = z[inside], functions[inside]
            self.sums["weight"][j] += weights.sum(axis=0)
            self.sums["first"][j] += weights.T @ rows
            for q, weight in enumerate(weights.T):
                self.sums["second"][j, q] += (weight[:, None] * rows).T @ rows


class PermutedSums(Accumulator):
    """Sums over the rows when labels, and the first coordinates with them, are those of other rows of the block.

    Parameters
    ----------
    frame : Frame
    permutations, most, seed : int
        B, the number of first coordinates, and the seed of the permutations.

    Attributes
    ----------
    sums : dict
        For permutations pi: ``first`` (d, B Q) of phi_q(y_pi(n)) z_n, ``second`` (d (d + 1) / 2, B Q) of
        phi_q(y_pi(n)) z_n z_n^T, and ``cross`` (most, d, B (1 + Q)) of phi_q(y_pi(n)) z_pi(n),i z_n, i < most.
    """

    def __init__(self, frame: Frame, permutations: int, most: int, seed: int) -> None:
        self.frame, self.permutations, self.most, self.seed = frame, permutations, most, seed
        self.upper = np.triu_indices(len(frame.mean))
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        d, b, q = len(self.frame.mean), self.permutations, self.frame.functions.shape[1]
        return {"first": (d, b * (q - 1)), "second": (d * (d + 1) // 2, b * (q - 1)), "cross": (self.most, d, b * q)}

    def scratch(self, rows: int) -> int:
        """Bytes of the permutations, and of the products of some rows."""
        d, each = len(self.frame.mean), self.permutations * self.frame.functions.shape[1]
        products = self._step * (len(self.upper[0]) + each) + d * d * each
        return int(8 * (rows * (2 * self.permutations + 2 * d) + 3 * products))

    @property
    def _step(self) -> int:
        """Rows whose products are formed at once."""
        return int(max(64, PAIRS_AT_ONCE // (len(self.upper[0]) + self.permutations * self.frame.functions.shape[1])))

    def update(self, block: Block) -> None:
        """Add a block."""
        z, functions = self.frame.of(block)
        rng = np.random.default_rng([self.seed, 9, block.start])
        order = np.stack([rng.permutation(len(z)) for _ in range(self.permutations)], axis=1)
        i, j = self.upper
        for start in range(0, len(z), self._step):
            rows, other = z[start : start + self._step], order[start : start + self._step]
            weights = functions[other]  # (rows, B, 1 + Q)
            label = weights[:, :, 1:].reshape(len(rows), -1)
            self.sums["first"] += rows.T @ label
            self.sums["second"] += (rows[:, i] * rows[:, j]).T @ label
            for k in range(self.most):
                self.sums["cross"][k] += rows.T @ (weights * z[other, k][:, :, None]).reshape(len(rows), -1)

    def moments(self, b: int, m: int, actual: SegmentSums) -> tuple[Array, Array, Array]:
        """Sums of weight, first and second moments after permutation b of all but the first m coordinates."""
        weight, first, second = (total.sum(axis=0) for total in actual.sums.values())
        d, q = len(self.frame.mean), len(weight)
        label = slice(b * (q - 1), (b + 1) * (q - 1))
        first[1:, m:] = self.sums["first"][m:, label].T
        moved = np.empty((q - 1, d, d))
        moved[:, self.upper[0], self.upper[1]] = moved[:, self.upper[1], self.upper[0]] = self.sums["second"][
            :, label
        ].T
        second[1:, m:, m:] = moved[:, m:, m:]
        cross = self.sums["cross"][:m, m:, b * q : (b + 1) * q].transpose(2, 0, 1)
        second[:, :m, m:], second[:, m:, :m] = cross, cross.transpose(0, 2, 1)
        return weight, first, second


def _eigenvalues(weight: Array, first: Array, second: Array) -> Array:
    """Eigenvalues of K, largest first, from sums over rows of any mean and covariance."""
    n = weight[0]
    share, means, moments = weight / n, first / n, second / n
    mean = means[0]
    root = np.linalg.cholesky(moments[0] - np.outer(mean, mean))
    total = np.zeros_like(root)
    for w, f, s in zip(share[1:], means[1:], moments[1:], strict=True):
        cross = np.outer(f, mean)
        matrix = whitened(s - cross - cross.T + w * np.outer(mean, mean), root) - w * np.eye(len(mean))
        vector = solve_triangular(root, f - w * mean, lower=True)
        total += matrix @ matrix.T + np.outer(vector, vector)
    return np.asarray(np.linalg.eigvalsh(total)[::-1])


def span_dimension(rows: Rows, options: DimensionOptions, engine: Engine, moments: Moments | None = None) -> Dimension:
    """Test the dimension of the span, and find how well the eigenvalues are known.

    1. Moments: one pass, unless they are given.
    2. Segments and permutations: one pass.

    Raises
    ------
    UsageError
        If the moments lack second moments by slices, or sums do not fit into the memory bound.
    DataError
        If the labels are constant, or the covariance of the inputs is singular.
    """
    with one_blas_thread():
        settings = MomentSettings((1,), 0, options.slices, options.seed, "slices")
        moments = moments or estimate_moments(rows, settings, engine, scaling=Scaling.of(rows))
        rows = moments.scaling.rows(rows)
        frame, null = _frame(moments, options.seed)
        parts: dict[str, Accumulator] = {"segments": SegmentSums(frame, options.segments, rows.samples)}
        most = min(options.most, rows.dim - 1)
        if options.permutations:
            parts["permuted"] = PermutedSums(frame, options.permutations, most, options.seed)
        found = engine.fold(Joint(parts), rows, "permute").parts
        segments, permuted = found["segments"], found.get("permuted")
        assert isinstance(segments, SegmentSums)
        values, errors = _jackknife(segments)
        tests = _tests(values, permuted, segments) if isinstance(permuted, PermutedSums) else ()
    reach = float(student_t.ppf(0.975, options.segments - 1)) * errors
    kept = next((test.dim for test in tests if test.p_value > options.level), None)
    return Dimension(rows.samples, values, errors, np.maximum(values - reach, 0.0), values + reach, null, tests, kept)


def _frame(moments: Moments, seed: int) -> tuple[Frame, float]:
    """Coordinates in which N K is diagonal, and the largest eigenvalue of noise."""
    if not moments.by_slices:
        raise UsageError("second moments by slices are needed; take moments without --slices 0")
    used = moments.slice_count > 0
    if used.sum() < 2:
        raise DataError("the labels fill only one slice: there is nothing to test")
    mean, root = moments.mean, cholesky_root(moments.mean, moments.covariance, moments.samples)
    evidence = sliced_evidence(moments, mean, root)
    vectors = eigh(stacked(evidence))[1][:, ::-1]
    functions = label_functions(moments.slice_count[used] / moments.samples)
    table = np.zeros((len(used), 1 + functions.shape[1]))
    table[used] = np.column_stack([np.ones(len(functions)), functions])
    null = noise_level(moments, evidence, "sliced", np.random.default_rng([seed, 2]))
    return Frame(mean, solve_triangular(root, vectors, lower=True, trans="T"), table, moments.edges), null


def _jackknife(segments: SegmentSums) -> tuple[Array, Array]:
    """Eigenvalues of N K and their standard errors."""
    parts = list(segments.sums.values())
    whole = [part.sum(axis=0) for part in parts]
    samples = whole[0][0]
    without = [_eigenvalues(*(a - part[j] for a, part in zip(whole, parts, strict=True))) for j in range(len(parts[0]))]
    spread = ((without - np.mean(without, axis=0)) ** 2).mean(axis=0)
    return samples * _eigenvalues(*whole), samples * np.sqrt((len(without) - 1) * spread)


def _tests(values: Array, permuted: PermutedSums, segments: SegmentSums) -> tuple[DimensionTest, ...]:
    """p-values of all dimensions up to the largest."""
    samples, found = segments.sums["weight"][:, 0].sum(), []
    for m in range(permuted.most + 1):
        statistic = float(values[m:].sum())
        draws = [
            samples * _eigenvalues(*permuted.moments(b, m, segments))[m:].sum() for b in range(permuted.permutations)
        ]
        # Sums in another order differ in their rounding: a draw that is equal counts as at least as large.
        exceeded = sum(draw >= statistic * (1 - 1e-12) for draw in draws)
        found.append(DimensionTest(m, statistic, (1 + exceeded) / (permuted.permutations + 1)))
    return tuple(found)
