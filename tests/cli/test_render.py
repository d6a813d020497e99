from __future__ import annotations

import io
import re
import sys
import time

import numpy as np
import pytest

from relucli.cli.render import View, columns, facts, neurons_table, sparkline
from relucli.network import ReluNetwork


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def attach(monkeypatch):
    """Puts a stream, or nothing at all, in the place of stderr; to be called from the test itself."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")

    def replace(stream):
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return replace


@pytest.mark.parametrize(
    ("values", "characters", "bars"),
    [
        ([-1.0, -0.5, 0.0, 0.5, 1.0], 5, "▁▃▅▇█"),
        ([0.0, 0.0], 2, "▅▅"),
        ([0.1, -2.0, 0.0, 0.0, 2.0, 1.9], 3, "▁▅█"),  # the largest of each pair
        ([0.0, -3.0, 0.0], 2, "▅▁"),  # of a run of one and a run of two
    ],
)
def test_a_sparkline_shows_signs_and_sizes(values, characters, bars):
    assert sparkline(values, characters) == bars


@pytest.fixture
def neurons():
    weights = np.vstack([np.eye(40)[3], -np.eye(40)[20]])
    return ReluNetwork(weights, np.array([1.0, -2.0]))


@pytest.mark.parametrize(
    ("width", "characters", "weights"),
    [(40, 8, 1), (50, 8, 1), (51, 8, 1), (57, 14, 1), (58, 8, 2), (70, 20, 2), (90, 32, 2), (200, 32, 2)],
)
def test_neurons_have_a_sparkline_in_the_room_there_is(capsys, monkeypatch, neurons, width, characters, weights):
    monkeypatch.setenv("COLUMNS", str(width))
    View(json=False, quiet=False).result({}, lambda: [neurons_table(neurons, {})])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    first, second = (line.split()[-1] for line in lines if "▅" in line)
    assert first.count("█") == second.count("▁") == 1
    assert len(first) == characters == len(second)
    assert sum(line.count("0.000 x") for line in lines) == 2 * (weights - 1)
    under = [line.split() for line in lines if line.strip() in {first, second}]
    assert len(under) == (2 if width <= 50 else 0)


def test_a_table_without_headings_has_no_empty_lines(capsys):
    table = columns("Title", "<", "<")
    table.add_row("a", "b")
    View(json=False, quiet=False).result({}, lambda: [table])
    assert capsys.readouterr().out == "Title\na  b\n"


def test_an_output_without_the_characters_gets_no_sparkline(capsys, monkeypatch, neurons):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("rich.console.Console.encoding", "latin-1")
    View(json=False, quiet=False).result({}, lambda: [neurons_table(neurons, {})])
    assert not set("▁▅█") & set(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("width", "heading"), [(60, ["sum of the rest", "error (95%)"]), (34, ["sum of", "the rest", "error", "(95%)"])]
)
def test_where_room_is_scarce_headings_break_between_words_and_numbers_not_at_all(capsys, monkeypatch, width, heading):
    monkeypatch.setenv("COLUMNS", str(width))
    table = columns("Title", "sum of the rest", "<error (95%)", "value")
    table.add_row("2.25e+05", "2 mrad", "1.43620 +- 0.00070")
    View(json=False, quiet=False).result({}, lambda: [table])
    lines = capsys.readouterr().out.splitlines()
    above = lines[1 : next(i for i, line in enumerate(lines) if "─" in line)]
    cells = [cell for line in above for cell in re.split(r"\s{2,}", line.strip()) if cell]
    assert set(cells) == {*heading, "value"}
    assert {"2.25e+05", "1.43620 +- 0.00070"} <= set(re.split(r"\s{2,}|\n", "\n".join(lines).strip()))


def test_a_planted_network_beside_the_recovered_one_fits_a_terminal_of_eighty_columns(cli, pipeline, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = cli("evaluate net.h5 test.h5 --teacher teacher.h5").stdout.splitlines()
    assert "planted" in " ".join(lines)
    assert max(map(len, lines)) <= 80


def test_facts_are_neither_markup_nor_wrapped(capsys):
    name = "[bold]" + 200 * "x" + ":smile:"
    View(json=False, quiet=False).result({}, lambda: [facts(data=name, test_rows="2")])
    assert capsys.readouterr().out == f"data       {name}\ntest rows  2\n"


def test_tables_hold_text_not_markup(capsys):
    table = columns("[red]title", "<name :smile:", "n")
    table.add_row("[bold]x[/bold]", "1")
    View(json=False, quiet=False).result({}, lambda: [table])
    words = capsys.readouterr().out.split()
    assert {"[red]title", ":smile:", "[bold]x[/bold]"} <= set(words)


def test_a_summary_is_for_people_who_did_not_ask_for_quiet(capsys):
    for json, quiet, out in ((True, True, "{}\n"), (False, True, ""), (False, False, "n  1\n")):
        View(json, quiet).summary({}, lambda: [facts(n="1")])
        assert capsys.readouterr().out == out


def test_progress_is_drawn_on_a_terminal(attach):
    terminal = attach(Terminal())
    with View(json=False, quiet=False).progress() as progress:
        for done in (50, 100, 50, 100):
            progress("polish", done, 100)
    assert "polish (pass 2)" in terminal.getvalue()
    assert "rows/s" in terminal.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_progress_says_speed_and_time_left_on_any_width(attach, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    terminal = attach(Terminal())
    with View(json=False, quiet=False).progress() as progress:
        for done in range(0, 1001, 250):
            progress("moments", done, 10_000)
            time.sleep(0.02)
        progress._bar.refresh()
        (task,) = progress._bar.tasks
    assert task.time_remaining > 0
    assert re.search(r"[0-9.]+k rows/s \d\d:\d\d", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()))
    assert ("━" in terminal.getvalue()) == (width >= 80)


def test_progress_keeps_its_speed_when_the_estimate_of_all_rows_changes(attach, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    attach(Terminal())
    with View(json=False, quiet=False).progress() as progress:
        for done, total in ((100, None), (200, 1100), (300, 1000), (400, 900)):
            progress("import", done, total)
            time.sleep(0.02)
        (task,) = progress._bar.tasks
    assert (task.completed, task.total) == (400, 900)
    assert task.speed > 0
    assert "rows/s" in task.fields["speed"]


@pytest.mark.parametrize(("json", "quiet"), [(True, False), (False, True)])
def test_progress_is_not_drawn_when_not_wanted(attach, json, quiet):
    terminal = attach(Terminal())
    with View(json, quiet).progress() as progress:
        assert progress is None
    assert terminal.getvalue() == ""


def test_progress_is_not_drawn_on_a_dumb_terminal(attach, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    attach(Terminal())
    with View(json=False, quiet=False).progress() as progress:
        assert progress is None


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_progress_is_not_drawn_without_a_terminal(attach, stream):
    attach(stream)
    with View(json=False, quiet=False).progress() as progress:
        assert progress is None


def test_streams_that_are_closed(attach, monkeypatch):
    attach(None)
    monkeypatch.setattr(sys, "stdout", None)
    view = View(json=True, quiet=False)
    view.note("nobody reads this")
    view.result({"a": 1}, list)
