"""The whole algorithm: moments, span, neurons on the span, number of neurons, polish."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from relucli.errors import DataError, UsageError
from relucli.learning.collapse import Path
from relucli.learning.descent import Fit, descend
from relucli.learning.discover import iterative, overcomplete, width
from relucli.learning.polish import StandardErrors, polish, standard_errors, to_network
from relucli.learning.scale import rescaled
from relucli.learning.select import Model, Selection, Split, clearly_needed, lifting, promises_more, select
from relucli.learning.student import Student, augmented, normal_equations
from relucli.learning.subspace import Method, Subspace, Whitening, estimate_subspace
from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.network import ReluNetwork
from relucli.storage.dataset import MemoryRows, pilot
from relucli.streaming.executors import Executor, SerialExecutor, ThreadExecutor
from relucli.streaming.fold import Engine, Rows

__all__ = ["Discovery", "LearnOptions", "Learned", "learn"]

Array = NDArray[np.float64]
ROUNDS = 3
HELD_OUT = 5
SCARCE = 30
PILOT_WORK = 20_000_000_000
PILOT_BYTES = 128 * 2**20
PILOT_COPIES = 3
Discovery = Literal["auto", "overcomplete", "iterative"]


@dataclass(frozen=True)
class LearnOptions:
    """What to learn, and how.

    Attributes
    ----------
    neurons : int, optional
        k; None lets validation choose, up to ``most``.
    most : int
        Largest k that is tried when it is not given.
    bias : bool
        Whether neurons have biases, and the function an offset.
    subspace : {"sliced", "contracted", "both"}
        Moments that find the span.
    discovery : {"auto", "overcomplete", "iterative"}
        Route to the neurons; auto is overcomplete.
    whiten : {"auto", "on", "off"}
        Whether to whiten the inputs for the moments.
    starts : int
        Random starts of the discovery.
    seed : int
    """

    neurons: int | None = None
    most: int = 12
    bias: bool = False
    subspace: Method = "sliced"
    discovery: Discovery = "auto"
    whiten: Whitening = "auto"
    starts: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Learned:
    """A recovered network.

    Attributes
    ----------
    network : ReluNetwork
    errors : StandardErrors
    path : tuple of Model
        The models considered.
    subspace : Subspace
    moments : Moments
    noise_std : float
        Root mean squared residual, for the degrees of freedom used.
    r2 : float
        Share of the label variance explained on the rows used.
    samples, passes : int
        Rows, and passes over all of them.
    """

    network: ReluNetwork
    errors: StandardErrors
    path: tuple[Model, ...]
    subspace: Subspace
    moments: Moments
    noise_std: float
    r2: float
    samples: int
    passes: int
    fit: Fit


def _check_rows(rows: Rows, options: LearnOptions) -> None:
    """Fewer rows than parameters cannot determine a network."""
    k, p = options.neurons or 1, rows.dim + options.bias
    if rows.samples <= k * p:
        most = (rows.samples - 1) // p
        hint = f"or -k {most} at most" if most else "or fewer columns"
        raise DataError(
            f"{rows.samples} rows cannot determine {k} neurons in {rows.dim} dimensions, "
            f"which have {k * p} parameters; it takes more than {k * p} rows, {hint}"
        )


def _default_moments(options: LearnOptions) -> MomentSettings:
    contracted = options.subspace != "sliced"
    return MomentSettings(
        contractions=8 if contracted else 0,
        slices=16 if options.subspace != "contracted" else 0,
        seed=options.seed,
    )


def _discover(split: Split, basis: Array, most: int, options: LearnOptions, turn: int, workers: int) -> Path:
    """The best model of each size over a few starts, on rows projected to the span."""
    route = iterative if options.discovery == "iterative" else overcomplete
    p = basis.shape[1] + options.bias
    used = min(len(split.y), max(6000, 40 * p * (width(most) + 1)))
    step = len(split.y) // used
    x = np.asfortranarray(augmented(split.x[::step] @ basis, options.bias))
    y = split.y[::step]

    def start(index: int) -> Path:
        return route(x, y, most, options.bias, np.random.default_rng([options.seed, 3, turn, index]))

    paths = list(_executor(workers).map(start, range(options.starts)))
    return {m: min((path[m] for path in paths), key=lambda fit: fit.quadratic.loss) for m in paths[0]}


def _executor(workers: int) -> Executor:
    return ThreadExecutor(workers) if workers > 1 else SerialExecutor()


def _at_best_scale(path: Path, split: Split, basis: Array, bias: bool, workers: int) -> Path:
    """The path with its models of doubtful size refitted to all rows at the best scale of their close pairs."""
    x = np.asfortranarray(augmented(split.x @ basis, bias))
    least = clearly_needed(path)
    doubtful = [m for m in path if least <= m <= least + 2]
    refits = _executor(workers).map(lambda m: rescaled(x, split.y, path[m]), doubtful)
    return path | dict(zip(doubtful, refits, strict=True))


def _on_span(student: Student, split: Split, basis: Array, bias: bool) -> Fit:
    """A student refitted on a span."""
    back = np.linalg.pinv(lifting(basis, bias)).T
    free = np.arange(back.shape[1], dtype=np.intp)
    near = Student(student.beta @ back, student.signs, student.linear @ back, free)
    x = np.asfortranarray(augmented(split.x @ basis, bias))
    return descend(lambda s, stale: normal_equations(x, split.y, s, stale), near)


def _refined_basis(fit: Fit, split: Split, options: LearnOptions, engine: Engine) -> Array:
    """The span of the fitted neurons, far better known than from moments, and what the residual still depends on.

    Directions of the fit below its own noise are left out; slice moments of the residual add those that stand out.
    """
    d = split.x.shape[1]
    vectors = np.vstack([fit.student.beta, fit.student.linear])[:, :d]
    curvature = np.diag(fit.quadratic.normal)
    noise = np.sqrt(fit.quadratic.noise_variance * np.mean(1 / curvature[curvature > 0]))
    _, sizes, directions = np.linalg.svd(vectors, full_matrices=False)
    clear = sizes > 1.5 * noise * (np.sqrt(d) + np.sqrt(len(vectors)))
    residual = MemoryRows(split.x, split.y - fit.student(augmented(split.x, options.bias)))
    moments = estimate_moments(residual, MomentSettings((1,), 0, 8, options.seed), engine)
    left = estimate_subspace(moments, "sliced", options.whiten, d, options.seed)
    spanning = [directions[: max(1, int(clear.sum()))].T, left.basis[:, : left.significant]]
    basis = np.linalg.qr(np.column_stack(spanning))[0]
    covariance = np.atleast_2d(np.cov(split.x @ basis, rowvar=False))
    return np.asarray(solve_triangular(np.linalg.cholesky(covariance), basis.T, lower=True).T)


def _search(split: Split, basis: Array, most: int, options: LearnOptions, engine: Engine) -> Selection:
    """Discover, select, and repeat on the refined span while that finds more.

    A first fit knows the span much better than the moments did, so that what was blurred, neurons closer to each
    other than the error of the span among them, can be told apart in a second.
    """
    path = _discover(split, basis, most, options, 0, engine.workers)
    path = _at_best_scale(path, split, basis, options.bias, engine.workers)
    selection = select(path, basis, split, options.bias, engine)
    for turn in range(1, ROUNDS):
        if selection.exact:
            break
        basis = _refined_basis(selection.fit, split, options, engine)
        known = _on_span(selection.fit.student, split, basis, options.bias)
        path = _discover(split, basis, most, options, turn, engine.workers)
        m = known.student.neurons
        path[m] = min(known, path.get(m, known), key=lambda fit: fit.mse)
        path = _at_best_scale(path, split, basis, options.bias, engine.workers)
        if not promises_more(path, known, basis, split, options.bias):
            break
        again = select(path, basis, split, options.bias, engine)
        if not again.better_than(selection):
            break
        selection = again
    return selection


def _best_selection(x: Array, y: Array, basis: Array, most: int, options: LearnOptions, engine: Engine) -> Selection:
    """The selection on a pilot.

    Where rows are few, a fit of all of them that leaves no residual is looked for first: it needs no rows held out
    to be trusted.
    """
    if len(y) < SCARCE * (most + 1) * x.shape[1]:
        selection = _search(Split.of(x, y, 0), basis, most, options, engine)
        if selection.exact:
            return selection
    return _search(Split.of(x, y, HELD_OUT), basis, most, options, engine)


def _pilot_rows(rows: Rows, most: int, options: LearnOptions, engine: Engine) -> int:
    """Rows to choose the model on: 50 to 1000 a parameter, as many as seconds of normal equations and memory allow.

    The number does not depend on the memory bound, so neither does the result; a bound that is too low is refused.
    """
    parameters = (most + 1) * (rows.dim + options.bias)
    wanted = max(20_000, 50 * parameters, min(1000 * parameters, PILOT_WORK // parameters**2))
    count = min(rows.samples, wanted, max(PILOT_BYTES // (8 * rows.dim), 4 * parameters))
    need = PILOT_COPIES * 8 * count * rows.dim
    if need > engine.memory:
        raise UsageError(
            f"--memory {engine.memory // 2**20}MiB is too small to learn from this dataset: "
            f"it takes {-(-need // 2**20)}MiB"
        )
    return int(count)


def _supported(selection: Selection, y: Array, rows: Rows, options: LearnOptions) -> None:
    """Held-out rows must be predicted better than by their mean."""
    if selection.exact:
        return
    chosen = next(m for m in selection.table if m.neurons == selection.fit.student.neurons)
    if chosen.validation_mse + 2 * chosen.validation_se < y.var():
        return
    k, p = options.neurons or chosen.neurons, rows.dim + options.bias
    raise DataError(
        f"{rows.samples} rows do not support a network: held-out labels are predicted no better than by their mean "
        f"(mean squared error {chosen.validation_mse:.3g}, variance {y.var():.3g}); about {10 * k * p} rows "
        f"({10} a parameter) are a start, more if the labels are noisy"
    )


def learn(rows: Rows, options: LearnOptions, engine: Engine, moments: Moments | None = None) -> Learned:
    """Recover a network from labelled rows.

    1. Moments: one pass, unless they are given.
    2. Span: the few directions that the labels depend on.
    3. Neurons: discovered on a pilot of rows projected to the span; a path of models.
       Their number: the models polished in all dimensions on the pilot, with a linear part or without, and compared
       on held-out rows.
    4. Polish on all rows, with standard errors.

    Parameters
    ----------
    rows : Rows
        The data.
    options : LearnOptions
    engine : Engine
        Runs the passes.
    moments : Moments, optional
        Of the same rows; the moments pass is then left out.

    Returns
    -------
    Learned

    Raises
    ------
    DataError
        If the rows cannot support the answer.
    """
    # Threads of BLAS make products of small matrices slower, and their bits depend on the machine.
    with threadpool_limits(1):
        return _learn(rows, options, engine, moments)


def _learn(rows: Rows, options: LearnOptions, engine: Engine, moments: Moments | None) -> Learned:
    if options.neurons is not None and options.neurons < 1:
        raise UsageError(f"-k {options.neurons}: there must be at least one neuron")
    _check_rows(rows, options)
    before = engine.passes
    # 1. moments
    moments = moments or estimate_moments(rows, _default_moments(options), engine)
    variance = moments.label_variance
    if np.sqrt(variance) <= 1e-12 * abs(moments.label_mean):
        raise DataError("y is constant: there is nothing to learn from it")
    # 2. span
    most = options.neurons or min(options.most, max(1, (rows.samples - 1) // (4 * (rows.dim + options.bias))))
    span = estimate_subspace(moments, options.subspace, options.whiten, most, options.seed)
    # 3. neurons on the span, and their number
    x, y = pilot(rows, _pilot_rows(rows, most, options, engine))
    local = replace(engine, progress=None)
    selection = _best_selection(x, y, span.basis, most, options, local)
    _supported(selection, y, rows, options)
    # 4. polish on all rows
    fit = polish(rows, selection.fit.student, options.bias, engine)
    return Learned(
        network=to_network(fit.student, options.bias),
        errors=standard_errors(fit, options.bias),
        path=selection.table,
        subspace=span,
        moments=moments,
        noise_std=float(np.sqrt(fit.quadratic.noise_variance)),
        r2=1 - fit.mse / variance,
        samples=rows.samples,
        passes=engine.passes - before,
        fit=fit,
    )
