"""Command lines in processes of their own, forked from one that has imported everything: a start takes milliseconds.

A child runs what the program ``relucli`` runs: the same signal handlers, messages and exit statuses.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = ["start", "stop", "text"]

_MODULES = ["cli.app", "cli.generate", "cli.moments", "cli.learn", "cli.evaluate", "generation", "scoring"]
_MODULES += ["learning.pipeline", "storage.results", "cli.render"]

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["commands", *(f"relucli.{name}" for name in _MODULES)])


def _child(words: list[str], folder: str, output: str, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    handle = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    for stream in (1, 2):
        os.dup2(handle, stream)
    sys.argv = ["relucli", *words]
    from relucli.cli.app import main

    main()


def start(line: str | list[str], folder: Path, output: Path, **environment: str) -> BaseProcess:
    """Start a command line in a folder; what it prints, to stdout and stderr, goes to the output."""
    words = line.split() if isinstance(line, str) else line
    process = _forks.Process(target=_child, args=(words, str(folder), str(output), environment))
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
