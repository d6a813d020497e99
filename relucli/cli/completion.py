"""``relucli completion``: what a shell needs to complete command lines."""

from __future__ import annotations

import sys
from typing import Annotated, Literal, NoReturn

import typer

__all__ = ["ASKING", "answer", "completion"]

# Set by the scripts, which ask for what may follow.
ASKING = "_RELUCLI_COMPLETE"

Shell = Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="bash|zsh|fish", help="The shell.")]


def completion(shell: Shell) -> None:
    """Print the script that completes command lines in a shell.

    Examples:

    \b
      eval "$(relucli completion bash)"

    To keep it:

    \b
    bash  that line in ~/.bashrc
    zsh   the same with zsh in ~/.zshrc, after compinit
    fish  mkdir -p ~/.config/fish/completions
          relucli completion fish > ~/.config/fish/completions/relucli.fish
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(get_completion_script(prog_name="relucli", complete_var=ASKING, shell=shell))


def answer(app: typer.Typer) -> NoReturn:
    """Tell a shell what may follow, as its script asks in the environment."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()
    typer.main.get_command(app).main(prog_name="relucli", complete_var=ASKING)
    sys.exit(1)  # not reached: the question is answered, and the program over
