"""The selection where some labels are grossly wrong: on the rows that are not."""

from __future__ import annotations

import numpy as np

from relucli.learning.loss import EFFICIENT, GROSS, Loss, robust_scale
from relucli.learning.options import LearnOptions
from relucli.learning.search import best_selection
from relucli.learning.select import Selection
from relucli.learning.structured import Metric
from relucli.learning.student import augmented
from relucli.learning.subspace import Subspace
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

__all__ = ["robust_selection"]

ROUNDS = 4
FALLING = 0.9


def robust_selection(
    rows: MemoryRows, span: Subspace, most: int, options: LearnOptions, engine: Engine, metric: Metric
) -> tuple[Selection, Loss]:
    """The selection on the rows that are not grossly wrong, and the loss to polish with.

    The first selection clips the labels; the residuals of each tell which rows the next does without, while their
    robust scale falls.
    """
    x, y = rows.x, rows.y
    center = float(np.median(y))
    reach = GROSS * robust_scale(y - center)
    used, selection = np.ones(len(y), dtype=bool), None
    labels = np.clip(y, center - reach, center + reach) if reach > 0 else y
    scale, floor = np.inf, np.finfo(float).eps * float(np.median(np.abs(y[y != 0])))
    for _ in range(ROUNDS):
        found = best_selection(MemoryRows(x[used], labels[used]), span, most, options, engine, metric)
        residual = y - found.fit.student(augmented(x, options.bias))
        now = max(robust_scale(residual), floor)
        if selection is not None and now > FALLING * scale:
            break
        selection, scale = found, now
        used, labels = np.abs(residual) <= GROSS * now, y
    assert selection is not None
    return selection, Loss(EFFICIENT * scale, GROSS * scale)
