from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli.storage.results import read_network


@pytest.fixture
def expected(pipeline):
    with h5py.File("test.h5") as file:
        return read_network("net.h5").network(file["x"][:])


def test_predictions_in_a_file(cli, expected):
    values = cli("predict net.h5 test.h5 -o p.h5 --json").json
    assert values.pop("seconds") > 0
    assert values.pop("bytes") == Path("p.h5").stat().st_size
    assert values == {"samples": 2000, "dim": 4, "neurons": 2, "path": "p.h5"}
    with h5py.File("p.h5") as file:
        assert list(file) == ["prediction"]
        assert file.attrs["format"] == "relucli-predictions"
        assert file.attrs["command"] == "relucli predict net.h5 test.h5 -o p.h5 --json"
        assert file["prediction"].fletcher32
        assert file["prediction"][:].tobytes() == expected.tobytes()


def test_activations_in_a_file(cli, expected):
    assert cli("predict net.h5 test.h5 -o p.h5 --hidden").status == 0
    with h5py.File("p.h5") as file, h5py.File("test.h5") as data:
        assert np.array_equal(file["hidden"][:], read_network("net.h5").network.hidden(data["x"][:]))
        assert file["prediction"][:].tobytes() == expected.tobytes()


def test_more_rows_than_are_computed_at_once(cli, pipeline):
    cli("generate many.h5 --samples 150000 --teacher teacher.h5 --seed 9")
    assert cli("predict net.h5 many.h5 -o p.h5 --hidden --workers 2").status == 0
    network = read_network("net.h5").network
    with h5py.File("p.h5") as file, h5py.File("many.h5") as data:
        x = data["x"][:]
        np.testing.assert_allclose(file["prediction"][:], network(x), rtol=0, atol=1e-12)
        np.testing.assert_allclose(file["hidden"][:], network.hidden(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("output", ["", " -o -", " -o p.csv"])
def test_predictions_as_text(cli, expected, output):
    done = cli(f"predict net.h5 test.h5{output} --quiet")
    assert (done.stderr, done.status) == ("", 0)
    text = Path("p.csv").read_text() if "csv" in output else done.stdout
    lines = text.splitlines()
    assert lines[0] == "prediction"
    assert np.array(lines[1:], float).tobytes() == expected.tobytes()


def test_files_in_the_order_given(cli, expected):
    done = cli("predict net.h5 test.h5 data.h5")
    assert len(done.stdout.splitlines()) == 6001
    assert np.array(done.stdout.splitlines()[1:2001], float).tobytes() == expected.tobytes()


def test_inputs_without_labels(cli, foreign, expected):
    with h5py.File("test.h5") as file:
        foreign("inputs.h5", features=file["x"][:])
        foreign("unlabelled.h5", x=file["x"][:], y=np.full(2000, np.nan))
    for name in ("inputs.h5 --inputs features", "unlabelled.h5"):
        assert np.array(cli(f"predict net.h5 {name}").stdout.split()[1:], float).tobytes() == expected.tobytes()


def test_a_reader_that_leaves_early_is_no_failure(pipeline, cli):
    cli("generate many.h5 --samples 200000 --teacher teacher.h5 --seed 9")
    command = [sys.executable, "-c", "from relucli.cli.app import main; main()", "predict", "net.h5", "many.h5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"prediction\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_standard_output_that_cannot_be_written(pipeline, spawn):
    with open("/dev/full", "w") as full:
        done = spawn("predict net.h5 test.h5", stdout=full)
    message = "relucli: standard output: disk full; free some space or choose another folder\n"
    assert (done.stderr, done.returncode) == (message, 74)


@pytest.mark.parametrize(
    ("line", "message", "status"),
    [
        ("net.h5 test.h5 --json", "--json and the predictions both want stdout; pass -o FILE", 2),
        (
            "net.h5 test.h5 -o p.parquet",
            "p.parquet: predictions are written as HDF5, or as CSV to a name that ends in .csv",
            2,
        ),
        ("net.h5 test.h5 -o net.h5 --force", "net.h5 is both input and output; choose another output", 2),
        ("net.h5 test.h5 -o test.h5 --force", "test.h5 is both input and output; choose another output", 2),
        ("net.h5 test.h5 -o old.h5", "old.h5: exists already; pass --force to replace it", 73),
        ("net.h5 missing.h5", "missing.h5: no such file; check its name", 66),
        ("missing.h5 test.h5", "missing.h5: no such file; check its name", 66),
        (
            "net.h5 wide.h5 -o p.h5",
            "net.h5: takes 4 inputs, but wide.h5 has 6; check which of them belong together",
            65,
        ),
        ("net.h5 holes.h5 -o p.h5", "holes.h5: x row 3 column 2 is nan; drop the row or correct it", 65),
        ("net.h5 holes.h5 -o p.csv", "holes.h5: x row 3 column 2 is nan; drop the row or correct it", 65),
        ("net.h5 test.h5 --inputs z", "test.h5: no dataset z; it has x, y: pass --inputs NAME", 65),
        ("net.h5 flat.h5", "flat.h5: x has shape (5,), but must be 2-D, rows by columns: pass --inputs NAME", 65),
        ("net.h5 scalar.h5", "scalar.h5: x has shape (), but must be 2-D, rows by columns: pass --inputs NAME", 65),
        ("net.h5 test.h5 -o p.h5 --memory 100KB", "--memory 0MiB is too small for this pass: pass --memory 1MiB", 2),
    ],
)
def test_what_cannot_be_predicted(cli, pipeline, foreign, line, message, status):
    holes = np.zeros((5, 4))
    holes[3, 2] = np.nan
    foreign("holes.h5", x=holes)
    foreign("wide.h5", x=np.ones((9, 6)))
    foreign("flat.h5", x=np.ones(5))
    foreign("scalar.h5", x=1.0)
    Path("old.h5").write_text("old")
    before = sorted(os.listdir())
    done = cli(f"predict {line}")
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)
    assert sorted(os.listdir()) == before
