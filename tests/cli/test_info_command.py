from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli.storage.results import read_network


def described(cli, line):
    done = cli(f"info {line} --json")
    assert (done.stderr, done.status) == ("", 0)
    return done.json["files"]


def test_a_dataset(cli, pipeline):
    (found,) = described(cli, "data.h5")
    with h5py.File("data.h5") as file:
        x, y = file["x"][:], file["y"][:]
        chunks = list(file["x"].chunks)
    assert (found["path"], found["bytes"]) == ("data.h5", Path("data.h5").stat().st_size)
    assert (found["kind"], found["samples"], found["dim"]) == ("dataset", 4000, 4)
    assert found["provenance"]["seed"] == 5
    assert found["provenance"]["command"].startswith("relucli generate data.h5")
    first = found["datasets"][0]
    assert (first["name"], first["shape"], first["dtype"]) == ("x", [4000, 4], "float64")
    assert (first["chunks"], first["filters"]) == (chunks, ["fletcher32"])
    assert first["bytes"] >= x.nbytes
    stats = found["statistics"]
    assert stats["rows"] == 4000
    np.testing.assert_allclose([c["mean"] for c in stats["inputs"]], x.mean(axis=0), atol=1e-14)
    np.testing.assert_allclose([c["sd"] for c in stats["inputs"]], x.std(axis=0), rtol=1e-12)
    assert (stats["label"]["min"], stats["label"]["max"]) == (y.min(), y.max())
    assert (found["trouble"], found["next"]) == (None, "relucli learn data.h5 -o net.h5")


def test_labels_from_elsewhere_are_learned_with_biases(cli, folder, foreign):
    (folder / "a.csv").write_text("u,y\n1,2\n3,4\n")
    assert cli("import a.csv -o a.h5").status == 0
    foreign("b.h5", x=np.ones((5, 2)), y=np.ones(5))
    imported, other = described(cli, "a.h5 b.h5")
    assert imported["next"] == "relucli learn a.h5 --bias -o net.h5"
    assert other["next"] == "relucli learn b.h5 --bias -o net.h5"


def test_moments_and_a_network(cli, pipeline):
    moments, network = described(cli, "moments.h5 net.h5")
    assert (moments["kind"], moments["samples"], moments["dim"]) == ("moments", 4000, 4)
    assert (moments["orders"], moments["contractions"], moments["slices"]) == ([1, 2, 4, 6], 8, 16)
    assert moments["standard_inputs"] is True
    assert moments["next"] == "relucli learn DATA.h5 --moments moments.h5 -o net.h5"
    file = read_network("net.h5")
    assert (network["kind"], network["neurons"], network["dim"]) == ("network", 2, 4)
    assert network["coefficients"] == file.network.coefficients.tolist()
    assert network["errors"]["coefficient_errors"] == file.errors["coefficient_errors"].tolist()
    assert [item["stage"] for item in network["diagnostics"]["findings"]][:2] == ["inputs", "span"]
    assert network["next"] == "relucli evaluate net.h5 DATA.h5"


def test_predictions(cli, pipeline):
    cli("predict net.h5 test.h5 -o p.h5 --hidden")
    (found,) = described(cli, "p.h5")
    assert (found["kind"], found["samples"], found["next"]) == ("predictions", 2000, None)
    assert [entry["name"] for entry in found["datasets"]] == ["hidden", "prediction"]


def test_a_foreign_file_says_what_could_be_inputs_and_labels(cli, foreign):
    rng = np.random.default_rng(0)
    foreign(
        "a.h5",
        **{
            "run 1/features": rng.standard_normal((20, 3)),
            "run 1/target": rng.standard_normal(20),
            "words": ["a"] * 20,
            "other": np.ones(7),
        },
    )
    (found,) = described(cli, "a.h5")
    assert (found["kind"], found["inputs"], found["labels"]) == ("hdf5", ["run 1/features"], ["run 1/target"])
    assert found["next"] == "relucli learn a.h5 --inputs 'run 1/features' --labels 'run 1/target' --bias -o net.h5"
    assert found["provenance"] is None


def test_the_command_to_run_next_runs(cli, pipeline, foreign):
    with h5py.File("data.h5") as file:
        foreign("a.h5", features=file["x"][:], target=file["y"][:], more=np.ones((3, 2)))
    (found,) = described(cli, "a.h5")
    assert cli(found["next"].removeprefix("relucli ") + " -k 2 --force").status == 0


def test_a_foreign_file_without_a_dataset(cli, foreign):
    foreign("a.h5", a=np.ones((3, 2)), b=np.ones(4))
    (found,) = described(cli, "a.h5")
    assert (found["inputs"], found["labels"], found["next"]) == ([], [], None)
    assert "no dataset: it takes a 2-D and a 1-D one of real numbers and as many rows" in cli("info a.h5").stdout


def test_foreign_files_with_the_names_of_relucli(cli, foreign):
    foreign("data.h5", x=np.ones((5, 2), ">f4"), y=np.arange(5))
    foreign("net.h5", weights=np.eye(3), coefficients=np.ones(3))
    data, net = described(cli, "data.h5 net.h5")
    assert (data["kind"], data["samples"], net["kind"], net["neurons"]) == ("dataset", 5, "network", 3)


def test_inputs_without_labels(cli, foreign):
    foreign("a.h5", x=np.ones((5, 2)))
    with h5py.File("a.h5", "a") as file:
        file.attrs.update({"format": "relucli-dataset", "format_version": 1, "command": "", "seed": 0})
        file.attrs["relucli_version"] = "0"
    (found,) = described(cli, "a.h5")
    assert (found["statistics"]["label"], found["next"]) == (None, "relucli predict NET.h5 a.h5")


def test_a_file_of_matlab_is_to_be_imported(cli, foreign):
    foreign("a(1).mat", x=np.ones((2, 5)), y=np.ones((1, 5)))
    assert described(cli, "a(1).mat")[0]["next"] == "relucli import 'a(1).mat' -o data.h5"
    assert "could be" not in cli("info a(1).mat").stdout


def test_rows_that_cannot_be_used_are_trouble(cli, pipeline, foreign):
    x = np.ones((5, 2))
    x[3, 1] = np.nan
    foreign("a.h5", x=x, y=np.ones(5))
    found, good = described(cli, "a.h5 data.h5")
    assert found["trouble"] == "a.h5: x row 3 column 1 is nan; drop the row or correct it"
    assert (found["next"], good["trouble"]) == (None, None)
    assert "trouble  a.h5: x row 3 column 1 is nan" in cli("info a.h5").stdout


def test_a_sample_or_all_rows(cli, folder):
    cli("generate big.h5 --samples 300000 --dim 2 --neurons 1")
    assert described(cli, "big.h5")[0]["statistics"]["rows"] < 120_000
    assert described(cli, "big.h5 --full")[0]["statistics"]["rows"] == 300_000
    assert "--full takes all" in cli("info big.h5").stdout
    assert "all rows" in cli("info big.h5 --full").stdout


def test_for_people(cli, pipeline):
    text = cli("info data.h5 moments.h5 net.h5").stdout
    for line in (
        "kind     dataset",
        "rows     4,000 of 4 inputs",
        "moments  orders 1, 2, 4, 6 along 8 directions; 16 slices",
        "What each stage saw",
        "next  relucli evaluate net.h5 DATA.h5",
    ):
        assert line in text


def test_names_in_a_file_cannot_steer_the_terminal(cli, foreign):
    foreign("a.h5", **{"evil\x1b[2J": np.ones((3, 2)), "b\nc": np.ones(3)})
    text = cli("info a.h5").stdout
    assert "\x1b" not in text
    assert r"evil\x1b[2J" in text
    assert r"b\nc" in text


def test_data_kept_in_other_files_are_read_only_if_that_is_allowed(cli, pipeline):
    layout = h5py.VirtualLayout((4000, 4), float)
    layout[:] = h5py.VirtualSource("data.h5", "x", (4000, 4))
    with h5py.File("a.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
        file["y"] = np.ones(4000)
    done = cli("info a.h5")
    message = "a.h5: x is a virtual dataset, assembled from others; pass --allow-external to read it all the same"
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", 65)
    assert described(cli, "a.h5 --allow-external")[0]["statistics"]["rows"] == 4000


def test_more_datasets_than_are_listed(cli, foreign):
    foreign("a.h5", **{f"d{i}": np.ones(2) for i in range(150)})
    (found,) = described(cli, "a.h5")
    assert (len(found["datasets"]), found["complete"]) == (100, False)


@pytest.mark.parametrize(
    ("name", "message", "status"),
    [
        ("missing.h5", "missing.h5: no such file; check its name", 66),
        ("a.csv", "a.csv: not an HDF5 file; make one of it: relucli import a.csv -o data.h5", 65),
        ("empty.h5", "empty.h5: no dataset x; it has y: make the file again", 65),
        (
            "newer.h5",
            "newer.h5: format version 99, but relucli 0.1.0 reads up to 1; install a newer relucli",
            65,
        ),
    ],
)
def test_files_that_cannot_be_described(cli, pipeline, foreign, name, message, status):
    Path("a.csv").write_text("1,2\n" * 9)
    for path, version in (("empty.h5", 1), ("newer.h5", 99)):
        foreign(path, y=np.ones(3))
        with h5py.File(path, "a") as file:
            file.attrs.update({"format": "relucli-dataset", "format_version": version, "command": "", "seed": 0})
            file.attrs["relucli_version"] = "0"
    before = sorted(os.listdir())
    done = cli(f"info data.h5 {name}")
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)
    assert sorted(os.listdir()) == before
