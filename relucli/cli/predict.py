"""``relucli predict``: the values of a network at the rows of a dataset."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from relucli.cli import options
from relucli.cli.options import AllowExternal, Data, Force, Inputs, Json, Memory, Quiet, Scheduler, Workers
from relucli.cli.render import View, duration, facts, size
from relucli.errors import DataError, UsageError, about, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy import float64
    from numpy.typing import NDArray

Network = Annotated[Path, typer.Argument(metavar="NET.h5", help="The network to compute.")]
Target = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="HDF5, or CSV if it ends in .csv; -: CSV on stdout.")
]
Hidden = Annotated[bool, typer.Option("--hidden", help="Add the activation of every neuron.")]

FOREIGN = (".csv.gz", ".tsv", ".parquet", ".npy", ".npz", ".mat", ".json")


def predict(
    context: typer.Context,
    network: Network,
    data: Data,
    output: Target = Path("-"),
    hidden: Hidden = False,
    inputs: Inputs = "x",
    allow_external: AllowExternal = False,
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
    workers: Workers = None,
    memory: Memory = options.DEFAULT_MEMORY,
    scheduler: Scheduler = None,
) -> None:
    """Compute a network at the rows of a dataset.

    Examples:

    \b
      relucli predict net.h5 test.h5 -o predictions.h5
      relucli predict net.h5 test.h5 | head -n 3

    Labels are not read, and need not be there.  An HDF5 output holds prediction (n,) and, with --hidden,
    hidden (n, k), in the order of the rows.
    """
    from relucli.prediction import predict as predicted
    from relucli.prediction import write_predictions
    from relucli.storage.dataset import open_dataset
    from relucli.storage.results import read_network
    from relucli.storage.schema import Provenance

    start, view, stdout = perf_counter(), View(as_json, quiet), output == Path("-")
    if output.name.lower().endswith(FOREIGN):
        raise UsageError(f"{printable(output)}: predictions are written as HDF5, or as CSV to a name that ends in .csv")
    if stdout and as_json:
        raise UsageError("--json and the predictions both want stdout; pass -o FILE")
    with view.progress() as progress:
        engine = options.make_engine(workers, memory, progress)
        if not stdout:
            options.check_result(output, [network, *data], force)
        net = read_network(network).network
        with open_dataset(data, inputs, None, options.trust(allow_external, engine)) as rows:
            if net.dim != rows.dim:
                raise DataError(
                    f"{network}: takes {net.dim} inputs, but {data[0]} has {rows.dim}; "
                    "check which of them belong together"
                )
            with options.on_cluster(scheduler, engine, rows), about(*data):
                if stdout:
                    _print(predicted(net, rows, engine, hidden))
                    return
                provenance = Provenance(options.command_line(context), 0)
                write_predictions(output, net, rows, engine, hidden=hidden, provenance=provenance, force=force)
        values = {"samples": rows.samples, "dim": rows.dim, "neurons": net.neurons, "path": output}
    values |= {"bytes": output.stat().st_size, "seconds": perf_counter() - start}
    read = f"{values['samples']:,} rows in {duration(perf_counter() - start)}"
    view.summary(values, lambda: [facts(predicted=read, written=f"{output}, {size(output.stat().st_size)}")])


def _print(predictions: Iterator[NDArray[float64]]) -> None:
    from relucli.prediction import as_csv
    from relucli.storage.atomic import io_error

    try:
        as_csv(predictions, sys.stdout.write)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise io_error(error, "standard output", writing=True) from error
