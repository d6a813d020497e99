"""All that a report draws on, gathered from files, with one pass over the rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, about, printable
from relucli.learning.subspace import Method, Subspace, estimate_subspace
from relucli.moments.files import load_moments
from relucli.network import Match, ReluNetwork, match, population_error
from relucli.report.survey import Survey, survey
from relucli.storage.atomic import io_error
from relucli.storage.columns import check_takes
from relucli.storage.dataset import open_dataset
from relucli.storage.hdf5 import read_provenance
from relucli.storage.results import NetworkFile, read_network
from relucli.storage.schema import Provenance
from relucli.storage.trust import Trust
from relucli.streaming.fold import Engine

__all__ = ["Eigenvalues", "Material", "Sources", "gather"]

Array = NDArray[np.float64]

SUMMARY_DIRECTIONS = 3


@dataclass(frozen=True)
class Sources:
    """Files to report on.

    Attributes
    ----------
    network : Path
    data : tuple of Path
        One dataset; may be empty.
    moments, teacher : Path, optional
    dimension : Path, optional
        What ``relucli dimension --json`` printed.
    inputs, labels : str
        Names of the columns of the data.
    trust : Trust
        How far the data are trusted.
    """

    network: Path
    data: tuple[Path, ...] = ()
    moments: Path | None = None
    teacher: Path | None = None
    dimension: Path | None = None
    inputs: str = "x"
    labels: str = "y"
    trust: Trust = field(default_factory=Trust)

    @property
    def paths(self) -> list[Path]:
        """All files, in the order of the work."""
        others = (*self.data, self.moments, self.network, self.teacher, self.dimension)
        return [path for path in others if path is not None]


@dataclass(frozen=True)
class Eigenvalues:
    """Eigenvalues of the stacked moments, largest first, and what independent labels would give.

    Attributes
    ----------
    values : ndarray, shape (m,)
    null : float
    low, high : ndarray, shape (m,), optional
        Bands.
    """

    values: Array
    null: float
    low: Array | None = None
    high: Array | None = None


@dataclass(frozen=True)
class Material:
    """What there is to show; None where files do not tell.

    Attributes
    ----------
    name : str
        Of the network's file.
    file : NetworkFile
    eigenvalues : Eigenvalues, optional
    directions : ndarray, shape (d, m)
        Of the span, the first ones.
    origin : str
        Where the directions come from, in words.
    rows : Survey, optional
    teacher : ReluNetwork, optional
    matches : tuple of Match
        Planted beside recovered neurons.
    population_error : float, optional
        Relative to the variance of the teacher.
    dimension : dict
        What ``relucli dimension --json`` printed.
    sources : tuple of (str, Provenance or None)
        Names of the files, and what made them.
    """

    name: str
    file: NetworkFile
    eigenvalues: Eigenvalues | None = None
    directions: Array = field(default_factory=lambda: np.empty((0, 0)))
    origin: str = ""
    rows: Survey | None = None
    teacher: ReluNetwork | None = None
    matches: tuple[Match, ...] = ()
    population_error: float | None = None
    dimension: dict[str, Any] = field(default_factory=dict)
    sources: tuple[tuple[str, Provenance | None], ...] = ()

    @property
    def network(self) -> ReluNetwork:
        """What was learned."""
        return self.file.network


def gather(sources: Sources, engine: Engine) -> Material:
    """Read the files and look at the rows.

    Raises
    ------
    InputError, DataError, StorageError
        If a file cannot be read, does not hold what it should, or does not belong to the network.
    """
    file = read_network(sources.network)
    _check_record(printable(sources.network), file)
    network = file.network
    span = None if sources.moments is None else _span(sources.moments, network)
    dimension = {} if sources.dimension is None else _read_json(sources.dimension)
    directions, origin = _directions(network, span)
    teacher, matches, error = None, [], None
    if sources.teacher is not None:
        teacher = read_network(sources.teacher).network
        _check_dim(sources.teacher, teacher.dim, network)
        matches, error = match(network, teacher), population_error(network, teacher).value
    rows = None
    if sources.data:
        with open_dataset(sources.data, sources.inputs, sources.labels, sources.trust) as stored:
            _check_dim(sources.data[0], stored.dim, network)
            with about(*sources.data):
                check_takes(network, stored)
            rows = survey(network, directions, stored, engine)
    return Material(
        name=printable(sources.network.name),
        file=file,
        eigenvalues=_eigenvalues(file, span, dimension),
        directions=directions,
        origin=origin,
        rows=rows,
        teacher=teacher,
        matches=tuple(matches),
        population_error=error,
        dimension=dimension,
        sources=tuple((printable(path), _made(path, sources, dimension)) for path in sources.paths),
    )


def _check_record(where: str, file: NetworkFile) -> None:
    """Whether what a network file says beside the network is what ``relucli learn`` writes."""
    known, path = file.diagnostics, file.path
    try:
        numbers = [float(known[name]) for name in ("samples", "noise_std", "r2", "null") if known.get(name) is not None]
        values = np.asarray(known.get("eigenvalues", []), float)
        for item in known.get("findings", []):
            _ = item["stage"], item["ok"], item["message"]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{where}: diagnostics are not what relucli learn writes; make the file again") from error
    if values.ndim != 1 or not np.isfinite([*values, *numbers]).all():
        raise DataError(f"{where}: diagnostics hold numbers that are not finite; make the file again")
    if path and not {"neurons", "validation_mse"} <= path.keys():
        raise DataError(f"{where}: path lacks neurons or validation_mse; make the file again")


def _made(path: Path, sources: Sources, dimension: dict[str, Any]) -> Provenance | None:
    if path != sources.dimension:
        return read_provenance(path)
    command, seed, version = (dimension.get(name) for name in ("command", "seed", "relucli_version"))
    if isinstance(command, str) and isinstance(seed, int) and isinstance(version, str):
        return Provenance(command, seed, version)
    return None


def _check_dim(path: Path, dim: int, network: ReluNetwork) -> None:
    if dim != network.dim:
        raise DataError(
            f"{printable(path)}: {dim} inputs, but the network takes {network.dim}; do they belong together?"
        )


def _span(path: Path, network: ReluNetwork) -> Subspace:
    """The span that the moments alone tell of."""
    moments = load_moments(path)[0]
    _check_dim(path, moments.dim, network)
    method: Method = "sliced" if moments.settings.slices else "contracted"
    found = estimate_subspace(moments, method, "auto", max(SUMMARY_DIRECTIONS, network.neurons))
    return found.in_file_units(moments.scaling)


def _directions(network: ReluNetwork, span: Subspace | None) -> tuple[Array, str]:
    """The first directions of the span of the moments or, without any, of the vectors c_i w_i and the linear part."""
    if span is not None:
        return span.basis[:, :SUMMARY_DIRECTIONS], "the moments"
    vectors = np.vstack([network.coefficients[:, None] * network.weights, network.linear])
    _, sizes, rows = np.linalg.svd(vectors, full_matrices=False)
    used = rows[: min(SUMMARY_DIRECTIONS, int((sizes > 1e-9 * sizes[0]).sum()))]
    return np.ascontiguousarray(used.T), "the neurons"


def _eigenvalues(file: NetworkFile, span: Subspace | None, dimension: dict[str, Any]) -> Eigenvalues | None:
    if dimension:
        columns = [np.array([row[name] for row in dimension["eigenvalues"]]) for name in ("value", "low", "high")]
        return Eigenvalues(columns[0], float(dimension["null"]), columns[1], columns[2])
    if span is not None:
        return Eigenvalues(span.eigenvalues, span.null)
    if {"eigenvalues", "null"} <= file.diagnostics.keys():
        return Eigenvalues(np.array(file.diagnostics["eigenvalues"], float), float(file.diagnostics["null"]))
    return None


def _read_json(path: Path) -> dict[str, Any]:
    """What ``relucli dimension --json`` printed."""
    name = printable(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        rows = values["eigenvalues"], values["tests"]
        complete = all({"value", "low", "high"} <= row.keys() for row in rows[0]) and "null" in values
        if complete and all({"dim", "statistic", "p_value"} <= row.keys() for row in rows[1]):
            return dict(values)
    except OSError as error:
        raise io_error(error, path, writing=False) from error
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise DataError(f"{name}: not what relucli dimension --json prints; make it again")
