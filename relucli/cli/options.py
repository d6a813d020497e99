"""Options that commands share, and the parsers of what people write for sizes and counts."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relucli.errors import UsageError
from relucli.quantities import parse_count as parse_count
from relucli.quantities import parse_memory

if TYPE_CHECKING:
    from relucli.cli.render import View
    from relucli.storage.checkpoint import Checkpoint
    from relucli.storage.dataset import StoredRows
    from relucli.storage.trust import Trust
    from relucli.streaming.fold import Engine, Progress

Data = Annotated[list[Path], typer.Argument(metavar="DATA.h5", help="HDF5 files: one dataset, in the order given.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write the result.")]
Inputs = Annotated[str, typer.Option(metavar="NAME", help="2-D dataset that holds the inputs.")]
Labels = Annotated[str, typer.Option(metavar="NAME", help="1-D dataset that holds the labels.")]
Seed = Annotated[int, typer.Option(metavar="S", min=0, max=2**64 - 1, help="Seed of all randomness.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else, on stdout.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress bar, notes or summary.")]
Force = Annotated[bool, typer.Option("--force", help="Replace output that exists.")]
Workers = Annotated[
    int | None, typer.Option(metavar="W", min=1, show_default="all cores", help="Threads; results do not depend on it.")
]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Working memory: 512MiB, 2GiB, 100MB, 1e9.")]
AllowExternal = Annotated[
    bool, typer.Option("--allow-external", help="Read data that a file keeps in other files, or needs plugins for.")
]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Dask scheduler, tcp://host:port, or local:N for N processes here."),
]
# Accepted, so that scripts get an answer rather than a guess at what they misspelt.
Unforced = Annotated[bool, typer.Option("--force", hidden=True)]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on where this command was interrupted: same result, to the bit.")
]

DEFAULT_MEMORY = "512MiB"


def parse_neurons(text: str) -> int | None:
    """What follows ``-k``: a number of neurons, or None for auto."""
    return None if text == "auto" else parse_count(text, "-k")


def parse_orders(text: str) -> tuple[int, ...]:
    """What follows ``--orders``: whole numbers with commas between them, each once, in ascending order.

    Raises
    ------
    UsageError
        If it is anything else.
    """
    if not re.fullmatch(r" *[0-9]{1,3} *(, *[0-9]{1,3} *)*", text):
        raise UsageError(f"--orders {text}: pass whole numbers with commas between them, like 1,2,4,6")
    return tuple(sorted({int(order) for order in text.split(",")}))


def make_engine(workers: int | None, memory: str, progress: Progress | None = None) -> Engine:
    """What runs the passes of a command on this machine.

    Raises
    ------
    UsageError
        If the memory is no size.
    """
    from relucli.streaming.executors import usable_cores
    from relucli.streaming.fold import Engine

    _share_one_heap()
    return Engine(workers or usable_cores(), parse_memory(memory), progress)


def trust(allow_external: bool, engine: Engine) -> Trust:
    """How far the inputs of a command are trusted."""
    from relucli.storage.trust import Trust

    return Trust(allow_external, engine.memory)


@contextmanager
def on_cluster(scheduler: str | None, engine: Engine, rows: StoredRows) -> Iterator[None]:
    """Let an engine run its passes over rows in files on a cluster that sees them, if a scheduler is given.

    Raises
    ------
    UsageError
        If the scheduler is no address, or Dask is not installed.
    ClusterError, InputError, DataError
        If the cluster cannot be used, or does not see the files.
    """
    if scheduler is None:
        yield
        return
    from relucli.streaming.dask import cluster

    with cluster(scheduler) as engine.cluster:
        engine.cluster.check(rows)
        yield


def _share_one_heap() -> None:
    """Threads of glibc have a heap of 64 MiB of addresses each, which a limit of the address space counts in full."""
    import ctypes

    arena_max = -8
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(arena_max, 1)


def command_line(context: typer.Context) -> str:
    """The command line, as a shell would take it; kept in every file that a command makes.

    Without ``--resume``: what an interrupted command and the next make together is what one would have made.
    """
    return shlex.join(["relucli", *(word for word in context.obj if word != "--resume")])


def check_result(output: Path, inputs: Sequence[Path | None], force: bool) -> None:
    """Refuse, before any work, an output that cannot be created or would replace an input.

    Raises
    ------
    UsageError, OutputError
    """
    from relucli.storage.atomic import check_output

    for path in inputs:
        if path is not None and os.path.exists(path) and os.path.exists(output) and output.samefile(path):
            raise UsageError(f"{output} is both input and output; choose another output")
    check_output(output, force)


def checkpoint(
    output: Path,
    view: View,
    resume: bool,
    settings: Mapping[str, object],
    inputs: Sequence[Path | None] = (),
    rows: StoredRows | None = None,
) -> Checkpoint:
    """The checkpoint of an output, which depends on settings, input files and the rows in them."""
    from relucli.storage.checkpoint import Checkpoint, Identity, file_stamp

    data = {str(path): file_stamp(path) for path in inputs if path is not None}
    if rows is not None:
        data |= {"the fingerprint of the data": rows.fingerprint, "the checksums of the data": rows.checksums}
    return Checkpoint(output, Identity(settings, data), resume, view.note)
