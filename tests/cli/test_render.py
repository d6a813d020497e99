from __future__ import annotations

import io
import sys

import pytest

from relucli.cli.render import View, columns, facts


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
