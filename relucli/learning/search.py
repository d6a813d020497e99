"""The search for a model on a pilot: discover on the span, select, and repeat on the better span of what was found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relucli.learning.collapse import PROMISING, Path, by_chance, candidates, cheaper, collapse, explains
from relucli.learning.descent import Fit, fitted
from relucli.learning.discover import grown, iterative, overcomplete, width
from relucli.learning.homogeneous import BEYOND_REACH, sigmas_out_of_reach
from relucli.learning.options import LearnOptions
from relucli.learning.polish import Polished
from relucli.learning.scale import rescaled
from relucli.learning.scarce import exact_fit
from relucli.learning.select import Model, Selection, clearly_needed, promises_more, select
from relucli.learning.sketch import sketched, slice_settings
from relucli.learning.split import Seen, Split, lifting, lowered
from relucli.learning.structured import Metric, span_of
from relucli.learning.student import Student
from relucli.learning.subspace import Subspace, dependence, estimate_subspace
from relucli.moments.estimate import estimate_moments
from relucli.storage.dataset import MemoryRows
from relucli.storage.views import RelabelledRows
from relucli.streaming.executors import executor_for
from relucli.streaming.fold import Engine, Rows

__all__ = ["HELD_OUT", "best_selection"]

Array = NDArray[np.float64]

ROUNDS = 3
MORE_STARTS = 4
BEYOND_DOUBT = 6.0
PASS_WORK = 12_500_000
HELD_OUT = 5
FEW = 30
RESIDUAL_SLICES = 8
MOST_LEFT = 1000
BRIEF = 5
TAMED = 0.5
"""Share of the residual such that a growth that leaves less makes a search from scratch superfluous."""


def _found_twice(paths: list[Path]) -> bool:
    """Whether another start led as low, up to chance, as the best did, at every size that is not clearly too small."""
    if len(paths) < 2:
        return False
    first = min(paths, key=lambda path: path[max(path)].mse)
    if first[max(first)].quadratic.exact:
        return True
    for m in range(clearly_needed(first), max(first) + 1):
        losses = sorted(path[m].quadratic.loss for path in paths if m in path)
        if len(losses) < 2 or losses[1] - losses[0] > PROMISING * by_chance(first[m]):
            return False
    return True


def _discover(seen: Seen, most: int, options: LearnOptions, turn: int, workers: int, least: int = 1) -> Path:
    """The best model of each size over a few starts, on rows projected to the span.

    There are ``least`` times as many starts as the options say, and up to four times as many until the best is found
    twice.  They see a share of the rows where there are many.  On the span of an earlier fit what is not clearly too
    small is then refitted to all; on the first it would make up for what is wrong with that.
    """
    route = iterative if options.discovery == "iterative" else overcomplete
    p = seen.x.shape[1]
    used = min(len(seen.y), max(6000, 20 * p * (width(most) + 1), PASS_WORK // (p * (most + 1)) ** 2))
    step = round(len(seen.y) / used)
    x, y = np.asfortranarray(seen.x[::step]), seen.y[::step]

    def start(index: int) -> Path:
        return route(x, y, most, options.bias, np.random.default_rng([options.seed, 3, turn, index]))

    paths: list[Path] = []
    for batch in range(MORE_STARTS):
        if batch >= least and _found_twice(paths):
            break
        paths += executor_for(workers).map(start, range(len(paths), len(paths) + options.starts))
    sizes = sorted(set().union(*paths), reverse=True)
    best = {m: min((path[m] for path in paths if m in path), key=lambda fit: fit.quadratic.loss) for m in sizes}
    if turn == 0 or step == 1:
        return best
    doubtful = [m for m in sizes if m >= clearly_needed(best) - 1 and not best[m].quadratic.exact]
    x = np.asfortranarray(seen.x)
    refits = executor_for(workers).map(lambda m: fitted(x, seen.y, best[m].student), doubtful)
    return best | dict(zip(doubtful, refits, strict=True))


def _at_best_scale(path: Path, seen: Seen, workers: int) -> Path:
    """The path with its models of doubtful size, if fitted to all rows, refitted at the best scale of close pairs."""
    least = clearly_needed(path)
    sizes = [m for m in range(least, least + 3) if m in path and path[m].quadratic.samples == len(seen.y)]
    doubtful = [m for m in sizes if not path[m].quadratic.exact]
    refits = executor_for(workers).map(lambda m: rescaled(seen.x, seen.y, path[m]), doubtful)
    return path | dict(zip(doubtful, refits, strict=True))


def _on_span(student: Student, seen: Seen, bias: bool) -> Fit:
    """A student refitted on a span."""
    return fitted(seen.x, seen.y, lowered(student, seen.basis, bias))


def _grown(known: Fit, seen: Seen, most: int, options: LearnOptions, turn: int, workers: int) -> Path:
    """A fit on a span with what its residual asks for: a neuron or two, as few of them as were wanted.

    Where there are as many already, in place of the one that does least.
    """
    if known.quadratic.exact:
        return {}
    full = known.student.neurons >= most
    fit = fitted(seen.x, seen.y, cheaper(known)) if full else known
    more = grown(seen.x, seen.y, fit, options.bias, np.random.default_rng([options.seed, 6, turn]), workers)
    return collapse(seen.x, seen.y, more, most, min(most, known.student.neurons))


def _refined_basis(fit: Polished, split: Split, options: LearnOptions, metric: Metric) -> tuple[Array, bool]:
    """The span of the fitted neurons, far better known than from moments, and what the residual still depends on.

    Directions of the fit below its own noise are left out; slice moments of the residual add those that stand out.
    Also tells whether its mean does beyond doubt.
    """
    d, engine = split.rows.dim, split.engine
    vectors = np.vstack([fit.student.beta, fit.student.linear])[:, :d]
    curvature = fit.normal.diagonal[fit.normal.diagonal > 0]
    noise = np.sqrt(fit.quadratic.noise_variance * np.mean(1 / curvature)) if curvature.size else np.inf
    _, sizes, directions = np.linalg.svd(vectors, full_matrices=False)
    clear = sizes > 1.5 * noise * (np.sqrt(d) + np.sqrt(len(vectors)))
    spanning, unexplained = [directions[: max(1, int(clear.sum()))].T], False
    residual = split.residual(fit.student)
    if np.ptp(residual) > 1e-12 * np.sqrt(fit.quadratic.energy / fit.quadratic.samples):
        rows = RelabelledRows(split.rows, residual)
        moments = estimate_moments(rows, slice_settings(d, RESIDUAL_SLICES, options.whiten, options.seed), engine)
        sketch = sketched(rows, moments, options.seed, engine)
        left = estimate_subspace(moments, "sliced", options.whiten, min(d, MOST_LEFT), options.seed, sketch)
        unexplained = left.significant > 0 and dependence(moments, left.whitened, sketch)[0] > BEYOND_DOUBT
        spanning.append(left.basis[:, : left.significant])
    return metric.spanning(np.column_stack(spanning)), bool(unexplained)


def _out_of_reach(student: Student, split: Split, basis: Array, options: LearnOptions) -> bool:
    """Whether no network without biases gives labels like these, so that to look for more neurons is in vain."""
    if options.bias or options.loss != "squared":
        return False
    beyond = sigmas_out_of_reach(split.rows, student, basis, split.engine)
    return beyond is not None and beyond > BEYOND_REACH


def _within_reach(path: Path, split: Split, basis: Array, options: LearnOptions) -> Path:
    """The path; where no network without biases will do, no more of it than is clearly needed: it would never end."""
    if path[max(path)].quadratic.exact:
        return path
    student = path[max(path)].student.lifted(lifting(basis, options.bias))
    least = clearly_needed(path)
    return {least: path[least]} if _out_of_reach(student, split, basis, options) else path


def _fewest(selection: Selection, split: Split, metric: Metric) -> Selection:
    """An exact selection without neurons that it does not need to be exact.

    Neurons in excess fit the few rows between a neuron and its copy exactly, and no others.
    """
    student = selection.fit.student
    seen = split.seen(span_of(student, metric))
    fit: Fit | None = _on_span(student, seen, split.bias)
    fewest = student.neurons
    while fit is not None and fit.quadratic.exact and fit.student.neurons:
        fewest, least = fit.student.neurons, fit
        refits = (fitted(seen.x, seen.y, smaller, steps=BRIEF) for smaller in candidates(fit, 1))
        fit = next((refit for refit in refits if refit.quadratic.exact), None)
    if fewest == student.neurons:
        return selection
    again = select({fewest: least}, seen, split, metric)
    if not again.exact:
        return selection
    others = [model for model in selection.table if model.neurons != fewest]
    table = sorted([*others, *(m for m in again.table if m.neurons == fewest)], key=lambda model: model.neurons)
    return replace(again, table=tuple(table))


def _search(split: Split, basis: Array, most: int, options: LearnOptions, metric: Metric) -> Selection:
    """Discover, select, and repeat on the refined span while that finds more.

    A first fit knows the span much better than the moments did, so that what was blurred, neurons closer to each
    other than the error of the span among them, can be told apart in a second.  Where the residual still depends on
    the inputs, the fit is grown, or there are more starts, unless no network without biases would do better.
    """
    workers, seen = split.engine.workers, split.seen(basis)
    path = _at_best_scale(_discover(seen, most, options, 0, workers), seen, workers)
    if options.neurons is None:
        path = _within_reach(path, split, basis, options)
    selection = select(path, seen, split, metric, options.neurons)
    for turn in range(1, ROUNDS):
        if selection.exact:
            break
        basis, unexplained = _refined_basis(selection.fit, split, options, metric)
        if unexplained and _out_of_reach(selection.fit.student, split, basis, options):
            break
        seen = split.seen(basis)
        known = _on_span(selection.fit.student, seen, options.bias)
        more = _grown(known, seen, most, options, turn, workers) if unexplained else {}
        tamed = any(fit.mse < TAMED * known.mse for fit in more.values())
        at_a_loss = unexplained and not any(explains(fit, known) for fit in more.values())
        path = more if tamed else _discover(seen, most, options, turn, workers, MORE_STARTS if at_a_loss else 1)
        for fit in (known, *more.values()):
            m = fit.student.neurons
            path[m] = min(fit, path.get(m, fit), key=lambda fit: fit.mse)
        path = _at_best_scale(path, seen, workers)
        if promises_more([*path.values(), *more.values()], known, seen):
            again = select(path, seen, split, metric, options.neurons, selection)
            if again.fit.student.neurons != selection.fit.student.neurons or again.better_than(selection):
                selection = again
                continue
        if not unexplained:
            break
    return _fewest(selection, split, metric) if selection.exact else selection


def best_selection(
    rows: Rows, span: Subspace, most: int, options: LearnOptions, engine: Engine, metric: Metric
) -> Selection:
    """The selection on a pilot.

    Where rows are few, a fit of all of them that leaves no residual is looked for first: it needs no rows held out
    to be trusted.
    """
    if isinstance(rows, MemoryRows) and rows.samples < FEW * (most + 1) * rows.dim:
        selection = _search(Split.of(rows, 0, options.bias, engine), span.basis, most, options, metric)
        if selection.exact:
            return selection
        if options.neurons is not None:
            fit = exact_fit(rows, span.wide, options.neurons, options.bias, options.seed, engine, metric)
            if fit is not None:
                table = (Model(fit.student.neurons, fit.mse, 0.0, 0.0, True),)
                return Selection(fit, table, np.empty(0), np.empty(0), True)
    return _search(Split.of(rows, HELD_OUT, options.bias, engine), span.basis, most, options, metric)
