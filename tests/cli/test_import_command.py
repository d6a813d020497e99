from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CSV = "a,b,y\n1,2,3\n4,5,6\n"


def test_import_tells_what_it_made(cli, folder):
    Path("a.csv").write_text(CSV)
    values = cli("import a.csv -o data.h5 --json").json
    assert values.pop("seconds") > 0
    assert values == {
        "samples": 2,
        "dropped": 0,
        "dim": 2,
        "dtype": "float64",
        "columns": ["a", "b"],
        "label": "y",
        "label_from": "y",
        "paths": ["data.h5"],
        "bytes": Path("data.h5").stat().st_size,
    }
    with h5py.File("data.h5") as file:
        assert file.attrs["command"] == "relucli import a.csv -o data.h5 --json"


def test_import_for_people(cli, folder):
    Path("a.csv").write_text(CSV + ",5,6\n")
    text = cli("import a.csv -o data.h5 --drop-missing").stdout
    assert "rows     2 of 2 inputs, float64, 1 dropped\nlabel    y\nwritten  data.h5, " in text
    assert cli("import a.csv -o data.h5 --drop-missing --force --quiet").stdout == ""


def test_it_says_what_it_took_for_the_label(cli, folder):
    Path("a.csv").write_text("a,b,price\n1,2,3\n")
    np.save("x.npy", np.eye(3))
    np.save("y.npy", np.ones(3))
    for line, label in (
        ("a.csv", "price, the last column"),
        ("a.csv --label b", "b"),
        ("a.csv --no-label", "none"),
        ("x.npy", "column 2, the last column"),
        ("x.npy --label 0", "column 0"),
        ("x.npy --label y.npy", "y.npy"),
    ):
        assert f"label    {label}\n" in cli(f"import {line} -o data.h5 --force").stdout


def test_inputs_come_in_the_order_that_they_are_named_in(cli, folder):
    Path("a.csv").write_text("f1,g,f0,h,y\n1,2,3,4,5\n")
    values = cli("import a.csv -o data.h5 --inputs h --inputs f* --inputs g --json").json
    assert values["columns"] == ["h", "f1", "f0", "g"]
    with h5py.File("data.h5") as file:
        assert file["x"][:].tolist() == [[4, 1, 3, 2]]


def test_an_index_without_a_name_and_tabs_can_be_passed_by(cli, folder):
    Path("a.csv").write_text("\ta\ty\n0\t1\t2\n")
    assert cli("import", "a.csv", "-o", "data.h5", "--delimiter", r"\t", "--exclude", "").status == 0
    with h5py.File("data.h5") as file:
        assert (file["x"][:].tolist(), file["y"][:].tolist()) == ([[1]], [2])


def test_standard_input(folder):
    script = "from relucli.cli.app import main; main()"
    command = [sys.executable, "-c", script, "import", "-", "-o", "data.h5", "--json"]
    done = subprocess.run(command, input=CSV, capture_output=True, text=True, timeout=60)
    assert (done.stderr, done.returncode) == ("", 0)
    with h5py.File("data.h5") as file:
        assert file["x"][:].tolist() == [[1, 2], [4, 5]]


def test_what_is_imported_is_learnt_from_and_described_by_name(cli, folder):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3000, 2))
    y = np.maximum(x @ [0.6, 0.8], 0)
    lines = [",".join(map(repr, row)) for row in np.column_stack([x, y]).tolist()]
    Path("a.csv").write_text("rate,spread,value\n" + "\n".join(lines))
    assert cli("import a.csv -o data.h5").status == 0
    (found,) = cli("info data.h5 --json").json["files"]
    assert (found["columns"], found["label"]) == (["rate", "spread"], "value")
    assert " spread " in cli("info data.h5").stdout
    assert cli("learn data.h5 -k 1 -o net.h5 --json").json["r2"] > 0.999999
    assert "+0.800 spread  +0.600 rate" in cli("info net.h5").stdout
    (found,) = cli("info net.h5 --json").json["files"]
    assert found["columns"] == ["rate", "spread"]


def test_columns_in_another_order_than_those_learned_from_are_refused(cli, folder):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 2))
    write = "\n".join(f"{a!r},{b!r},{max(a + b, 0.0)!r}" for a, b in x.tolist())
    for file, names in (("a", "rate,spread"), ("b", "spread,rate"), ("c", "rate,vol")):
        Path(f"{file}.csv").write_text(f"{names},value\n{write}\n")
        assert cli(f"import {file}.csv -o {file}.h5").status == 0
    assert cli("learn a.h5 -k 1 -o net.h5").status == 0
    assert cli("evaluate net.h5 a.h5").status == 0
    order = "column 0 is spread, but rate in the network, where the same columns are in another order"
    for line in ("evaluate net.h5 b.h5", "predict net.h5 b.h5", "report net.h5 --data b.h5 -o r.html"):
        done = cli(line)
        remedy = "import the data with the columns that it was learned from"
        assert (done.stderr, done.status) == (f"relucli: b.h5: {order}; {remedy}\n", 65)
    assert "column 1 is vol, but spread in the network; " in cli("evaluate net.h5 c.h5").stderr
    done = cli("learn a.h5 c.h5 -k 1 -o both.h5")
    message = "c.h5: column 1 is vol, but spread in a.h5; files of one dataset have the same columns"
    assert (done.stderr, done.status) == (f"relucli: {message}\n", 65)


def test_inputs_alone_can_be_predicted_for(cli, pipeline):
    Path("a.csv").write_text("a,b,c,d\n1,2,3,4\n")
    assert cli("import a.csv -o inputs.h5 --no-label").status == 0
    assert len(cli("predict net.h5 inputs.h5").stdout.splitlines()) == 2


def test_a_package_that_is_not_installed(cli, folder, monkeypatch):
    Path("a.csv").write_text(CSV)
    for name in [name for name in sys.modules if name.split(".")[0] == "pyarrow"] + ["pyarrow", "pyarrow.csv"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("a.csv", "a.parquet"):
        done = cli(f"import {name} -o data.h5")
        message = "relucli: this needs pyarrow, which is not installed; pip install 'relucli[arrow]'\n"
        assert (done.stdout, done.stderr, done.status) == ("", message, 2)


@pytest.fixture
def files(folder):
    """Everything that the refusals below are about."""
    rng = np.random.default_rng(0)
    texts = {
        "a.csv": CSV,
        "empty.csv": "",
        "names.csv": "a,b,y\n",
        "word.csv": CSV + "1,high,3\n",
        "true.csv": CSV + "true,2,3\n",
        "long.csv": CSV + f"1,{'w' * 50},3\n",
        "hole.csv": CSV + "1,,3\n",
        "inf.csv": CSV + "1,2,-inf\n",
        "huge.csv": CSV + "1,1e300,3\n",
        "ragged.csv": CSV + "1,2\n",
        "numbers.csv": "1,2,3\n4,5,6\n",
        "twice.csv": "a,a,y\n1,2,3\n",
        "other.csv": "a,c,y\n1,2,3\n",
        "one.csv": "y\n1\n",
        "semicolons.csv": "a;b;y\n1;2;3\n",
        "index.csv": ",a,y\n0,1,2\n",
        "sheet.xlsx": "PK",
        "text.npy": "hello",
        "old.mat": "MATLAB 5.0 MAT-file, Platform: GLNXA64" + " " * 200,
        "fake.mat": "hello",
        "fake.npz": "hello",
        "fake.parquet": "hello",
        "fake.csv.gz": "hello",
        "old.h5": "old",
    }
    for name, text in texts.items():
        Path(name).write_text(text)
    Path("bytes.csv").write_bytes(b"\xff\xfe\x00a,b\n")
    np.save("vector.npy", np.ones(5))
    np.save("object.npy", np.array([[{}, 1]], dtype=object), allow_pickle=True)
    np.save("bool.npy", np.ones((3, 2), bool))
    np.save("nan.npy", np.where(np.eye(4) * np.arange(4) == 2, np.nan, rng.standard_normal((4, 4))))
    np.save("x.npy", np.ones((5, 2)))
    np.save("y4.npy", np.ones(4))
    whole = Path("x.npy").read_bytes()
    Path("short.npy").write_bytes(whole[:-20])
    np.savez("two.npz", a=np.ones((5, 2)), b=np.ones((5, 3)))
    np.savez("labels.npz", x=np.ones((5, 2)), u=np.ones(5), v=np.ones(5))
    np.savez("object.npz", x=np.array([[{}, 1]], dtype=object))
    pq.write_table(pa.table({"a": ["u", "v"], "y": [1.0, 2]}), "string.parquet")
    pq.write_table(pa.table({"a": [True, False], "y": [1.0, 2]}), "bool.parquet")
    pq.write_table(pa.table({"a": [1.0, None], "y": [1.0, 2]}), "null.parquet")
    Path("folder.csv").mkdir()
    return folder


FORMATS = "its name must end in .csv, .csv.gz, .tsv, .parquet, .npy, .npz or .mat, or be - for CSV on standard input"


@pytest.mark.parametrize(
    ("line", "message", "status"),
    [
        ("missing.csv", "missing.csv: no such file; check its name", 66),
        ("missing.parquet", "missing.parquet: no such file; check its name", 66),
        ("missing.npy", "missing.npy: no such file; check its name", 66),
        ("missing.npz", "missing.npz: no such file; check its name", 66),
        ("missing.mat", "missing.mat: no such file; check its name", 66),
        ("folder.csv", "folder.csv: is a directory; name a file in it", 66),
        ("sheet.xlsx", f"sheet.xlsx: not a format to import; {FORMATS}", 2),
        ("old.h5", "old.h5: is HDF5 already; see relucli info old.h5", 2),
        ("empty.csv", "empty.csv: is empty; make it again", 65),
        ("names.csv", "names.csv: no rows; make it again", 65),
        ("bytes.csv", "bytes.csv: not text in UTF-8; convert it to UTF-8 first", 65),
        (
            "word.csv",
            "word.csv: column b row 2 is 'high', not a number; correct it, or pass --exclude 'b'",
            65,
        ),
        (
            "true.csv",
            "true.csv: column a row 2 is 'true', not a number; correct it, or pass --exclude 'a'",
            65,
        ),
        (
            "long.csv",
            f"long.csv: column b row 2 is '{'w' * 30}...', not a number; correct it, or pass --exclude 'b'",
            65,
        ),
        ("hole.csv", "hole.csv: column b row 2 is missing; correct it, or pass --drop-missing", 65),
        ("a.csv hole.csv", "hole.csv: column b row 2 is missing; correct it, or pass --drop-missing", 65),
        ("inf.csv", "inf.csv: column y row 2 is -inf; correct it or drop the row", 65),
        ("inf.csv --drop-missing", "inf.csv: column y row 2 is -inf; correct it or drop the row", 65),
        (
            "huge.csv --dtype float32",
            "huge.csv: column b row 2 is 1e+300, beyond float32; pass --dtype float64",
            65,
        ),
        ("ragged.csv", "ragged.csv: row 2 has 2 columns, not 3; correct it, or check --delimiter", 65),
        (
            "numbers.csv",
            "numbers.csv: its first line is numbers; pass --no-header, or --header if they are names",
            65,
        ),
        ("twice.csv", "twice.csv: two columns are named a; rename one, or pass --exclude", 65),
        ("twice.csv --label a", "twice.csv: two columns are named a; rename one", 65),
        (
            "a.csv other.csv",
            "other.csv: no column b, unlike a.csv; files of one dataset have the same columns",
            65,
        ),
        (
            "one.csv",
            "one.csv: its only column is y, which leaves none for the inputs; pass --no-label if it is an input",
            65,
        ),
        (
            "semicolons.csv",
            "semicolons.csv: its only column is a;b;y, which leaves none for the inputs; pass --delimiter ';'",
            65,
        ),
        ("a.csv --exclude ?", "a.csv: no column is left for the inputs; check --inputs, --exclude and --label", 65),
        ("index.csv", "index.csv: column 0 has no name (an index?); name it, or pass --exclude ''", 65),
        ("a.csv --memory 1MiB", "--memory 1MiB is too small for 3 columns: pass --memory 17MiB", 2),
        ("labels.npz --label w", "labels.npz: no array w; it has x, u, v", 65),
        ("a.csv --label z", "a.csv: no column z; it has a, b, y", 65),
        ("a.csv --inputs z*", "a.csv: no column z*; it has a, b, y", 65),
        ("a.csv --exclude q", "a.csv: no column q; it has a, b, y", 65),
        ("a.csv --label y --no-label", "--label and --no-label exclude each other", 2),
        ("a.csv --delimiter ;;", "--delimiter ;;: pass one character, like ';'", 2),
        ("a.csv --label y.npy", "--label y.npy: labels in a file of their own go with one .npy file", 2),
        ("fake.csv.gz", "fake.csv.gz: damaged or truncated gzip file; copy or make it again", 65),
        ("fake.parquet", "fake.parquet: not a Parquet file, or a damaged one; copy or make it again", 65),
        (
            "string.parquet",
            "string.parquet: column a holds string, not numbers; convert it, or pass --exclude 'a'",
            65,
        ),
        (
            "bool.parquet",
            "bool.parquet: column a holds bool, not numbers; convert it, or pass --exclude 'a'",
            65,
        ),
        ("null.parquet", "null.parquet: column a row 1 is missing; correct it, or pass --drop-missing", 65),
        ("text.npy", "text.npy: not an array of numpy; write it with numpy.save", 65),
        ("vector.npy", "vector.npy: the array has shape (5,), but must be 2-D, rows by columns", 65),
        ("object.npy", "object.npy: the array has dtype object; convert it to real numbers, as float64", 65),
        ("bool.npy", "bool.npy: the array has dtype bool; convert it to real numbers, as float64", 65),
        ("nan.npy", "nan.npy: column 2 row 2 is missing; correct it, or pass --drop-missing", 65),
        ("short.npy", "short.npy: 60 bytes of numbers where its header says 80; copy it again", 65),
        ("x.npy --label y4.npy", "x.npy: the array has 5 rows, but y4.npy: the array has 4", 65),
        ("x.npy --label 7", "x.npy: no column 7; it has 0, 1", 65),
        ("two.npz", "two.npz: which array holds the inputs? it has a, b; pass --inputs NAME", 65),
        ("two.npz --inputs c", "two.npz: no array c; it has a, b; pass --inputs NAME", 65),
        ("labels.npz", "labels.npz: which of u, v holds the labels? pass --label NAME", 65),
        ("object.npz", "object.npz: x has dtype object; convert it to real numbers, as float64", 65),
        ("two.npz --inputs a --inputs b", "--inputs names one array of such a file, not 2", 2),
        ("fake.npz", "fake.npz: not an archive of numpy, or a damaged one; copy or make it again", 65),
        ("old.mat", "old.mat: a MAT-file of a version before 7.3; save it with save(..., '-v7.3')", 65),
        ("fake.mat", "fake.mat: not an HDF5 file; convert it to HDF5 first", 65),
    ],
)
def test_what_cannot_be_imported(cli, files, line, message, status):
    before = sorted(os.listdir())
    done = cli(f"import {line} -o data.h5")
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)
    assert sorted(os.listdir()) == before


def test_an_output_that_exists_or_is_an_input(cli, files):
    done = cli("import a.csv -o old.h5")
    assert (done.stderr, done.status) == ("relucli: old.h5: exists already; pass --force to replace it\n", 73)
    done = cli("import a.csv -o a.csv --force")
    assert (done.stderr, done.status) == ("relucli: a.csv is both input and output; choose another output\n", 2)
    assert Path("a.csv").read_text() == CSV


def test_a_bad_value_far_into_a_file_is_found_at_its_row(cli, folder):
    with open("a.csv", "w") as file:
        file.write("a,y\n" + "0.123456789,0.5\n" * 300_000 + "1,x\n")
    done = cli("import a.csv -o data.h5")
    message = "relucli: a.csv: column y row 300000 is 'x', not a number; correct it, or pass --exclude 'y'\n"
    assert (done.stderr, done.status) == (message, 65)
    assert not Path("data.h5").exists()


def test_dropped_rows_are_counted_in_the_place_of_a_bad_value(cli, folder):
    with open("a.csv", "w") as file:
        file.write("a,y\n" + ",1\n" * 7 + "0.123456789,0.5\n" * 300_000 + "inf,1\n")
    done = cli("import a.csv -o data.h5 --drop-missing")
    message = "relucli: a.csv: column a row 300007 is inf; correct it or drop the row\n"
    assert (done.stderr, done.status) == (message, 65)
