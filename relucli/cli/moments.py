"""``relucli moments``: the moments of a dataset, in one pass."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

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
from relucli.cli.render import View, counted, duration, facts, number, size
from relucli.errors import UsageError, about

if TYPE_CHECKING:
    from relucli.moments.estimate import Moments, MomentSettings

Orders = Annotated[str, typer.Option(metavar="L,...", help="Orders of the Hermite moments.")]
Contractions = Annotated[
    int, typer.Option(metavar="G", min=0, help="Directions to contract with; 0: no contracted moments.")
]
Like = Annotated[
    Path | None,
    typer.Option(metavar="MOMENTS.h5", help="Take all settings from these, of another shard, to merge them later."),
]
Slices = Annotated[int, typer.Option(metavar="H", min=0, help="Slices of the label; 0: no slice moments.")]


def moments(
    context: typer.Context,
    data: Data,
    output: Output,
    orders: Orders = "1,2,4,6",
    contractions: Contractions = 8,
    slices: Slices = 16,
    seed: Seed = 0,
    like: Like = None,
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
    """Take the moments of a dataset, in one pass.

    learn takes what it needs by itself: this is for data to learn from more than once, for moments that learn does not
    take by default, and for shards on machines that share nothing (see merge).

    Examples:

    \b
      relucli moments train.h5 -o moments.h5
      relucli learn train.h5 --moments moments.h5 -k 3 -o with-moments.h5
    """
    from relucli.moments.estimate import MomentSettings, estimate_moments
    from relucli.moments.scaling import Scaling
    from relucli.storage.dataset import open_dataset
    from relucli.storage.passes import SavedPasses
    from relucli.storage.results import write_moments
    from relucli.storage.schema import Provenance

    start, view = perf_counter(), View(as_json, quiet)
    pattern = None if like is None else _pattern(context, like)
    settings = MomentSettings(options.parse_orders(orders), contractions, slices, seed)
    asked = _asked(settings) | {"--inputs": inputs, "--labels": labels}
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        options.check_result(output, [*data, like], force)
        with (
            open_dataset(data, inputs, labels, options.trust(allow_external, engine)) as rows,
            options.checkpoint(output, view, resume, asked, [*data, like], rows) as kept,
        ):
            engine.journal = SavedPasses(kept)
            with options.on_cluster(scheduler, engine, rows), about(*data):
                scaling = Scaling.of(rows) if pattern is None else None
                found = estimate_moments(rows, settings, engine, rows.fingerprint, pattern, scaling)
            provenance = Provenance(options.command_line(context), found.settings.seed)
            write_moments(output, found.arrays(), found.scalars(), found.fingerprint, provenance, force, rows.checksums)
    values = described(found) | {"bytes_read": engine.bytes_read, "seconds": perf_counter() - start}
    view.summary(values, lambda: [drawn(values)])


def _pattern(context: typer.Context, like: Path) -> Moments:
    """Moments whose settings are to be used, which options must not contradict."""
    from relucli.moments.files import load_moments

    for name in ("orders", "contractions", "slices", "seed"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name} does not go with --like, which brings its own; leave it out")
    return load_moments(like)[0]


def _asked(settings: MomentSettings) -> dict[str, Any]:
    """What a checkpoint must agree with."""
    return {
        "the command": "moments",
        "--orders": ",".join(map(str, settings.orders)),
        "--contractions": settings.contractions,
        "--slices": settings.slices,
        "--seed": settings.seed,
    }


def described(found: Moments) -> dict[str, Any]:
    """What JSON says of moments."""
    return {
        "samples": found.samples,
        "dim": found.dim,
        "orders": found.settings.orders,
        "contractions": found.settings.contractions,
        "slices": len(found.slice_count) if found.settings.slices else 0,
        "standard_inputs": found.standard,
        "label_mean": found.scaling.label(found.label_mean),
        "label_std": found.scaling.label(found.label_variance**0.5),
        "fingerprint": found.fingerprint,
    }


def drawn(values: dict[str, Any]) -> Any:
    """What people are told of moments."""
    kinds = [f"orders {', '.join(map(str, values['orders']))} along {counted(values['contractions'], 'direction')}"]
    kinds = kinds if values["contractions"] else []
    kinds += [f"{values['slices']} slices"] if values["slices"] else []
    read = {"read": f"{size(values['bytes_read'])} in {duration(values['seconds'])}"} if "bytes_read" in values else {}
    return facts(
        rows=f"{values['samples']:,} of {counted(values['dim'], 'input')}",
        inputs="as from N(0, I)" if values["standard_inputs"] else "not N(0, I): they will be whitened",
        labels=f"mean {number(values['label_mean'])}, standard deviation {number(values['label_std'])}",
        moments="; ".join(kinds) or "means and covariance only",
        **read,
    )
