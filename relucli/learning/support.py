"""Whether a selection predicts held-out labels better than chance: if not, the rows support no network."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student_t
from scipy.stats import wilcoxon

from relucli.errors import UnsupportedError
from relucli.learning.loss import robust_scale
from relucli.learning.options import LearnOptions
from relucli.learning.select import Selection
from relucli.learning.subspace import Subspace
from relucli.moments.scaling import Scaling
from relucli.streaming.fold import Rows

__all__ = ["check_supported"]

CHANCE = 5e-4
CANCELLING = 1e6


def check_supported(selection: Selection, span: Subspace, rows: Rows, options: LearnOptions, scaling: Scaling) -> None:
    """Held-out rows must be predicted better than by their own mean, beyond chance (t or signed-rank test)."""
    if selection.exact:
        return
    held = selection.labels
    if len(held) < 2:
        raise UnsupportedError(f"{rows.samples} rows do not support a network: they are too few to hold some out")
    largest = float(np.abs(selection.fit.student.beta).max(initial=0.0))
    scale = robust_scale(held - np.median(held))
    if largest > CANCELLING * scale > 0:
        raise UnsupportedError(
            f"{rows.samples} rows do not support a network: the neurons found cancel to one part in "
            f"{largest / scale:.0e}, as grossly wrong labels make them do; try --loss huber"
        )
    better = (held - held.mean()) ** 2 - selection.squares
    n = len(held)
    if n > 1 and (
        better.mean() > student_t.ppf(1 - CHANCE, n - 1) * better.std(ddof=1) / np.sqrt(n)
        or wilcoxon(better, alternative="greater").pvalue < CHANCE
    ):
        return
    enough = 10 * ((options.neurons or max(1, selection.fit.student.neurons)) + 1) * (rows.dim + options.bias)
    hint = f"about {enough} rows are a start" if enough > rows.samples else "more rows, or labels with less noise, may"
    none = f"; no direction of the inputs stands out (largest eigenvalue {span.eigenvalues[0]:.3g}, noise reaches "
    seen = "" if span.significant else f"{none}{span.null:.3g})"
    offset = "" if options.bias else "; if the labels have an offset or neurons have biases, pass --bias"
    raise UnsupportedError(
        f"{rows.samples} rows do not support a network: held-out labels are predicted no better than by their mean "
        f"(mean squared error {scaling.label(selection.validation_mse, 2):.3g}, "
        f"variance {scaling.label(float(held.var()), 2):.3g}){seen}; {hint}{offset}"
    )
