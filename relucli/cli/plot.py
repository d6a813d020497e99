"""``relucli plot``: figures of a report, each as a file."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from relucli.cli import options
from relucli.cli.options import AllowExternal, Force, Inputs, Json, Labels, Memory, Quiet, Workers
from relucli.cli.render import View, facts
from relucli.cli.report import DataOption, DimensionOption, MomentsOption, TeacherOption
from relucli.errors import about


def _figures(incomplete: str) -> list[str]:
    """Names that a shell may complete."""
    from relucli.report.figures import FIGURES

    return [name for name in FIGURES if name.startswith(incomplete)]


Network = Annotated[Path, typer.Argument(metavar="NET.h5", help="The network to draw.")]
Names = Annotated[
    list[str],
    typer.Argument(
        metavar="FIGURE",
        help="eigenvalues, path, neurons, angles, predicted, residuals, errors, coverage, summary or dimension.",
        autocompletion=_figures,
    ),
]
Picture = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Ends in .png, .svg or .pdf; of several figures, NAME is put before it: FILE-NAME.png.",
    ),
]


def plot(
    network: Network,
    figures: Names,
    output: Picture,
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
    """Draw figures of a report as PNG, SVG or PDF.

    Examples:

    \b
      relucli plot net.h5 residuals --data train.h5 -o residuals.png
      relucli plot net.h5 neurons angles -o net.svg
    """
    from relucli.report.draw import draw, targets
    from relucli.report.material import Sources, gather

    start, view = perf_counter(), View(as_json, quiet)
    paths = targets(output, figures)
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        trust = options.trust(allow_external, engine)
        sources = Sources(network, tuple(data or ()), moments, teacher, dimension, inputs, labels, trust)
        for path in paths.values():
            options.check_result(path, sources.paths, force)
        with about(*sources.paths):
            material = gather(sources, engine)
        draw(material, paths, force)
    values = {"paths": list(paths.values()), "bytes_read": engine.bytes_read, "seconds": perf_counter() - start}
    view.summary(values, lambda: [facts(**{name: str(path) for name, path in paths.items()})])
