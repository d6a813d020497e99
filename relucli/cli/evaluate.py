"""``relucli evaluate``: how well a network predicts a dataset, and how close it is to its teacher."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relucli.cli import options
from relucli.cli.options import AllowExternal, Data, Inputs, Json, Labels, Memory, Quiet, Scheduler, Unforced, Workers
from relucli.cli.render import View, columns, duration, facts, neurons_table, number, with_error
from relucli.errors import DataError, about

if TYPE_CHECKING:
    from relucli.network import ReluNetwork
    from relucli.storage.results import NetworkFile

Network = Annotated[Path, typer.Argument(metavar="NET.h5", help="The network to score.")]
Teacher = Annotated[Path | None, typer.Option(metavar="NET.h5", help="The network that labelled, to compare with.")]

METRICS = ("mse", "rmse", "mae", "r2")
UNCERTAINTIES = {
    "weight_errors": "angle_se",
    "weight_within": "angle_within",
    "coefficient_errors": "coefficient_se",
    "bias_errors": "bias_se",
}


def evaluate(
    network: Network,
    data: Data,
    teacher: Teacher = None,
    inputs: Inputs = "x",
    labels: Labels = "y",
    allow_external: AllowExternal = False,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Unforced = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
    scheduler: Scheduler = None,
) -> None:
    """Score a network on a dataset, and against its teacher.

    Errors are of the labels, with their standard errors; that on the rows it was learned from is too small.  With
    --teacher, also the exact error over all Gaussian inputs, and planted beside recovered neurons.

    Examples:

    \b
      relucli evaluate net.h5 test.h5 --teacher teacher.h5
      relucli evaluate net.h5 test.h5 --json
    """
    from relucli.scoring import score
    from relucli.storage.dataset import open_dataset
    from relucli.storage.results import read_network

    start, view = perf_counter(), View(as_json, quiet)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        learned = read_network(network)
        student = learned.network
        planted = None if teacher is None else read_network(teacher).network
        with open_dataset(data, inputs, labels, options.trust(allow_external, engine)) as rows:
            for path, net in ((network, student), (teacher, planted)):
                if path is not None and net is not None and net.dim != rows.dim:
                    raise DataError(
                        f"{path}: takes {net.dim} inputs, but {data[0]} has {rows.dim}; "
                        "check which of them belong together"
                    )
            with options.on_cluster(scheduler, engine, rows), about(*data):
                values = asdict(score(student, rows, engine))
    values |= {"neurons": student.neurons, "dim": student.dim, "bytes_read": engine.bytes_read}
    if teacher is not None and planted is not None:
        with about(teacher):
            values |= _compared(learned, planted)
    values["seconds"] = perf_counter() - start
    view.result(values, lambda: _drawn(values, learned, planted))


def _compared(learned: NetworkFile, teacher: ReluNetwork) -> dict[str, Any]:
    """Population error, and planted beside recovered neurons with the standard errors of the latter."""
    from relucli.network import match, population_error

    error = population_error(learned.network, teacher)
    matches = [asdict(found) for found in match(learned.network, teacher)]
    for found in matches:
        if found["student"] is not None:
            known = {key: learned.errors[name] for name, key in UNCERTAINTIES.items() if name in learned.errors}
            found |= {key: float(errors[found["student"]]) for key, errors in known.items()}
    return {"population_error": error.value, "population_error_method": error.method, "matches": matches}


def _drawn(values: dict[str, Any], learned: NetworkFile, teacher: ReluNetwork | None) -> Iterator[Any]:
    if teacher is None:
        yield neurons_table(learned.network, learned.errors)
    else:
        yield _matches(values["matches"], teacher)
    lines = {name: with_error(values[name], values[f"{name}_se"]) for name in METRICS}
    if teacher is not None:
        method = "closed form" if values["population_error_method"] == "closed-form" else "on fresh inputs"
        lines["population_error"] = f"{values['population_error']:.2e} of the teacher's variance ({method})"
    lines["rows"] = f"{values['samples']:,} in {duration(values['seconds'])}"
    yield facts(**lines)


def _matches(matches: list[dict[str, Any]], teacher: ReluNetwork) -> Any:
    """Recovered neurons beside planted ones, those of one line taken as one."""
    from relucli.network.relu import LINE_TOLERANCE

    lines = teacher.merged(LINE_TOLERANCE)[0]
    biased = bool(lines.biases.any()) or any(found["bias_error"] for found in matches)
    headings = ["planted", "recovered", "angle, rad", "95 % within", "coefficient", "recovered"]
    table = columns("Planted and recovered neurons", *headings, *(["bias", "recovered"] if biased else []))
    for found, c, b in zip(matches, lines.coefficients, lines.biases, strict=True):
        if found["student"] is None:
            table.add_row(str(found["teacher"]), "-", "not recovered", "-", number(c), "-")
            continue
        within = found.get("angle_within")
        row = [str(found["teacher"]), str(found["student"]), f"{found['angle']:.1e}"]
        row += ["-" if within is None else f"{within:.1e}", number(c)]
        row += [with_error(c + found["coefficient_error"], found.get("coefficient_se"))]
        if biased:
            row += [number(b), with_error(b + found["bias_error"], found.get("bias_se"))]
        table.add_row(*row)
    return table
