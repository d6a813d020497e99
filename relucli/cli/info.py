"""``relucli info``: what a file is, what is in it, and what to do with it next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relucli.cli import options
from relucli.cli.options import AllowExternal, Json, Memory, Quiet, Workers
from relucli.cli.render import View, columns, counted, facts, neurons_table, number, size
from relucli.errors import printable

if TYPE_CHECKING:
    from relucli.inspection.describe import Description
    from relucli.inspection.statistics import Column, Statistics

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="HDF5 files, made by relucli or not.")]
Full = Annotated[bool, typer.Option("--full", help="Statistics of all rows, in place of a sample.")]

KINDS = {
    "dataset": "dataset",
    "moments": "moments",
    "network": "network",
    "predictions": "predictions",
    "hdf5": "HDF5 file of no kind that relucli knows",
}
MOST_COLUMNS = 12


def info(
    files: Files,
    full: Full = False,
    allow_external: AllowExternal = False,
    as_json: Json = False,
    quiet: Quiet = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
) -> None:
    """Tell what files are, what is in them, and what to run next.

    Of files that relucli made, and of any other HDF5 file: shapes, storage, what made it, statistics of every column,
    neurons and findings.  Statistics are those of a sample of rows, unless --full.

    Examples:

    \b
      relucli info train.h5 net.h5
      relucli info --full train.h5
    """
    from relucli.inspection.describe import describe

    view = View(as_json, quiet)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        trust = options.trust(allow_external, engine)
        found = [describe(path, engine, full, trust) for path in files]
    view.result({"files": [_values(item) for item in found]}, lambda: _drawn(found))


def _values(found: Description) -> dict[str, Any]:
    made = found.provenance
    values: dict[str, Any] = {
        "path": found.path,
        "bytes": found.bytes,
        "kind": found.kind,
        "provenance": made and {"command": made.command, "seed": made.seed, "relucli_version": made.version},
        "datasets": [asdict(entry) for entry in found.datasets],
        "complete": found.complete,
    }
    values |= {name: getattr(found, name) for name in ("samples", "dim") if getattr(found, name) is not None}
    values |= {"columns": found.columns} if found.columns else {}
    values |= {"label": found.label} if found.label else {}
    values |= {"statistics": asdict(found.statistics)} if found.statistics else {}
    if found.moments is not None:
        values |= asdict(found.moments.settings) | {"standard_inputs": found.moments.standard}
    if found.network is not None:
        network = found.network.network
        values |= {
            "neurons": network.neurons,
            "coefficients": network.coefficients,
            "biases": network.biases,
            "offset": network.offset,
            "linear_part": bool(network.linear.any()),
            "errors": found.network.errors,
            "diagnostics": found.network.diagnostics,
        }
    if found.kind == "hdf5":
        values |= {"inputs": found.inputs, "labels": found.labels}
    return values | {"trouble": found.trouble or None, "next": found.next or None}


def _drawn(found: list[Description]) -> Iterator[Any]:
    for i, item in enumerate(found):
        if i:
            yield ""
        yield facts(**_facts(item))
        if item.kind not in ("moments", "network"):
            yield _datasets(item)
        if item.statistics is not None:
            yield _statistics(item, item.statistics)
        if item.network is not None:
            yield neurons_table(item.network.network, item.network.errors)
            yield from _findings(item.network.diagnostics)
        if item.trouble:
            yield facts(trouble=printable(item.trouble))
        if item.next:
            yield facts(next=printable(item.next))


def _facts(found: Description) -> dict[str, str]:
    lines = {"file": f"{printable(found.path)}, {size(found.bytes)}", "kind": KINDS[found.kind]}
    if found.provenance is not None:
        made = found.provenance
        lines["made_by"] = f"{printable(made.command)} (seed {made.seed}, version {printable(made.version)})"
    if found.samples is not None:
        lines["rows"] = f"{found.samples:,}" + (f" of {counted(found.dim, 'input')}" if found.dim else "")
    if found.label:
        lines["label"] = printable(found.label)
    if found.moments is not None:
        settings = found.moments.settings
        orders = ", ".join(map(str, settings.orders))
        lines["moments"] = (
            f"orders {orders} along {counted(settings.contractions, 'direction')}; {counted(settings.slices, 'slice')}"
        )
        lines["inputs"] = "as from N(0, I)" if found.moments.standard else "not N(0, I): they will be whitened"
        mean, sd = found.moments.label_mean, found.moments.label_variance**0.5
        lines["labels"] = "mean {}, sd {}".format(*(number(found.moments.scaling.label(v)) for v in (mean, sd)))
    if found.network is not None:
        network, saw = found.network.network, found.network.diagnostics
        shape = f"{counted(network.neurons, 'neuron')} of {counted(network.dim, 'input')}"
        plane = ", and a linear part" if network.linear.any() else ""
        lines["network"] = f"{shape}{plane}; offset {number(network.offset)}"
        if {"samples", "r2", "noise_std"} <= saw.keys():
            lines["fit"] = (
                f"r2 {saw['r2']:.6f}, residual sd {number(saw['noise_std'])}, {counted(saw['samples'], 'row')}"
            )
    if found.kind == "hdf5" and not found.next.startswith("relucli import"):
        lines["could_be"] = (
            f"inputs: {', '.join(map(printable, found.inputs))}; labels: {', '.join(map(printable, found.labels))}"
            if found.inputs
            else "no dataset: it takes a 2-D and a 1-D one of real numbers and as many rows"
        )
    return lines


def _datasets(found: Description) -> Any:
    table = columns("HDF5 datasets", "<name", "<shape", "<dtype", "<chunks", "<filters", "on disk")
    for entry in found.datasets:
        chunks = "-" if entry.chunks is None else _shape(entry.chunks)
        filters = ", ".join(map(printable, entry.filters)) or "-"
        table.add_row(printable(entry.name), _shape(entry.shape), entry.dtype, chunks, filters, size(entry.bytes))
    if not found.complete:
        table.add_row("...", "", "", "", "", "")
    return table


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _statistics(found: Description, stats: Statistics) -> Any:
    rows = "all rows" if stats.rows == found.samples else f"{stats.rows:,} rows; --full takes all"
    table = columns(f"Columns ({rows})", "<", "mean", "sd", "min", "max")
    names = found.columns or [f"x{i}" for i in range(len(stats.inputs))]
    if stats.label is not None:
        table.add_row(printable(found.label or "y"), *_row(stats.label))
    for name, column in list(zip(names, stats.inputs, strict=True))[:MOST_COLUMNS]:
        table.add_row(printable(name), *_row(column))
    if len(stats.inputs) > MOST_COLUMNS:
        rest = stats.inputs[MOST_COLUMNS:]
        ends = [[getattr(column, name) for column in rest] for name in ("mean", "sd", "min", "max")]
        table.add_row(f"{len(rest)} more", *(f"{min(v):.3g} to {max(v):.3g}" for v in ends))
    return table


def _row(column: Column) -> list[str]:
    return [number(value) for value in (column.mean, column.sd, column.min, column.max)]


def _findings(diagnostics: dict[str, Any]) -> Iterator[Any]:
    found = diagnostics.get("findings")
    if isinstance(found, list) and found:
        table = columns("What each stage saw", "<", "<", "<")
        for item in found:
            table.add_row(printable(str(item["stage"])), "ok" if item["ok"] else "!!", printable(str(item["message"])))
        yield table
