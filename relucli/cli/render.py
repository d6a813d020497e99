"""All that is drawn: results on stdout, progress and notes on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as Bar
    from rich.table import Table
    from rich.text import Text

    from relucli.network import ReluNetwork
    from relucli.streaming.fold import Progress

__all__ = ["View", "columns", "duration", "facts", "neurons_table", "number", "plain", "size", "with_error"]

LARGEST_WEIGHTS = 2
FILE_WIDTH = 120


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
    def progress(self) -> Iterator[Progress | None]:
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

    def __call__(self, name: str, done: int, total: int) -> None:
        if done <= self._done:  # rows only ever grow within a pass
            self._count += 1
            title = f"{name} (pass {self._count})" if self._count > 1 else name
            self._bar.reset(self._task, total=total, description=title)
        self._done = math.inf if done == total else done
        elapsed = self._bar.tasks[0].elapsed
        speed = f"{done / elapsed:,.0f} rows/s" if elapsed else ""
        self._bar.update(self._task, completed=done, speed=speed)


def _bar(console: Console) -> Bar:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _drawing(parts: Iterable[RenderableType]) -> str:
    """What a console would print; printed by itself it would end the program when a pipe breaks."""
    console = _console(stderr=False)
    with console.capture() as drawn:
        for part in parts:
            console.print(part, no_wrap=True, overflow="ignore", crop=False)
    return drawn.get().rstrip("\n")


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    # Names of files are not markup, whatever brackets and colons they hold.
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = FILE_WIDTH
    return console


def columns(title: str, *headings: str) -> Table:
    """An empty table; headings that begin with < are of columns of text, the others of numbers."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        text = heading.startswith("<")
        table.add_column(heading.lstrip("<"), justify="left" if text else "right", overflow="fold")
    return table


def neurons_table(network: ReluNetwork, errors: Mapping[str, Any]) -> Table:
    """The neurons of a network, with what is known of their errors (as in a network file)."""
    from relucli.network import angle_words

    biased = bool(network.biases.any())
    headings = ["neuron", "coefficient", *(["bias"] if biased else []), "<direction within", "<largest weights"]
    table = columns("Neurons", *headings)
    unknown = [math.nan] * network.neurons
    c_errors, b_errors, angles = (
        errors.get(name, unknown) for name in ("coefficient_errors", "bias_errors", "weight_errors")
    )
    for i, w in enumerate(network.weights):
        row = [str(i), with_error(network.coefficients[i], c_errors[i])]
        row += [with_error(network.biases[i], b_errors[i])] if biased else []
        row += [angle_words(float(angles[i])) if math.isfinite(angles[i]) else "-"]
        largest = abs(w).argsort()[::-1][:LARGEST_WEIGHTS]
        table.add_row(*row, "  ".join(f"{w[j]:+.3f} x{j}" for j in largest))
    return table


def facts(**values: str) -> Text:
    """Names and what is known of them, a line each."""
    from rich.text import Text

    width = max(map(len, values)) + 2
    lines = [
        Text(name.replace("_", " ").ljust(width), "bold").append(text, "not bold") for name, text in values.items()
    ]
    return Text("\n").join(lines)


def number(value: float | None) -> str:
    """A number for people, of five digits."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.5g}"


def with_error(value: float | None, error: float | None) -> str:
    """A number and its standard error: digits down to two of the error's."""
    if value is None or error is None or not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value)
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 8 or error >= 1e4:
        return f"{value:.8g} +- {error:.1e}"
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def size(count: float) -> str:
    """Bytes for people, in powers of 1024."""
    power = min(4, max(0, (int(count).bit_length() - 1) // 10))
    unit = ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{count / 1024**power:.{int(power > 0)}f} {unit}"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, paths as text, and null for what is no finite number."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
