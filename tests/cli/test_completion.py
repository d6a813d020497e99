"""Completion, asked for by the shells themselves."""

import os
import shutil
import subprocess
import sysconfig

import pytest

# Each asks its shell for what may follow the words $1, $2, ..., and prints one answer a line.
ASK = {
    "bash": """
eval "$(relucli completion bash)"
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_relucli_completion relucli
[ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -o default -- "${COMP_WORDS[COMP_CWORD]}"))
printf '%s\\n' "${COMPREPLY[@]}"
""",
    # Answers go to _arguments, as *: :(("learn":"what it does" ...)), or files are offered.
    "zsh": """
compdef() { }
eval "$(relucli completion zsh)"
_arguments() { print -r -- "$1" | grep -oE '"[^"]*"(:"[^"]*")?' | cut -d'"' -f2 }
_files() { print -l $words[-1]* }
words=("$@") CURRENT=$#
_relucli_completion
""",
    "fish": """
relucli completion fish | source
complete --do-complete "$argv" | string split --fields 1 \\t
""",
}
shells = pytest.mark.parametrize("shell", ASK)


@pytest.fixture
def ask(shell, folder):
    """Words in a shell to what it would offer for the last of them."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = {"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
    quick = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]

    def call(*words):
        name = [] if shell == "fish" else [shell]
        command = [program, *quick, "-c", ASK[shell], *name, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return done.stdout.split()

    return call


@shells
def test_commands_options_and_values_are_completed(ask):
    assert ask("relucli", "le") == ["learn"]
    assert ask("relucli", "learn", "--whi") == ["--whiten"]
    assert sorted(ask("relucli", "generate", "data.h5", "--family", "p")) == ["planar", "positive"]


@shells
def test_figures_are_completed(ask):
    assert sorted(ask("relucli", "plot", "net.h5", "path", "e")) == ["eigenvalues", "errors"]


@shells
def test_arguments_are_left_to_the_completion_of_files(ask, folder):
    (folder / "train.h5").touch()
    assert ask("relucli", "learn", "tr") == ["train.h5"]


@pytest.mark.parametrize("words", ["completion", "completion tcsh"])
def test_another_shell_is_refused(cli, words):
    done = cli(words)
    assert (done.stdout, done.status, done.stderr.count("\n")) == ("", 2, 1)
    assert "'bash', 'zsh'" in done.stderr or "bash, zsh, fish" in done.stderr
