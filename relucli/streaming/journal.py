"""What an engine tells of its passes, so that a later run need not take them again."""

from __future__ import annotations

from typing import Protocol, TypeVar

from relucli.streaming.accumulator import Accumulator

__all__ = ["Journal", "Nodes"]

A = TypeVar("A", bound=Accumulator)

Nodes = list[tuple[int, A]]
"""Sums over consecutive runs of groups, each with their number: powers of two that fall from one to the next."""


class Journal(Protocol):
    """Follows the passes of an engine in their order, which is the same in each run."""

    def begin(self, name: str, empty: A) -> Nodes[A]:
        """What an earlier run had folded of the next pass: no nodes if nothing, a single one if all of it."""
        ...

    def reached(self, nodes: Nodes[A]) -> None:
        """So far has the pass come."""
        ...

    def merging(self) -> None:
        """The nodes are about to change, until the pass has `reached` more."""
        ...

    def end(self, groups: int, total: A) -> None:
        """The pass over so many groups is done; the total does not change any more."""
        ...
