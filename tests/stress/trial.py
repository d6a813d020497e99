"""What a trial of stress is, and where trials are found.

A module of this folder that defines ``TRIALS``, a list of `Trial`, takes part: there is nothing to register.

A trial's ``run(tries, folder)`` is given how often to try and an empty folder, and yields once for each try: None if
what was tried survived, else a sentence that says what was lost, wrong or let in.  An exception ends the trial as not
survived.  Randomness comes from a fixed seed.  A trial runs in a process of its own; what could crash or hang, it runs
in further processes, with time limits.  Trials may import each other's helpers: the folder is on the path.

::

    from trial import Trial


    def never_empty(tries, folder):
        for i in range(tries):
            ...
            yield None if size else f"try {i}: the file is empty"


    TRIALS = [Trial("files that must not be empty", never_empty, tries=200, share=5)]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

__all__ = ["Trial", "all_trials"]


@dataclass(frozen=True)
class Trial:
    """Something to be tried many times.

    Attributes
    ----------
    what : str
        What is tried, in a few words that are its own: a row of the table.
    run : callable
        As above.
    tries : int
        How often in ``make stress``.
    share : int
        How often in ``make test``: a second or two of it; 0 leaves it out there.
    """

    what: str
    run: Callable[[int, Path], Iterator[str | None]]
    tries: int
    share: int = 0


def all_trials() -> list[Trial]:
    """The trials of all modules in this folder, by the name of the module."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    used = [name for name in names if name not in ("trial", "run", "conftest") and not name.startswith("test_")]
    return [trial for name in used for trial in getattr(import_module(name), "TRIALS", [])]
