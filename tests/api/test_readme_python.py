"""The Python in the README is run, one block after the other, as by a reader."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from relucli.cli.app import run

README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    """Code of a language, with the line of the README that it begins at."""
    text = README.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)), found[1]


def test_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    ran = 0
    for line, code in blocks("python"):
        if "import torch" in code:
            if find_spec("torch") is None or find_spec("safetensors") is None:
                continue
            assert run(["export", "net.h5", "-o", "net.safetensors"]) == 0
        # Empty lines in front, so that a traceback names the line of the README.
        exec(compile("\n" * line + code, str(README), "exec"), names)
        ran += 1
    assert ran >= 2
