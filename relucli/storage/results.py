"""Files of results: learned networks and moments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from relucli.errors import DataError, printable
from relucli.network import ReluNetwork
from relucli.storage.atomic import atomic_output
from relucli.storage.hdf5 import create_file, create_group, open_file, reading
from relucli.storage.links import find_dataset
from relucli.storage.schema import MOMENTS, NETWORK, Provenance, StrPath, is_ours

__all__ = ["MomentsFile", "NetworkFile", "read_moments", "read_network", "write_moments", "write_network"]

# The standard errors of a network, by the array that each belongs to.
_ERRORS = {
    "weight_errors": "coefficients",  # one angle for each row of weights
    "weight_within": "coefficients",
    "coefficient_errors": "coefficients",
    "bias_errors": "biases",
    "linear_errors": "linear",
}


@dataclass(frozen=True)
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
    """

    arrays: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    fingerprint: str
    provenance: Provenance


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
    with atomic_output(path, force) as temporary, create_file(temporary, NETWORK, provenance) as file:
        for name in ("weights", "coefficients", "biases", "linear"):
            _write_array(file, name, getattr(network, name))
        file.attrs["offset"] = network.offset
        for name, array in known.items():
            _write_array(file, name, array)
        columns = create_group(file, "path")
        for name, column in (table or {}).items():
            _write_array(columns, name, np.asarray(column))
        _write_json(file, "diagnostics", diagnostics or {})


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
    with open_file(path) as file:
        with reading(where, "attributes"):
            provenance = Provenance.read(file) if is_ours(file, where, NETWORK) else None
            offset = float(file.attrs.get("offset", 0.0))
        weights = _finite(file, where, "weights", (None, None))
        neurons, dim = weights.shape
        shapes = {
            "weights": (neurons, dim),
            "coefficients": (neurons,),
            "biases": (neurons,),
            "linear": (dim,),
        }
        optional = {"biases", "linear"} if provenance is None else set()
        parts = {
            name: _finite(file, where, name, shape)
            for name, shape in shapes.items()
            if name not in optional or name in file
        }
        errors = {
            name: _array(file, where, name, shapes[of]).astype(np.float64)
            for name, of in _ERRORS.items()
            if name in file
        }
        try:
            network = ReluNetwork(**parts, offset=offset)
        except ValueError as error:
            raise DataError(f"{where}: {error}; correct it or make it again") from error
        if provenance is None:
            return NetworkFile(network, errors)
        return NetworkFile(network, errors, _table(file, where), _json(file, where, "diagnostics"), provenance)


def write_moments(
    path: StrPath,
    arrays: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    fingerprint: str,
    provenance: Provenance,
    force: bool = False,
) -> None:
    """Write a moments file; the parameters are those of `MomentsFile`.

    Raises
    ------
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    with atomic_output(path, force) as temporary, create_file(temporary, MOMENTS, provenance) as file:
        sums = create_group(file, "moments")
        for name, array in arrays.items():
            _write_array(sums, name, np.asarray(array))
        _write_json(file, "settings", settings)
        file.attrs["fingerprint"] = fingerprint


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
    with open_file(path) as file:
        with reading(where, "attributes"):
            if not is_ours(file, where, MOMENTS):
                raise DataError(f"{where}: not a {MOMENTS} file; make one with relucli moments")
            provenance = Provenance.read(file)
            fingerprint = str(file.attrs["fingerprint"])
        with reading(where, "moments"):
            names: list[str] = []
            file["moments"].visititems(lambda name, item: names.append(name) if hasattr(item, "shape") else None)
            scalars = dict(file["moments"].attrs)
        arrays = {name: _finite(file, where, f"moments/{name}") for name in names}
        arrays |= {name: np.asarray(value) for name, value in scalars.items()}
        return MomentsFile(arrays, _json(file, where, "settings"), fingerprint, provenance)


def _write_array(group: Any, name: str, array: NDArray[Any]) -> None:
    """Store with a checksum: its own or, for a scalar, stored as an attribute, that of the group's header."""
    if array.ndim == 0:
        group.attrs[name] = array[()]
    elif array.size == 0:
        group.create_dataset(name, data=array)
    else:
        group.create_dataset(name, data=array, chunks=True, fletcher32=True)


def _write_json(file: Any, name: str, values: Mapping[str, Any]) -> None:
    text = json.dumps(dict(values), default=lambda value: value.tolist()).encode()
    # A fixed length, in a chunk: strings of variable length have no checksum.
    _write_array(file, name, np.array([text], h5py.string_dtype("utf-8", len(text))))


def _json(file: Any, where: str, name: str) -> dict[str, Any]:
    data = find_dataset(file, where, name, "make the file again")
    with reading(where, name):
        values = json.loads(bytes(data[0]))
        if not isinstance(values, dict):
            raise ValueError(name)
    return values


def _array(file: Any, where: str, name: str, shape: tuple[int | None, ...] | None = None) -> NDArray[Any]:
    data = find_dataset(file, where, name, "is this the right file?")
    with reading(where, name):
        if data.dtype.kind not in "biuf":
            raise DataError(f"{where}: {printable(name)} does not hold real numbers; make the file again")
        if shape is not None and not _matches(data.shape, shape):
            wanted = ", ".join("any" if size is None else str(size) for size in shape)
            raise DataError(f"{where}: {name} has shape {data.shape}, but must have ({wanted}); make the file again")
        array: NDArray[Any] = np.asarray(data[()])
    return array


def _matches(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(b in (None, a) for a, b in zip(found, wanted, strict=True))


def _finite(file: Any, where: str, name: str, shape: tuple[int | None, ...] | None = None) -> NDArray[Any]:
    array = _array(file, where, name, shape)
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = tuple(int(i) for i in bad[0])
        raise DataError(f"{where}: {printable(name)}{list(at)} is {array[at]}; make the file again")
    return array


def _table(file: Any, where: str) -> dict[str, NDArray[Any]]:
    with reading(where, "path"):
        names = list(file["path"])
    table = {name: _array(file, where, f"path/{name}", (None,)) for name in names}
    if len({len(column) for column in table.values()}) > 1:
        raise DataError(f"{where}: columns of path differ in length; make the file again")
    return table
