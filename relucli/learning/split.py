"""The rows that models are chosen on: some to fit to, some held out, in memory or on disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from relucli.learning.student import Student, augmented
from relucli.storage.views import part
from relucli.streaming.accumulator import Block, Gathered
from relucli.streaming.fold import Engine, Rows

__all__ = ["Seen", "Split", "lifting", "lowered", "squares"]

Array = NDArray[np.float64]


def squares(student: Student, x: Array, y: Array) -> Array:
    """Squared errors of a student on rows in memory."""
    return np.asarray((y - student(x)) ** 2)


def lifting(basis: Array, bias: bool) -> Array:
    """The matrix that takes a student on the span to one in all dimensions; a bias goes to a bias."""
    return np.asarray(block_diag(basis, np.eye(1))) if bias else basis


def lowered(student: Student, basis: Array, bias: bool) -> Student:
    """The student on the span of a basis (d, r), of which its neurons and its linear part are combinations."""
    return student.lifted(np.asarray(np.linalg.pinv(lifting(basis, bias))))


def _residual(student: Student, bias: bool, block: Block) -> Array:
    return block.y - student(augmented(block.wide, bias))


def _projected(basis: Array, block: Block) -> Array:
    return np.column_stack([block.wide @ basis, block.y])


@dataclass(frozen=True)
class Seen:
    """Rows projected to a span, in memory.

    Attributes
    ----------
    basis : ndarray, shape (d, r)
    x : ndarray, shape (n, p)
        Rows to fit to, by columns; with a last column of ones if there are biases.
    y : ndarray, shape (n,)
    held_x, held_y : ndarray
        Rows held out.
    """

    basis: Array
    x: Array
    y: Array
    held_x: Array
    held_y: Array


@dataclass(frozen=True)
class Split:
    """Rows to fit to, and rows held out.

    Attributes
    ----------
    rows : Rows
        To fit to.
    held : Rows or None
        To judge by; none when only a fit without residual is looked for.
    bias : bool
        Whether there are biases.
    engine : Engine
        Runs the passes over them.
    """

    rows: Rows
    held: Rows | None
    bias: bool
    engine: Engine

    @classmethod
    def of(cls, rows: Rows, every: int, bias: bool, engine: Engine) -> Split:
        """Hold out one row in ``every``; none if it is zero."""
        if not every:
            return cls(rows, None, bias, engine)
        kept = part(rows, every, False)
        assert kept is not None
        return cls(kept, part(rows, every, True), bias, engine)

    def _gathered(self, rows: Rows | None, empty: Gathered) -> Array:
        if rows is None:
            return np.empty((0, empty.width))
        return self.engine.fold(empty, rows, "choose").values

    def seen(self, basis: Array) -> Seen:
        """The rows projected to a span (d, r): a pass."""
        empty = Gathered(partial(_projected, basis), basis.shape[1] + 1)
        kept, held = (self._gathered(rows, empty) for rows in (self.rows, self.held))
        x, held_x = (augmented(values[:, :-1], self.bias) for values in (kept, held))
        return Seen(basis, np.asfortranarray(x), kept[:, -1].copy(), held_x, held[:, -1].copy())

    def residual(self, student: Student) -> Array:
        """Labels less the student's values, on the rows to fit to."""
        return self._gathered(self.rows, Gathered(partial(_residual, student, self.bias), 1))[:, 0]

    def squares(self, student: Student) -> Array:
        """Squared errors on the rows held out."""
        return self._gathered(self.held, Gathered(partial(_residual, student, self.bias), 1))[:, 0] ** 2
