"""What a network predicts for rows, streamed in their order into a file or as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relucli.network import ReluNetwork
from relucli.storage.atomic import atomic_output
from relucli.storage.columns import check_takes
from relucli.storage.predictions import HIDDEN, PREDICTION, create_predictions
from relucli.storage.schema import Provenance
from relucli.streaming.accumulator import Block, Gathered
from relucli.streaming.blocks import group_rows
from relucli.streaming.fold import Engine, Rows

__all__ = ["as_csv", "predict", "write_predictions"]

Floats = NDArray[np.float64]


class _Predictions(Gathered):
    """A prediction for each row of a group, and the activations of ``hidden`` neurons."""

    def __init__(self, network: ReluNetwork, hidden: int, group: int) -> None:
        self.network, self.hidden, self.group = network, hidden, group
        super().__init__(self._values, 1 + hidden)

    def _values(self, block: Block) -> Floats:
        values = self.network(block.x)
        return np.column_stack([values, self.network.hidden(block.x)]) if self.hidden else values

    def held(self, groups: int, rows: int) -> int:
        """Nothing: groups are handed on one by one."""
        return 0

    def scratch(self, rows: int) -> int:
        """Bytes of two groups, one being made while one waits, and of a block while it is computed."""
        return 8 * (2 * self.group * self.width + rows * (2 * self.width + self.network.neurons))


def predict(network: ReluNetwork, rows: Rows, engine: Engine, hidden: bool = False) -> Iterator[Floats]:
    """Predictions for rows, a group of rows at a time and in their order: one pass.

    Parameters
    ----------
    network : ReluNetwork
    rows : Rows
    engine : Engine
    hidden : bool
        Whether activations are wanted too.

    Yields
    ------
    ndarray, shape (m, 1) or (m, 1 + k)
        A prediction for each row and, if wanted, max(0, <w_i, x> + b_i) for each neuron.

    Raises
    ------
    DataError
        If the network takes inputs of another dimension than the rows have, or a prediction overflows.
    """
    check_takes(network, rows)
    group = min(group_rows(rows.dim), rows.samples)
    empty = _Predictions(network, network.neurons if hidden else 0, group)
    return (part.values for part in engine.stream(empty, rows, "predict"))


def as_csv(predictions: Iterator[Floats], write: Callable[[str], object]) -> None:
    """Write predictions as lines of numbers, which read back to the bit, under a line of names."""
    for i, values in enumerate(predictions):
        if i == 0:
            names = [PREDICTION, *(f"{HIDDEN}_{j}" for j in range(values.shape[1] - 1))]
            write(",".join(names) + "\n")
        write("".join(",".join(map(repr, row)) + "\n" for row in values.tolist()))


def write_predictions(
    path: Path,
    network: ReluNetwork,
    rows: Rows,
    engine: Engine,
    *,
    hidden: bool,
    provenance: Provenance,
    force: bool = False,
) -> None:
    """Write predictions to a file: CSV if its name ends so, else HDF5.

    Raises
    ------
    DataError
        As `predict`.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    predictions = predict(network, rows, engine, hidden)
    if path.suffix.lower() == ".csv":
        with atomic_output(path, force) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
            as_csv(predictions, file.write)
        return
    neurons = network.neurons if hidden else 0
    with create_predictions(path, rows.samples, neurons, provenance, force) as append:
        for values in predictions:
            append(values)
