"""Files of results: learned networks and moments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from relucli.errors import DataError, printable
from relucli.network import ReluNetwork
from relucli.network.display import as_html, as_text, neuron_columns, summary
from relucli.storage.atomic import atomic_output
from relucli.storage.contents import Contents, create_contents, open_contents
from relucli.storage.hdf5 import reading
from relucli.storage.names import encoded
from relucli.storage.schema import COLUMNS, MOMENTS, NETWORK, Provenance, StrPath

__all__ = ["MomentsFile", "NetworkFile", "read_moments", "read_network", "write_moments", "write_network"]

# The standard errors of a network, by the array that each belongs to.
_ERRORS = {
    "weight_errors": "coefficients",  # one angle for each row of weights
    "weight_within": "coefficients",
    "coefficient_errors": "coefficients",
    "bias_errors": "biases",
    "linear_errors": "linear",
}


@dataclass(frozen=True, repr=False)
class NetworkFile:
    """What a network file holds.

    Attributes
    ----------
    network : ReluNetwork
    errors : dict of ndarray
        Standard errors, nan where unknown: any of ``weight_errors`` (k,), the root mean square angle of each row of
        weights in radians, ``weight_within`` (k,), the angle that 95 % of estimates stay within,
        ``coefficient_errors`` (k,), ``bias_errors`` (k,) and ``linear_errors`` (d,).
    path : dict of ndarray
        Columns of equal length, a row for each model considered: ``neurons``, ``validation_mse`` and others.
    diagnostics : dict
        What JSON can say.
    provenance : Provenance, optional
        None in a file that relucli did not make.
    """

    network: ReluNetwork
    errors: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    path: dict[str, NDArray[Any]] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    provenance: Provenance | None = None

    def __repr__(self) -> str:
        """The network, with its standard errors, and what made the file."""
        return as_text(f"NetworkFile({summary(self.network)})", neuron_columns(self.network, self.errors), self._made())

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        return as_html(f"NetworkFile: {summary(self.network)}", neuron_columns(self.network, self.errors), self._made())

    def _made(self) -> list[str]:
        return [] if self.provenance is None else [f"made by: {printable(self.provenance.command)}"]


@dataclass(frozen=True)
class MomentsFile:
    """What a moments file holds.

    Attributes
    ----------
    arrays : dict of ndarray
        Sums and settings that are arrays, by name.
    settings : dict
        Numbers and strings, by name.
    fingerprint : str
        Of the rows that the moments were taken from.
    provenance : Provenance
    checksums : str
        Of the files that held the rows, see `relucli.storage.checksums`; empty if there were none.
    """

    arrays: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    fingerprint: str
    provenance: Provenance
    checksums: str = ""


def write_network(
    path: StrPath,
    network: ReluNetwork,
    *,
    provenance: Provenance,
    errors: Mapping[str, ArrayLike | None] | None = None,
    table: Mapping[str, ArrayLike] | None = None,
    diagnostics: Mapping[str, Any] | None = None,
    force: bool = False,
) -> None:
    """Write a network file.

    Parameters
    ----------
    path : path
    network : ReluNetwork
    provenance : Provenance
    errors : mapping, optional
        Standard errors as in `NetworkFile`; those that are None are left out.
    table : mapping, optional
        The path of models as in `NetworkFile`.
    diagnostics : mapping, optional
    force : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    known = {name: np.asarray(value, np.float64) for name, value in (errors or {}).items() if value is not None}
    for name, array in known.items():
        if array.shape != getattr(network, _ERRORS[name]).shape:
            raise ValueError(f"{name} has shape {array.shape}, unlike {_ERRORS[name]}")
    with atomic_output(path, force) as temporary, create_contents(temporary, NETWORK, provenance) as file:
        for name in ("weights", "coefficients", "biases", "linear"):
            file.array(name, getattr(network, name))
        file.attribute("offset", network.offset)
        if network.columns:
            file.array(COLUMNS, encoded(network.columns))
        for name, array in known.items():
            file.array(name, array)
        file.group("path")
        for name, column in (table or {}).items():
            file.array(f"path/{name}", np.asarray(column))
        file.json("diagnostics", diagnostics or {})


def read_network(path: StrPath) -> NetworkFile:
    """Read a network file, or any HDF5 file with ``weights`` and ``coefficients``: the rest may be absent.

    Raises
    ------
    InputError
        If it is missing or may not be read.
    DataError
        If it is not a network file, or what it holds is not a network.
    """
    where = printable(path)
    with open_contents(path, NETWORK) as file:
        with reading(where, "offset"):
            offset = float(file.attribute("offset", 0.0))
        weights = file.array("weights", (None, None))
        neurons, dim = weights.shape
        shapes = {"coefficients": (neurons,), "biases": (neurons,), "linear": (dim,)}
        parts: dict[str, Any] = {
            name: file.array(name, shape)
            for name, shape in shapes.items()
            if name == "coefficients" or file.provenance or name in file
        }
        errors = {
            name: file.array(name, shapes[of], finite=False).astype(np.float64)
            for name, of in _ERRORS.items()
            if name in file
        }
        columns = tuple(file.texts(COLUMNS, (dim,))) if file.provenance and COLUMNS in file else ()
        try:
            network = ReluNetwork(weights, **parts, offset=offset, columns=columns)
        except ValueError as error:
            raise DataError(f"{where}: {error}; correct it or make it again") from error
        if file.provenance is None:
            return NetworkFile(network, errors)
        return NetworkFile(network, errors, _table(file), file.json("diagnostics"), file.provenance)


def write_moments(
    path: StrPath,
    arrays: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    fingerprint: str,
    provenance: Provenance,
    force: bool = False,
    checksums: str = "",
) -> None:
    """Write a moments file; the parameters are those of `MomentsFile`.

    Raises
    ------
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    with atomic_output(path, force) as temporary, create_contents(temporary, MOMENTS, provenance) as file:
        file.group("moments")
        for name, array in arrays.items():
            file.array(f"moments/{name}", np.asarray(array))
        file.json("settings", settings)
        file.attribute("fingerprint", fingerprint)
        file.attribute("checksums", checksums)


def read_moments(path: StrPath) -> MomentsFile:
    """Read a moments file.

    Raises
    ------
    InputError
        If it is missing or may not be read.
    DataError
        If it is not a moments file, or a damaged one.
    """
    where = printable(path)
    with open_contents(path, MOMENTS) as file:
        if file.provenance is None:
            raise DataError(f"{where}: not a {MOMENTS} file; make one with relucli moments")
        arrays = {name: file.array(f"moments/{name}") for name in file.names("moments")}
        fingerprint, checksums = (str(file.attribute(name, "")) for name in ("fingerprint", "checksums"))
        return MomentsFile(arrays, file.json("settings"), fingerprint, file.provenance, checksums)


def _table(file: Contents) -> dict[str, NDArray[Any]]:
    """The path of models."""
    table = {name: file.array(f"path/{name}", (None,), finite=False) for name in file.names("path")}
    if len({len(column) for column in table.values()}) > 1:
        raise DataError(f"{file.where}: columns of path differ in length; make the file again")
    return table
