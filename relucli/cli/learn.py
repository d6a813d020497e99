"""``relucli learn``: the network behind a dataset."""

from __future__ import annotations

from collections.abc import Iterator
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
from relucli.cli.render import View, columns, counted, duration, facts, neurons_table, number, with_error
from relucli.errors import about

if TYPE_CHECKING:
    from relucli.learning.pipeline import Learned, LearnOptions

Neurons = Annotated[str, typer.Option("-k", metavar="K|auto", help="Neurons, at most; auto lets validation choose.")]
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
    Literal["auto", "on", "off"], typer.Option(help="Whiten the inputs of slice moments by their mean and covariance.")
]
LossName = Annotated[
    Literal["squared", "huber"], typer.Option(help="huber stands heavy tails and a few percent of wrong labels.")
]
Starts = Annotated[int, typer.Option(metavar="S", min=1, help="Random starts; up to 4 S until two agree.")]


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
    """Recover the network behind a dataset.

    Prints, and stores, the neurons with their standard errors, the models considered, and what each stage saw: read the
    lines marked !! before you trust a network.  Pass --bias where labels have an offset or kinks off the origin.

    Examples:

    \b
      relucli learn train.h5 -o net.h5
      relucli learn train.h5 -k 3 --bias -o biased.h5
    """
    from relucli.learning import pipeline, record
    from relucli.storage.dataset import open_dataset
    from relucli.storage.passes import SavedPasses
    from relucli.storage.schema import Provenance

    start, view = perf_counter(), View(as_json, quiet)
    count = options.parse_neurons(k)
    asked = pipeline.LearnOptions(count, max_neurons, bias, subspace, discovery, whiten, starts, seed, loss)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        options.check_result(output, [*data, moments], force)
        with open_dataset(data, inputs, labels, options.trust(allow_external, engine)) as rows:
            taken = None if moments is None else record.moments_of(rows, moments, data[0])
            depends = _asked(asked) | {"--inputs": inputs, "--labels": labels}
            with options.checkpoint(output, view, resume, depends, [*data, moments], rows) as kept:
                engine.journal = SavedPasses(kept)
                with options.on_cluster(scheduler, engine, rows), about(*data):
                    found = pipeline.learn(rows, asked, engine, taken)
                record.write(output, found, Provenance(options.command_line(context), seed), force)
    values = record.values(found)
    if count is not None and found.network.neurons < count:
        view.note(
            f"{counted(found.network.neurons, 'neuron')} and a linear part explain the labels as well as {count} would"
        )
    values |= {"bytes_read": engine.bytes_read, "seconds": perf_counter() - start}
    view.summary(values, lambda: _drawn(found, values))


def _asked(asked: LearnOptions) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    known = {f"--{name}".replace("_", "-"): value for name, value in vars(asked).items()}
    known["-k"], known["--max-neurons"] = known.pop("--neurons") or "auto", known.pop("--most")
    return {"the command": "learn"} | known


def _drawn(found: Learned, values: dict[str, Any]) -> Iterator[Any]:
    yield neurons_table(found.network, found.errors.by_name())
    yield _path(found)
    linear = ", and a linear part" if values["linear_part"] else ""
    yield facts(
        network=f"{counted(values['neurons'], 'neuron')} of {counted(values['dim'], 'input')}{linear}",
        fit=f"r2 {values['r2']:.6f}, residual standard deviation {number(values['noise_std'])}"
        + (" (exact to rounding)" if values["exact"] else ""),
        span=f"{counted(values['subspace_dim'], 'dimension')}, {values['significant_dims']} above noise",
        rows=f"{values['samples']:,}",
        time=f"{duration(values['seconds'])}, {counted(values['passes'], 'pass')} over all rows",
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
