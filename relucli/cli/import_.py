"""``relucli import``: a dataset of tables in other formats."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import typer

from relucli.cli import options
from relucli.cli.options import Force, Json, Memory, Output, Quiet
from relucli.cli.render import View, counted, duration, facts, size
from relucli.errors import UsageError, printable
from relucli.quantities import parse_memory

Tables = Annotated[
    list[Path],
    typer.Argument(metavar="FILE", help="One table, in the order given; - is CSV on standard input."),
]
Label = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Of the label: a column, an array of the file or, for .npy, another .npy."),
]
NoLabel = Annotated[bool, typer.Option("--no-label", help="There is none: inputs alone, to predict for.")]
InputColumns = Annotated[
    list[str] | None,
    typer.Option(
        "--inputs", metavar="NAME", help="Columns to take, in this order, or a pattern like 'f_*'; repeatable."
    ),
]
Exclude = Annotated[
    list[str] | None, typer.Option(metavar="NAME", help="Columns to leave out, or a pattern; may be repeated.")
]
DropMissing = Annotated[bool, typer.Option("--drop-missing", help="Leave out rows where a value is missing.")]
FloatType = Annotated[
    Literal["float64", "float32"] | None,
    typer.Option(show_default="float32 if all are stored so, else float64", help="Of the inputs."),
]
Delimiter = Annotated[
    str | None, typer.Option(metavar="CHAR", show_default="comma, or tab for .tsv", help="Between fields of CSV.")
]
Header = Annotated[
    bool | None,
    typer.Option("--header/--no-header", show_default=False, help="Whether the first line of CSV holds names."),
]


def import_(
    context: typer.Context,
    files: Tables,
    output: Output,
    label: Label = None,
    no_label: NoLabel = False,
    inputs: InputColumns = None,
    exclude: Exclude = None,
    drop_missing: DropMissing = False,
    dtype: FloatType = None,
    delimiter: Delimiter = None,
    header: Header = None,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
    memory: Memory = options.DEFAULT_MEMORY,
) -> None:
    """Make a dataset of CSV, Parquet, NumPy or MATLAB files.

    Several files are one table.  The label is the column named y or else the last, the inputs all others.

    Examples:

    \b
      relucli import data.csv -o data.h5
      relucli import part1.csv part2.csv -o prices.h5 --label price --exclude id

    What is taken, by its ending:

    \b
    .csv .csv.gz .tsv  names in the first line; rows are counted from 0 below it
    .parquet           columns of numbers
    .npy               a matrix; its last column is the label, or another .npy is
    .npz .mat (v7.3)   arrays x and y, or those that --inputs and --label name
    """
    from relucli.interchange.importing import Reading, import_data
    from relucli.interchange.source import Choice
    from relucli.storage.schema import Provenance

    start, view = perf_counter(), View(as_json, quiet)
    if no_label and label is not None:
        raise UsageError("--label and --no-label exclude each other")
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '\r\n"'):
        raise UsageError(f"--delimiter {printable(delimiter)}: pass one character, like ';'")
    options.check_result(output, files, force)
    choice = Choice(tuple(inputs or ()), tuple(exclude or ()), label, not no_label)
    how = Reading(choice, delimiter, header, drop_missing, dtype, parse_memory(memory))
    with view.progress() as progress:
        found = import_data(files, output, how, Provenance(options.command_line(context), 0), force, progress)
    values: dict[str, Any] = vars(found) | {
        "paths": [output],
        "bytes": output.stat().st_size,
        "seconds": perf_counter() - start,
    }
    dropped = f", {found.dropped:,} dropped" if found.dropped else ""
    lines = {
        "rows": f"{found.samples:,} of {counted(found.dim, 'input')}, {found.dtype}{dropped}",
        "label": found.label_from or "none",
        "written": f"{printable(output)}, {size(values['bytes'])} in {duration(values['seconds'])}",
    }
    view.summary(values, lambda: [facts(**lines)])
