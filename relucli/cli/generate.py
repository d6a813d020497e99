"""``relucli generate``: a labelled dataset from a planted or a saved network."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from relucli.cli import options
from relucli.cli.options import Force, Json, Memory, Quiet, Resume, Scheduler, Seed, Workers
from relucli.cli.render import View, counted, duration, facts, number, size
from relucli.errors import UsageError
from relucli.quantities import parse_count

if TYPE_CHECKING:
    from relucli.network import ReluNetwork

DataOut = Annotated[Path, typer.Argument(metavar="DATA.h5", help="Where to write the dataset.")]
Samples = Annotated[str, typer.Option(metavar="N", help="Rows: 1000000, 1e6 or 1_000_000.")]
Dim = Annotated[int | None, typer.Option(metavar="D", help="Inputs of the planted network.")]
Neurons = Annotated[int | None, typer.Option(metavar="K", help="Neurons of the planted network.")]
Kind = Literal["random", "positive", "close", "planar", "alternating"]
Family = Annotated[Kind | None, typer.Option(help="Kind of network to plant.", show_default="random")]
Separation = Annotated[
    float | None, typer.Option(metavar="RAD", help="Angle of the pair in family close.", show_default="0.05")
]
Bias = Annotated[
    float | None, typer.Option(metavar="SD", help="Standard deviation of planted biases.", show_default="0")
]
Noise = Annotated[float, typer.Option(metavar="SD", help="Standard deviation of the label noise.")]
Teacher = Annotated[Path | None, typer.Option(metavar="NET.h5", help="Label by this network instead of planting one.")]
TeacherOut = Annotated[Path | None, typer.Option(metavar="NET.h5", help="Where to write the network that labels.")]
Shards = Annotated[int, typer.Option(metavar="M", help="Files to cut the dataset into.")]
Dtype = Annotated[Literal["float64", "float32"], typer.Option(help="Of the inputs.")]


def generate(
    context: typer.Context,
    data: DataOut,
    samples: Samples,
    dim: Dim = None,
    neurons: Neurons = None,
    family: Family = None,
    separation: Separation = None,
    bias: Bias = None,
    noise: Noise = 0.0,
    teacher: Teacher = None,
    teacher_out: TeacherOut = None,
    shards: Shards = 1,
    dtype: Dtype = "float64",
    seed: Seed = 0,
    resume: Resume = False,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
    scheduler: Scheduler = None,
) -> None:
    """Draw a labelled dataset from a planted network.

    Inputs are N(0, I); labels are those of a network planted at random, plus noise.  With --teacher they are those of
    a network that was saved: so a test set is made.

    Examples:

    \b
      relucli generate train.h5 --samples 1e5 --dim 30 --neurons 3 \\
          --noise 0.1 --teacher-out teacher.h5
      relucli generate test.h5 --samples 1e5 --teacher teacher.h5 --seed 1
    """
    from relucli import generation
    from relucli.storage.writer import shard_paths

    start, view = perf_counter(), View(as_json, quiet)
    recipe = generation.Recipe(parse_count(samples, "--samples"), seed, noise, dtype, shards)
    if teacher is None:
        network = _plant(dim, neurons, family, separation, bias, seed)
    else:
        for path in (*shard_paths(data, shards), *([teacher_out] if teacher_out else [])):
            options.check_result(path, [teacher], force)
        network = _saved(view, teacher, dim, neurons, (family, separation, bias), seed)
    if scheduler is not None:
        view.note("rows are drawn on this machine: generate has no use for --scheduler")
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        outputs = generation.Outputs(data, teacher_out, force, options.command_line(context))
        planted = {"--family": family, "--dim": dim, "--neurons": neurons, "--separation": separation, "--bias": bias}
        asked = {"the command": "generate"} | planted | {f"--{name}": value for name, value in vars(recipe).items()}
        with options.checkpoint(data, view, resume, asked, [teacher]) as kept:
            paths = generation.generate(outputs, network, recipe, engine, kept)
    values = {
        "samples": recipe.samples,
        "dim": network.dim,
        "neurons": network.neurons,
        "noise": noise,
        "dtype": dtype,
        "paths": paths,
        "bytes": sum(path.stat().st_size for path in paths),
        "seconds": perf_counter() - start,
    }
    view.summary(values, lambda: [_drawn(values)])


def _plant(
    dim: int | None,
    neurons: int | None,
    family: Kind | None,
    separation: float | None,
    bias: float | None,
    seed: int,
) -> ReluNetwork:
    from relucli.synthesis import plant

    for name, value in (("--dim", dim), ("--neurons", neurons)):
        if value is None:
            raise UsageError(f"{name} is missing: pass it, or a network with --teacher")
    if separation is not None and family != "close":
        raise UsageError("--separation goes with --family close")
    angle = {} if separation is None else {"separation": separation}
    return plant(family or "random", dim or 0, neurons or 0, seed=seed, bias_sd=bias or 0.0, **angle)


def _saved(
    view: View, path: Path, dim: int | None, neurons: int | None, planting: tuple[Any, ...], seed: int
) -> ReluNetwork:
    """The network in a file, which options must not contradict."""
    from relucli.storage.results import read_network

    for name, value in zip(("--family", "--separation", "--bias"), planting, strict=True):
        if value is not None:
            raise UsageError(f"{name} does not go with --teacher, whose network is there already")
    file = read_network(path)
    network = file.network
    if dim not in (None, network.dim):
        raise UsageError(f"--dim {dim}: {path} takes {network.dim} inputs; leave --dim out")
    if neurons not in (None, network.neurons):
        raise UsageError(f"--neurons {neurons}: {path} has {network.neurons}; leave --neurons out")
    if file.provenance is not None and file.provenance.seed == seed:
        view.note(
            f"{path} was made with --seed {seed} too: inputs may repeat earlier ones; pass another seed for a test set"
        )
    return network


def _drawn(values: dict[str, Any]) -> Any:
    from relucli.errors import printable

    paths = values["paths"]
    more = f" ... {printable(paths[-1])}" if len(paths) > 1 else ""
    return facts(
        data=f"{printable(paths[0])}{more}",
        rows=f"{values['samples']:,} of {counted(values['dim'], 'input')} ({values['dtype']})",
        network=f"{counted(values['neurons'], 'neuron')}, label noise {number(values['noise'])}",
        size=f"{size(values['bytes'])} in {counted(len(paths), 'file')}",
        time=duration(values["seconds"]),
    )
