"""What is kept of learning: the network file, and moments that were kept before."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from relucli.errors import DataError, printable
from relucli.learning.pipeline import Learned
from relucli.moments.estimate import Moments
from relucli.moments.files import load_moments
from relucli.quantities import plain
from relucli.storage.checksums import differ
from relucli.storage.dataset import MemoryRows, StoredRows
from relucli.storage.results import write_network
from relucli.storage.schema import Provenance, StrPath

__all__ = ["moments_of", "values", "write"]


def moments_of(rows: StoredRows | MemoryRows, given: Moments | StrPath, data: StrPath = "these") -> Moments:
    """Moments, or those in a file, if they are of these rows.

    Parameters
    ----------
    rows : StoredRows or MemoryRows
    given : Moments or path
        The moments, or their file.
    data : path
        What to call the rows.

    Raises
    ------
    DataError
        If they are of other rows, or the file cannot be used.
    InputError
        If the file is missing or may not be read.
    """
    moments, checksums = (given, "") if isinstance(given, Moments) else load_moments(given)
    known = rows.checksums if isinstance(rows, StoredRows) else ""
    if moments.fingerprint == rows.fingerprint_like(moments.fingerprint) and not differ(known, checksums):
        return moments
    here, there = (f"{of.samples} rows of {of.dim} inputs" for of in (rows, moments))
    reason = "their rows differ" if here == there else f"of {there}, not {here}"
    what = "the moments were" if isinstance(given, Moments) else f"{printable(given)}:"
    raise DataError(f"{what} taken from other data than {printable(data)} ({reason}); take them again")


def values(found: Learned) -> dict[str, Any]:
    """What ``learn --json`` and the network file say of a recovered network, beside the network."""
    return {
        "neurons": found.network.neurons,
        "dim": found.network.dim,
        "samples": found.samples,
        "subspace_dim": found.subspace.basis.shape[1],
        "significant_dims": found.subspace.significant,
        "whitened": found.subspace.whitened,
        "linear_part": bool(found.network.linear.any()),
        "noise_std": found.noise_std,
        "r2": found.r2,
        "exact": bool(found.fit.quadratic.exact),
        "passes": found.passes,
        "path": [asdict(model) for model in found.path],
        "findings": [
            {"stage": item.stage, "ok": item.ok, "message": item.message} | plain(item.numbers)
            for item in found.findings
        ],
        "asked": found.options.neurons,
    }


def write(path: StrPath, found: Learned, provenance: Provenance, force: bool = False) -> None:
    """Write a network file with standard errors, the path of models and diagnostics.

    Raises
    ------
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    known = values(found)
    models = known.pop("path")
    diagnostics = known | {
        "eigenvalues": found.subspace.eigenvalues,
        "null": found.subspace.null,
        "offset_error": found.errors.offset,
        "options": asdict(found.options),
    }
    write_network(
        path,
        found.network,
        provenance=provenance,
        errors=found.errors.by_name(),
        table={name: [model[name] for model in models] for name in models[0]},
        diagnostics=diagnostics,
        force=force,
    )
