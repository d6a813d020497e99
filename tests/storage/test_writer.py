from __future__ import annotations

import os
import shutil
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relucli.errors import DataError, OutputError, UsageError
from relucli.storage.dataset import DatasetWriter, MemoryRows, open_dataset
from relucli.storage.schema import Provenance
from relucli.storage.writer import shard_paths, shard_spans
from relucli.streaming.blocks import Span, group_rows


def write(path, x, y, cuts=(), **options):
    options.setdefault("provenance", Provenance("relucli generate", 1))
    with DatasetWriter(path, len(x), x.shape[1], x.dtype, **options) as writer:
        for rows in np.split(np.arange(len(x)), sorted(cuts)):
            writer.append(x[rows], y[rows])
    return writer.paths


@settings(max_examples=40, deadline=None)
@given(
    samples=st.integers(1, 300),
    dim=st.integers(1, 5),
    dtype=st.sampled_from(["f4", "f8"]),
    shards=st.integers(1, 5),
    cuts=st.lists(st.integers(0, 300), max_size=5),
)
def test_what_is_written_is_read_whatever_the_shards(samples, dim, dtype, shards, cuts):
    random = np.random.default_rng(2)
    x, y = random.standard_normal((samples, dim)).astype(dtype), random.standard_normal(samples)
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder, "data.h5"), x, y, cuts, shards=min(shards, samples))
        with open_dataset(paths) as rows:
            block = rows.block(Span(0, samples))
            assert block.x.dtype == dtype
            assert np.array_equal(block.x, x)
            assert np.array_equal(block.y, y)
            assert rows.fingerprint == MemoryRows(x, y).fingerprint
        assert sorted(Path(folder).iterdir()) == paths


def test_a_file_is_the_same_to_the_bit_at_another_time(folder, sample):
    write("a.h5", *sample)
    time.sleep(1.1 - time.time() % 1)
    write("b.h5", *sample, cuts=[10, 700])
    assert Path("a.h5").read_bytes() == Path("b.h5").read_bytes()


def test_a_dataset_file_is_as_documented(folder, provenance):
    x = np.zeros((20_000, 50), "f4")
    write("a.h5", x, x[:, 0].astype(float), provenance=provenance)
    with h5py.File("a.h5") as file:
        assert sorted(file) == ["x", "y"]
        assert file.attrs["format"] == "relucli-dataset"
        assert file.attrs["format_version"] == 1
        assert file.attrs["seed"] == 7
        assert (file["x"].dtype, file["y"].dtype) == ("f4", "f8")
        assert (file["x"].chunks, file["y"].chunks) == ((4096, 50), (16384,))
        assert file["x"].fletcher32
        assert file["y"].fletcher32
        assert file["x"].compression is None


def test_the_format_is_written_last(folder, sample, provenance):
    with DatasetWriter("a.h5", 1000, 3, provenance=provenance) as writer:
        writer.append(sample[0][:-1], sample[1][:-1])
        names = set(writer._x.file.attrs)
        writer.append(sample[0][-1:], sample[1][-1:])
    assert names == {"command", "seed", "relucli_version"}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("written", [0, 100, 700, 1000])
def test_an_error_leaves_no_file_of_any_shard(folder, sample, provenance, shards, written):
    x, y = sample

    def fail_within():
        with DatasetWriter("a.h5", 1000, 3, provenance=provenance, shards=shards) as writer:
            writer.append(x[:written], y[:written])
            raise KeyError

    with pytest.raises(KeyError):
        fail_within()
    assert os.listdir() == []


def test_rows_that_are_missing_leave_no_file(folder, sample, provenance):
    with (
        pytest.raises(ValueError, match="1000 rows written of 1001"),
        DatasetWriter("a.h5", 1001, 3, provenance=provenance) as writer,
    ):
        writer.append(*sample)
    assert os.listdir() == []


@pytest.mark.parametrize(("samples", "dim"), [(999, 3), (1000, 4)])
def test_rows_that_do_not_fit_are_refused(folder, sample, provenance, samples, dim):
    writer = DatasetWriter("a.h5", samples, dim, provenance=provenance)
    with pytest.raises(ValueError, match="do not fit at row 0"):
        writer.append(*sample)


def test_a_shard_that_exists_is_refused_before_anything_is_written(folder, provenance):
    Path("a-00001-of-00002.h5").touch()
    with pytest.raises(OutputError) as caught:
        DatasetWriter("a.h5", 10, 1, provenance=provenance, shards=2)
    assert str(caught.value) == "a-00001-of-00002.h5: exists already; pass --force to replace it"
    DatasetWriter("a.h5", 10, 1, provenance=provenance, shards=2, force=True)


def test_names_of_shards():
    assert shard_paths("d/a.b.h5", 1) == [Path("d/a.b.h5")]
    assert shard_paths("d/a.b.h5", 2) == [Path("d/a.b-00000-of-00002.h5"), Path("d/a.b-00001-of-00002.h5")]


@given(st.integers(1, 10**9), st.integers(1, 5000), st.integers(1, 50))
def test_shards_are_even_and_cut_at_groups_where_there_are_enough(samples, dim, shards):
    shards = min(shards, samples)
    spans = shard_spans(samples, dim, shards)
    assert len(spans) == shards
    assert spans[0].start == 0
    assert spans[-1].stop == samples
    assert all(a.stop == b.start for a, b in pairwise(spans))
    assert min(span.rows for span in spans) >= 1
    group = group_rows(dim)
    if -(-samples // group) >= shards:
        assert all(span.start % group == 0 for span in spans)
        groups = [-(-span.rows // group) for span in spans]
        assert max(groups) - min(groups) <= 1


@pytest.mark.parametrize("shards", [0, 11])
def test_a_number_of_shards_that_rows_do_not_fill(shards):
    with pytest.raises(UsageError) as caught:
        shard_spans(10, 3, shards)
    assert str(caught.value) == f"--shards {shards} does not suit 10 rows; pass a number from 1 to 10"


def test_shards_of_different_datasets_are_not_taken_for_one(folder, sample, provenance):
    x, y = (column[:60] for column in sample)
    for run in ("old", "new"):
        write("d.h5", x, y, shards=3, force=True, provenance=provenance, identity=run)
        if run == "old":
            shutil.copy("d-00001-of-00003.h5", "kept.h5")
    names = [f"d-0000{i}-of-00003.h5" for i in range(3)]
    with open_dataset(names) as rows:
        assert rows.samples == 60
    shutil.copy("kept.h5", names[1])  # as if the writer had been killed before it replaced this one
    with pytest.raises(DataError) as caught:
        open_dataset(names)
    assert str(caught.value) == (
        "d-00001-of-00003.h5: is no shard of the dataset that d-00000-of-00003.h5 is of (was generate interrupted?); "
        "generate them again"
    )
    with open_dataset([names[0], "kept.h5"]) as rows:  # by its name, a dataset of its own
        assert rows.samples == 40
