"""Planted networks and their data, from random streams that no worker or shard count can change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from relucli.errors import UsageError
from relucli.network import ReluNetwork
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span, stripe_rows
from relucli.streaming.executors import Executor, executor_for, one_blas_thread

__all__ = ["FAMILIES", "draw", "plant", "synthesize"]

Dtype = Literal["float32", "float64"]

FAMILIES = ("random", "positive", "close", "planar", "alternating")

# The purposes that streams are keyed by, with the seed and, for data, the index of the canonical stripe.
_TEACHER, _INPUTS, _NOISE = range(3)


def _stream(seed: int, purpose: int, *index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, *index)))


def plant(
    family: str, dim: int, neurons: int, *, seed: int, separation: float = 0.05, bias_sd: float = 0.0
) -> ReluNetwork:
    """Draw a teacher.

    ============ =============================================================================================
    random       directions uniform on the sphere, coefficients +-U(0.5, 1.5)
    positive     the same with positive coefficients
    close        the same, but neuron 1 is ``separation`` radians from neuron 0, of opposite coefficient and
                 equal bias
    planar       directions uniform on the circle of a random plane
    alternating  k directions equally spaced in a random plane, coefficients +1 and -1 in turn: without biases
                 all moments of order below k / 2 vanish
    ============ =============================================================================================

    Parameters
    ----------
    family : {"random", "positive", "close", "planar", "alternating"}
    dim, neurons : int
        Inputs d and neurons k.
    seed : int
        The teacher's stream is independent of the streams of data drawn with the same seed.
    separation : float
        Radians, for family close.
    bias_sd : float
        Standard deviation of the normal biases.

    Returns
    -------
    ReluNetwork

    Raises
    ------
    UsageError
        If no such network exists.

    Examples
    --------
    >>> import relucli
    >>> teacher = relucli.plant("close", dim=4, neurons=2, seed=1, separation=0.1)
    >>> round(float(teacher.weights[0] @ teacher.weights[1]), 3)  # cos(0.1)
    0.995
    """
    _check_plant(family, dim, neurons, seed, separation, bias_sd)
    rng = _stream(seed, _TEACHER)
    w = _unit(rng.standard_normal((neurons, dim)))
    c = rng.choice([-1.0, 1.0], neurons) * rng.uniform(0.5, 1.5, neurons)
    b = bias_sd * rng.standard_normal(neurons)
    if family == "positive":
        c = np.abs(c)
    elif family == "close":
        t = rng.standard_normal(dim)
        t = _unit(t - (t @ w[0]) * w[0])
        w[1] = math.cos(separation) * w[0] + math.sin(separation) * t
        c[1], b[1] = -c[0], b[0]
    elif family in ("planar", "alternating"):
        angles = rng.uniform(0, 2 * math.pi, neurons)
        if family == "alternating":
            angles = 2 * math.pi * np.arange(neurons) / neurons
            c = np.where(np.arange(neurons) % 2 == 0, 1.0, -1.0)
        plane = np.linalg.qr(rng.standard_normal((dim, 2)))[0]
        w = np.column_stack([np.cos(angles), np.sin(angles)]) @ plane.T
    return ReluNetwork(_unit(w), c, b)


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit


def _check_plant(family: str, dim: int, neurons: int, seed: int, separation: float, bias_sd: float) -> None:
    if family not in FAMILIES:
        raise UsageError(f"--family must be one of {', '.join(FAMILIES)}, not {family}")
    if dim < 1:
        raise UsageError(f"--dim must be at least 1, not {dim}")
    if neurons < 1:
        raise UsageError(f"--neurons must be at least 1, not {neurons}")
    if family in ("close", "planar", "alternating") and dim < 2:
        raise UsageError(f"--family {family} needs --dim of at least 2, not {dim}")
    if family == "close" and neurons < 2:
        raise UsageError(f"--family close needs --neurons of at least 2, not {neurons}")
    if family == "alternating" and neurons % 4:
        raise UsageError(f"--family alternating needs --neurons that is a multiple of 4, not {neurons}")
    if not 0 < separation < math.pi:
        raise UsageError(f"--separation must lie between 0 and pi radians, not {separation}")
    if not (bias_sd >= 0 and math.isfinite(bias_sd)):
        raise UsageError(f"--bias must be at least 0 and finite, not {bias_sd}")
    _check_seed(seed)


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise UsageError(f"--seed must be at least 0, not {seed}")


def draw(
    teacher: ReluNetwork,
    seed: int,
    stripe_index: int,
    rows: int,
    dim: int,
    noise: float,
    dtype: Dtype,
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """The first ``rows`` rows of a canonical stripe: x ~ N(0, I), y = teacher(x) + noise N(0, 1).

    Parameters
    ----------
    teacher : ReluNetwork
    seed, stripe_index : int
        Inputs and noise have a stream each, keyed by (seed, purpose, stripe index) through
        `numpy.random.SeedSequence`.  Inputs therefore do not depend on the teacher or on the noise.
    rows, dim : int
    noise : float
        Standard deviation, absolute.
    dtype : {"float32", "float64"}
        Of x; y is float64, computed from x as stored.
    """
    x = _stream(seed, _INPUTS, stripe_index).standard_normal((rows, dim), dtype=dtype)
    y = teacher(x)
    if noise:
        y += noise * _stream(seed, _NOISE, stripe_index).standard_normal(rows)
    return x, y


def synthesize(
    teacher: ReluNetwork,
    samples: int,
    *,
    seed: int,
    noise: float = 0.0,
    dtype: Dtype = "float64",
    workers: int = 1,
    span: Span | None = None,
) -> Iterator[Block]:
    """Draw a dataset of ``samples`` rows, a canonical stripe at a time and in order.

    They are computed ahead by ``workers`` threads, which hold at most ``workers + 1`` of them.
    ``span`` asks for a part of the rows, such as a shard: the same, to the bit, as in the whole dataset.
    A shorter dataset is the beginning of a longer one.

    Raises
    ------
    UsageError
        On the call, before a row is drawn, if an option cannot be meant.
    """
    if samples < 1:
        raise UsageError(f"--samples must be at least 1, not {samples}")
    if not (noise >= 0 and math.isfinite(noise)):
        raise UsageError(f"--noise must be at least 0 and finite, not {noise}")
    if dtype not in ("float32", "float64"):
        raise UsageError(f"--dtype must be float32 or float64, not {dtype}")
    _check_seed(seed)
    wanted = Span(0, samples) if span is None else span
    cut = partial(_cut, teacher, wanted, seed, noise, dtype)
    step = stripe_rows(teacher.dim)
    indices = range(wanted.start // step, -(-wanted.stop // step))
    executor = executor_for(workers)
    return _in_order(executor, cut, indices)


def _cut(teacher: ReluNetwork, wanted: Span, seed: int, noise: float, dtype: Dtype, index: int) -> Block:
    """The wanted rows of a canonical stripe, which is drawn whole: a product's bits depend on its shape."""
    step = stripe_rows(teacher.dim)
    first = index * step
    x, y = draw(teacher, seed, index, step, teacher.dim, noise, dtype)
    start, stop = max(wanted.start, first), min(wanted.stop, first + step)
    return Block(x[start - first : stop - first], y[start - first : stop - first], start)


def _in_order(executor: Executor, cut: partial[Block], indices: range) -> Iterator[Block]:
    with one_blas_thread():
        yield from executor.map(cut, indices)
