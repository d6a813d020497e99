import os
import threading

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.errors import DataError
from relucli.storage import chunks
from relucli.storage.chunks import PlainRows
from relucli.storage.dataset import open_dataset
from relucli.streaming.blocks import Span

ROWS, DIM = 100, 3
LAYOUTS = [
    {},
    {"chunks": (16, DIM)},
    {"chunks": (16, DIM), "fletcher32": True},
    {"chunks": (100, DIM), "fletcher32": True},
    {"chunks": (7, DIM), "maxshape": (None, DIM), "fletcher32": True},
]


def stored(file, dtype=np.float64, **layout):
    """A dataset of random numbers in a file, which is flushed, and those numbers."""
    x = np.random.default_rng(1).standard_normal((ROWS, DIM)).astype(dtype)
    data = file.create_dataset("x", data=x, **layout)
    file.flush()
    return data, x


def plain(data):
    return PlainRows.of(data, data.file.id.get_vfd_handle())


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        yield file


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@given(ends=st.tuples(st.integers(0, ROWS - 1), st.integers(1, ROWS)))
def test_rows_are_those_that_hdf5_reads(tmp_path_factory, layout, dtype, ends):
    start, stop = min(ends), max(ends)
    if start == stop:
        return
    with h5py.File(tmp_path_factory.mktemp("data") / "data.h5", "w") as file:
        data, x = stored(file, dtype, **layout)
        into = np.full((stop - start, DIM), np.nan, dtype)
        assert plain(data).read(Span(start, stop), into)
        assert into.tobytes() == x[start:stop].tobytes() == data[start:stop].tobytes()


def test_labels_too(file):
    y = np.arange(100.0)
    data = file.create_dataset("y", data=y, chunks=(30,), fletcher32=True)
    file.flush()
    into = np.empty(55)
    assert plain(data).read(Span(40, 95), into)
    np.testing.assert_array_equal(into, y[40:95])


@pytest.mark.parametrize(
    "layout",
    [
        {"chunks": (16, DIM), "compression": "gzip"},
        {"chunks": (16, DIM), "shuffle": True, "fletcher32": True},
        {"chunks": (16, 2)},
        {"dtype": ">f8"},
        {"dtype": "i8"},
        {"chunks": (100, DIM), "fletcher32": True, "larger": 50},
    ],
    ids=str,
)
def test_what_numpy_has_otherwise_is_for_hdf5(file, layout, monkeypatch):
    monkeypatch.setattr(chunks, "LARGEST", 8 * DIM * layout.pop("larger", 1000))
    assert plain(stored(file, **layout)[0]) is None


def test_a_user_block_is_for_hdf5(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w", userblock_size=512) as file:
        assert plain(stored(file)[0]) is None


def test_without_the_checksum_of_the_library_chunks_that_have_one_are_for_hdf5(file, monkeypatch):
    monkeypatch.setattr(chunks, "_fletcher32", lambda: None)
    assert plain(stored(file, chunks=(16, DIM), fletcher32=True)[0]) is None


def test_another_dtype_or_layout_in_memory_is_for_hdf5(file):
    rows = plain(stored(file)[0])
    assert not rows.read(Span(0, 5), np.empty((5, DIM), np.float32))
    assert not rows.read(Span(0, 5), np.empty((DIM, 5)).T)


@pytest.mark.parametrize("at", [0, 100, 16 * DIM * 8, 16 * DIM * 8 + 3], ids=["first", "middle", "checksum", "end"])
def test_a_damaged_chunk_is_never_taken(tmp_path, at):
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as file:
        data, _ = stored(file, chunks=(16, DIM), fletcher32=True)
        file["y"] = np.zeros(ROWS)
        offset = data.id.get_chunk_info(2).byte_offset
    with open(path, "r+b") as raw:
        raw.seek(offset + at)
        byte = raw.read(1)[0]
        raw.seek(offset + at)
        raw.write(bytes([byte ^ 1]))
    with h5py.File(path) as file:
        rows = plain(file["x"])
        for index in range(7):
            span = Span(16 * index, min(ROWS, 16 * index + 16))
            assert rows.read(span, np.empty((span.rows, DIM))) == (index != 2)
    with open_dataset(path) as data, pytest.raises(DataError, match="x rows 32 to 47 cannot be read"):
        data.block(Span(0, ROWS))


def test_chunks_that_are_missing_or_stored_otherwise_are_for_hdf5(file):
    data = file.create_dataset("x", (64, DIM), "f8", chunks=(16, DIM), fletcher32=True)
    data[16:32] = 1.0
    data.id.write_direct_chunk((32, 0), np.zeros((16, DIM)).tobytes(), filter_mask=1)
    file.flush()
    rows, into = plain(data), np.empty((16, DIM))
    assert [rows.read(Span(i, i + 16), into) for i in (0, 16, 32, 48)] == [False, True, False, False]
    empty = file.create_dataset("empty", (64, DIM), "f4")  # without space of its own until it is written to
    assert not plain(empty).read(Span(0, 4), np.empty((4, DIM), np.float32))


def test_rows_beyond_the_end_of_the_file_are_for_hdf5(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        data, _ = stored(file, chunks=(16, DIM), fletcher32=True)
        rows, into = plain(data), np.empty((ROWS, DIM))
        assert rows.read(Span(0, ROWS), into)  # where they were is known now
        os.truncate(tmp_path / "data.h5", data.id.get_chunk_info(6).byte_offset + 10)
        assert not rows.read(Span(0, ROWS), into)


def test_an_error_of_the_disk_is_raised(file):
    data, _ = stored(file)
    with open(os.devnull, "wb") as there:
        rows = PlainRows.of(data, there.fileno())
    with pytest.raises(OSError, match="Bad file descriptor"):
        rows.read(Span(0, 5), np.empty((5, DIM)))


def test_threads_need_not_wait_for_hdf5(file):
    """The lock of h5py is held by another thread while rows are read."""
    data, x = stored(file, chunks=(16, DIM), fletcher32=True)
    rows, into = plain(data), np.empty((ROWS, DIM))
    assert rows.read(Span(0, 1), into[:1])
    held, done = threading.Event(), threading.Event()

    def hold():
        with h5py._hl.base.phil:
            held.set()
            assert done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    assert rows.read(Span(0, ROWS), into)
    done.set()
    holder.join()
    np.testing.assert_array_equal(into, x)
