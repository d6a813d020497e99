"""``relucli export``: a network in a format of other tools."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import typer

from relucli.cli import options
from relucli.cli.options import Force, Json, Quiet
from relucli.cli.render import View, counted, facts, size
from relucli.errors import about

Network = Annotated[Path, typer.Argument(metavar="NET.h5", help="The network to export.")]
Target = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="FILE", help="Ends in .onnx, .safetensors, .npz or .json: the format."),
]
FloatType = Annotated[Literal["float64", "float32"], typer.Option(help="Of the numbers; JSON is always exact.")]


def export(
    network: Network,
    output: Target,
    dtype: FloatType = "float64",
    as_json: Json = False,
    quiet: Quiet = False,
    force: Force = False,
) -> None:
    """Write a network as ONNX, safetensors, NPZ or JSON.

    Examples:

    \b
      relucli export net.h5 -o net.onnx --dtype float32
      relucli export net.h5 -o net.json

    What they hold, by their ending:

    \b
    .onnx         input x (batch, d), output y (batch, 1); opset 11
    .safetensors  weights of a PyTorch Sequential(Linear, ReLU, Linear)
    .npz          the arrays of the network file, for numpy
    .json         the same as text, exact to the bit
    """
    from relucli.interchange.export import export as write
    from relucli.interchange.export import format_of
    from relucli.storage.results import read_network

    start, view = perf_counter(), View(as_json, quiet)
    ending = format_of(output, dtype)
    options.check_result(output, [network], force)
    file = read_network(network)
    with about(network):
        write(file, output, dtype, force)
    values = {
        "path": output,
        "format": ending.lstrip("."),
        "dtype": dtype,
        "neurons": file.network.neurons,
        "dim": file.network.dim,
        "bytes": output.stat().st_size,
        "seconds": perf_counter() - start,
    }
    shape = f"{counted(file.network.neurons, 'neuron')} of {counted(file.network.dim, 'input')}, {dtype}"
    view.summary(values, lambda: [facts(network=shape, written=f"{output}, {size(output.stat().st_size)}")])
