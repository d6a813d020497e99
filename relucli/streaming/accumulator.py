"""The one abstraction for passes over rows: named sums, updated block by block and merged in order."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Accumulator", "Block", "Gathered", "Joint"]

Floats = NDArray[Any]


@dataclass(frozen=True)
class Block:
    """A run of consecutive rows.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        Inputs in the dtype of the file; valid only until the next block is read.
    y : ndarray, shape (n,), float64
        Labels.
    start : int
        Global index of the first row.
    """

    x: Floats
    y: NDArray[np.float64]
    start: int

    @property
    def wide(self) -> NDArray[np.float64]:
        """The inputs in float64: no copy if they are stored so."""
        return self.x.astype(np.float64, copy=False)


class Accumulator(ABC):
    """Sums over rows.

    A subclass names its sums and their shapes, and adds a block to them.  All else - merging partial sums,
    starting afresh, measuring memory, saving and restoring - follows from the fact that they are sums.
    """

    sums: dict[str, NDArray[np.float64]]

    guarded = True
    """Whether sums that overflow are the fault of a row, and an error; else they are the caller's to judge."""

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""

    @abstractmethod
    def update(self, block: Block) -> None:
        """Add the rows of a block."""

    def scratch(self, rows: int) -> int:
        """Bytes of temporary arrays that ``update`` needs for a block of ``rows`` rows, input copies aside."""
        return 0

    def filled(self, sums: dict[str, NDArray[np.float64]]) -> Self:
        """An accumulator with the same settings and these sums."""
        other = copy.copy(self)
        other.sums = sums
        return other

    def fresh(self) -> Self:
        """An accumulator with the same settings and all sums zero."""
        return self.filled({name: np.zeros(shape) for name, shape in self.shapes().items()})

    def merge(self, other: Self) -> None:
        """Add the sums of an accumulator over later rows."""
        for name, total in self.sums.items():
            total += other.sums[name]

    @property
    def finite(self) -> bool:
        """Whether no sum has overflowed."""
        return all(np.isfinite(total).all() for total in self.sums.values())

    @property
    def nbytes(self) -> int:
        """Bytes of the sums."""
        return 8 * sum(int(np.prod(shape, dtype=np.int64)) for shape in self.shapes().values())

    def held(self, groups: int, rows: int) -> int:
        """Bytes of the partial sums that wait to be merged in a pass over so many groups and rows."""
        return (groups.bit_length() + 1) * self.nbytes


class Joint(Accumulator):
    """Several accumulators folded in one pass.

    Parameters
    ----------
    parts : dict of Accumulator
        By name; their sums appear here as ``name/sum``.
    """

    def __init__(self, parts: dict[str, Accumulator]) -> None:
        self.parts = parts
        self.sums = {f"{name}/{key}": total for name, part in parts.items() for key, total in part.sums.items()}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every sum."""
        return {f"{n}/{key}": shape for n, part in self.parts.items() for key, shape in part.shapes().items()}

    def scratch(self, rows: int) -> int:
        """Bytes of the most demanding part."""
        return max(part.scratch(rows) for part in self.parts.values())

    def update(self, block: Block) -> None:
        """Add a block to every part."""
        for part in self.parts.values():
            part.update(block)

    def filled(self, sums: dict[str, NDArray[np.float64]]) -> Self:
        """Parts with their share of the sums."""
        return type(self)(
            {n: part.filled({key: sums[f"{n}/{key}"] for key in part.sums}) for n, part in self.parts.items()}
        )


class Gathered(Accumulator):
    """What a function gives for each row, in the order of the rows: sums under concatenation.

    Parameters
    ----------
    function : callable
        Of a block: an array of shape (n, width), or (n,) if that is 1.
    width : int
        Numbers for each row.
    """

    def __init__(self, function: Callable[[Block], NDArray[np.float64]], width: int) -> None:
        self.function = function
        self.width = width
        self.sums = {"values": np.empty((0, width))}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """No rows yet."""
        return {"values": (0, self.width)}

    def held(self, groups: int, rows: int) -> int:
        """Bytes of all that is gathered, and of a copy of it."""
        return 16 * rows * self.width

    def scratch(self, rows: int) -> int:
        """Bytes of what a block gives."""
        return 16 * rows * self.width

    def update(self, block: Block) -> None:
        """Append what the rows of a block give."""
        self.sums["values"] = np.concatenate([self.values, self.function(block).reshape(-1, self.width)])

    def merge(self, other: Self) -> None:
        """Append what later rows gave."""
        self.sums["values"] = np.concatenate([self.values, other.values])

    @property
    def values(self) -> NDArray[np.float64]:
        """All that was gathered, (N, width)."""
        return self.sums["values"]
