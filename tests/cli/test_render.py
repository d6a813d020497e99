from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from relucli.cli.render import View, columns, duration, facts, number, plain, size, with_error


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


def test_json_has_no_numbers_that_are_none():
    values = {
        "a": math.nan,
        "b": np.float64("inf"),
        "c": np.array([1.0, np.nan]),
        "d": (Path("x"), np.int64(3)),
    }
    assert plain(values) == {"a": None, "b": None, "c": [1.0, None], "d": ["x", 3]}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 +- 0.012"),
        (-2.0, 1.5, "-2.0 +- 1.5"),
        (1234.5, 123.0, "1234 +- 123"),
        (1e-9, 1e-13, "1e-09 +- 1.0e-13"),
        (1.0, 0.0, "1"),
        (1.0, None, "1"),
        (None, None, "-"),
        (math.nan, 1.0, "-"),
    ],
)
def test_numbers_with_errors(value, error, text):
    assert with_error(value, error) == text


def test_numbers_for_people():
    assert [size(n) for n in (0, 1023, 1024, 1536, 2**30, 2**52)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 GiB", "4096.0 TiB")
    ]
    assert [duration(t) for t in (0.0123, 5.04, 61.0, 7322.0)] == [
        "0.012 s",
        "5.0 s",
        "1 min 01 s",
        "2 h 02 min",
    ]
    assert [number(v) for v in (1.0, 123456.0, None, math.inf)] == ["1", "1.2346e+05", "-", "-"]


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
