"""``relucli report``: a network, and the data it is about, on one page."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from relucli.cli import options
from relucli.cli.options import AllowExternal, Force, Inputs, Json, Labels, Memory, Quiet, Workers
from relucli.cli.render import View, duration, facts, size
from relucli.errors import about

Network = Annotated[Path, typer.Argument(metavar="NET.h5", help="The network to report on.")]
DataOption = Annotated[
    list[Path] | None,
    typer.Option("--data", metavar="DATA.h5", help="Rows to look at; given again, more files of one dataset."),
]
MomentsOption = Annotated[
    Path | None, typer.Option("--moments", metavar="M.h5", help="Moments, for eigenvalues and directions of their own.")
]
TeacherOption = Annotated[
    Path | None, typer.Option("--teacher", metavar="T.h5", help="The network that labelled, to compare with.")
]
DimensionOption = Annotated[
    Path | None, typer.Option("--dimension", metavar="DIM.json", help="What relucli dimension --json printed.")
]
Page = Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html", help="Where to write the report.")]


def report(
    context: typer.Context,
    network: Network,
    output: Page,
    data: DataOption = None,
    moments: MomentsOption = None,
    teacher: TeacherOption = None,
    dimension: DimensionOption = None,
    inputs: Inputs = "x",
    labels: Labels = "y",
    allow_external: AllowExternal = False,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
) -> None:
    """Report on a network and its data, as one page of HTML.

    The file needs no network.  It shows what it is given files for: of the network alone its neurons, their angles and
    errors, and the models considered; with --data fit and residuals; with --teacher how near it came.

    Examples:

    \b
      relucli report net.h5 --data train.h5 -o report.html
      relucli report net.h5 --data test.h5 --teacher teacher.h5 -o test.html
    """
    from relucli.report.material import Sources, gather
    from relucli.report.page import write_page

    start, view = perf_counter(), View(as_json, quiet)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        trust = options.trust(allow_external, engine)
        sources = Sources(network, tuple(data or ()), moments, teacher, dimension, inputs, labels, trust)
        options.check_result(output, sources.paths, force)
        with about(*sources.paths):
            material = gather(sources, engine)
        written = write_page(output, material, options.command_line(context), force)
    seconds = perf_counter() - start
    values = {
        "path": output,
        "bytes": written,
        "samples": None if material.rows is None else material.rows.score.samples,
        "bytes_read": engine.bytes_read,
        "seconds": seconds,
    }
    view.summary(values, lambda: [facts(written=f"{output}, {size(written)}", time=duration(seconds))])
