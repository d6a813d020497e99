"""The whole algorithm: moments, span, neurons on the span, number of neurons, polish."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, UnsupportedError
from relucli.learning.blurred import sharpened, unresolved
from relucli.learning.covariance import SandwichAccumulator, StructuredCovariance
from relucli.learning.descent import Outcome
from relucli.learning.diagnose import Finding, diagnose
from relucli.learning.hidden import revealed
from relucli.learning.loss import EFFICIENT, SQUARED, Loss
from relucli.learning.options import LearnOptions
from relucli.learning.polish import Polished, polish, to_network
from relucli.learning.requirements import (
    check_memory_bound,
    check_rows,
    default_moments,
    largest_number,
    model_rows,
)
from relucli.learning.robust import robust_selection
from relucli.learning.search import best_selection
from relucli.learning.select import Model, Selection
from relucli.learning.sketch import metric_of, sketched
from relucli.learning.structured import Metric
from relucli.learning.student import augmented
from relucli.learning.subspace import Subspace, estimate_subspace, given_subspace
from relucli.learning.support import check_supported
from relucli.learning.uncertainty import StandardErrors, sandwich, standard_errors, with_unknown_scales
from relucli.learning.units import check_outliers, in_file_units
from relucli.moments.estimate import Moments, estimate_moments
from relucli.moments.scaling import Scaling
from relucli.network import ReluNetwork
from relucli.network.display import Column, as_html, as_text, neuron_columns, summary
from relucli.quantities import counted, number, with_error
from relucli.storage.columns import FiniteRows
from relucli.storage.dataset import MemoryRows
from relucli.storage.views import ShiftedRows
from relucli.streaming.executors import one_blas_thread
from relucli.streaming.fold import Engine, Rows

__all__ = ["LearnOptions", "Learned", "learn"]

Array = NDArray[np.float64]
Covariance = Array | StructuredCovariance

ERROR_ROWS = 50
RESOLVED = 1e-6


@dataclass(frozen=True, repr=False)
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
        Like the fit, in units of their own (``moments.scaling``).
    noise_std : float
        Root mean squared residual, for the degrees of freedom used; with a robust loss, the robust scale.
    r2 : float
        Share of the label variance explained on the rows used; with a robust loss, of the loss about the mean label.
    samples, passes : int
        Rows, and passes over all of them.
    fit : Outcome
        Of all rows.
    findings : tuple of Finding
        What each stage saw.
    options : LearnOptions
        What was asked for.
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
    fit: Outcome
    findings: tuple[Finding, ...]
    options: LearnOptions

    def __repr__(self) -> str:
        """The network with its standard errors, the fit, the models considered and the findings."""
        return as_text(f"Learned({summary(self.network)})", *self._shown())

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return as_html(f"Learned: {summary(self.network)}", *self._shown())

    def _shown(self) -> tuple[list[Column], list[str]]:
        """The table of neurons, and the lines that follow it."""
        considered = [f"{m.neurons}: {with_error(m.validation_mse, m.validation_se)}" for m in self.path if m.polished]
        rows = counted(self.samples, "row")
        return neuron_columns(self.network, self.errors.by_name()), [
            f"fit: r2 {self.r2:.6f}, residual standard deviation {number(self.noise_std)}, {rows}",
            f"held-out mean squared error by neurons: {', '.join(considered)}",
            *map(str, self.findings),
        ]


def _same_labels(moments: Moments, fit: Outcome) -> None:
    """The labels that were fitted must be those that the moments were taken of."""
    energy = moments.label_energy
    if abs(fit.quadratic.energy - energy) > 1e-9 * energy:
        raise DataError("the labels are not those that the moments were taken of; take the moments again")


def _metric(moments: Moments, shift: Array) -> Metric:
    """Mean and covariance of the inputs less a shift; where columns depend on each other, their variances alone."""
    try:
        return metric_of(moments, shift)
    except DataError:
        scale = np.sqrt(np.diag(moments.covariance))
        return Metric(moments.mean - shift, np.where(scale > 0, scale, 1.0))


def _spread(rows: Rows, moments: Moments, loss: Loss) -> float:
    """The loss of the labels about their mean, by row."""
    if not loss.robust:
        return moments.label_variance
    assert isinstance(rows, MemoryRows)
    return float(loss.values(rows.y - moments.label_mean).mean())


def _covariance(rows: Rows, fit: Polished, loss: Loss, samples: int, engine: Engine, bias: bool) -> Covariance:
    """Of the parameters, dense from rows in memory, else by its structure."""
    if isinstance(rows, MemoryRows):
        step = max(1, rows.samples // (ERROR_ROWS * max(1, fit.student.parameters)))
        return sandwich(augmented(rows.x[::step], bias), rows.y[::step], fit.student, loss, samples)
    return engine.fold(SandwichAccumulator(fit.normal), rows, "errors").covariance(samples)


def _taken(rows: Rows, options: LearnOptions, engine: Engine, moments: Moments | None) -> Moments:
    """The moments, from a pass over the rows unless they are given; refused if nothing can be learned from them."""
    typical = Scaling.of(rows)
    moments = moments or estimate_moments(rows, default_moments(options, rows.dim), engine, scaling=typical)
    check_outliers(moments, typical)
    if np.sqrt(moments.label_variance) <= 1e-12 * abs(moments.label_mean):
        raise UnsupportedError("y is constant: there is nothing to learn from it")
    return moments


def _span(rows: Rows, moments: Moments, most: int, options: LearnOptions, engine: Engine) -> Subspace:
    sketch = sketched(rows, moments, options.seed, engine)
    return estimate_subspace(moments, options.subspace, options.whiten, most, options.seed, sketch)


def _selected(
    chosen: Rows, span: Subspace, most: int, options: LearnOptions, engine: Engine, metric: Metric
) -> tuple[Selection, Loss]:
    """The models considered and the one that was chosen, with the loss of its polish."""
    if options.loss == "huber":
        assert isinstance(chosen, MemoryRows)
        return robust_selection(chosen, span, most, options, engine, metric)
    return best_selection(chosen, span, most, options, engine, metric), SQUARED


def _finished(
    rows: Rows, chosen: Polished, options: LearnOptions, engine: Engine, metric: Metric, loss: Loss, narrow: bool
) -> Polished:
    """The chosen fit polished on all rows, with pairs that noise blurs at their means."""
    bias = options.bias
    if loss.robust:
        return polish(rows, chosen.student, bias, engine, metric, loss=loss, narrow=narrow)
    for dense in (False, True) if unresolved(chosen, metric) else (True,):
        fit = polish(rows, chosen.student, bias, engine, metric, loss=loss, narrow=narrow, dense=dense)
        fit = revealed(rows, fit, options.neurons or 0, bias, engine, metric)
        fit = sharpened(rows, fit, bias, engine, metric)
        if fit.blurred:
            break
    return fit


def _in_file_units(path: tuple[Model, ...], scaling: Scaling) -> tuple[Model, ...]:
    def square(value: float) -> float:
        return scaling.label(value, 2)

    return tuple(
        Model(m.neurons, square(m.validation_mse), square(m.validation_se), square(m.excess_se), m.polished)
        for m in path
    )


def learn(
    rows: Rows, options: LearnOptions, engine: Engine, moments: Moments | None = None, span: Array | None = None
) -> Learned:
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
    span : ndarray, shape (d, r), optional
        Directions, as columns, to look for neurons in the span of first, in place of those from the moments.

    Returns
    -------
    Learned
        Its network has the names of the inputs, where the rows know them.

    Raises
    ------
    DataError
        If the rows cannot be used or, an UnsupportedError, cannot support the answer.
    """
    columns = rows.columns if isinstance(rows, FiniteRows) else ()
    # Threads of BLAS make products of small matrices slower, and their bits depend on the machine.
    with one_blas_thread():
        found = _learn(rows, options, engine, moments, span)
    return replace(found, network=replace(found.network, columns=columns))


def _learn(
    rows: Rows, options: LearnOptions, engine: Engine, moments: Moments | None, directions: Array | None
) -> Learned:
    check_rows(rows, options)
    if rows.dim == 1 and not options.bias:  # a line through zero has one kink, whatever the number of neurons
        options = replace(options, neurons=1)
    most = largest_number(rows, options)
    check_memory_bound(rows, most, options, engine, moments)
    before = engine.passes
    # 1. moments, in units near one that the rows are seen in from here on
    moments = _taken(rows, options, engine, moments)
    scaling, rows = moments.scaling, moments.scaling.rows(rows)
    # Far from zero, biases and directions are hard to tell apart: neurons with biases are sought about the mean.
    shift = moments.mean if options.bias and not moments.standard else np.zeros(rows.dim)
    centered = ShiftedRows(rows, shift) if shift.any() else rows
    # 2. span
    metric = _metric(moments, shift)
    if directions is None:
        span = _span(rows, moments, most, options, engine)
    else:
        span = given_subspace(directions, metric, scaling.inputs)
    # 3. neurons on the span, and their number
    chosen = model_rows(centered, most, options)
    local = replace(engine, progress=None, journal=None) if isinstance(chosen, MemoryRows) else engine
    selection, loss = _selected(chosen, span, most, options, local, metric)
    check_supported(selection, span, rows, options, scaling)
    # 4. polish on all rows, and what can be said of the answer
    narrow = selection.fit.mse > RESOLVED * moments.label_variance
    fit = _finished(centered, selection.fit, options, engine, metric, loss, narrow)
    _same_labels(moments, fit)
    network = to_network(fit.student, options.bias, shift)
    covariance = _covariance(chosen, fit, loss, rows.samples, local, options.bias)
    errors = standard_errors(fit.student, covariance, options.bias, shift)
    errors = with_unknown_scales(errors, network, fit.blurred)
    raw = ShiftedRows(chosen, -shift) if shift.any() else chosen
    findings = diagnose(raw, moments, span, fit, network, errors, loss, local)
    if not scaling.trivial:
        network, errors = in_file_units(scaling, fit.student, covariance, options.bias, shift)
        errors = with_unknown_scales(errors, network, fit.blurred)
    return Learned(
        network=network,
        errors=errors,
        path=_in_file_units(selection.table, scaling),
        subspace=span.in_file_units(scaling),
        moments=moments,
        noise_std=scaling.label(loss.delta / EFFICIENT if loss.robust else fit.quadratic.noise_variance**0.5),
        r2=1 - fit.mse / _spread(chosen, moments, loss),
        samples=rows.samples,
        passes=engine.passes - before,
        fit=fit,
        findings=findings,
        options=options,
    )
