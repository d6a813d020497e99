from __future__ import annotations

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli import __version__
from relucli.errors import printable
from relucli.storage.schema import Provenance, chunk_rows
from relucli.streaming.blocks import block_rows


@given(st.integers(1, 200_000), st.sampled_from([4, 8]))
def test_a_block_is_whole_chunks_of_at_most_a_mebibyte(dim, itemsize):
    rows = chunk_rows(dim, itemsize)
    assert block_rows(dim) % rows == 0
    assert rows == 1 or rows * dim * itemsize <= 2**20


@given(st.integers(16, 100_000), st.sampled_from([4, 8]))
def test_a_chunk_of_a_wide_dataset_is_about_a_mebibyte(dim, itemsize):
    rows = chunk_rows(dim, itemsize)
    assert rows == 16384 or rows * dim * itemsize > 2**19


def test_chunks_of_known_sizes():
    assert [chunk_rows(d, 4) for d in (1, 100, 10_000, 10**6)] == [16384, 2048, 16, 1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("data é.h5", "data é.h5"),
        ("a\nb\x1b[31m", r"a\nb\x1b[31m"),
        ("\udcff", r"\udcff"),
        ("a\u202eb", r"a\u202eb"),
    ],
)
def test_names_are_printed_on_one_line_without_control_characters(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("command", ["relucli learn é.h5", "relucli learn \udcff.h5", ""])
@pytest.mark.parametrize("seed", [0, 2**64 - 1])
def test_provenance_returns_from_a_file(folder, command, seed):
    with h5py.File("a.h5", "w") as file:
        Provenance(command, seed).write(file)
        back = Provenance.read(file)
    assert back == Provenance(command.replace("\udcff", r"\udcff"), seed, __version__)
    assert type(back.seed) is int


def test_provenance_is_made_of_root_attributes(folder, provenance):
    with h5py.File("a.h5", "w") as file:
        provenance.write(file)
        assert dict(file.attrs) == {
            "command": "relucli generate data.h5 --seed 7",
            "seed": np.uint64(7),
            "relucli_version": __version__,
        }
