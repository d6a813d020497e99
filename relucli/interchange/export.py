"""Writing a network in a format of other tools, chosen by the ending of the name."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from relucli.errors import DataError, UsageError, printable
from relucli.interchange.onnx import onnx_model
from relucli.interchange.safetensors import sequential_tensors
from relucli.storage.atomic import atomic_output
from relucli.storage.results import NetworkFile
from relucli.storage.schema import FORMAT_VERSION, NETWORK

__all__ = ["FORMATS", "FloatType", "Parts", "export", "format_of"]

FloatType = Literal["float64", "float32"]

FORMULA = "f(x) = offset + <linear, x> + sum over i of coefficients[i] * max(0, <weights[i], x> + biases[i])"


@dataclass(frozen=True)
class Parts:
    """The arrays of a network, in the dtype that they are to be written in.

    Attributes
    ----------
    arrays : dict of ndarray
        ``weights`` (k, d), ``coefficients`` (k,), ``biases`` (k,), ``linear`` (d,) and ``offset`` ().
    columns : tuple of str
        Names of the inputs, or none.
    errors : dict of ndarray
        Standard errors, as in `relucli.storage.results.NetworkFile`.
    provenance : dict
        What made the network, where that is known: ``command``, ``seed`` and ``relucli_version``.
    """

    arrays: dict[str, NDArray[Any]]
    columns: tuple[str, ...]
    errors: dict[str, NDArray[np.float64]]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, file: NetworkFile, dtype: FloatType) -> Parts:
        """Round the arrays of a network file.

        Raises
        ------
        DataError
            If a number does not fit the dtype.
        """
        network, made = file.network, file.provenance
        arrays = {}
        for name in ("weights", "coefficients", "biases", "linear", "offset"):
            exact = np.asarray(getattr(network, name))
            with np.errstate(over="ignore"):
                arrays[name] = exact.astype(dtype)
            bad = np.argwhere(~np.isfinite(arrays[name]))
            if len(bad):
                at = "".join(f"[{i}]" for i in bad[0])
                raise DataError(f"{name}{at} is {exact[tuple(bad[0])]:g}, beyond {dtype}; pass --dtype float64")
        provenance: dict[str, Any] = {}
        if made is not None:
            provenance = {"command": made.command, "seed": made.seed, "relucli_version": made.version}
        return cls(arrays, network.columns, file.errors, provenance)


def _npz(parts: Parts) -> bytes:
    """A ZIP archive of arrays, none of them pickled; names as strings, provenance as strings of no dimension."""
    buffer = io.BytesIO()
    names = {"columns": np.array(parts.columns)} if parts.columns else {}
    arrays: dict[str, Any] = parts.arrays | names | parts.errors | parts.provenance
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _json(parts: Parts) -> bytes:
    """An object whose numbers are written with as many digits as it takes to read back the same bits."""
    neurons, dim = parts.arrays["weights"].shape
    document = {
        "format": NETWORK,
        "format_version": FORMAT_VERSION,
        "formula": FORMULA,
        "neurons": neurons,
        "dim": dim,
        "columns": parts.columns or None,
        **{name: array.tolist() for name, array in parts.arrays.items()},
        "errors": {name: _nulls(array) for name, array in parts.errors.items()},
        "provenance": parts.provenance,
    }
    lines = (f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in document.items())
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _nulls(errors: NDArray[np.float64]) -> list[float | None]:
    """Standard errors, with null for those that are not known."""
    return [value if math.isfinite(value) else None for value in errors.tolist()]


def _onnx(parts: Parts) -> bytes:
    return onnx_model(parts.arrays, parts.provenance)


def _safetensors(parts: Parts) -> bytes:
    return sequential_tensors(parts.arrays, parts.provenance)


FORMATS: dict[str, Callable[[Parts], bytes]] = {
    ".onnx": _onnx,
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".json": _json,
}


def format_of(path: Path, dtype: FloatType) -> str:
    """The format that the name of an output asks for, as its ending.

    Raises
    ------
    UsageError
        If there is none, or it cannot hold the dtype.
    """
    ending = path.suffix.lower()
    if ending not in FORMATS:
        *most, last = FORMATS
        raise UsageError(f"{printable(path)}: not a format to export to; end the name in {', '.join(most)} or {last}")
    if ending == ".json" and dtype != "float64":
        raise UsageError(f"--dtype {dtype}: JSON is written to the last digit; leave --dtype out")
    return ending


def export(file: NetworkFile, path: Path, dtype: FloatType = "float64", force: bool = False) -> None:
    """Write a network in the format that the name asks for.

    Parameters
    ----------
    file : NetworkFile
    path : Path
        Ends in one of ``FORMATS``.
    dtype : {"float64", "float32"}
    force : bool
        Whether a file that exists may be replaced.

    Raises
    ------
    UsageError
        As `format_of`, or if a package that the format needs is not installed.
    DataError
        If a number does not fit the dtype.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    content = FORMATS[format_of(path, dtype)](Parts.of(file, dtype))
    with atomic_output(path, force) as temporary:
        temporary.write_bytes(content)
