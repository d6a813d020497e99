"""Whatever a command is connected to: stdout parses, nothing else is there, and no digit is lost."""

import json
import os
import pty
import re
import subprocess
import sys

import h5py
import pytest

from relucli.cli.app import COMMANDS

PROGRAM = [sys.executable, "-c", "from relucli.cli.app import main; main()"]
EVALUATE = "evaluate net.h5 test.h5 --teacher teacher.h5"


def shell(line, **environment):
    """Run a line of shell in which R stands for the program."""
    program = "r() { " + " ".join(f"'{word}'" for word in PROGRAM) + ' "$@"; }; '
    return subprocess.run(
        ["bash", "-c", program + line],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
        env=os.environ | environment,
    )


@pytest.mark.parametrize(("option", "reader"), [("", "head -1"), ("--json", "true")])
def test_a_reader_that_leaves(pipeline, option, reader):
    done = shell(f"set -o pipefail; r {EVALUATE} {option} | {reader}")
    assert (done.returncode, done.stderr) == (0, "")


def test_predictions_for_a_closed_stdout_go_nowhere(pipeline):
    done = shell("r predict net.h5 data.h5 >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_files_are_not_mistaken_for_data(pipeline, closed):
    done = shell(f"r generate out.h5 --samples 3000 --dim 5 --neurons 1 --json {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert bool(done.stdout) == (">&- 2" not in closed and closed != ">&-")
    with h5py.File("out.h5") as file:
        assert file["x"][()].shape == (3000, 5)
    # An error has nowhere to go, but its status has.
    assert shell(f"r learn out.h5 -o out.h5 {closed}").returncode == 2


def test_the_lowest_descriptors_are_never_files_of_data(pipeline):
    script = """if True:
        import os, stat, sys
        import relucli.scoring
        from relucli.cli.app import main

        def score(*_):
            kinds = [stat.S_ISCHR(os.fstat(number).st_mode) for number in (0, 1, 2)]
            os._exit(17 if all(kinds) else 18)

        relucli.scoring.score = score
        for number in (0, 1, 2):
            os.close(number)
        sys.argv = ["relucli", "evaluate", "net.h5", "test.h5"]
        main()
    """
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 17


@pytest.fixture
def numbers(pipeline, cli):
    """Every number that evaluate prints."""
    return re.findall(r"\S*\d\S*", cli(EVALUATE).stdout.rsplit("rows", 1)[0])


@pytest.mark.parametrize("width", ["1", "20", "40", "79", "0", "-5", "many", "1000"])
def test_no_digit_is_lost_however_narrow(numbers, cli, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    done = cli(EVALUATE)
    assert re.findall(r"\S*\d\S*", done.stdout.rsplit("rows", 1)[0]) == numbers
    assert (done.status, done.stderr) == (0, "")


def test_forced_colour_in_a_pipe_keeps_the_width(cli, pipeline, monkeypatch):
    plain = cli(EVALUATE).stdout.splitlines()
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = re.sub(r"\x1b\[[0-9;]*m", "", cli(EVALUATE).stdout).splitlines()
    assert [line for line in coloured if not line.startswith("rows")] == [
        line for line in plain if not line.startswith("rows")
    ]


@pytest.mark.parametrize(
    "environment",
    [
        {"NO_COLOR": "1", "TERM": "dumb"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "latin-1", "COLUMNS": "20"},
    ],
)
def test_surroundings_change_neither_status_nor_json(pipeline, environment):
    os.rename("net.h5", "né[b] .h5")
    lines = ["r evaluate 'né[b] .h5' test.h5 --json", "r evaluate 'né[b] .h5' test.h5", "r evaluate né.h5 b"]
    done = shell("; ".join(lines), **environment)
    first, *drawn = done.stdout.splitlines()
    assert json.loads(first)["samples"] == 2000
    assert any(line.startswith("rmse") for line in drawn)
    assert "\x1b" not in done.stdout
    assert done.returncode == 66
    (message,) = done.stderr.splitlines()
    assert message.endswith(".h5: no such file; check its name")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_anywhere(cli, monkeypatch, command):
    for width in ("20", "40", "1000", "0", "x"):
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setenv("TERM", "dumb")
        done = cli(*command.split(), "--help")
        assert (done.status, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: ")


NAMES = ["[bold]b[", "a b", "new\nline", "-data", "--json", "é中🎉", "a:smile:", "%s{0}", os.fsdecode(b"\xff\xfe")]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_files(folder, cli, name):
    data, net = f"{name}.h5", f"./{name}.net"
    made = cli("generate", "--samples", "600", "--dim", "2", "--neurons", "1", "--json", "--", data)
    assert made.json["paths"] == [data]
    assert cli("learn", "-k", "1", "-o", net, "--", data).status == 0
    done = cli("evaluate", "--json", "--", net, data)
    assert done.json["mse"] < 1e-20
    assert cli("evaluate", "--", net, f"./{data}").status == 0
    again = cli("generate", "--samples", "600", "--dim", "2", "--neurons", "1", "--", data)
    assert again.status == 73
    assert len(again.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "line", ["moments data.h5 -o {}", "learn data.h5 -o {}", "generate {} --samples 9 --dim 1 --neurons 1"]
)
def test_a_name_that_is_too_long(pipeline, cli, line):
    name = "x" * 256
    message = f"relucli: {name}: file name too long; check its name and folder\n"
    done = cli(line.format(name))
    assert (done.stdout, done.stderr, done.status) == ("", message, 73)


def on_terminal(line, **environment):
    """Run with stderr on a terminal: what that shows, stdout, and the status."""
    ours, theirs = pty.openpty()
    command = [*PROGRAM, *line.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | environment) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # as Linux says that nobody writes there any more
                break
            if not more:
                break
            shown += more
        output = process.stdout.read().decode()
    os.close(ours)
    return shown.decode(), output, process.returncode


@pytest.mark.parametrize(
    ("option", "environment", "drawn"),
    [
        ("", {"TERM": "xterm"}, True),
        ("", {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "20"}, True),
        ("", {"TERM": "dumb"}, False),
        ("--quiet", {"TERM": "xterm"}, False),
        ("--json", {"TERM": "xterm"}, False),
    ],
)
def test_progress_is_for_terminals(pipeline, option, environment, drawn):
    shown, output, status = on_terminal(f"evaluate net.h5 data.h5 {option}", **environment)
    assert status == 0
    assert ("score" in shown) == drawn
    assert drawn or shown == ""
    assert "\x1b" not in output
    assert ("mse" in output) or option == "--quiet"
