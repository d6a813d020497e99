"""What learning asks of the rows and of the memory bound, all of it before the first pass."""

from __future__ import annotations

import numpy as np

from relucli.errors import UnsupportedError
from relucli.learning.diagnose import KURTOSIS_COLUMNS
from relucli.learning.discover import width
from relucli.learning.mean_field import blur_need
from relucli.learning.options import LearnOptions
from relucli.learning.polish import polish_need
from relucli.learning.sketch import sketch_need, slice_settings
from relucli.moments.estimate import Moments, MomentSettings, moments_need
from relucli.quantities import counted
from relucli.storage.dataset import MemoryRows, pilot
from relucli.storage.views import part
from relucli.streaming.blocks import block_rows
from relucli.streaming.fold import Engine, Rows, check_memory

__all__ = ["check_memory_bound", "check_rows", "default_moments", "largest_number", "model_rows"]

PILOT_WORK = 20_000_000_000
PILOT_BYTES = 128 * 2**20
PILOT_COPIES = 4


def check_rows(rows: Rows, options: LearnOptions) -> None:
    """Fewer rows than parameters cannot determine a network.

    Raises
    ------
    UnsupportedError
    """
    k, p = options.neurons or 1, rows.dim + options.bias
    if rows.samples <= k * p:
        most = (rows.samples - 1) // p
        hint = f"or -k {most} at most" if most else "or fewer columns"
        raise UnsupportedError(
            f"{counted(rows.samples, 'row')} cannot determine {counted(k, 'neuron')} in "
            f"{counted(rows.dim, 'dimension')} ({counted(k * p, 'parameter')}); "
            f"it takes more than {counted(k * p, 'row')}, {hint}"
        )


def largest_number(rows: Rows, options: LearnOptions) -> int:
    """The number of neurons, or the largest that is tried: four rows a parameter, within what was asked for."""
    return options.neurons or min(options.most, max(1, (rows.samples - 1) // (4 * (rows.dim + options.bias))))


def default_moments(options: LearnOptions, dim: int) -> MomentSettings:
    """The moments to take where none are given."""
    if options.subspace == "sliced":
        return slice_settings(dim, 16 if dim <= 256 else 8, options.whiten, options.seed)
    slices = (16 if dim <= 256 else 8) if options.subspace == "both" else 0
    return MomentSettings(contractions=8, slices=slices, seed=options.seed)


def model_rows(rows: Rows, most: int, options: LearnOptions) -> Rows:
    """Rows to choose the model on: a pilot in memory or, where that would be too large, a share of the file."""
    count, every = _pilot_rows(rows, most, options)
    if count:
        return MemoryRows(*pilot(rows, count))
    return (part(rows, every, True) if every > 1 else None) or rows


def _pilot_rows(rows: Rows, most: int, options: LearnOptions) -> tuple[int, int]:
    """How many rows to choose the model on: 50 to 1000 a parameter, as many as seconds of normal equations allow.

    They are held in memory, unless twenty a parameter would not fit there: then none are, and one in so many rows of
    the file is used.  The number does not depend on the memory bound, so neither does the result.
    """
    parameters = (most + 1) * (rows.dim + options.bias)
    wanted = max(20_000, 50 * parameters, min(1000 * parameters, PILOT_WORK // parameters**2))
    if options.loss == "squared" and 8 * rows.dim * min(rows.samples, 20 * parameters) > PILOT_BYTES:
        return 0, max(1, rows.samples // wanted)
    return min(rows.samples, wanted, max(PILOT_BYTES // (8 * rows.dim), 4 * parameters)), 1


def check_memory_bound(rows: Rows, most: int, options: LearnOptions, engine: Engine, moments: Moments | None) -> None:
    """Refuse a memory bound that is too small for any stage, with the smallest that will do.

    Parameters
    ----------
    rows : Rows
    most : int
        The largest number of neurons.
    options : LearnOptions
    engine : Engine
        Of the bound.
    moments : Moments, optional
        Those that need not be taken.

    Raises
    ------
    UsageError
    """
    count, _ = _pilot_rows(rows, most, options)
    chosen = MemoryRows(np.broadcast_to(0.0, (count, rows.dim)), np.broadcast_to(0.0, count)) if count else rows
    settings = moments.settings if moments else default_moments(options, rows.dim)
    discovery = _discovery_need(most, rows.dim, options.bias)
    others = max(
        0 if moments else moments_need(rows, settings),
        sketch_need(rows, settings),
        PILOT_COPIES * 8 * count * rows.dim,
        polish_need(chosen, most, options.bias),
        polish_need(rows, options.neurons or 1, options.bias),
        blur_need(rows, most, options.bias),
        _closing_need(chosen, most, options.bias),
    )
    purpose = f"to discover {counted(most, 'neuron')}" if discovery > others else "to learn from this dataset"
    check_memory(engine.memory, max(discovery, others), purpose)


def _discovery_need(neurons: int, dim: int, bias: bool) -> int:
    """Bytes of the matrices of the discovery, which starts with more neurons than wanted."""
    parameters = (width(neurons) + 1) * (min(dim, neurons) + bias)
    return 5 * 8 * parameters**2


def _closing_need(rows: Rows, neurons: int, bias: bool) -> int:
    """Bytes of a block in the passes for diagnoses and, over rows in files, standard errors."""
    d, block = rows.dim + bias, min(block_rows(rows.dim), rows.samples)
    diagnoses = block * (d + 2 * (min(d, KURTOSIS_COLUMNS) + neurons))
    features = 0 if isinstance(rows, MemoryRows) else (neurons + 1) * (min(d, neurons + 1) + 2)
    errors = block * (2 * d + 4 * features + 8) + 3 * features**2 if features else 0
    return 8 * (block * (2 * d + 2) + max(diagnoses, errors))
