"""A journal of passes in a checkpoint: the sums of those that are done, and how far the last has come."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import NDArray

from relucli.errors import DataError, printable
from relucli.storage.checkpoint import Checkpoint
from relucli.streaming.accumulator import Accumulator
from relucli.streaming.journal import Nodes

__all__ = ["SavedPasses"]

A = TypeVar("A", bound=Accumulator)

PENDING_BYTES = 128 * 2**20
"""Of passes that are done but not yet written: beyond that they are."""

QUICK_BYTES = 256 * 2**20
"""What an interrupt still writes."""

Entry = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def _fits(found: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether an array is a sum of that shape, or rows gathered to an array that starts without any."""
    return found.shape == shape or (shape[:1] == (0,) and found.shape[1:] == shape[1:])


class SavedPasses:
    """Implements `relucli.streaming.journal.Journal`.

    Parameters
    ----------
    checkpoint : Checkpoint
        Where passes are saved, and come from if a run goes on.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._number, self._name = -1, ""
        self._restored: list[int] = []
        self._done: dict[str, Entry] = {}
        self._nodes: Nodes[Any] = []
        checkpoint.last_word = self._last_word

    @property
    def _entry(self) -> str:
        return f"pass-{self._number:05d}"

    def begin(self, name: str, empty: A) -> Nodes[A]:
        """What an earlier run had folded of the next pass.

        Raises
        ------
        DataError
            If it was another pass, as only damage could make it.
        """
        self._number, self._name, self._restored = self._number + 1, name, []
        found = self._checkpoint.load(self._entry)
        if found is None:
            return []
        about, arrays = found
        sizes = self._restored = [int(size) for size in about["sizes"]]
        try:
            parts = [{key: arrays[f"{i}/{key}"] for key in empty.sums} for i in range(len(sizes))]
        except KeyError:
            parts = []
        shapes = empty.shapes()
        if (
            about["name"] != name
            or not all(_fits(part[key], shapes[key]) for part in parts for key in part)
            or not parts
        ):
            raise DataError(
                f"{printable(self._checkpoint.folder)}: {self._entry} does not fit; leave --resume out to start afresh"
            )
        return [(size, empty.filled(part)) for size, part in zip(sizes, parts, strict=True)]

    def reached(self, nodes: Nodes[A]) -> None:
        """So far has the pass come."""
        self._nodes = list(nodes)
        if self._checkpoint.due:
            self._save()

    def merging(self) -> None:
        """The nodes are about to change."""
        self._nodes = []

    def end(self, groups: int, total: A) -> None:
        """The pass is done."""
        self._nodes = []
        if self._restored == [groups]:  # it is saved already
            return
        self._done[self._entry] = self._packed([(groups, total)])
        pending = sum(array.nbytes for _, arrays in self._done.values() for array in arrays.values())
        if self._checkpoint.due or pending > PENDING_BYTES:
            self._save()

    def _packed(self, nodes: Nodes[Any]) -> Entry:
        arrays = {f"{i}/{key}": total for i, (_, part) in enumerate(nodes) for key, total in part.sums.items()}
        return {"name": self._name, "sizes": [size for size, _ in nodes]}, arrays

    def _save(self) -> None:
        entries = self._done | ({self._entry: self._packed(self._nodes)} if self._nodes else {})
        self._checkpoint.save(entries)
        self._done = {}

    def _last_word(self) -> None:
        """On an interrupt, what is quick to write."""
        size = sum(part.nbytes for _, part in self._nodes)
        if (self._nodes or self._done) and size < QUICK_BYTES:
            self._save()
