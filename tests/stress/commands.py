"""Command lines in processes of their own, forked from one that has imported everything: a start takes milliseconds.

A child runs what the program ``relucli`` runs: the same signal handlers, messages and exit statuses.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = ["start", "stop", "text"]

_COMMANDS = ["generate", "moments", "learn", "evaluate", "import_", "predict", "merge", "export", "report", "plot"]
_MODULES = [*(f"cli.{name}" for name in _COMMANDS), "cli.app", "cli.help", "cli.render", "generation", "scoring"]
_MODULES += ["learning.pipeline", "storage.results", "storage.predictions", "prediction", "moments.merge"]
_MODULES += ["interchange.importing", "interchange.csv", "interchange.export", "report.page", "report.figures"]

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["commands", *(f"relucli.{name}" for name in _MODULES), "pyarrow.csv", "matplotlib.backends.backend_agg"]
)


def _eagerly() -> None:
    """Blocks of few rows, and a checkpoint after each group of them."""
    from relucli.storage import checkpoint
    from relucli.streaming import blocks

    blocks.STRIPE_BYTES = blocks.BLOCK_BYTES = 2**14
    checkpoint.INTERVAL, checkpoint.SHARE = 0.0, float("inf")


def _child(words: list[str], folder: Path, output: Path, gate: Path | None, eager: bool) -> None:
    from relucli.cli.app import main

    os.chdir(folder)
    if eager:
        _eagerly()
    handle = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.argv = ["relucli", *words]

    while gate is not None and not gate.exists():
        time.sleep(0)
    main()


def start(
    line: str | list[str], folder: Path, output: Path, gate: Path | None = None, eager: bool = False
) -> BaseProcess:
    """Start a command line in a folder; what it prints, to stdout and stderr, goes to the output.

    With a gate, the command begins when that file appears: several do so at once.  An eager one cuts rows into small
    blocks and writes a checkpoint whenever it can.
    """
    words = line.split() if isinstance(line, str) else line
    process = _forks.Process(target=_child, args=(words, folder, output, gate, eager))
    process.start()
    return process


def stop(process: BaseProcess) -> None:
    """Kill a process that should have ended by now."""
    with suppress(ProcessLookupError):
        process.kill()
    process.join()


def text(output: Path) -> str:
    """The last line of what a process printed."""
    return (output.read_text(errors="replace").splitlines() or ["(nothing)"])[-1] if output.exists() else "(nothing)"
