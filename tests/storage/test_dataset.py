from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relucli.errors import DataError, InputError, StorageError
from relucli.storage import dataset
from relucli.storage.dataset import DatasetWriter, MemoryRows, open_dataset, pilot
from relucli.streaming.blocks import Span, block_rows, blocks

X, Y = np.arange(12.0).reshape(4, 3), np.arange(4.0)

DTYPES = ["?", "i1", "u2", "<i8", ">i4", "u8", "f2", "f4", "f8", ">f4", ">f8"]


def refused(paths, kind, message, **names):
    """Check class and text of the error from opening and reading all rows."""

    def read():
        with open_dataset(paths, **names) as rows:
            for span in blocks(Span(0, rows.samples), rows.dim):
                rows.block(span)

    with pytest.raises(kind) as caught:
        read()
    assert type(caught.value) is kind
    assert str(caught.value) == message


# Files that cannot be opened


def test_a_missing_file(folder):
    refused("no.h5", InputError, "no.h5: no such file; check its name")


def test_no_file_at_all():
    refused([], InputError, "no data: name at least one HDF5 file")


def test_a_directory(folder):
    refused(".", InputError, ".: is a directory; name an HDF5 file in it")


def test_a_pipe_is_refused_without_waiting_for_it(folder):
    os.mkfifo("pipe")
    refused("pipe", InputError, "pipe: is not a regular file; name an HDF5 file")


def test_a_file_that_may_not_be_read():
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        path = Path(name, "secret.h5")
        path.touch(mode=0)
        if root:
            os.seteuid(65534)
        try:
            refused(path, InputError, f"{path}: permission denied; make it readable")
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize("content", [b"", b"x,y\n1,2\n", b"\x89HDF"])
def test_a_file_that_is_not_hdf5(folder, content):
    Path("a.csv").write_bytes(content)
    refused("a.csv", DataError, "a.csv: not an HDF5 file; make one of it: relucli import a.csv -o data.h5")


@pytest.mark.parametrize("kept", [100, 1000, 2160])
def test_a_truncated_file(foreign, kept):
    foreign("a.h5", x=X, y=Y)
    whole = Path("a.h5").read_bytes()
    Path("a.h5").write_bytes(whole[:kept])
    text = f"a.h5: truncated HDF5 file, {kept} of {len(whole)} bytes; copy or make it again"
    refused("a.h5", DataError, text)


def test_a_damaged_header(foreign):
    foreign("a.h5", x=X, y=Y)
    Path("a.h5").write_bytes(Path("a.h5").read_bytes()[:12])
    refused("a.h5", DataError, "a.h5: damaged HDF5 file; copy or make it again")


def test_a_file_that_was_never_closed_says_so(folder, sample):
    with h5py.File("open.h5", "w", libver="latest") as file:
        file["x"], file["y"] = sample
        file.flush()
        Path("a.h5").write_bytes(Path("open.h5").read_bytes())
    text = "a.h5: its writer has not closed it; wait for that or, if it was killed, run h5clear -s"
    refused("a.h5", DataError, text)


def test_a_file_that_another_program_writes(folder):
    script = "import h5py; f = h5py.File('a.h5', 'w'); print(flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as writer:
        writer.stdout.readline()
        refused(
            "a.h5",
            InputError,
            "a.h5: in use by another program; try again when that has closed it "
            "(a lock that is left over is passed by with HDF5_USE_FILE_LOCKING=FALSE)",
        )
        writer.communicate(b"\n")


# Datasets that cannot be used


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"features": X, "y": Y}, "no dataset x; it has features, y: pass --inputs NAME"),
        ({"x": X, "g/target": Y}, "no dataset y; it has g/target, x: pass --labels NAME"),
        ({}, "no dataset x; it has none at all"),
        ({"x/train": X, "y": Y}, "x is not a dataset; it has x/train, y: pass --inputs NAME"),
        (
            {f"a{i}": Y for i in range(9)},
            "no dataset x; it has a0, a1, a2, a3, a4, a5, a6, a7, ...: pass --inputs NAME",
        ),
        ({"a\nb": Y}, r"no dataset x; it has a\nb: pass --inputs NAME"),
        (
            {"x": h5py.SoftLink("/nowhere"), "y": Y},
            "x is a link to /nowhere, which is not there; correct it",
        ),
        ({"x": X[:0], "y": Y[:0]}, "x is empty, of shape (0, 3); make the file again"),
        ({"x": X[:, :0], "y": Y}, "x is empty, of shape (4, 0); make the file again"),
        ({"x": X, "y": Y[:0]}, "y is empty, of shape (0,); make the file again"),
        ({"x": h5py.Empty("f8"), "y": Y}, "x is empty, of shape None; make the file again"),
        ({"x": Y, "y": Y}, "x has shape (4,), but must be 2-D, rows by columns: pass --inputs NAME"),
        (
            {"x": X[None], "y": Y},
            "x has shape (1, 4, 3), but must be 2-D, rows by columns: pass --inputs NAME",
        ),
        ({"x": 1.0, "y": Y}, "x has shape (), but must be 2-D, rows by columns: pass --inputs NAME"),
        ({"x": X, "y": X}, "y has shape (4, 3), but must be 1-D: pass --labels NAME"),
        ({"x": X, "y": Y[:3]}, "x has 4 rows, but y has 3; row 3 is the first without a partner"),
        ({"x": X[:2], "y": Y}, "x has 2 rows, but y has 4; row 2 is the first without a partner"),
        ({"x": X + 0j, "y": Y}, "x has dtype complex128; convert it to real numbers, as float64"),
        ({"x": X, "y": Y * 1j}, "y has dtype complex128; convert it to real numbers, as float64"),
        ({"x": "text", "y": Y}, "x has dtype object; convert it to real numbers, as float64"),
        ({"x": X.astype("S3"), "y": Y}, "x has dtype |S3; convert it to real numbers, as float64"),
        ({"x": X.astype("g"), "y": Y}, "x has dtype float128; convert it to real numbers, as float64"),
        (
            {"x": np.zeros(4, [("a", "f8")]), "y": Y},
            "x has dtype [('a', '<f8')]; convert it to real numbers, as float64",
        ),
    ],
)
def test_columns_that_cannot_be_used(foreign, contents, message):
    refused(foreign("a.h5", **contents), DataError, f"a.h5: {message}")


@pytest.mark.parametrize("name", ["no", "", "x/y", "\udcff", "a\0b"])
def test_a_name_that_no_dataset_has(foreign, name):
    shown = {"\udcff": r"\udcff", "a\0b": r"a\x00b"}.get(name, name)
    message = f"a.h5: no dataset {shown}; it has x, y: pass --inputs NAME"
    refused(foreign("a.h5", x=X, y=Y), DataError, message, inputs=name)


def test_files_of_different_dimensions(foreign):
    files = [foreign("a.h5", x=X, y=Y), foreign("b.h5", x=X[:, :2], y=Y)]
    message = "b.h5: x has 2 columns, but a.h5 has 3; files of one dataset have the same"
    refused(files, DataError, message)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"format": "relucli-network", "format_version": 1},
            "a relucli-network file where a relucli-dataset file is wanted; check the order of files",
        ),
        (
            {"format": "relucli-dataset", "format_version": 2},
            "format version 2, but relucli 0.1.0 reads up to 1; install a newer relucli",
        ),
        ({"format": "relucli-dataset"}, "attributes cannot be read (damaged file?); copy or make it again"),
    ],
)
def test_files_of_relucli_that_are_no_dataset_of_this_version(foreign, attributes, message):
    refused(foreign("a.h5", attributes, x=X, y=Y), DataError, f"a.h5: {message}")


@pytest.mark.parametrize("kind", ["cooler", 3, np.array([1, 2])])
def test_a_format_attribute_of_another_program_is_no_matter(foreign, kind):
    assert open_dataset(foreign("a.h5", {"format": kind}, x=X, y=Y)).samples == 4


# Values that cannot be used


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_the_first_row_that_is_not_finite_is_named(foreign, value, dtype):
    x, y = np.zeros((40, 3), dtype), np.zeros(40, dtype)
    x[17, 2] = x[18, 0] = y[30] = value
    message = f"a.h5: x row 17 column 2 is {value}; drop the row or correct it"
    refused(foreign("a.h5", x=x, y=y), DataError, message)
    y[5] = value
    message = f"a.h5: y row 5 is {value}; drop the row or correct it"
    refused(foreign("a.h5", x=x, y=y), DataError, message)


def test_rows_are_counted_within_their_file_and_across_blocks(foreign):
    step = block_rows(1)
    x = np.zeros((step + 100, 1))
    x[step + 7] = np.nan
    files = [foreign("a.h5", x=np.zeros((30, 1)), y=np.zeros(30)), foreign("b.h5", p=x, q=x[:, 0] * 0)]
    with h5py.File("a.h5", "a") as file:
        file["p"], file["q"] = file["x"], file["y"]
    message = f"b.h5: p row {step + 7} column 0 is nan; drop the row or correct it"
    refused(files, DataError, message, inputs="p", labels="q")


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_finite_numbers_whose_sum_overflows_are_fine(foreign, dtype):
    x = np.full((8, 3), np.finfo(dtype).max, dtype)
    x[4:] *= -1
    rows = open_dataset(foreign("a.h5", x=x, y=x[:, 0]))
    assert np.array_equal(rows.block(Span(0, 8)).x, x)


@pytest.mark.parametrize(
    ("name", "chunk", "rows"), [("x", 0, "0 to 255"), ("x", 2, "512 to 767"), ("y", 0, "0 to 511")]
)
def test_a_flipped_bit_is_noticed(folder, provenance, sample, flip, name, chunk, rows, monkeypatch):
    monkeypatch.setattr("relucli.storage.schema.CHUNK_BYTES", 8000)
    with DatasetWriter("a.h5", 1000, 3, provenance=provenance) as writer:
        writer.append(*sample)
    flip("a.h5", name, chunk)
    message = f"a.h5: {name} rows {rows} cannot be read (checksum or filter failure); copy or make the file again"
    refused("a.h5", DataError, message)


HDF5_SAYS = "Can't read data (file read failed: errno = 5, error message = 'Input/output error')"


@pytest.mark.parametrize(
    ("reader", "error"),
    [("relucli.storage.part.read_column", OSError(HDF5_SAYS)), ("os.preadv", OSError(errno.EIO, "Input/output error"))],
)
def test_a_failing_disk_is_not_taken_for_bad_data(foreign, monkeypatch, reader, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(reader, fail)
    if reader != "os.preadv":
        monkeypatch.setattr("relucli.storage.part.PlainRows.of", lambda *_: None)
    refused(foreign("a.h5", x=X, y=Y), StorageError, "a.h5: input/output error; check the disk")


# What is read


@pytest.mark.parametrize("dtype", DTYPES)
def test_real_dtypes_are_read_as_they_are_or_as_float64(foreign, dtype):
    x, y = (X % 2).astype(dtype), (Y % 2).astype(dtype)
    rows = open_dataset(foreign("a.h5", x=x, y=y))
    block = rows.block(Span(1, 4))
    assert block.x.dtype == rows.dtype == (np.float32 if dtype in ("f4", ">f4") else np.float64)
    assert block.x.dtype.isnative
    assert block.y.dtype == np.float64
    assert np.array_equal(block.x, x[1:].astype(float))
    assert np.array_equal(block.y, y[1:].astype(float))
    assert rows.row_bytes == 3 * x.itemsize + y.itemsize


def test_labels_may_be_a_column(foreign):
    rows = open_dataset(foreign("a.h5", x=X, y=Y[:, None]))
    assert np.array_equal(rows.block(Span(1, 3)).y, Y[1:3])


def test_files_of_several_dtypes_are_read_in_the_widest(foreign):
    files = [foreign("a.h5", x=X.astype("f4"), y=Y), foreign("b.h5", x=X.astype("i2"), y=Y)]
    block = open_dataset(files).block(Span(2, 7))
    assert block.x.dtype == np.float64
    assert np.array_equal(block.x, np.concatenate([X, X])[2:7])
    assert block.start == 2


def test_a_block_reuses_the_buffer_of_its_thread(foreign):
    rows = open_dataset(foreign("a.h5", x=X, y=Y))
    first = rows.block(Span(0, 2))
    with ThreadPoolExecutor(1) as pool:
        elsewhere = pool.submit(rows.block, Span(2, 4)).result()
    assert np.array_equal(first.x, X[:2])
    assert not np.shares_memory(first.x, elsewhere.x)
    second = rows.block(Span(1, 4))
    assert np.shares_memory(first.x, second.x)
    assert np.array_equal(first.y, Y[:2])
    assert np.array_equal(second.x, X[1:])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(DTYPES)), min_size=1, max_size=4),
    st.integers(1, 4),
    st.data(),
)
def test_spans_read_through_any_files_are_those_of_the_whole(parts, dim, data):
    random = np.random.default_rng(5)
    pieces = [random.integers(0, 2, (n, dim)).astype(dtype) for n, dtype in parts]
    whole = np.concatenate([piece.astype(float) for piece in pieces])
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{i}.h5") for i in range(len(pieces))]
        for path, piece in zip(files, pieces, strict=True):
            with h5py.File(path, "w") as file:
                file["x"], file["y"] = piece, piece[:, 0]
        with open_dataset(files) as rows:
            block = rows.block(Span(start, stop))
            assert rows.samples == len(whole)
            assert rows.fingerprint == MemoryRows(whole, whole[:, 0]).fingerprint
    assert np.array_equal(block.x, whole[start:stop])
    assert np.array_equal(block.y, whole[start:stop, 0])


def test_threads_read_what_one_reads(foreign, sample):
    x, y = sample
    files = [foreign("a.h5", x=x[:333], y=y[:333]), foreign("b.h5", x=x[333:], y=y[333:])]
    rows = open_dataset(files)
    spans = [Span(i, i + 40) for i in range(0, 960, 8)]

    def read(span):
        block = rows.block(span)
        return block.x.copy(), block.y

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(read, spans))
    for span, (inputs, labels) in zip(spans, results, strict=True):
        assert np.array_equal(inputs, x[span.start : span.stop])
        assert np.array_equal(labels, y[span.start : span.stop])


# Other processes


def test_a_pickled_dataset_opens_its_files_when_it_is_first_used(foreign, monkeypatch, tmp_path_factory):
    rows = open_dataset([foreign("a.h5", x=X, y=Y), foreign("b.h5", p=X, q=Y, x=X + 1, y=Y)])
    fingerprint = rows.fingerprint
    content = pickle.dumps(rows)
    assert fingerprint.encode() not in content
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    copy = pickle.loads(content)
    assert (copy.samples, copy.dim, copy.dtype, copy.row_bytes) == (8, 3, np.float64, 32)
    assert not copy._parts
    assert np.array_equal(copy.block(Span(3, 6)).x, rows.block(Span(3, 6)).x)
    assert copy.fingerprint == fingerprint


def test_threads_open_the_files_of_a_pickled_dataset_once(foreign, monkeypatch):
    rows, opened = pickle.loads(pickle.dumps(open_dataset(foreign("a.h5", x=X, y=Y)))), []
    inner = dataset.open_file

    def slowly(*names):
        opened.append(names)
        time.sleep(0.05)
        return inner(*names)

    monkeypatch.setattr(dataset, "open_file", slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(rows.block, [Span(0, 2)] * 4))
    assert len(opened) == 1


def test_a_file_that_changed_shape_meanwhile_is_refused(foreign):
    content = pickle.dumps(open_dataset(foreign("a.h5", x=X, y=Y)))
    foreign("a.h5", x=X[:2], y=Y[:2])
    with pytest.raises(DataError) as caught:
        pickle.loads(content).block(Span(0, 2))
    assert str(caught.value) == "a.h5: changed while it was in use; start again"


def test_a_closed_dataset_opens_its_files_again(foreign):
    with open_dataset(foreign("a.h5", x=X, y=Y)) as rows:
        handle = rows._parts[0].x
        assert handle
    assert not handle
    assert np.array_equal(rows.block(Span(0, 4)).x, X)


# Fingerprints and pilots


def test_a_fingerprint_changes_with_the_data(sample):
    x, y = sample
    seen = {MemoryRows(x, y).fingerprint}
    for row in (0, 32, 999):
        for changed in ((x + np.eye(1000, 3, -row), y), (x, y + np.eye(1000)[row])):
            seen.add(MemoryRows(*changed).fingerprint)
    seen |= {MemoryRows(x[:-1], y[:-1]).fingerprint, MemoryRows(x.reshape(-1, 1)[:1000], y).fingerprint}
    assert len(seen) == 9
    assert all(len(text) == 32 for text in seen)


def test_a_fingerprint_is_that_of_all_versions():
    assert MemoryRows(X, Y).fingerprint == "a4fd45080d8acffb57e757e4d1f87ef5"
    assert MemoryRows(X.astype("f4"), Y.astype(int)).fingerprint == MemoryRows(X, Y).fingerprint


def test_a_fingerprint_reads_at_most_32_rows(sample, monkeypatch):
    rows, read = MemoryRows(*sample), []
    inner = rows._lasting
    monkeypatch.setattr(rows, "_lasting", lambda span: read.append(span) or inner(span))
    assert rows.fingerprint == rows.fingerprint
    assert len(read) == 32
    assert read[0].start == 0
    assert read[-1] == Span(999, 1000)


@pytest.mark.parametrize(
    ("samples", "count", "starts"),
    [
        (100, 10, [0]),
        (100, 0, [0]),
        (16384 + 1, 10, [0]),
        (16384 * 4 + 1, 16385, [0, 2]),
        (16384 * 4 + 1, 10**9, [0, 1, 2, 3, 4]),
    ],
)
def test_a_pilot_is_whole_blocks_evenly_spaced(samples, count, starts):
    x = np.arange(samples, dtype=np.float32)[:, None]
    inputs, labels = pilot(MemoryRows(x, x[:, 0]), count)
    expected = np.concatenate([x[16384 * i : 16384 * (i + 1)] for i in starts])
    assert inputs.dtype == np.float64
    assert np.array_equal(inputs, expected)
    assert np.array_equal(labels, expected[:, 0])


def test_a_pilot_of_a_file_owns_its_rows(foreign, sample):
    rows = open_dataset(foreign("a.h5", x=sample[0], y=sample[1]))
    inputs, labels = pilot(rows, 1000)
    rows.block(Span(500, 510))
    assert np.array_equal(inputs, sample[0])
    assert np.array_equal(labels, sample[1])


# Rows in memory


def test_rows_in_memory_are_views():
    x = X.astype("f4")
    block = MemoryRows(x, Y).block(Span(1, 3))
    assert np.shares_memory(block.x, x)
    assert np.array_equal(block.x, x[1:3])
    assert np.array_equal(block.y, Y[1:3])


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (Y, Y, "x has shape (4,), but must be 2-D, rows by columns: pass --inputs NAME"),
        (X, Y[:2], "x has 4 rows, but y has 2; row 2 is the first without a partner"),
        (X * 1j, Y, "x has dtype complex128; convert it to real numbers, as float64"),
        (X[:0], Y[:0], "x is empty, of shape (0, 3); make the file again"),
    ],
)
def test_arrays_that_cannot_be_used(x, y, message):
    with pytest.raises(DataError) as caught:
        MemoryRows(x, y)
    assert str(caught.value) == message


def test_an_array_that_is_not_finite():
    x = X.copy()
    x[2, 1] = np.nan
    with pytest.raises(DataError) as caught:
        MemoryRows(x, Y).block(Span(1, 4))
    assert str(caught.value) == "x row 2 column 1 is nan; drop the row or correct it"
