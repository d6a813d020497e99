"""Help: in sections, narrow enough for any terminal, with examples that run."""

import os
import re
import subprocess
import sysconfig

import pytest

from relucli import errors
from relucli.cli.app import COMMANDS
from relucli.cli.help import STATUSES

SMALLER = {"--samples 1e5": "--samples 4e3"}
EXAMPLES = re.compile(r"^  Examples:\n\n((?:    .*\n)+)", re.M)
# What examples take as given.
GIVEN = """
relucli generate a.h5 --samples 4e3 --dim 5 --neurons 2
relucli generate b.h5 --samples 4e3 --dim 5 --neurons 2 --seed 1 --teacher-out b-teacher.h5 --quiet
"""

pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def examples(text):
    (found,) = EXAMPLES.findall(text)
    return found


def shell(script):
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stderr}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_a_purpose_examples_sections_and_statuses(cli, command):
    text = cli(f"{command} --help").stdout
    assert f"relucli {command} " in examples(text)
    titles = re.findall(r"^([A-Z][a-z ]+):$", text, re.M)
    assert titles == [title for title in ("Arguments", "Options", "Common options", "Exit status") if title in titles]
    assert titles[-2:] == ["Common options", "Exit status"]
    assert max(map(len, text.splitlines())) <= 80


def test_the_examples_run_in_their_order(cli, folder):
    texts = [cli(*words).stdout for words in (["--help"], *([command, "--help"] for command in COMMANDS))]
    shell(GIVEN)
    for number, script in enumerate(map(examples, texts)):
        for long, short in SMALLER.items():
            script = script.replace(long, short)
        # Later examples go on from files of earlier ones, those of the first are their own.
        shell(f"mkdir -p own && cd own\n{script}" if number == 0 else script)


def test_the_statuses_are_those_of_the_errors():
    known = {leaf.exit_status for leaf in vars(errors).values() if hasattr(leaf, "exit_status")}
    assert {int(word) for word in re.findall(r"\d+", STATUSES)} == known | {0, 130, 143}
