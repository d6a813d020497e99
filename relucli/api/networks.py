"""Networks: `learn`, `evaluate`, `load` and `save`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from relucli.api.common import Data, NetworkLike, engine_for, network_of, opened
from relucli.learning import pipeline, record
from relucli.learning.options import Discovery, LearnOptions, LossName
from relucli.learning.pipeline import Learned
from relucli.learning.subspace import Method, Whitening
from relucli.moments.estimate import Moments
from relucli.network import Match, PopulationError, ReluNetwork, match, population_error
from relucli.network.display import Column, as_html, as_text
from relucli.quantities import counted, number, with_error
from relucli.scoring import Score, score
from relucli.storage.results import NetworkFile, read_network, write_moments, write_network
from relucli.storage.schema import Provenance, StrPath
from relucli.streaming.fold import DEFAULT_MEMORY, Progress

__all__ = ["Evaluation", "evaluate", "learn", "load", "save"]


@dataclass(frozen=True, repr=False)
class Evaluation:
    """How well a network predicts, and how close it is to its teacher.

    Attributes
    ----------
    score : Score
        Metrics on the data, each with its standard error.
    population_error : PopulationError, optional
        E (f - g)^2 / Var g under N(0, I), g the teacher.
    matches : tuple of Match
        The teacher's neurons and those that lie closest to them.
    """

    score: Score
    population_error: PopulationError | None = None
    matches: tuple[Match, ...] = ()

    def __repr__(self) -> str:
        """The metrics with their standard errors and, of a teacher, planted beside recovered neurons."""
        return as_text(f"Evaluation({counted(self.score.samples, 'row')})", *self._shown())

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return as_html(f"Evaluation: {counted(self.score.samples, 'row')}", *self._shown())

    def _shown(self) -> tuple[list[Column], list[str]]:
        """The table of neurons, and the lines that follow it."""
        known = vars(self.score)
        notes = [f"{name}: {with_error(known[name], known[f'{name}_se'])}" for name in ("mse", "rmse", "mae", "r2")]
        if self.population_error is not None:
            notes.append(f"population error: {self.population_error.value:.2e} of the teacher's variance")
        table = {
            "planted": [str(found.teacher) for found in self.matches],
            "recovered": ["-" if found.student is None else str(found.student) for found in self.matches],
            "angle, rad": [number(found.angle) for found in self.matches],
            "coefficient error": [number(found.coefficient_error) for found in self.matches],
            "bias error": [number(found.bias_error) for found in self.matches],
        }
        return [Column(heading, cells) for heading, cells in table.items()], notes


def learn(
    data: Data,
    neurons: int | Literal["auto"] = "auto",
    *,
    max_neurons: int = 12,
    bias: bool = False,
    moments: Moments | StrPath | None = None,
    span: ArrayLike | None = None,
    subspace: Method = "sliced",
    discovery: Discovery = "auto",
    whiten: Whitening = "auto",
    starts: int = 2,
    loss: LossName = "squared",
    seed: int = 0,
    inputs: str = "x",
    labels: str = "y",
    workers: int | None = None,
    memory: int | str = DEFAULT_MEMORY,
    progress: Progress | None = None,
) -> Learned:
    """Recover the network behind a dataset.

    Parameters
    ----------
    data : path, list of paths, or pair of array_like
    neurons : int or "auto"
        k; auto lets validation choose.
    max_neurons : int
        Largest k that auto tries.
    bias : bool
        Whether neurons have biases, and the function an offset.
    moments : Moments or path, optional
        Of the same rows; the moments pass is then left out.
    span : array_like, shape (d, r), optional
        Directions, as columns, to look for neurons in the span of first, in place of those from the moments.  The fit
        that follows is in all dimensions: they need be near the neurons only.
    subspace : {"sliced", "contracted", "both"}
        Moments that find the span of the neurons.
    discovery : {"auto", "overcomplete", "iterative"}
        Route to the neurons on their span.
    whiten : {"auto", "on", "off"}
        Whether to whiten the inputs for the moments.
    starts : int
        Random starts of the discovery, and up to four times as many until the best is found twice.
    loss : {"squared", "huber"}
        huber stands heavy tails and a few percent of wrong labels.
    seed : int
    inputs, labels : str
        Names of the datasets in the files.
    workers, memory, progress
        As in `engine_for`; the network does not depend on them.

    Returns
    -------
    Learned
        With ``network``, its standard errors ``errors``, the ``path`` of models considered, ``noise_std``, ``r2`` and
        the ``findings`` of each stage.

    Raises
    ------
    UnsupportedError
        If the rows cannot support an answer.
    RelucliError
        If they cannot be read or used.

    Examples
    --------
    >>> import relucli
    >>> teacher = relucli.plant("random", dim=4, neurons=2, seed=1)
    >>> found = relucli.learn(relucli.sample(teacher, 2000), neurons=2)
    >>> found.network.neurons, relucli.evaluate(found, relucli.sample(teacher, 100, seed=2)).score.rmse < 1e-12
    (2, True)
    """
    k = None if neurons == "auto" else neurons
    options = LearnOptions(k, max_neurons, bias, subspace, discovery, whiten, starts, seed, loss)
    engine = engine_for(workers, memory, progress)
    with opened(data, inputs, labels) as rows:
        taken = None if moments is None else record.moments_of(rows, moments)
        directions = None if span is None else np.asarray(span, dtype=np.float64)
        return pipeline.learn(rows, options, engine, taken, directions)


def evaluate(
    network: NetworkLike,
    data: Data,
    teacher: NetworkLike | None = None,
    *,
    inputs: str = "x",
    labels: str = "y",
    workers: int | None = None,
    memory: int | str = DEFAULT_MEMORY,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a network on data, and compare it with its teacher.

    Parameters
    ----------
    network : ReluNetwork, NetworkFile, Learned or path
    data : path, list of paths, or pair of array_like
    teacher : ReluNetwork, NetworkFile, Learned or path, optional
    inputs, labels : str
        Names of the datasets in the files.
    workers, memory, progress
        As in `engine_for`.

    Returns
    -------
    Evaluation

    Raises
    ------
    RelucliError
        If the data cannot be read or used, or do not fit the network.

    Examples
    --------
    >>> import relucli
    >>> teacher = relucli.plant("random", dim=4, neurons=2, seed=1)
    >>> relucli.evaluate(teacher, relucli.sample(teacher, 100), teacher).matches[1].coefficient_error
    0.0
    """
    student = network_of(network)
    with opened(data, inputs, labels) as rows:
        found = score(student, rows, engine_for(workers, memory, progress))
    if teacher is None:
        return Evaluation(found)
    planted = network_of(teacher)
    return Evaluation(found, population_error(student, planted), tuple(match(student, planted)))


def load(path: StrPath) -> NetworkFile:
    """Read a network file.

    Returns
    -------
    NetworkFile
        With ``network``, the standard ``errors``, the ``path`` of models, ``diagnostics`` and ``provenance``.

    Raises
    ------
    InputError
        If it is missing or may not be read.
    DataError
        If what it holds is not a network.

    Examples
    --------
    >>> import relucli
    >>> relucli.save("teacher.h5", relucli.plant("random", dim=4, neurons=2, seed=1))
    >>> relucli.load("teacher.h5").network.neurons
    2
    """
    return read_network(path)


def save(path: StrPath, what: ReluNetwork | NetworkFile | Learned | Moments, *, force: bool = False) -> None:
    """Write a network file or a moments file: whole or not at all.

    Parameters
    ----------
    path : path
    what : ReluNetwork, NetworkFile, Learned or Moments
        What is known beside the network is kept too.
    force : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    OutputError, StorageError
        If the file exists already or cannot be written.

    Examples
    --------
    >>> import relucli
    >>> teacher = relucli.plant("random", dim=4, neurons=2, seed=1)
    >>> relucli.save("net.h5", relucli.learn(relucli.sample(teacher, 2000), neurons=2), force=True)
    """
    command = "relucli.save"
    if isinstance(what, Moments):
        provenance = Provenance(command, what.settings.seed)
        write_moments(path, what.arrays(), what.scalars(), what.fingerprint, provenance, force)
    elif isinstance(what, Learned):
        record.write(path, what, Provenance(command, what.options.seed), force)
    elif isinstance(what, NetworkFile):
        known = {"errors": what.errors, "table": what.path, "diagnostics": what.diagnostics}
        write_network(path, what.network, provenance=what.provenance or Provenance(command, 0), force=force, **known)
    else:
        write_network(path, what, provenance=Provenance(command, 0), force=force)
