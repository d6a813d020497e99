"""What users get wrong: one line that says what and where, the exit status of its kind, and no output."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

READERS = ["moments {} -o out.h5", "learn {} -o out.h5 -k 2", "evaluate net.h5 {}"]


@pytest.fixture
def refused(cli):
    """Checks that a command line is refused with exactly this message and status, and leaves no file."""

    def check(line, message, status):
        before = sorted(os.listdir())
        done = cli(line)
        assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)
        assert sorted(os.listdir()) == before

    return check


@pytest.mark.parametrize("reader", READERS)
class TestData:
    """Every command that reads a dataset."""

    def test_missing(self, refused, pipeline, reader):
        refused(reader.format("a.h5"), "a.h5: no such file; check its name", 66)

    def test_a_directory(self, refused, pipeline, reader):
        Path("a.h5").mkdir()
        refused(reader.format("a.h5"), "a.h5: is a directory; name an HDF5 file in it", 66)

    def test_not_hdf5(self, refused, pipeline, reader):
        Path("a.csv").write_text("1,2,3\n" * 1000)
        refused(reader.format("a.csv"), "a.csv: not an HDF5 file; make one of it: relucli import a.csv -o data.h5", 65)

    def test_truncated(self, refused, pipeline, reader):
        content = Path("data.h5").read_bytes()
        Path("a.h5").write_bytes(content[:-1000])
        size = len(content)
        message = f"a.h5: truncated HDF5 file, {size - 1000} of {size} bytes; copy or make it again"
        refused(reader.format("a.h5"), message, 65)

    def test_no_such_dataset(self, refused, pipeline, foreign, columns, reader):
        foreign("a.h5", features=columns["x"], y=columns["y"])
        refused(reader.format("a.h5"), "a.h5: no dataset x; it has features, y: pass --inputs NAME", 65)

    def test_no_rows(self, refused, pipeline, foreign, reader):
        foreign("a.h5", x=np.empty((0, 4)), y=np.empty(0))
        refused(reader.format("a.h5"), "a.h5: x is empty, of shape (0, 4); make the file again", 65)

    def test_number_of_dimensions(self, refused, pipeline, foreign, columns, reader):
        foreign("a.h5", x=columns["y"], y=columns["y"])
        message = "a.h5: x has shape (50,), but must be 2-D, rows by columns: pass --inputs NAME"
        refused(reader.format("a.h5"), message, 65)
        foreign("b.h5", x=columns["x"], y=columns["x"])
        message = "b.h5: y has shape (50, 4), but must be 1-D: pass --labels NAME"
        refused(reader.format("b.h5"), message, 65)

    def test_rows_that_disagree(self, refused, pipeline, foreign, columns, reader):
        foreign("a.h5", x=columns["x"], y=columns["y"][:40])
        message = "a.h5: x has 50 rows, but y has 40; row 40 is the first without a partner"
        refused(reader.format("a.h5"), message, 65)

    def test_complex_numbers(self, refused, pipeline, foreign, columns, reader):
        foreign("a.h5", x=columns["x"] + 1j, y=columns["y"])
        message = "a.h5: x has dtype complex128; convert it to real numbers, as float64"
        refused(reader.format("a.h5"), message, 65)

    def test_objects(self, refused, pipeline, foreign, columns, reader):
        foreign("a.h5", x=columns["x"], y=["a"] * 50)
        message = "a.h5: y has dtype object; convert it to real numbers, as float64"
        refused(reader.format("a.h5"), message, 65)

    def test_not_a_number(self, refused, pipeline, foreign, columns, reader):
        columns["x"][17, 2] = np.nan
        foreign("a.h5", **columns)
        refused(reader.format("a.h5"), "a.h5: x row 17 column 2 is nan; drop the row or correct it", 65)

    def test_infinity(self, refused, pipeline, foreign, columns, reader):
        columns["y"][31] = -np.inf
        foreign("a.h5", **columns)
        refused(reader.format("a.h5"), "a.h5: y row 31 is -inf; drop the row or correct it", 65)

    def test_files_of_different_dimension(self, refused, pipeline, foreign, columns, reader):
        foreign("a.h5", x=columns["x"][:, :3], y=columns["y"])
        message = "a.h5: x has 3 columns, but data.h5 has 4; files of one dataset have the same"
        refused(reader.format("data.h5 a.h5"), message, 65)

    def test_another_kind_of_file(self, refused, pipeline, reader):
        message = "net.h5: a relucli-network file where a relucli-dataset file is wanted; check the order of files"
        refused(reader.format("net.h5"), message, 65)

    def test_a_link_to_another_file(self, refused, cli, pipeline, reader):
        with h5py.File("a.h5", "w") as file:
            file["x"], file["y"] = h5py.ExternalLink("data.h5", "/x"), h5py.ExternalLink("data.h5", "/y")
        message = "a.h5: x is a link to another file, data.h5; pass --allow-external to read it all the same"
        refused(reader.format("a.h5"), message, 65)
        assert cli(reader.format("a.h5 --allow-external")).status == 0

    def test_numbers_that_were_never_written(self, refused, pipeline, reader):
        with h5py.File("a.h5", "w") as file:
            file.create_dataset("x", (2**40, 4), "f8", chunks=(2**20, 4))
            file.create_dataset("y", (2**40,), "f8", chunks=(2**20,))
        message = "a.h5: x was not written to the end (0 of 1048576 chunks); make the file again"
        refused(reader.format("a.h5"), message, 65)

    def test_chunks_that_do_not_fit_into_memory(self, refused, pipeline, foreign, columns, reader):
        with h5py.File("a.h5", "w") as file:
            file.create_dataset("x", data=np.zeros((2**17, 4)), chunks=(2**17, 4), compression="gzip")
            file["y"] = np.zeros(2**17)
        message = "a.h5: a chunk of x takes 4MiB once decompressed; pass --memory 4MiB"
        refused(reader.format("a.h5 --memory 3MiB"), message, 65)


def test_damaged_data(refused, pipeline):
    with h5py.File("data.h5") as file:
        offset = file["x"].id.get_chunk_info(0).byte_offset
        rows = min(file["x"].chunks[0], 4000)
    content = bytearray(Path("data.h5").read_bytes())
    content[offset + 3] ^= 16
    Path("data.h5").write_bytes(content)
    message = (
        f"data.h5: x rows 0 to {rows - 1} cannot be read (checksum or filter failure); copy or make the file again"
    )
    refused("evaluate net.h5 data.h5", message, 65)


@pytest.mark.parametrize(
    "line",
    [
        "generate {} --samples 10 --dim 2 --neurons 1",
        "generate other.h5 --samples 10 --dim 2 --neurons 1 --teacher-out {}",
        "moments data.h5 -o {}",
        "learn data.h5 -o {}",
    ],
)
class TestOutput:
    """Every option that names an output."""

    def test_that_exists(self, refused, pipeline, line):
        Path("out.h5").write_text("old")
        refused(line.format("out.h5"), "out.h5: exists already; pass --force to replace it", 73)
        assert Path("out.h5").read_text() == "old"

    def test_that_is_forced(self, cli, pipeline, line):
        Path("out.h5").write_text("old")
        assert cli(line.format("out.h5") + " --force").status == 0
        assert h5py.is_hdf5("out.h5")

    def test_in_no_folder(self, refused, pipeline, line):
        message = "missing/out.h5: folder missing does not exist; create it first"
        refused(line.format("missing/out.h5"), message, 73)

    def test_that_is_a_folder(self, refused, pipeline, line):
        Path("folder").mkdir()
        refused(line.format("folder"), "folder: is a directory; name a file in it", 73)

    def test_in_a_folder_that_is_not_writable(self, refused, pipeline, monkeypatch, line):
        Path("locked").mkdir()
        access = os.access
        monkeypatch.setattr("os.access", lambda path, *a, **k: str(path) != "locked" and access(path, *a, **k))
        message = "locked/out.h5: folder locked is not writable; choose another folder"
        refused(line.format("locked/out.h5"), message, 73)


@pytest.mark.parametrize("line", ["moments a.h5 -o net.h5", "learn a.h5 -o net.h5"])
def test_an_output_is_checked_before_the_data_are_touched(refused, pipeline, line):
    refused(line, "net.h5: exists already; pass --force to replace it", 73)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("learn data.h5 -o out.h5 -k 0", "-k must be at least 1, not 0"),
        ("learn data.h5 -o out.h5 -k -2", "-k must be at least 1, not -2"),
        (
            "learn data.h5 -o out.h5 -k two",
            "-k two: not a whole number; pass one like 1000000, 1e6 or 1_000_000",
        ),
        ("generate a.h5 --samples 9 --dim 0 --neurons 1", "--dim must be at least 1, not 0"),
        ("generate a.h5 --samples 9 --dim -3 --neurons 1", "--dim must be at least 1, not -3"),
        ("generate a.h5 --samples 9 --dim 2 --neurons 0", "--neurons must be at least 1, not 0"),
        ("generate a.h5 --samples 0 --dim 2 --neurons 1", "--samples must be at least 1, not 0"),
        (
            "generate a.h5 --samples 1.5 --dim 2 --neurons 1",
            "--samples 1.5: not a whole number; pass one like 1000000, 1e6 or 1_000_000",
        ),
        ("generate a.h5 --samples 9 --neurons 1", "--dim is missing: pass it, or a network with --teacher"),
        ("generate a.h5 --samples 9 --dim 1", "--neurons is missing: pass it, or a network with --teacher"),
        (
            "generate a.h5 --samples 9 --dim 2 --neurons 2 --noise -1",
            "--noise must be at least 0 and finite, not -1.0",
        ),
        (
            "generate a.h5 --samples 9 --dim 2 --neurons 2 --separation 1",
            "--separation goes with --family close",
        ),
        (
            "generate a.h5 --samples 9 --dim 2 --neurons 2 --shards 10",
            "--shards 10 does not suit 9 rows; pass a number from 1 to 9",
        ),
        (
            "generate a.h5 --samples 9 --teacher net.h5 --dim 5",
            "--dim 5: net.h5 takes 4 inputs; leave --dim out",
        ),
        (
            "generate a.h5 --samples 9 --teacher net.h5 --neurons 5",
            "--neurons 5: net.h5 has 2; leave --neurons out",
        ),
        (
            "generate a.h5 --samples 9 --teacher net.h5 --family planar",
            "--family does not go with --teacher, whose network is there already",
        ),
        (
            "generate a.h5 --samples 9 --dim 2 --neurons 1 --teacher-out a.h5",
            "a.h5 cannot be both dataset and network; choose another name",
        ),
        (
            "generate a.h5 --samples 9 --dim 2 --neurons 1 --memory 1KiB",
            "--memory 0MiB is too small to draw rows: pass --memory 2MiB",
        ),
        (
            "learn data.h5 -o out.h5 --memory lots",
            "--memory lots: not a size; pass one like 512MiB, 2GiB or 1e9",
        ),
        (
            "moments data.h5 -o out.h5 --orders 1,two",
            "--orders 1,two: pass whole numbers with commas between them, like 1,2,4,6",
        ),
        ("moments data.h5 -o out.h5 --orders 0,2", "--orders 0,2: each must be from 1 to 16"),
        (
            "evaluate net.h5 data.h5 --scheduler here",
            "--scheduler here: not an address; pass one like tcp://host:8786, or local:4 for this machine",
        ),
        ("learn data.h5 -o data.h5 --force", "data.h5 is both input and output; choose another output"),
        (
            "learn data.h5 -o moments.h5 --moments moments.h5 --force",
            "moments.h5 is both input and output; choose another output",
        ),
    ],
)
def test_options_that_cannot_be_meant(refused, pipeline, line, message):
    refused(line, message, 2)


def test_a_network_that_takes_other_inputs(refused, pipeline, foreign, columns):
    foreign("wide.h5", x=np.ones((9, 6)), y=np.ones(9))
    message = "net.h5: takes 4 inputs, but wide.h5 has 6; check which of them belong together"
    refused("evaluate net.h5 wide.h5", message, 65)
    foreign("narrow.h5", weights=np.eye(3), coefficients=np.ones(3))
    message = "narrow.h5: takes 3 inputs, but test.h5 has 4; check which of them belong together"
    refused("evaluate net.h5 test.h5 --teacher narrow.h5", message, 65)


def test_what_is_not_a_network(refused, pipeline, foreign):
    foreign("a.h5", weights=2 * np.eye(4), coefficients=np.ones(4))
    message = "a.h5: row 0 of weights is not of unit length; correct it or make it again"
    refused("evaluate a.h5 test.h5", message, 65)
    message = "data.h5: a relucli-dataset file where a relucli-network file is wanted; check the order of files"
    refused("evaluate data.h5 test.h5", message, 65)
    refused("generate b.h5 --samples 9 --teacher data.h5", message, 65)


def test_a_teacher_that_is_constant(refused, pipeline, foreign):
    foreign("a.h5", weights=np.eye(4)[:1], coefficients=np.zeros(1))
    message = "a.h5: the teacher is constant: no error relative to its variance exists"
    refused("evaluate net.h5 test.h5 --teacher a.h5", message, 65)


def test_moments_of_other_data(refused, cli, pipeline):
    message = (
        "moments.h5: taken from other data than test.h5 (of 4000 rows of 4 inputs, "
        "not 2000 rows of 4 inputs); take them again"
    )
    refused("learn test.h5 -o out.h5 -k 2 --moments moments.h5", message, 65)
    cli("generate twin.h5 --samples 4000 --teacher teacher.h5 --seed 99")
    message = "moments.h5: taken from other data than twin.h5 (their rows differ); take them again"
    refused("learn twin.h5 -o out.h5 -k 2 --moments moments.h5", message, 65)


@pytest.mark.parametrize("name", ["x", "y"])
def test_moments_of_data_that_were_edited_since(refused, pipeline, name):
    with h5py.File("data.h5", "a") as file:
        file[name][100] *= 1 + 1e-15  # a row that the fingerprint does not see
    message = "moments.h5: taken from other data than data.h5 (their rows differ); take them again"
    refused("learn data.h5 -o out.h5 -k 2 --moments moments.h5", message, 65)


def test_moments_of_the_same_data_in_another_layout(cli, pipeline):
    with h5py.File("data.h5") as file, h5py.File("plain.h5", "w") as plain:
        plain["x"], plain["y"] = file["x"][()], file["y"][()]
    assert cli("learn plain.h5 -o out.h5 -k 2 --moments moments.h5").status == 0
    assert cli("moments plain.h5 -o m.h5").status == 0
    assert cli("learn data.h5 -o out2.h5 -k 2 --moments m.h5").status == 0


def test_moments_that_are_not(refused, pipeline):
    message = "net.h5: a relucli-network file where a relucli-moments file is wanted; check the order of files"
    refused("learn data.h5 -o out.h5 --moments net.h5", message, 65)
    refused("learn data.h5 -o out.h5 --moments a.h5", "a.h5: no such file; check its name", 66)


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("sliced/xx", -1.0, "squares of inputs"),
        ("sliced/count", -1.0, "rows of slices"),
        ("base/y", 0.0, "number of rows"),
        ("base/y", 1e300, "number of rows"),
        ("root", 0.0, "whitening"),
    ],
)
def test_moments_that_no_rows_have(refused, pipeline, name, value, what):
    with h5py.File("moments.h5", "a") as file:
        del file.attrs["relucli_sha256"]
        file["moments"][name][...] = value
    message = f"moments.h5: no rows have such moments ({what}); take them again"
    refused("learn data.h5 -o out.h5 -k 2 --moments moments.h5", message, 65)
    refused("info moments.h5", message, 65)


def test_networks_whose_squares_overflow(refused, pipeline):
    with h5py.File("teacher.h5", "a") as file:
        del file.attrs["relucli_sha256"]
        file["coefficients"][...] = 1e308
    message = "teacher.h5: the networks are too large to be compared: their squares overflow"
    refused("evaluate net.h5 data.h5 --teacher teacher.h5", message, 65)


def test_a_teacher_is_not_replaced_by_its_data(refused, pipeline):
    for line in ("generate teacher.h5", "generate new.h5 --teacher-out teacher.h5"):
        message = "teacher.h5 is both input and output; choose another output"
        refused(f"{line} --teacher teacher.h5 --samples 10 --force", message, 2)


def test_moments_without_what_learning_needs(refused, cli, pipeline):
    cli("moments data.h5 -o m.h5 --slices 0")
    message = "there are no slice moments to find the subspace from; take them with --slices 16"
    refused("learn data.h5 -o out.h5 -k 2 --moments m.h5", message, 2)


def test_data_that_support_no_network(refused, pipeline, foreign, columns):
    foreign("flat.h5", x=columns["x"], y=np.ones(50))
    refused("learn flat.h5 -o out.h5 -k 2", "flat.h5: y is constant: there is nothing to learn from it", 65)
    foreign("few.h5", x=columns["x"][:8], y=columns["y"][:8])
    message = (
        "few.h5: 8 rows cannot determine 3 neurons in 4 dimensions (12 parameters); "
        "it takes more than 12 rows, or -k 1 at most"
    )
    refused("learn few.h5 -o out.h5 -k 3", message, 65)
    message = message.replace("few.h5: 8", "few.h5 and 1 more: 16").replace("3 n", "5 n").replace("12", "20")
    refused("learn few.h5 few.h5 -o out.h5 -k 5", message.replace("-k 1", "-k 3"), 65)


def test_columns_that_say_nothing_of_their_own(refused, cli, pipeline, foreign):
    with h5py.File("data.h5") as file:
        x, y = file["x"][:], file["y"][:]
    foreign("same.h5", x=np.column_stack([x, 7 - 2 * x[:, 1]]), y=y)
    message = "same.h5: the covariance of x is singular: column 4 is column 1 again, up to scale and shift"
    refused("learn same.h5 -o out.h5 -k 2", f"{message}; remove it, or pass --whiten off", 65)
    foreign("flat.h5", x=np.column_stack([x, np.full(len(y), 7.0)]), y=y)
    message = "flat.h5: x column 4 is constant; remove it, or pass --whiten off"
    refused("learn flat.h5 -o out.h5 -k 2", message, 65)
    for name in ("same.h5", "flat.h5"):
        assert cli(f"learn {name} -o {name}.net -k 2 --whiten off --json").json["r2"] > 0.9


def test_labels_out_of_range(refused, pipeline, foreign):
    with h5py.File("data.h5") as file:
        x, y = file["x"][:], file["y"][:]
    size = f"{1e300 * abs(y).max():.1g}"
    foreign("a.h5", x=x, y=1e300 * y)
    message = f"a.h5: y holds labels of size {size}, whose squares are out of range; rescale them"
    refused("moments a.h5 -o out.h5", message, 65)
    refused("learn a.h5 -o out.h5", message, 65)
    size = f"{1e300 * np.sqrt(np.mean(y**2)):.1g}"
    message = f"a.h5: errors are of size {size}, whose squares are out of range; rescale y"
    refused("evaluate net.h5 a.h5", message, 65)
    y[1234] = 1e200
    foreign("b.h5", x=x, y=y)
    message = "b.h5: y row 1234 is 1e+200, too large beside the others: sums overflow; drop the row or correct it"
    for line in ("moments b.h5 -o out.h5", "learn b.h5 -o out.h5 -k 2", "learn b.h5 -o out.h5 -k 2 --loss huber"):
        refused(line, message, 65)


def test_a_row_that_outweighs_all_others(refused, pipeline, foreign):
    with h5py.File("data.h5") as file:
        x, y = file["x"][:], file["y"][:]
    x[17, 2] = 6e30
    foreign("a.h5", x=x, y=y)
    message = (
        "a.h5: x column 2 has a few rows so far out that they outweigh all others (its standard deviation is 9.5e+28, "
        "its typical spread 1); drop or correct them"
    )
    refused("learn a.h5 -o out.h5 -k 2", message, 65)


@pytest.mark.parametrize("line", ["moments ../x.h5 -o ../m.h5", "dimension x.h5"])
def test_a_working_folder_that_was_removed(refused, folder, monkeypatch, line):
    Path("gone").mkdir()
    monkeypatch.chdir("gone")
    (folder / "gone").rmdir()
    refused(line, "the working folder has been removed; change to another", 66)
    monkeypatch.chdir(folder)
