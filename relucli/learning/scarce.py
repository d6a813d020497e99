"""Few rows: an exact fit sought outright, in all dimensions, from many starts.

Close to one row a parameter the moments see too little of the span to discover neurons on it, but without noise the
least squares problem in all dimensions has few minima, and a fit with rows to spare that leaves no residual proves
itself.  Starts are drawn from twice as many directions as there are neurons, those of the largest moments.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from relucli.learning.collapse import cheaper
from relucli.learning.descent import Fit, fitted
from relucli.learning.discover import random_start
from relucli.learning.polish import Polished, polish
from relucli.learning.settle import settle
from relucli.learning.structured import Metric
from relucli.learning.student import augmented
from relucli.storage.dataset import MemoryRows
from relucli.streaming.executors import executor_for
from relucli.streaming.fold import Engine

__all__ = ["SCARCE", "exact_fit"]

Array = NDArray[np.float64]

SCARCE = 10
"""Rows a parameter below which an exact fit is sought outright."""

STARTS = 96
STEPS = 50
WORK = 4e11
EVALUATIONS = 30


def _plans(neurons: int) -> list[tuple[int, bool]]:
    """Numbers of neurons, and whether the linear part is free: as told, or as lines of antipodal pairs."""
    return list(dict.fromkeys([(neurons, False), (neurons, True), (-(-neurons // 2), True)]))


def exact_fit(
    data: MemoryRows, directions: Array, neurons: int, bias: bool, seed: int, engine: Engine, metric: Metric
) -> Polished | None:
    """A fit without residual, if one of many starts leads to it.

    Parameters
    ----------
    data : MemoryRows
        Rows (n, d).
    directions : ndarray, shape (d, r)
        Where neurons may start.
    neurons : int
        Their number.
    bias : bool
        Whether there are biases.
    seed : int
        Of the starts.
    engine : Engine
        Tells the number of workers.
    metric : Metric
        Of the inputs.
    """
    n, d = data.samples, data.dim
    rows, y = np.asfortranarray(augmented(data.x, bias)), data.y
    plans = _plans(neurons)
    parameters = (neurons + 1) * (d + bias)
    if n >= SCARCE * parameters:
        return None
    count = int(min(STARTS, WORK / (EVALUATIONS * n * parameters**2)))
    executor = executor_for(engine.workers)

    def start(index: int) -> Fit | None:
        rng = np.random.default_rng([seed, 7, index])
        width, free = plans[index % len(plans)]
        if n <= (width + free) * (d + bias):
            return None
        student = random_start(rows, y, directions, width, bias, rng)
        if not free:
            offset = np.arange(d, d + bias, dtype=np.intp)
            linear = np.where(np.arange(d + bias) < d, 0.0, student.linear)
            student = replace(student, linear=linear, free=offset)
        fit = fitted(rows, y, student, steps=STEPS, damping=1e-2)
        return fit if fit.quadratic.exact else None

    found = next((fit for fit in executor.map(start, range(count)) if fit is not None), None)
    return None if found is None else _simplest(rows, y, data, found, bias, engine, metric)


def _simplest(
    rows: Array, y: Array, data: MemoryRows, fit: Fit, bias: bool, engine: Engine, metric: Metric
) -> Polished:
    """An exact fit with as few neurons as will do, in its identifiable coordinates."""
    student = fit.student
    whole = fitted(rows, y, replace(student, free=np.arange(len(student.linear), dtype=np.intp)))
    while whole.student.neurons:
        smaller = fitted(rows, y, cheaper(whole))
        if not smaller.quadratic.exact:
            break
        whole = smaller
    settled = settle(data, polish(data, whole.student, bias, engine, metric), bias, engine, metric)
    return settled if settled.quadratic.exact else polish(data, fit.student, bias, engine, metric)
