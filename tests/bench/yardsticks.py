"""The plain loops that relucli's commands are compared with: one buffer, block by block, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

import h5py
import numpy as np

__all__ = ["draw", "gram", "multiply", "weighted_grams"]

ROWS = (2048, 16_384)
"""Rows of a block: each loop is timed with either, and the faster counts."""


def _blocks(path: Path, rows: int) -> Iterator[np.ndarray]:
    with h5py.File(path, "r") as file:
        x = file["x"]
        buffer = np.empty((rows, x.shape[1]), x.dtype)
        for start in range(0, len(x), rows):
            stop = min(start + rows, len(x))
            x.read_direct(buffer, np.s_[start:stop], np.s_[: stop - start])
            yield buffer[: stop - start]


def _fastest(loop: Callable[[int], object]) -> float:
    seconds = []
    for rows in ROWS:
        start = perf_counter()
        loop(rows)
        seconds.append(perf_counter() - start)
    return min(seconds)


def gram(path: Path) -> float:
    """Seconds to read the inputs and sum x^T x: the yardstick."""

    def loop(rows: int) -> None:
        total = 0.0
        for x in _blocks(path, rows):
            total = total + x.T @ x

    return _fastest(loop)


def weighted_grams(path: Path, count: int) -> float:
    """Seconds to read the inputs and sum x^T diag(w) x for so many weights."""

    def loop(rows: int) -> None:
        totals: list = [0.0] * count
        weight = np.random.default_rng(0).standard_normal((rows, 1))
        for x in _blocks(path, rows):
            w = weight[: len(x)].astype(x.dtype)
            for i in range(count):
                totals[i] = totals[i] + (x * w).T @ x

    return _fastest(loop)


def multiply(path: Path, columns: int) -> float:
    """Seconds to read the inputs and multiply them by a (d, columns) matrix."""

    def loop(rows: int) -> None:
        matrix = None
        for x in _blocks(path, rows):
            if matrix is None:
                matrix = np.ones((x.shape[1], columns), x.dtype)
            x @ matrix

    return _fastest(loop)


def draw(path: Path, samples: int, dim: int) -> float:
    """Seconds to draw float32 inputs and write them, chunked as relucli's are."""

    def loop(rows: int) -> None:
        rng = np.random.default_rng(0)
        buffer = np.empty((rows, dim), np.float32)
        with h5py.File(path, "w") as file:
            x = file.create_dataset("x", (samples, dim), np.float32, chunks=(min(2048, samples), dim), fletcher32=True)
            for start in range(0, samples, rows):
                stop = min(start + rows, samples)
                rng.standard_normal(out=buffer, dtype=np.float32)
                x.write_direct(buffer, np.s_[: stop - start], np.s_[start:stop])

    seconds = _fastest(loop)
    path.unlink()
    return seconds
