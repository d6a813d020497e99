"""``relucli merge``: moments of shards, taken apart, as the moments of the whole."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import typer

from relucli.cli import options
from relucli.cli.moments import described, drawn
from relucli.cli.options import Force, Json, Output, Quiet
from relucli.cli.render import View, columns

Parts = Annotated[list[Path], typer.Argument(metavar="MOMENTS.h5", help="Moments of the shards, in their order.")]


def merge(
    context: typer.Context,
    parts: Parts,
    output: Output,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Merge moments of shards into the moments of the whole.

    Machines that share nothing take the moments of a shard each, all like the first.

    Examples:

    \b
      relucli moments a.h5 -o a-moments.h5
      relucli moments b.h5 -o b-moments.h5 --like a-moments.h5
      relucli merge a-moments.h5 b-moments.h5 -o merged.h5
      relucli learn a.h5 b.h5 --moments merged.h5 -o merged-net.h5
    """
    from relucli.errors import printable
    from relucli.moments.files import load_moments
    from relucli.moments.merge import merge_moments
    from relucli.storage.results import write_moments
    from relucli.storage.schema import Provenance

    start, view = perf_counter(), View(as_json, quiet)
    options.check_result(output, parts, force)
    taken = [(printable(path), load_moments(path)[0]) for path in parts]
    shards = [{"path": path, "samples": moments.samples} for path, (_, moments) in zip(parts, taken, strict=True)]
    found = merge_moments(taken)
    provenance = Provenance(options.command_line(context), found.settings.seed)
    write_moments(output, found.arrays(), found.scalars(), found.fingerprint, provenance, force)
    values = described(found) | {"parts": shards, "seconds": perf_counter() - start}
    view.summary(values, lambda: [_shards(shards), drawn(values)])


def _shards(shards: list[dict[str, Any]]) -> Any:
    from relucli.errors import printable

    table = columns("Merged", "<moments of", "rows")
    for shard in shards:
        table.add_row(printable(shard["path"]), f"{shard['samples']:,}")
    return table
