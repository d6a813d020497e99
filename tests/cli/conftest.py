from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from relucli.cli.app import run

PLANT = "generate data.h5 --samples 4000 --dim 4 --neurons 2 --noise 0.1 --seed 5 --teacher-out teacher.h5"
FRESH = "generate test.h5 --samples 2000 --teacher teacher.h5 --seed 6"
MOMENTS = "moments data.h5 -o moments.h5 --seed 5"
LEARN = "learn data.h5 -o net.h5 -k 2 --moments moments.h5"


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    stdout: str
    stderr: str
    status: int

    @property
    def json(self) -> dict[str, Any]:
        """The object on stdout, which must be all there is, and strict JSON."""
        (line,) = self.stdout.splitlines()
        return json.loads(line, parse_constant=pytest.fail)


@pytest.fixture(autouse=True)
def _no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """The width of somebody's terminal, which processes that share out the tests are told, is not that of a test."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command line in this process; a single string is split at spaces."""
    monkeypatch.delenv("RELUCLI_DEBUG", raising=False)

    def call(*words: str) -> Result:
        status = run(words[0].split() if len(words) == 1 else list(words))
        return Result(*capsys.readouterr(), status)

    return call


@pytest.fixture
def spawn() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command line in a process of its own."""

    def call(line: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from relucli.cli.app import main; main()", *line.split()]
        options = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "timeout": 60,
        } | options
        return subprocess.run(command, check=False, **options)

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def _pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, before = tmp_path_factory.mktemp("pipeline"), Path.cwd()
    os.chdir(folder)
    try:
        for line in (PLANT, FRESH, MOMENTS, LEARN):
            assert run([*line.split(), "--quiet"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def pipeline(_pipeline: Path, folder: Path) -> Path:
    """A working folder with the files of a pipeline: data, teacher, test, moments and net."""
    for path in _pipeline.iterdir():
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def foreign(folder: Path) -> Callable[..., None]:
    """Writes an HDF5 file that relucli did not make."""

    def write(name: str, **columns: Any) -> None:
        with h5py.File(name, "w") as file:
            for key, value in columns.items():
                file[key] = value

    return write


@pytest.fixture
def columns() -> dict[str, np.ndarray]:
    """Inputs and labels that are fine."""
    rng = np.random.default_rng(0)
    return {"x": rng.standard_normal((50, 4)), "y": rng.standard_normal(50)}
