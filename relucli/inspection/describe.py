"""Telling what a file is: one of the project's, or any HDF5 file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relucli.errors import DataError, printable
from relucli.inspection.statistics import Statistics, column_statistics
from relucli.moments.estimate import Moments
from relucli.moments.files import load_moments
from relucli.storage.dataset import open_dataset
from relucli.storage.hdf5 import open_file, reading
from relucli.storage.links import find_dataset
from relucli.storage.listing import Entry, list_datasets
from relucli.storage.names import read_names
from relucli.storage.results import NetworkFile, read_network
from relucli.storage.schema import (
    DATASET,
    INPUTS,
    LABELS,
    MOMENTS,
    NETWORK,
    PREDICTIONS,
    Provenance,
    attribute,
    is_ours,
)
from relucli.storage.trust import Trust
from relucli.streaming.fold import Engine

__all__ = ["Description", "describe"]

LISTED = 100


@dataclass
class Description:
    """What is known of a file.

    Attributes
    ----------
    path : Path
    bytes : int
    kind : str
        dataset, moments, network, predictions or, for any other HDF5 file, hdf5.
    provenance : Provenance, optional
        None if relucli did not make it.
    datasets : list of Entry
        The first hundred HDF5 datasets.
    complete : bool
        Whether these are all.
    next : str
        A command to run next, or nothing.
    trouble : str
        Why it cannot be used as it is, or nothing.
    dim, samples : int, optional
        Inputs, and rows, of a dataset or of what moments were taken from.
    columns, label : list of str and str, optional
        Names that inputs and label had where the dataset, or that of the network, came from.
    statistics, moments, network : optional
        Of a dataset, moments and a network.
    inputs, labels : list of str
        Of a foreign file: datasets that could be passed as such.
    """

    path: Path
    bytes: int
    kind: str
    provenance: Provenance | None
    datasets: list[Entry]
    complete: bool
    next: str = ""
    trouble: str = ""
    dim: int | None = None
    samples: int | None = None
    columns: list[str] | None = None
    label: str | None = None
    statistics: Statistics | None = None
    moments: Moments | None = None
    network: NetworkFile | None = None
    inputs: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


def describe(path: Path, engine: Engine, full: bool = False, trust: Trust | None = None) -> Description:
    """Tell what a file is.

    Parameters
    ----------
    path : Path
    engine : Engine
        Runs the pass for statistics.
    full : bool
        Whether statistics are of all rows of a dataset, in place of a sample.
    trust : Trust, optional
        How far the rows of a dataset are trusted; by default nothing outside the file is read.

    Raises
    ------
    InputError, DataError, StorageError
        If it cannot be opened, or is damaged, or a file of relucli that lacks what it must have.  A dataset whose
        rows cannot be used is described, with its ``trouble``.
    """
    where = printable(path)
    with open_file(path) as file:
        entries, complete = list_datasets(file, where, LISTED)
        kind, provenance = _kind(file, where, {entry.name: entry for entry in entries})
        found = Description(path, os.stat(path).st_size, kind, provenance, entries, complete)
        if kind == "dataset":
            shape = find_dataset(file, where, INPUTS, "make the file again", trust).shape or ()
            if len(shape) == 2:
                found.samples, found.dim = map(int, shape)
                found.columns, found.label = read_names(file, where, found.dim)
    _DETAILS[kind](found, engine, full, trust)
    return found


def _kind(file: Any, where: str, entries: dict[str, Entry]) -> tuple[str, Provenance | None]:
    with reading(where, "attributes"):
        for form in (DATASET, MOMENTS, NETWORK, PREDICTIONS):
            if attribute(file, "format") == form:
                is_ours(file, where, form)  # refuses what a newer version has made
                return form.removeprefix("relucli-"), Provenance.read(file)
    if "weights" in entries and "coefficients" in entries:
        return "network", None
    if INPUTS in entries and LABELS in entries and entries[INPUTS].inputs and entries[LABELS].labels:
        return "dataset", None
    return "hdf5", None


def _dataset(found: Description, engine: Engine, full: bool, trust: Trust | None) -> None:
    file = shlex.quote(str(found.path))
    labelled = any(entry.name == LABELS for entry in found.datasets)
    # Labels from elsewhere have an offset more often than not.
    planted = found.provenance is not None and found.provenance.command.startswith(
        ("relucli generate", "relucli.generate")
    )
    bias = "" if planted else " --bias"
    found.next = f"relucli learn {file}{bias} -o net.h5" if labelled else f"relucli predict NET.h5 {file}"
    try:
        with open_dataset(found.path, INPUTS, LABELS if labelled else None, trust) as rows:
            statistics = column_statistics(rows, engine, full)
            found.statistics = statistics if labelled else replace(statistics, label=None)
    except DataError as error:
        found.trouble, found.next = str(error), ""


def _moments(found: Description, *_: Any) -> None:
    found.moments = moments = load_moments(found.path)[0]
    found.samples, found.dim = moments.samples, moments.dim
    found.next = f"relucli learn DATA.h5 --moments {shlex.quote(str(found.path))} -o net.h5"


def _network(found: Description, *_: Any) -> None:
    found.network = read_network(found.path)
    found.dim = found.network.network.dim
    found.columns = list(found.network.network.columns) or None
    found.next = f"relucli evaluate {shlex.quote(str(found.path))} DATA.h5"


def _predictions(found: Description, *_: Any) -> None:
    found.samples = next((entry.shape[0] for entry in found.datasets if entry.labels), None)


def _foreign(found: Description, *_: Any) -> None:
    """Pairs of inputs and labels of as many rows; the first is proposed.  MATLAB's are transposed."""
    if found.path.suffix.lower() == ".mat":
        found.next = f"relucli import {shlex.quote(str(found.path))} -o data.h5"
        return
    inputs, labels = ([e for e in found.datasets if getattr(e, role)] for role in ("inputs", "labels"))
    pairs = [(x, y) for x in inputs for y in labels if x.shape[0] == y.shape[0] and x is not y]
    found.inputs = list(dict.fromkeys(x.name for x, _ in pairs))
    found.labels = list(dict.fromkeys(y.name for _, y in pairs))
    if pairs:
        file, x, y = (shlex.quote(word) for word in (str(found.path), pairs[0][0].name, pairs[0][1].name))
        found.next = f"relucli learn {file} --inputs {x} --labels {y} --bias -o net.h5"


_DETAILS: dict[str, Callable[[Description, Engine, bool, Trust | None], None]] = {
    "dataset": _dataset,
    "moments": _moments,
    "network": _network,
    "predictions": _predictions,
    "hdf5": _foreign,
}
