"""``relucli learn``: the network behind a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relucli.cli import options
from relucli.cli.options import (
    AllowExternal,
    Data,
    Force,
    Inputs,
    Json,
    Labels,
    Memory,
    Output,
    Quiet,
    Resume,
    Scheduler,
    Seed,
    Workers,
)
from relucli.cli.render import View, columns, duration, facts, neurons_table, number, plain, with_error
from relucli.errors import DataError

if TYPE_CHECKING:
    from relucli.learning.pipeline import Learned, LearnOptions
    from relucli.moments.estimate import Moments
    from relucli.storage.dataset import StoredRows

Neurons = Annotated[str, typer.Option("-k", metavar="K|auto", help="Neurons; auto lets validation choose.")]
MaxNeurons = Annotated[int, typer.Option(metavar="K", min=1, help="Largest number that -k auto tries.")]
MomentsIn = Annotated[
    Path | None, typer.Option("--moments", metavar="MOMENTS.h5", help="Of the same data, taken before.")
]
Subspace = Annotated[
    Literal["sliced", "contracted", "both"], typer.Option(help="Moments that find the span of the neurons.")
]
Discovery = Annotated[
    Literal["auto", "overcomplete", "iterative"], typer.Option(help="Route to the neurons on their span.")
]
Bias = Annotated[bool, typer.Option("--bias/--no-bias", help="Whether neurons have biases.")]
Whiten = Annotated[
    Literal["auto", "on", "off"], typer.Option(help="Whiten the inputs by their own mean and covariance.")
]
LossName = Annotated[
    Literal["squared", "huber"], typer.Option(help="huber stands heavy tails and a few percent of wrong labels.")
]
Starts = Annotated[int, typer.Option(metavar="S", min=1, help="Random starts of the discovery.")]


def learn(
    context: typer.Context,
    data: Data,
    output: Output,
    k: Neurons = "auto",
    max_neurons: MaxNeurons = 12,
    moments: MomentsIn = None,
    subspace: Subspace = "sliced",
    discovery: Discovery = "auto",
    bias: Bias = False,
    whiten: Whiten = "auto",
    starts: Starts = 2,
    loss: LossName = "squared",
    seed: Seed = 0,
    inputs: Inputs = "x",
    labels: Labels = "y",
    allow_external: AllowExternal = False,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
    scheduler: Scheduler = None,
) -> None:
    """Recover the network behind a dataset."""
    from relucli.learning import pipeline
    from relucli.storage.dataset import open_dataset
    from relucli.storage.passes import SavedPasses

    start, view = perf_counter(), View(as_json, quiet)
    count = options.parse_neurons(k)
    asked = pipeline.LearnOptions(count, max_neurons, bias, subspace, discovery, whiten, starts, seed, loss)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        options.check_result(output, [*data, moments], force)
        with open_dataset(data, inputs, labels, options.trust(allow_external, engine)) as rows:
            taken = None if moments is None else _read_moments(moments, rows, data)
            depends = _asked(asked) | {"--inputs": inputs, "--labels": labels}
            with options.checkpoint(output, view, resume, depends, [*data, moments], rows) as kept:
                engine.journal = SavedPasses(kept)
                with options.on_cluster(scheduler, engine, rows), options.about(*data):
                    found = pipeline.learn(rows, asked, engine, taken)
                values = _values(found) | {"asked": count}
                _write(output, found, asked, values, options.command_line(context), force)
    if count is not None and found.network.neurons < count:
        view.note(f"{found.network.neurons} neurons and their linear part explain the labels as well as {count} would")
    values |= {"bytes_read": engine.bytes_read, "seconds": perf_counter() - start}
    view.summary(values, lambda: _drawn(found, values))


def _asked(asked: LearnOptions) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    known = {f"--{name}".replace("_", "-"): value for name, value in vars(asked).items()}
    known["-k"], known["--max-neurons"] = known.pop("--neurons") or "auto", known.pop("--most")
    return {"the command": "learn"} | known


def _read_moments(path: Path, rows: StoredRows, data: Sequence[Path]) -> Moments:
    """Moments from a file, if they are of these rows."""
    from relucli.storage.checksums import differ

    moments, checksums = options.load_moments(path)
    with options.about(path):
        known = rows.fingerprint_like(moments.fingerprint)
        if moments.fingerprint == known and not differ(rows.checksums, checksums):
            return moments
        here, there = (f"{of.samples} rows of {of.dim} inputs" for of in (rows, moments))
        reason = "their rows differ" if here == there else f"of {there}, not {here}"
        raise DataError(f"taken from other data than {data[0]} ({reason}); take them again")


def _values(found: Learned) -> dict[str, Any]:
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
        "path": [vars(model) for model in found.path],
        "findings": [
            {"stage": item.stage, "ok": item.ok, "message": item.message} | plain(item.numbers)
            for item in found.findings
        ],
    }


def _write(
    output: Path,
    found: Learned,
    asked: LearnOptions,
    values: dict[str, Any],
    command: str,
    force: bool,
) -> None:
    from relucli.storage.results import write_network
    from relucli.storage.schema import Provenance

    diagnostics = {name: value for name, value in values.items() if name != "path"} | {
        "eigenvalues": found.subspace.eigenvalues,
        "null": found.subspace.null,
        "offset_error": found.errors.offset,
        "options": vars(asked),
    }
    write_network(
        output,
        found.network,
        provenance=Provenance(command, asked.seed),
        errors=_errors(found),
        table={name: [row[name] for row in values["path"]] for name in values["path"][0]},
        diagnostics=diagnostics,
        force=force,
    )


def _errors(found: Learned) -> dict[str, Any]:
    errors = found.errors
    return {
        "weight_errors": errors.weights,
        "weight_within": errors.within,
        "coefficient_errors": errors.coefficients,
        "bias_errors": errors.biases,
        "linear_errors": errors.linear,
    }


def _drawn(found: Learned, values: dict[str, Any]) -> Iterator[Any]:
    yield neurons_table(found.network, _errors(found))
    yield _path(found)
    linear = ", and a linear part" if values["linear_part"] else ""
    yield facts(
        network=f"{values['neurons']} neurons of {values['dim']} inputs{linear}",
        fit=f"r2 {values['r2']:.6f}, residual standard deviation {number(values['noise_std'])}"
        + (" (exact to rounding)" if values["exact"] else ""),
        span=f"{values['subspace_dim']} dimensions, {values['significant_dims']} above noise",
        rows=f"{values['samples']:,}",
        time=f"{duration(values['seconds'])}, {values['passes']} passes over all rows",
    )
    yield _findings(found)


def _findings(found: Learned) -> Any:
    table = columns("What each stage saw", "<", "<", "<")
    for item in found.findings:
        table.add_row(item.stage, "ok" if item.ok else "!!", item.message)
    return table


def _path(found: Learned) -> Any:
    table = columns("Models considered", "neurons", "validation mse", "<")
    for model in found.path:
        fitted = "" if model.polished else "on the span only"
        chosen = "chosen" if model.neurons == found.network.neurons else fitted
        table.add_row(str(model.neurons), with_error(model.validation_mse, model.validation_se), chosen)
    return table
