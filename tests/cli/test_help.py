"""Help: in sections, narrow enough for any terminal, with examples that run."""

import os
import re
import shlex
import subprocess
import sysconfig

import pytest

from relucli import errors
from relucli.cli.app import COMMANDS
from relucli.cli.help import STATUSES
from relucli.cli.stopping import WORDS

SMALLER = {"--samples 1e5": "--samples 500", "--dim 30 --neurons 3": "--dim 3 --neurons 2", " 999": " 39"}
EXAMPLES = re.compile(r"^  Examples:\n\n((?:    .*\n)+)", re.M)
# What examples take as given.
GIVEN = """
relucli generate a.h5 --samples 500 --dim 3 --neurons 2 --teacher-out a-teacher.h5
relucli generate b.h5 --samples 500 --teacher a-teacher.h5 --seed 1
for table in data part1 part2; do printf 'id,x,price\\n1,0.5,2\\n2,-1,3\\n' > $table.csv; done
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
    assert not re.search(r"list\[|<path>|range>|[{}]", text)  # types of Python, which say nothing here


def test_the_examples_run_in_their_order(cli, folder):
    own, *texts = [cli(*words).stdout for words in (["--help"], *([command, "--help"] for command in COMMANDS))]
    (folder / "own").mkdir()
    scripts = [GIVEN, *map(examples, texts), f"cd own\n{examples(own)}"]
    for line in "".join(scripts).replace("\\\n", " ").splitlines():
        for long, short in SMALLER.items():
            line = line.replace(long, short)
        if line.strip().startswith("cd "):
            os.chdir(line.split()[1])
        elif set("|$;>") & set(line):
            shell(line)
        elif line.strip():
            # In this process, which starts but once.
            done = cli(*shlex.split(line)[1:])
            assert (line.split()[0], done.status) == ("relucli", 0), done.stderr


def test_the_statuses_are_those_of_the_errors():
    known = {leaf.exit_status for leaf in vars(errors).values() if hasattr(leaf, "exit_status")}
    assert {int(word) for word in re.findall(r"\d+", STATUSES)} == known | {0, *(128 + number for number in WORDS)}
