"""All that is drawn: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from textwrap import fill
from typing import TYPE_CHECKING, Any

from relucli.quantities import counted, duration, number, plain, rough_count, size, with_error

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bar
    from rich.table import Column, Table
    from rich.text import Text

    from relucli.network import ReluNetwork

__all__ = [
    "View",
    "columns",
    "counted",
    "duration",
    "facts",
    "neurons_table",
    "number",
    "plain",
    "size",
    "sparkline",
    "with_error",
]

FILE_WIDTH = 120
WIDEST = 10_000
WIDTH_WITHOUT_BAR = 56
SHORTEST_BAR = 10
LEVELS = "▁▂▃▄▅▆▇█"
PADDING = 3
LONG_WORD = 16
"""Characters from which on a word, such as the path of a file, may be broken."""

SPARKS = range(8, 33)
"""Characters that a sparkline may have, unless there are fewer weights."""


@dataclass(frozen=True)
class View:
    """Where and how a command shows what it found.

    Attributes
    ----------
    json : bool
        The result as one JSON object instead of text.
    quiet : bool
        Neither progress nor notes.
    """

    json: bool
    quiet: bool

    def result(self, values: dict[str, Any], draw: Callable[[], Iterable[RenderableType]]) -> None:
        """Print the result of a command: ``values`` as JSON, or what ``draw`` returns.

        Raises
        ------
        OutputError, StorageError
            If stdout cannot be written to, unless it is a pipe whose reader has gone.
        """
        try:
            print(json.dumps(plain(values), allow_nan=False) if self.json else _drawing(draw()), flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:
            from relucli.storage.atomic import io_error

            raise io_error(error, "standard output", writing=True) from error

    def summary(self, values: dict[str, Any], draw: Callable[[], Iterable[RenderableType]]) -> None:
        """Print the result of a command that wrote a file: nothing if quiet, unless JSON is asked for."""
        if self.json or not self.quiet:
            self.result(values, draw)

    def note(self, text: str) -> None:
        """Print a line on stderr."""
        if not self.quiet and sys.stderr is not None:
            from relucli.errors import printable

            with suppress(OSError):
                print(f"note: {printable(text)}", file=sys.stderr, flush=True)

    @contextmanager
    def progress(self) -> Iterator[_Passes | None]:
        """A progress bar to report to, or None where nobody would see it."""
        if self.quiet or self.json or sys.stderr is None or not sys.stderr.isatty():
            yield None
            return
        console = _console(stderr=True)
        if console.is_dumb_terminal:
            yield None
            return
        with _bar(console) as bar:
            yield _Passes(bar)


class _Passes:
    """Shows the passes of a command, one after the other, on a progress bar."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, speed="")
        self._count, self._done = 0, math.inf

    def __call__(self, name: str, done: int, total: int | None) -> None:
        if done <= self._done:  # rows only ever grow within a pass
            self._count += 1
            title = f"{name} (pass {self._count})" if self._count > 1 else name
            self._bar.reset(self._task, total=total, description=title)
        self._done = math.inf if done == total else done
        self._bar.tasks[0].total = total  # given to update, another estimate would make it forget the speed
        self._bar.update(self._task, completed=done)
        speed = self._bar.tasks[0].speed  # since the first report of this pass
        self._bar.update(self._task, speed=f"{rough_count(speed)} rows/s" if speed else "")


def _bar(console: Console) -> Bar:
    """Name, bar, share done, rows per second and time left; the bar is shorter, or gone, where there is less room."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    room = min(40, console.width - WIDTH_WITHOUT_BAR)
    bar = [BarColumn(bar_width=room)] if room >= SHORTEST_BAR else []
    return Progress(
        TextColumn("{task.description}", markup=False),
        *bar,
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )


def _drawing(parts: Iterable[RenderableType]) -> str:
    """What a console would print; printed by itself it would end the program when a pipe breaks."""
    console = _console(stderr=False)
    stated = console.width
    with console.capture() as drawn:
        for part in parts:
            console.width = max(stated, _least_width(console, part))
            console.print(part, no_wrap=True, overflow="ignore", crop=False)
    return drawn.get().rstrip("\n")


def _least_width(console: Console, part: RenderableType) -> int:
    """What the numbers and words of a table need: a terminal may break its lines, but nothing is left out.

    Where there is less room than a table would take, headings of numbers break between words.
    """
    from rich.table import Table

    everything = console.options.update(width=WIDEST)
    if isinstance(part, Table):
        narrow = console.measure(part, options=everything).maximum > console.width
        for column in part.columns:
            _narrow(column, narrow)
    return console.measure(part, options=everything).minimum


def _narrow(column: Column, scarce: bool) -> None:
    """Let a column be as narrow as its numbers, or its words, where room is scarce."""
    cells = [str(cell) for cell in column.cells]
    words = [*str(column.header).split(), *(cells if column.no_wrap else " ".join(cells).split())]
    least = max(map(len, words), default=0)
    if not column.no_wrap:
        column.min_width = min(least, LONG_WORD)
        return
    if scarce and least:
        column.header = fill(str(column.header), least)
    column.min_width = max(map(len, [*str(column.header).splitlines(), *cells]), default=0)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    # Names of files are not markup, whatever brackets and colons they hold.
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)
    stream, stated = sys.stderr if stderr else sys.stdout, os.environ.get("COLUMNS", "")
    if not (stated.isdecimal() and int(stated) > 0) and (stated or stream is None or not stream.isatty()):
        console.width = FILE_WIDTH
    return console


def columns(title: str, *headings: str) -> Table:
    """An empty table; headings that begin with < are of columns of text, the others of numbers."""
    from rich import box
    from rich.table import Table

    named = any(heading.strip("<") for heading in headings)
    frame = box.SIMPLE_HEAD if named else None
    table = Table(title=title, title_justify="left", title_style="bold", box=frame, pad_edge=False, show_header=named)
    for heading in headings:
        text = heading.startswith("<")
        table.add_column(heading.lstrip("<"), justify="left" if text else "right", no_wrap=not text, overflow="fold")
    return table


def neurons_table(network: ReluNetwork, errors: Mapping[str, Any]) -> Table:
    """The neurons of a network, with what is known of their errors (as in a network file).

    Where there are the characters, a sparkline shows the weights of each: in a column of its own or, in a narrow
    terminal, under the largest weight.
    """
    console = _console(stderr=False)
    if not console.encoding.startswith("utf"):
        return _neurons(network, errors, 2)

    def sparks(characters: int) -> list[str]:
        return [sparkline(weights.tolist(), min(network.dim, characters)) for weights in network.weights]

    for written in (2, 1):
        room = console.width - console.measure(_neurons(network, errors, written)).maximum - PADDING
        if room >= min(network.dim, SPARKS[0]):
            return _neurons(network, errors, written, beside=sparks(min(SPARKS[-1], room)))
    return _neurons(network, errors, 1, below=sparks(SPARKS[0]))


def _neurons(
    network: ReluNetwork, errors: Mapping[str, Any], written: int, beside: Sequence[str] = (), below: Sequence[str] = ()
) -> Table:
    from relucli.network.display import neuron_columns

    found = neuron_columns(network, errors, written)
    headings = ["<" * column.words + column.heading for column in found]
    cells: list[Sequence[str]] = [column.cells for column in found]
    if beside:
        headings.append("<weights")
        cells.append(beside)
    if below:
        cells[-1] = ["\n".join(pair) for pair in zip(cells[-1], below, strict=True)]
    table = columns("Neurons", *headings)
    for row in zip(*cells, strict=True):
        table.add_row(*row)
    return table


def sparkline(values: Sequence[float], characters: int) -> str:
    """Numbers as a row of bars, from minus the largest size to plus that; zero is the fifth of eight heights.

    Of more numbers than characters, each character shows the one of largest size in its run.
    """
    n = len(values)
    cuts = [i * n // characters for i in range(characters + 1)]
    shown = [max(values[i:j], key=abs) for i, j in pairwise(cuts)]
    scale = max(map(abs, shown)) or 1.0
    steps = len(LEVELS) // 2
    return "".join(LEVELS[min(len(LEVELS) - 1, math.floor(steps + steps * value / scale))] for value in shown)


def facts(**values: str) -> Text:
    """Names and what is known of them, a line each."""
    from rich.text import Text

    width = max(map(len, values)) + 2
    lines = [
        Text(name.replace("_", " ").ljust(width), "bold").append(text, "not bold") for name, text in values.items()
    ]
    return Text("\n").join(lines)
