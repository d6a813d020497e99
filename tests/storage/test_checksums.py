from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

from relucli.storage import checksums as module
from relucli.storage.checksums import differ
from relucli.storage.dataset import DatasetWriter, open_dataset


@pytest.fixture
def written(folder, provenance, monkeypatch):
    """A dataset of two shards, with four chunks or so in each column."""
    monkeypatch.setattr("relucli.storage.schema.CHUNK_BYTES", 8000)
    random = np.random.default_rng(2)
    with DatasetWriter("a.h5", 2000, 3, provenance=provenance, shards=2) as writer:
        writer.append(random.standard_normal((2000, 3)), random.standard_normal(2000))
    return [str(path) for path in writer.paths]


def of(paths):
    with open_dataset(paths) as rows:
        return rows.checksums


def test_checksums_are_those_of_the_numbers_wherever_they_are(written):
    before = of(written)
    assert [len(part) for part in before.split(":")] == [16, 32]
    shutil.copy(written[0], "elsewhere.h5")
    assert of(["elsewhere.h5", written[1]]) == before


@pytest.mark.parametrize("name", ["x", "y"])
@pytest.mark.parametrize("row", [0, 1, 500, 999])
def test_any_number_that_changes_is_noticed(written, name, row):
    before = of(written)
    with h5py.File(written[1], "a") as file:
        file[name][row] = np.nextafter(file[name][row], np.inf)
    after = of(written)
    assert differ(before, after)
    assert differ(after, before)


def test_other_layouts_prove_nothing(written):
    with h5py.File(written[0]) as file, h5py.File("b.h5", "w") as other, h5py.File("c.h5", "w") as compressed:
        for name in "xy":
            other[name] = file[name][()]
            compressed.create_dataset(name, data=file[name][()], compression="gzip", fletcher32=True)
    assert of("b.h5") == ""
    for found in ("", of("c.h5"), of(written)):
        assert not differ(of(written[0]), found)
        assert not differ(found, of(written[0]))


def test_no_more_checksums_are_read_than_is_said(written, monkeypatch):
    whole = of(written)
    monkeypatch.setattr(module, "MOST", 2)
    some = of(written)
    assert differ(whole, some)
    with h5py.File(written[0], "a") as file:
        assert file["x"].id.get_num_chunks() == 4
        file["x"][-1] = 0
    assert of(written) == some
    with h5py.File(written[0], "a") as file:
        file["x"][0] = 0
    assert differ(of(written), some)
