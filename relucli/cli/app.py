"""The root of the command line: commands imported when called, and the one place where errors end."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from keyword import iskeyword
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from relucli import __version__
from relucli.cli.stopping import WORDS, listen, received, stoppable
from relucli.errors import InputError, RelucliError, StorageError, UsageError

__all__ = ["COMMANDS", "function_of", "main", "run"]

# Each is a function in the module of its name (`function_of`), and its text the first line of the docstring there.
COMMANDS = {
    "import": "Make a dataset of CSV, Parquet, NumPy or MATLAB files.",
    "generate": "Draw a labelled dataset from a planted network.",
    "moments": "Take the moments of a dataset, in one pass.",
    "merge": "Merge moments of shards into the moments of the whole.",
    "learn": "Recover the network behind a dataset.",
    "evaluate": "Score a network on a dataset, and against its teacher.",
    "predict": "Compute a network at the rows of a dataset.",
    "info": "Tell what files are, what is in them, and what to run next.",
    "dimension": "Test how many directions of the inputs the labels depend on.",
    "report": "Report on a network and its data, as one page of HTML.",
    "plot": "Draw figures of a report as PNG, SVG or PDF.",
    "export": "Write a network as ONNX, safetensors, NPZ or JSON.",
    "completion": "Print the script that completes command lines in a shell.",
}

# typer.main brings its own click in some versions, and imports it in others.
_ClickError: Any = typer.BadParameter.__mro__[2]

_PLAIN: dict[str, Any] = {
    "context_settings": {"help_option_names": ["-h", "--help"]},
    "rich_markup_mode": None,  # plain help needs no rich, which would double the time to start
    "add_completion": False,
}


def function_of(command: str) -> Any:
    """The function of a command, by its module; a name that Python keeps for itself has an underscore there."""
    name = f"{command}_" if iskeyword(command) else command
    return getattr(import_module(f"relucli.cli.{name}"), name)


class LazyGroup(TyperGroup):
    """Imports the module of a command when that is called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, if there is one."""
        if cmd_name not in COMMANDS:
            return None
        from relucli.cli.help import Command

        single = typer.Typer(**_PLAIN)
        single.command(cmd_name, cls=Command)(function_of(cmd_name))
        return typer.main.get_command(single)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that words ask for; where there is none, the error names one that is spelt alike."""
        try:
            return super().resolve_command(ctx, args)
        except _ClickError as error:
            from difflib import get_close_matches

            for near in get_close_matches(args[0], COMMANDS, n=1):
                error.message = f"{error.message.rstrip('.')} (did you mean {near}?)"
            raise

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The table, without importing a command."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(cls=LazyGroup, **_PLAIN)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"relucli {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Recover one-hidden-layer ReLU networks from labelled data in HDF5 files.

    Examples:

    \b
      relucli generate train.h5 --samples 1e5 --dim 30 --neurons 3 --noise 0.1
      relucli learn train.h5 -o net.h5
      relucli evaluate net.h5 train.h5

    Each command has examples of its own: relucli COMMAND --help
    """


def run(arguments: Sequence[str]) -> int:
    """Run a command line, without the name of the program, and return its exit status.

    Every failure ends here, as one line on stderr; ``RELUCLI_DEBUG=1`` shows where it came from.
    """
    command = typer.main.get_command(app)
    try:
        # Not command.main: it would turn a broken pipe into status 1, and interrupts into return values.
        with stoppable(), command.make_context("relucli", list(arguments), obj=list(arguments)) as context:
            command.invoke(context)
        return 0
    except typer.Exit as ended:
        return ended.exit_code
    except BrokenPipeError:
        # Results are printed once the files are in place: a reader like head that wants no more of them is
        # no failure, and with `set -o pipefail` any other status would make it one.
        _discard_stdout()
        return 0
    except BaseException as error:
        if os.environ.get("RELUCLI_DEBUG") == "1":
            import traceback

            traceback.print_exc()
        status, message = _verdict(error)
        _complain(message)
        return status


def _verdict(error: BaseException) -> tuple[int, str]:
    """The exit status and the message for an error."""
    if received or isinstance(error, KeyboardInterrupt):
        # Whatever the exception: one raised amid a call of HDF5 may come out of it as another.
        number = signal.Signals((received or [signal.SIGINT])[0])
        return 128 + number, WORDS[number]
    if isinstance(error, RelucliError):
        return error.exit_status, str(error)
    if isinstance(error, _ClickError):
        return UsageError.exit_status, _usage(error)
    if isinstance(error, MemoryError):
        return UsageError.exit_status, "out of memory; pass a smaller --memory or fewer --workers"
    if isinstance(error, OSError):
        from relucli.storage.atomic import io_error

        if not error.filename and _homeless():
            return InputError.exit_status, "the working folder has been removed; change to another"
        known = io_error(error, error.filename or "input or output", writing=False)
        return known.exit_status, str(known)
    if isinstance(error, SystemExit):
        raise error
    kind = type(error).__name__
    text = " ".join(str(error).split())
    return 1, f"bug: {kind}: {text}; please report it with what RELUCLI_DEBUG=1 prints"


def _homeless() -> bool:
    """Whether the working folder is no more."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _usage(error: Any) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    path = error.ctx.command_path if getattr(error, "ctx", None) else "relucli"
    return f"{message[:1].lower()}{message[1:]}; try {path} --help"


def _complain(message: str) -> None:
    from relucli.errors import printable

    if sys.stderr is not None:
        with suppress(OSError):
            print(f"relucli: {printable(message)}", file=sys.stderr, flush=True)


def _discard_stdout() -> None:
    """Let what is buffered for a closed pipe go nowhere, rather than fail when the interpreter exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _fill_standard_files() -> None:
    """Open what the caller has closed of the standard files, lest a file of data is opened there and printed into."""
    number = -1
    while number <= 2:
        number = os.open(os.devnull, os.O_RDWR)
    os.close(number)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the program runs)


def main() -> NoReturn:
    """The command ``relucli``."""
    _fill_standard_files()
    listen()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they speak to developers; python -W shows them
        sys.warnoptions.append("ignore")  # of processes that this one starts, too
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    if "_RELUCLI_COMPLETE" in os.environ:
        from relucli.cli.completion import answer

        answer(app)
    status = run(sys.argv[1:])
    if status == StorageError.exit_status or received:
        # HDF5 keeps what it could not write, and crashes when it tries again as the interpreter exits.
        # After a signal, threads in the midst of their work would hold it up.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, AttributeError):
                stream.flush()
        os._exit(status)
    sys.exit(status)
