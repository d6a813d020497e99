"""The Python in the README is run, one block after the other, as by a reader."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import relucli
from relucli.cli.app import run
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.storage.dataset import open_dataset
from relucli.streaming.blocks import groups
from relucli.streaming.fold import Engine

PLANT = "generate rows.h5 --samples 10 --dim 3 --neurons 2"
README = Path(__file__).parents[2] / "README.md"


def blocks(language):
    """Code of a language, with the line of the README that it begins at."""
    text = README.read_text(encoding="utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, found.start(1)), found[1]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the blocks define, run one after the other in a folder of their own."""
    folder, before = tmp_path_factory.mktemp("readme"), Path.cwd()
    names = {"__name__": "readme"}
    os.chdir(folder)
    try:
        for line, code in blocks("python"):
            if "import torch" in code:
                if find_spec("torch") is None or find_spec("safetensors") is None:
                    continue
                assert run([*PLANT.split(), "--teacher-out", "net.h5"]) == 0
                assert run(["export", "net.h5", "-o", "net.safetensors"]) == 0
            # Empty lines in front, so that a traceback names the line of the README.
            exec(compile("\n" * line + code, str(README), "exec"), names)
    finally:
        os.chdir(before)
    return names


def test_python_runs(names):
    assert {"ReluNetworkRegressor", "EnergyMoments", "energetic_span", "ProcessExecutor"} <= {*names, *dir(relucli)}


def test_the_executor_gives_the_same_bits_from_many_groups(names, tmp_path):
    relucli.generate(
        tmp_path / "data.h5", relucli.plant("random", dim=100, neurons=2, seed=0), 140_000, dtype="float32"
    )
    executor, settings = names["ProcessExecutor"](2), MomentSettings((1, 2, 4), 2, 8)
    count = len(groups(140_000, 100))
    assert count > executor.grain(count) > 1
    with executor.pool, open_dataset(tmp_path / "data.h5") as rows:
        spread, alone = (
            estimate_moments(rows, settings, engine).sums.sums for engine in (Engine(cluster=executor), Engine())
        )
    assert all((spread[name] == alone[name]).all() for name in alone)


@pytest.mark.parametrize("title", ["A new moment", "A new subspace method", "A new executor"])
def test_an_extension_takes_about_thirty_lines(title):
    after = README.read_text(encoding="utf-8").split(f"**{title}**")[1]
    assert len(next(re.finditer(r"^```python\n(.*?)^```$", after, re.M | re.S))[1].splitlines()) <= 32
