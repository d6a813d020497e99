"""Whether the linear part belongs to a fit: polish without it, and see if that costs more than chance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relucli.learning.descent import fitted
from relucli.learning.identify import orientations, tied, tolerated_rise
from relucli.learning.polish import Polished, polish
from relucli.learning.split import Split, lifting, lowered
from relucli.learning.structured import Metric, span_of
from relucli.learning.student import Student
from relucli.streaming.fold import Engine, Rows

__all__ = ["settle"]

Array = NDArray[np.float64]

HOPELESS = 30.0
SETTLING = 12
BRIEFLY = 4
FINALISTS = 2
TRIAL_ROWS = 20_000
TRIAL_STEPS = 30


def settle(rows: Rows, fit: Polished, bias: bool, engine: Engine, metric: Metric, dense: bool = True) -> Polished:
    """Polish in the identifiable coordinates: without the linear part if orientations exist that need none.

    1. Step from the fit to where there is no linear part (`tied`), for each likely choice of neurons to turn, and
       polish there: all choices briefly, then the two best if either may be it; by damped steps, too, where the loss
       rises by more than is to be expected of parameters that are superfluous.
    2. Where a close pair lets the loss bend within that step, fit on the span of the fit, from every choice, and polish
       the best.

    Parameters
    ----------
    rows : Rows
        The data that ``fit`` was made on.
    fit : Polished
        With a free linear part.
    bias, engine, metric, dense
        As in `polish`.
    """
    fewer = fit.student.beta.shape[1] - bias
    allowed = tolerated_rise(fit, fewer)
    # What superfluous parameters explain, and two standard deviations of that.
    expected = (fewer + 2 * np.sqrt(2.0 * fewer)) * fit.quadratic.noise_variance

    def refit(start: Student, steps: int, dense: bool = False) -> Polished:
        return polish(rows, start, bias, engine, metric, dense=dense, bent=dense, steps=steps, tolerance=1e-2)

    def best(starts: list[Student]) -> Polished | None:
        brief = len(starts) > 1 and not fit.quadratic.exact
        refits = [(refit(start, BRIEFLY if brief else SETTLING), start) for start in starts]
        if brief:
            refits.sort(key=lambda pair: pair[0].quadratic.loss)
            near = refits[0][0].quadratic.loss + allowed
            refits = [
                (end if end.converged else refit(end.student, SETTLING), start)
                for end, start in refits[:FINALISTS]
                if end.quadratic.loss <= near
            ]
        without, start = min(refits, key=lambda pair: pair[0].quadratic.loss)
        if dense and not without.converged and without.quadratic.loss - fit.quadratic.loss > expected:
            without = min(without, refit(start, SETTLING, True), key=lambda end: end.quadratic.loss)
        close = without.quadratic.exact or without.quadratic.loss - fit.quadratic.loss <= allowed
        return without if close else None

    choices, without = tied(fit.student, fit.normal, bias), None
    least = choices[0].statistic
    if least <= HOPELESS * allowed or fit.quadratic.exact:
        without = best([choice.student for choice in choices if choice.statistic <= least + allowed])
    if without is None and not fit.quadratic.exact:
        start = _on_span(rows, fit, allowed, bias, engine, metric)
        without = None if start is None else best([start])
    return without or fit


def _on_span(rows: Rows, fit: Polished, allowed: float, bias: bool, engine: Engine, metric: Metric) -> Student | None:
    """The best fit without a linear part on the span of a fit with one, unless it costs more than is allowed."""
    basis = span_of(fit.student, metric)
    d, r = basis.shape
    seen = Split.of(rows, 0, bias, engine).seen(basis)
    every = max(1, rows.samples // TRIAL_ROWS)
    x, y = np.asfortranarray(seen.x[::every]), seen.y[::every]
    known = fitted(x, y, lowered(fit.student, basis, bias))
    starts = []
    for mask in orientations(known.student.beta[:, :r], known.student.signs, known.student.linear[:r]):
        turned = known.student.flipped(mask)
        offset = np.where(np.arange(r + bias) < r, 0.0, turned.linear)
        starts.append(replace(turned, linear=offset, free=np.arange(r, r + bias, dtype=np.intp)))
    trials = (fitted(x, y, start, steps=TRIAL_STEPS) for start in starts)
    best = min(trials, key=lambda trial: trial.quadratic.loss)
    if best.quadratic.loss - known.quadratic.loss > allowed:
        return None
    return replace(best.student.lifted(lifting(basis, bias)), free=np.arange(d, d + bias, dtype=np.intp))
