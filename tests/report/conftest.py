from __future__ import annotations

import os
from pathlib import Path

import pytest

from relucli.cli.app import run
from relucli.report.material import Sources, gather
from relucli.streaming.fold import Engine

PIPELINE = (
    "generate data.h5 --samples 20000 --dim 5 --neurons 2 --noise 0.1 --seed 5 --teacher-out teacher.h5",
    "moments data.h5 -o moments.h5",
    "learn data.h5 -o net.h5 -k 2 --moments moments.h5",
)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A folder with data, teacher, moments and net."""
    folder, before = tmp_path_factory.mktemp("report"), Path.cwd()
    os.chdir(folder)
    try:
        for line in PIPELINE:
            assert run([*line.split(), "--quiet"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(scope="session")
def sources(made) -> Sources:
    return Sources(made / "net.h5", (made / "data.h5",), made / "moments.h5", made / "teacher.h5")


@pytest.fixture(scope="session")
def material(sources):
    """All that there is to show of them."""
    return gather(sources, Engine())
