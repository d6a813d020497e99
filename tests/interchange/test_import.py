"""Tables of every format, imported and compared with what was written to them."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relucli.errors import DataError
from relucli.interchange.csv import BLOCK_BYTES
from relucli.interchange.importing import Reading, import_data
from relucli.interchange.source import Choice
from relucli.storage.schema import Provenance

ROWS, DIM = 20_001, 3
NAMES = ["age", "größe, in m", "z\u0301"]


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    return rng.standard_normal((ROWS, DIM)), 1e3 * rng.standard_normal(ROWS)


def write_csv(path, x, y, names, newline="\n", delimiter=","):
    lines = [delimiter.join(f'"{name}"' for name in (*names, "y"))]
    lines += [delimiter.join(map(repr, row)) for row in np.column_stack([x, y]).tolist()]
    text = newline.join(lines) + newline
    data = text.encode()
    Path(path).write_bytes(gzip.compress(data) if path.endswith(".gz") else data)


def write_mat(path, x, y, names):
    """As MATLAB does: by columns, behind a block that says what it is."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value, kind in (("x", x.T, "double"), ("y", y[None, :], "double"), ("note", np.ones((9, 1)), "char")):
            file.create_dataset(name, data=value, chunks=True).attrs["MATLAB_class"] = np.bytes_(kind)
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file")


WRITERS = {
    "a.csv": write_csv,
    "a.csv.gz": write_csv,
    "a.tsv": lambda path, x, y, names: write_csv(path, x, y, names, "\r\n", "\t"),
    "a.parquet": lambda path, x, y, names: pq.write_table(
        pa.table([*x.T, y], names=[*names, "y"]), path, row_group_size=7000
    ),
    "a.npy": lambda path, x, y, names: np.save(path, np.column_stack([x, y])),
    "columns.npy": lambda path, x, y, names: np.save(path, np.asfortranarray(np.column_stack([x, y]))),
    "a.npz": lambda path, x, y, names: np.savez(path, x=x, y=y),
    "small.npz": lambda path, x, y, names: np.savez_compressed(path, y=y[:, None], x=np.asfortranarray(x)),
    "a.mat": write_mat,
}
NAMED = {"a.csv", "a.csv.gz", "a.tsv", "a.parquet"}


def imported(*paths, **how):
    found = import_data([Path(p) for p in paths], Path("out.h5"), Reading(**how), Provenance("made", 0), force=True)
    with h5py.File("out.h5") as file:
        return found, {name: file[name][()] for name in file}


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_written_is_imported_to_the_bit(folder, table, name):
    x, y = table
    WRITERS[name](name, x, y, NAMES)
    found, arrays = imported(name)
    assert arrays["x"].tobytes() == x.tobytes()
    assert arrays["y"].tobytes() == y.tobytes()
    assert (found.samples, found.dim, found.dropped, found.dtype) == (ROWS, DIM, 0, "float64")
    assert found.columns == (NAMES if name in NAMED else None)
    with h5py.File("out.h5") as file:
        assert file["x"].fletcher32
        assert file["x"].chunks[1] == DIM
        if name in NAMED:
            assert [value.decode() for value in file["columns"]] == NAMES
            assert file["y"].attrs["column"] == "y"


@pytest.mark.parametrize("name", WRITERS)
def test_several_files_are_one_dataset_in_the_order_given(folder, table, name):
    x, y = table
    paths = []
    for i, part in enumerate((slice(100), slice(100, 9000), slice(9000, None))):
        paths.append(f"{i}{name}")
        WRITERS[name](paths[-1], x[part], y[part], NAMES)
    arrays = imported(*paths)[1]
    assert arrays["x"].tobytes() == x.tobytes()
    assert arrays["y"].tobytes() == y.tobytes()


def test_files_of_several_formats_are_one_dataset(folder, table):
    x, y = table
    write_csv("a.csv", x, y, NAMES)
    order = [2, 0, 1]
    pq.write_table(pa.table([y, *x.T[order]], names=["y", *(NAMES[i] for i in order)]), "b.parquet")
    arrays = imported("a.csv", "b.parquet")[1]
    assert np.array_equal(arrays["x"], np.concatenate([x, x]))
    assert np.array_equal(arrays["y"], np.concatenate([y, y]))


@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 30), st.integers(2, 5)),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=64),
    )
)
@settings(deadline=None, max_examples=10)
def test_every_finite_number_survives_csv(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("csv")
    write_csv(str(folder / "a.csv"), values[:, :-1], values[:, -1], [f"c{i}" for i in range(values.shape[1] - 1)])
    import_data([folder / "a.csv"], folder / "a.h5", Reading(), Provenance("", 0))
    with h5py.File(folder / "a.h5") as file:
        assert np.array_equal(np.column_stack([file["x"], file["y"]]), values)


@pytest.mark.parametrize("kind", ["f4", "i4", "u1", "f2", ">f8", ">i2"])
@pytest.mark.parametrize("name", ["a.npy", "columns.npy", "a.npz", "small.npz", "a.mat"])
def test_other_kinds_of_numbers(folder, name, kind):
    x = np.arange(30).reshape(10, 3).astype(kind)
    y = np.arange(10).astype(kind)
    WRITERS[name](name, x, y, NAMES)
    found, arrays = imported(name)
    assert np.array_equal(arrays["x"], x)
    assert np.array_equal(arrays["y"], y)
    assert found.dtype == ("float32" if kind == "f4" else "float64")
    assert imported(name, dtype="float32")[1]["x"].dtype == np.float32


def test_numbers_of_parquet(folder):
    columns = {
        "a": pa.array([1, 2], pa.int8()),
        "b": pa.array([0.5, 2], pa.float32()),
        "c": pa.array([1.5, 2], pa.float32()).cast(pa.decimal128(9, 3)),
        "y": pa.array([2**60, 0], pa.uint64()),
    }
    pq.write_table(pa.table(columns), "a.parquet")
    found, arrays = imported("a.parquet")
    assert arrays["x"].tolist() == [[1, 0.5, 1.5], [2, 2, 2]]
    assert (arrays["y"].tolist(), found.dtype) == ([2.0**60, 0], "float64")
    assert imported("a.parquet", choice=Choice(inputs=("b",)))[0].dtype == "float32"


@pytest.mark.parametrize(
    ("choice", "inputs", "label"),
    [
        (Choice(), ["a", "b1", "b2"], "y"),
        (Choice(label="a"), ["b1", "y", "b2"], "a"),
        (Choice(inputs=("b*",)), ["b1", "b2"], "y"),
        (Choice(inputs=("b?", "a"), exclude=("b1",)), ["b2", "a"], "y"),
        (Choice(exclude=("y",)), ["a", "b1", "b2"], "y"),
        (Choice(labelled=False), ["a", "b1", "y", "b2"], None),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_choice_of_columns(folder, choice, inputs, label, ending):
    values = {"a": 1.0, "b1": 2.0, "y": 3.0, "b2": 4.0}
    Path("a.csv").write_text("a,b1,y,b2\n1,2,3,4\n")
    pq.write_table(pa.table({name: [value] for name, value in values.items()}), "a.parquet")
    found, arrays = imported(f"a.{ending}", choice=choice)
    assert (found.columns, found.label) == (inputs, label)
    assert arrays["x"].tolist() == [[values[name] for name in inputs]]
    assert ("y" in arrays) == (label is not None)
    if label is not None:
        assert arrays["y"].tolist() == [values[label]]


def test_the_last_column_is_the_label_where_none_is_named_y(folder):
    Path("a.csv").write_text("y1,b,target\n1,2,3\n")
    assert imported("a.csv")[0].label == "target"


def test_labels_in_a_file_of_their_own(folder, table):
    np.save("inputs.npy", table[0])
    np.save("labels.npy", table[1])
    arrays = imported("inputs.npy", choice=Choice(label="labels.npy"))[1]
    assert arrays["x"].tobytes() == table[0].tobytes()
    assert arrays["y"].tobytes() == table[1].tobytes()


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_of_an_archive_by_name(folder, table, write):
    x, y = table
    write("a.npz", train=x, test=x[:5], target=y, weight=2 * y)
    arrays = imported("a.npz", choice=Choice(inputs=("train",), label="weight"))[1]
    assert np.array_equal(arrays["x"], x)
    assert np.array_equal(arrays["y"], 2 * y)
    last = imported("a.npz", choice=Choice(inputs=("test",), label="2"))[1]
    assert np.array_equal(last["x"], x[:5, :2])
    assert np.array_equal(last["y"], x[:5, 2])


def test_csv_without_names(folder):
    Path("a.csv").write_text("\ufeff1.5,2,3\n4,5,6\n", encoding="utf-8")
    found, arrays = imported("a.csv", header=False)
    assert arrays["x"].tolist() == [[1.5, 2], [4, 5]]
    assert arrays["y"].tolist() == [3, 6]
    assert (found.columns, found.label) == (None, None)


def test_csv_whose_names_are_numbers(folder):
    Path("a.csv").write_text("0,1,2\n4,5,6\n")  # as pandas numbers columns that have no names
    assert imported("a.csv")[0].columns == ["0", "1"]
    Path("a.csv").write_text("10,20,30\n4,5,6\n")
    assert imported("a.csv", header=True)[0].columns == ["10", "20"]


def test_csv_as_people_write_it(folder):
    Path("a.csv").write_text('\ufeff"a\nb", c ,y\n 1 ,"2",+3\n\n-4e0,.5,6.\n', encoding="utf-8")
    found, arrays = imported("a.csv")
    assert found.columns == ["a\nb", "c"]
    assert arrays["x"].tolist() == [[1, 2], [-4, 0.5]]


def test_rows_with_missing_values_can_be_dropped(folder):
    Path("a.csv").write_text("a,b,y\n1,2,3\n,2,3\n1,NA,3\n1,2,nan\n4,5,6\n")
    found, arrays = imported("a.csv", drop_missing=True)
    assert (found.samples, found.dropped) == (2, 3)
    assert arrays["x"].tolist() == [[1, 2], [4, 5]]
    pq.write_table(pa.table({"a": [1, None, 3], "y": [1.0, 2.0, np.nan]}), "a.parquet")
    found, arrays = imported("a.parquet", drop_missing=True)
    assert (found.samples, found.dropped, arrays["y"].tolist()) == (1, 2, [1])


def test_blank_lines_of_a_single_column_are_missing_values(folder):
    Path("a.csv").write_text("a\n1\n\n3\n")
    found, arrays = imported("a.csv", choice=Choice(labelled=False), drop_missing=True)
    assert (arrays["x"].tolist(), found.dropped) == ([[1], [3]], 1)


def test_names_that_look_like_patterns_are_names(folder):
    Path("a.csv").write_text("x[0],x[1],y\n1,2,3\n")
    assert imported("a.csv", choice=Choice(inputs=("x[1]",)))[0].columns == ["x[1]"]


def test_names_too_long_for_a_file_are_refused(folder):
    Path("a.csv").write_text(f"{'n' * 300},y\n1,2\n")
    with pytest.raises(DataError, match=r"^the name of column n{30}\.\.\. is longer than 255 bytes; shorten it$"):
        imported("a.csv")
    assert not Path("out.h5").exists()


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_an_archive_that_fails_its_checksum_is_refused(folder, table, write):
    write("a.npz", x=table[0], y=table[1])
    content = bytearray(Path("a.npz").read_bytes())
    content[content.index(b"PK\x01\x02") + 16] ^= 1  # the checksum of x, in the directory at the end
    Path("a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"^a\.npz: not an archive of numpy, or a damaged one; copy or make it again$"):
        imported("a.npz")
    assert not Path("out.h5").exists()


@pytest.mark.parametrize("damage", ["truncated", "changed"])
def test_a_damaged_gzip_file_is_refused(folder, table, damage):
    write_csv("a.csv.gz", *table, NAMES)
    content = bytearray(Path("a.csv.gz").read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    Path("a.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"^a\.csv\.gz: "):
        imported("a.csv.gz")
    assert not Path("out.h5").exists()


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.npy", "small.npz", "a.mat"])
def test_progress_counts_rows_of_as_many_as_the_files_are_likely_to_have(folder, name):
    rows = 30_000
    x = np.random.default_rng(0).standard_normal((rows, 20)).round(6)
    told, paths = [], [f"1{name}", f"2{name}"]
    for path in paths:
        WRITERS[name](path, x, x[:, 0], [f"c{i}" for i in range(20)])
    made = Provenance("made", 0)
    import_data([*map(Path, paths)], Path("data.h5"), Reading(), made, progress=lambda *what: told.append(what))
    done = [count for _, count, _ in told]
    assert {name for name, _, _ in told} == {"import"}
    assert sorted(set(done)) == done  # what is told never falls back, which would look like another pass
    assert (done[0] < rows, done[-1]) == (True, 2 * rows)
    # The estimate is off by what is read ahead at most, of CSV pyarrow's blocks and a buffer of gzip's.
    size, text = Path(paths[0]).stat().st_size, rows * 200
    ahead = rows * (8 * BLOCK_BYTES / text + 2**18 / size) if "csv" in name else 0
    for _, count, total in told:
        assert max(count + 1, 0.95 * 2 * rows * count / (count + ahead)) <= max(total, count + 1) <= 1.05 * 2 * rows
        assert total > count


def test_headers_that_claim_the_world_are_refused_before_memory_is_asked_for(folder):
    for shape in ((1, 10**12), (0, 10**12)):
        with open("a.npy", "wb") as file:
            np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
        with zipfile.ZipFile("a.npz", "w") as archive:
            archive.write("a.npy", "x.npy")
        for name in ("a.npy", "a.npz"):
            with pytest.raises(DataError, match=r"more than 1048576 columns|bytes of numbers where its header says"):
                imported(name)


# Not ru_maxrss: a process inherits that of the one that started it.
PEAK = """
import sys
from relucli.cli.app import run
for path in sys.argv[1:]:
    assert run(["import", path, "-o", "out.h5", "--quiet", "--force"]) == 0
    (peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(1024 * int(peak))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(("ending", "bound"), [("npy", 64 * 2**20), ("csv", 64 * 2**20)])
def test_memory_stays_far_below_the_size_of_the_file(folder, ending, bound):
    """A file of four times the bound takes at most that much more than one of 1 MiB."""
    block = np.random.default_rng(0).standard_normal((2**13, 16))
    text = "".join(",".join(map(repr, row)) + "\n" for row in block.tolist()).encode()
    for name, size in (("small", 2**20), ("large", 4 * bound)):
        with open(f"{name}.{ending}", "wb") as file:
            if ending == "npy":
                rows = size // (8 * 16)
                header = {"descr": "<f8", "fortran_order": False, "shape": (rows, 16)}
                np.lib.format.write_array_header_1_0(file, header)
            else:
                file.write(",".join(f"c{i}" for i in range(16)).encode() + b"\n")
            data = block.tobytes() if ending == "npy" else text
            for _ in range(-(-size // len(data))):
                file.write(data)
    files = [f"small.{ending}", f"large.{ending}"]
    done = subprocess.run([sys.executable, "-c", PEAK, *files], capture_output=True, text=True, check=True, timeout=120)
    small, large = map(int, done.stdout.split())
    assert Path(files[1]).stat().st_size >= 4 * bound
    assert large - small <= bound
