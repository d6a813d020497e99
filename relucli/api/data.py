"""Rows and their moments: `sample`, `generate` and `take_moments`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from relucli import generation
from relucli.api.common import Data, NetworkLike, engine_for, network_of, opened
from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.storage.schema import StrPath
from relucli.streaming.fold import DEFAULT_MEMORY, Progress
from relucli.synthesis import Dtype, synthesize

__all__ = ["generate", "sample", "take_moments"]


def sample(
    teacher: NetworkLike, samples: int, *, noise: float = 0.0, seed: int = 0, dtype: Dtype = "float64"
) -> tuple[NDArray[np.floating], NDArray[np.float64]]:
    """Draw x ~ N(0, I) and y = teacher(x) + noise into memory: the rows that `generate` would write.

    Parameters
    ----------
    teacher : ReluNetwork, NetworkFile, Learned or path
    samples : int
        Rows.
    noise : float
        Standard deviation of the noise on the labels.
    seed : int
    dtype : {"float64", "float32"}
        Of the inputs.

    Returns
    -------
    x : ndarray, shape (samples, d)
    y : ndarray, shape (samples,), float64

    Raises
    ------
    UsageError
        If an option cannot be meant.

    Examples
    --------
    >>> import relucli
    >>> x, y = relucli.sample(relucli.plant("random", dim=4, neurons=2, seed=1), 1000, noise=0.1)
    >>> x.shape, y.shape
    ((1000, 4), (1000,))
    """
    network = network_of(teacher)
    drawn = synthesize(network, samples, seed=seed, noise=noise, dtype=dtype)
    x, y = np.empty((samples, network.dim), dtype), np.empty(samples)
    for block in drawn:
        rows = slice(block.start, block.start + len(block.y))
        x[rows], y[rows] = block.x, block.y
    return x, y


def generate(
    path: StrPath,
    teacher: NetworkLike,
    samples: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
    dtype: Dtype = "float64",
    shards: int = 1,
    force: bool = False,
    workers: int | None = None,
    memory: int | str = DEFAULT_MEMORY,
    progress: Progress | None = None,
) -> list[Path]:
    """Draw x ~ N(0, I) and y = teacher(x) + noise into HDF5 files, block by block.

    Parameters
    ----------
    path : path
        The dataset, or the name from which those of the shards are made.
    teacher : ReluNetwork, NetworkFile, Learned or path
    samples : int
        Rows.
    noise : float
        Standard deviation of the noise on the labels.
    seed : int
    dtype : {"float64", "float32"}
        Of the inputs.
    shards : int
        Files to cut the dataset into.
    force : bool
        Whether files that exist may be replaced.
    workers, memory, progress
        As in `engine_for`; rows do not depend on them.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    UsageError
        If an option cannot be meant.
    OutputError, StorageError
        If a file exists already or cannot be written.

    Examples
    --------
    >>> import relucli
    >>> relucli.generate("train.h5", relucli.plant("random", dim=4, neurons=2, seed=1), 1000, noise=0.1)
    [PosixPath('train.h5')]
    """
    outputs = generation.Outputs(Path(path), force=force, command="relucli.generate")
    recipe = generation.Recipe(samples, seed, noise, dtype, shards)
    return generation.generate(outputs, network_of(teacher), recipe, engine_for(workers, memory, progress))


def take_moments(
    data: Data,
    *,
    orders: Sequence[int] = (1, 2, 4, 6),
    contractions: int = 8,
    slices: int = 16,
    seed: int = 0,
    inputs: str = "x",
    labels: str = "y",
    workers: int | None = None,
    memory: int | str = DEFAULT_MEMORY,
    progress: Progress | None = None,
) -> Moments:
    """Take the moments of a dataset, in one pass.

    Parameters
    ----------
    data : path, list of paths, or pair of array_like
    orders : sequence of int
        Of the Hermite moments.
    contractions : int
        Random directions to contract them with; 0 leaves them out.
    slices : int
        Slices of the label; 0 leaves the slice moments out.
    seed : int
        Of the directions.
    inputs, labels : str
        Names of the datasets in the files.
    workers, memory, progress
        As in `engine_for`; moments do not depend on them.

    Returns
    -------
    Moments

    Raises
    ------
    RelucliError
        If the data cannot be read or used.

    Examples
    --------
    >>> import relucli
    >>> x, y = relucli.sample(relucli.plant("random", dim=4, neurons=2, seed=1), 1000)
    >>> found = relucli.take_moments((x, y), slices=8, contractions=0)
    >>> found.samples, found.covariance.shape
    (1000, (4, 4))
    """
    settings = MomentSettings(tuple(sorted(set(orders))), contractions, slices, seed)
    with opened(data, inputs, labels) as rows:
        return estimate_moments(rows, settings, engine_for(workers, memory, progress), rows.fingerprint)
