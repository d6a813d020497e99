"""``relucli dimension``: how many directions the labels depend on."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relucli.cli import options
from relucli.cli.learn import MomentsIn
from relucli.cli.options import AllowExternal, Data, Inputs, Json, Labels, Memory, Quiet, Scheduler, Seed, Workers
from relucli.cli.render import View, columns, duration, facts, with_error
from relucli.errors import about

if TYPE_CHECKING:
    from relucli.learning.dimension import Dimension

Most = Annotated[int, typer.Option("--max-dim", metavar="M", min=1, help="Largest dimension to test.")]
Permutations = Annotated[int, typer.Option(metavar="B", min=0, help="Permutations; 0 for bands alone.")]
Level = Annotated[
    float,
    typer.Option(metavar="ALPHA", min=0.0, max=1.0, help="A dimension is rejected if its p-value is not above it."),
]
Slices = Annotated[int, typer.Option(metavar="H", min=2, help="Slices of the label, without --moments.")]

ROWS = 12


def dimension(
    context: typer.Context,
    data: Data,
    moments: MomentsIn = None,
    max_dim: Most = 6,
    permutations: Permutations = 199,
    level: Level = 0.05,
    slices: Slices = 16,
    seed: Seed = 0,
    inputs: Inputs = "x",
    labels: Labels = "y",
    allow_external: AllowExternal = False,
    as_json: Json = False,
    quiet: Quiet = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
    scheduler: Scheduler = None,
) -> None:
    """Test how many directions of the inputs the labels depend on.

    For each dimension, a permutation test that the labels depend on no more directions, and beside it the eigenvalues
    of the moments with bands by the jackknife.  That is how many directions the neurons span, not how many there are.

    Examples:

    \b
      relucli dimension train.h5
      relucli dimension train.h5 --permutations 999 --json > dim.json
    """
    from relucli import __version__
    from relucli.learning import record
    from relucli.learning.dimension import DimensionOptions, span_dimension
    from relucli.storage.dataset import open_dataset

    start, view = perf_counter(), View(as_json, quiet)
    asked = DimensionOptions(max_dim, permutations, level, slices=slices, seed=seed)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        with open_dataset(data, inputs, labels, options.trust(allow_external, engine)) as rows:
            taken = None if moments is None else record.moments_of(rows, moments, data[0])
            with options.on_cluster(scheduler, engine, rows), about(*data):
                found = span_dimension(rows, asked, engine, taken)
    values = _values(found) | {"permutations": permutations, "level": level, "seed": seed}
    values |= {"command": options.command_line(context), "relucli_version": __version__}
    values |= {"passes": engine.passes, "bytes_read": engine.bytes_read, "seconds": perf_counter() - start}
    view.result(values, lambda: _drawn(found, values))


def _values(found: Dimension) -> dict[str, Any]:
    table = zip(found.eigenvalues, found.errors, found.low, found.high, strict=True)
    return {
        "samples": found.samples,
        "dim": len(found.eigenvalues),
        "dimension": found.dimension,
        "null": found.null,
        "tests": [vars(test) for test in found.tests],
        "eigenvalues": [{"value": value, "se": error, "low": low, "high": high} for value, error, low, high in table],
    }


def _drawn(found: Dimension, values: dict[str, Any]) -> Iterator[Any]:
    # The first dimension that is not rejected is marked in the column of p-values.
    headings = ["dimension", "sum of the rest", "p-value", "eigenvalue", "95 % band"]
    table = columns("Does the span have no more dimensions?", *headings)
    tests = {test.dim: test for test in found.tests}
    for m in range(len(tests) or min(ROWS, len(found.eigenvalues))):
        statistic = f"{tests[m].statistic:.5g}" if m in tests else "-"
        p_value = f"{tests[m].p_value:.3g}" if m in tests else "-"
        mark = "-> " if m == found.dimension else ""
        band = f"{found.low[m]:.4g} to {found.high[m]:.4g}"
        table.add_row(str(m), statistic, mark + p_value, with_error(found.eigenvalues[m], found.errors[m]), band)
    yield table
    at = f"at level {values['level']:g}"
    answer = f"more than {len(tests) - 1}, {at}" if found.dimension is None else f"{found.dimension}, not rejected {at}"
    yield facts(
        dimension=answer if tests else "not tested",
        noise_reaches=f"{found.null:.4g}",
        rows=f"{found.samples:,} in {duration(values['seconds'])}, {values['permutations']} permutations",
    )
