"""Disks that are full or read-only, as file systems of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def disk(pipeline):
    """Mounts a file system of one mebibyte, with options, at ``disk``; it is gone afterwards."""
    os.mkdir("disk")
    mounted = []

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(["size=1m", *options]), "tmpfs", "disk"]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here: that takes root and a system that allows it")
        mounted.append(True)

    yield mount
    if mounted:
        subprocess.run(["umount", "disk"], check=True)


OUTPUTS = [
    "generate disk/out.h5 --samples 100_000 --dim 4 --neurons 2 --teacher-out disk/teacher.h5",
    "generate disk/out.h5 --samples 100_000 --dim 4 --neurons 2 --shards 4",
    "import many.npy -o disk/out.h5",
]


@pytest.mark.parametrize("line", OUTPUTS)
def test_a_disk_that_is_full(spawn, disk, line):
    np.save("many.npy", np.ones((100_000, 4)))
    disk()
    done = spawn(line)
    name = "out-00001-of-00004.h5" if "shards" in line else "out.h5"
    message = f"relucli: disk/{name}: disk full; free some space or choose another folder\n"
    assert (done.returncode, done.stdout, done.stderr) == (74, "", message)
    assert os.listdir("disk") == []


@pytest.mark.parametrize(
    "line",
    [
        "moments data.h5 -o disk/out.h5",
        "learn data.h5 -o disk/out.h5 -k 2",
        "import data.csv -o disk/out.h5",
        "predict net.h5 data.h5 -o disk/out.h5 --hidden",
        "predict net.h5 data.h5 -o disk/out.csv",
        "export net.h5 -o disk/out.json",
    ],
)
def test_a_disk_that_was_full_before(spawn, disk, line):
    Path("data.csv").write_text("a,b,y\n" + "1,2,3\n" * 3000)
    disk()
    with open("disk/full", "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    done = spawn(line)
    name = next(word for word in line.split() if word.startswith("disk/"))
    message = f"relucli: {name}: disk full; free some space or choose another folder\n"
    assert (done.returncode, done.stdout, done.stderr) == (74, "", message)
    assert os.listdir("disk") == ["full"]


@pytest.mark.parametrize("line", [*OUTPUTS[:1], "moments data.h5 -o disk/out.h5", "learn data.h5 -o disk/out.h5 -k 2"])
def test_a_disk_that_is_read_only(spawn, disk, line):
    disk("ro")
    done = spawn(line)
    name = "teacher.h5" if "teacher" in line else "out.h5"
    message = f"relucli: disk/{name}: folder disk is not writable; choose another folder\n"
    assert (done.returncode, done.stdout, done.stderr) == (73, "", message)
