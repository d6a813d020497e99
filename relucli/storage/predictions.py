"""Files of predictions, written block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from relucli.storage.atomic import atomic_output
from relucli.storage.hdf5 import create_file
from relucli.storage.schema import PREDICTIONS, Provenance, StrPath
from relucli.storage.writer import create_column

__all__ = ["HIDDEN", "PREDICTION", "create_predictions"]

PREDICTION, HIDDEN = "prediction", "hidden"


@contextmanager
def create_predictions(
    path: StrPath, samples: int, neurons: int, provenance: Provenance, force: bool = False
) -> Iterator[Callable[[NDArray[np.float64]], None]]:
    """Create a file with ``prediction`` (n,) and, unless there are none, ``hidden`` activations (n, k).

    Parameters
    ----------
    path : path
    samples, neurons : int
        n and k.
    provenance : Provenance
    force : bool
        Whether a file that exists may be replaced.

    Yields
    ------
    callable
        Takes the next rows, (m, 1 + k): a prediction and activations each.

    Raises
    ------
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    with atomic_output(path, force) as temporary, create_file(temporary, PREDICTIONS, provenance) as file:
        prediction = create_column(file, PREDICTION, (samples,), np.float64)
        hidden = create_column(file, HIDDEN, (samples, neurons), np.float64) if neurons else None
        done = 0

        def append(rows: NDArray[np.float64]) -> None:
            nonlocal done
            at = slice(done, done + len(rows))
            prediction[at] = rows[:, 0]
            if hidden is not None:
                hidden[at] = rows[:, 1:]
            done += len(rows)

        yield append
