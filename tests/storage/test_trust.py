"""Files made to mislead: what leads elsewhere, is not there, or would take more memory than it says."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli.errors import DataError, RelucliError, UsageError
from relucli.storage.dataset import open_dataset
from relucli.storage.trust import Trust
from relucli.streaming.blocks import MOST_ROWS, Span, blocks

X, Y = np.arange(12.0).reshape(4, 3), np.arange(4.0)
MEBIBYTE = 2**20


def read(path="a.h5", **trust):
    with open_dataset(path, trust=Trust(**trust)) as rows:
        return np.concatenate([rows.block(span).x.copy() for span in blocks(Span(0, rows.samples), rows.dim)])


def refused(message, kind=DataError, **trust):
    with pytest.raises(kind) as caught:
        read(**trust)
    assert str(caught.value) == message


@pytest.fixture
def crafted(folder):
    """Opens a file to put inputs into; it has good labels, and there is another file with good inputs."""
    with h5py.File("other.h5", "w") as other:
        other["x"], other["y"] = X, Y

    def create(labels=Y):
        file = h5py.File("a.h5", "w")
        file["y"] = labels
        return file

    return create


# Out of the file


def test_a_link_to_another_file(crafted):
    with crafted() as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
    refused("a.h5: x is a link to another file, other.h5; pass --allow-external to read it all the same")
    assert np.array_equal(read(allow_external=True), X)
    os.remove("other.h5")
    refused("a.h5: x cannot be read (damaged file?); copy or make it again", allow_external=True)


def test_labels_in_another_file(folder):
    with h5py.File("a.h5", "w") as file, h5py.File("other.h5", "w") as other:
        file["x"], other["y"] = X, Y
        file["y"] = h5py.ExternalLink("other.h5", "/y")
    with open_dataset("a.h5", trust=Trust(allow_external=True)) as rows:
        assert not rows.columns  # looked for in the file itself alone
        assert np.array_equal(rows.block(Span(0, 4)).y, Y)


def test_the_name_of_another_file_is_escaped(crafted):
    with crafted() as file:
        file["x"] = h5py.ExternalLink("\x1b[31m\u202e\n.h5", "/x")
    refused(r"a.h5: x is a link to another file, \x1b[31m\u202e\n.h5; pass --allow-external to read it all the same")


def test_a_soft_link_that_escapes(crafted):
    with crafted() as file:
        file["out"] = h5py.ExternalLink("other.h5", "/")
        file["x"] = h5py.SoftLink("/out/x")
    refused("a.h5: x is a link to another file, other.h5; pass --allow-external to read it all the same")
    assert np.array_equal(read(allow_external=True), X)


def test_a_soft_link_within_the_file(crafted):
    with crafted() as file:
        file["g/inputs"] = X
        file["g/near"] = h5py.SoftLink("inputs")
        file["x"] = h5py.SoftLink("/g/./near")
    assert np.array_equal(read(), X)


def test_links_in_a_circle(crafted):
    with crafted() as file:
        file["x"], file["z"] = h5py.SoftLink("/z"), h5py.SoftLink("/x")
    refused("a.h5: x is a link that leads nowhere; correct it")


def test_external_storage(crafted):
    Path("raw").write_bytes(X.tobytes())
    with crafted() as file:
        file.create_dataset("x", X.shape, "f8", external=[("raw", 0, X.nbytes)])
    refused("a.h5: x is stored in other files; pass --allow-external to read it all the same")
    assert np.array_equal(read(allow_external=True), X)
    os.truncate("raw", X.nbytes - 1)
    refused("a.h5: x is stored in raw, which is missing or too short; restore that file", allow_external=True)


def virtual(file, shape=X.shape, source="other.h5", name="x", rows=4):
    layout = h5py.VirtualLayout(shape, "f8")
    layout[:rows] = h5py.VirtualSource(source, name, (rows, 3))
    file.create_virtual_dataset("x", layout)


def test_a_virtual_dataset(crafted):
    with crafted() as file:
        virtual(file)
    refused("a.h5: x is a virtual dataset, assembled from others; pass --allow-external to read it all the same")
    assert np.array_equal(read(allow_external=True), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "none.h5"}, "none.h5: no such file; check its name"),
        ({"name": "z"}, "a.h5: x takes from z in other.h5 what is not stored there; correct it"),
        ({"rows": 3}, "a.h5: x takes from x in other.h5 what is not stored there; correct it"),
        ({"rows": 5, "shape": (5, 3)}, "a.h5: x takes from x in other.h5 what is not stored there; correct it"),
        ({"source": "."}, "a.h5: x takes from x in a.h5 what is not stored there; correct it"),
        ({"shape": (5, 3)}, "a.h5: x has 15 numbers, but sources for 12; correct it"),
    ],
)
def test_a_virtual_dataset_whose_sources_are_not_all_there(crafted, options, message):
    with crafted(np.arange(float(options.get("shape", (4,))[0]))) as file:
        virtual(file, **options)
    with pytest.raises(RelucliError) as caught:
        read(allow_external=True)
    assert str(caught.value).replace(f"{os.getcwd()}/", "") == message


# Not all there


@pytest.mark.parametrize(
    ("options", "there"),
    [({"chunks": (1, 3)}, "0 of 4 chunks"), ({}, "0 of 1 chunks"), ({"chunks": (2, 3), "data": X}, "")],
)
def test_numbers_that_were_never_written(crafted, options, there):
    with crafted() as file:
        file.create_dataset("x", **({"shape": (4, 3), "dtype": "f8"} | options))
    if there:
        refused(f"a.h5: x was not written to the end ({there}); make the file again")
    else:
        assert np.array_equal(read(), X)


def test_a_tiny_file_that_claims_terabytes(crafted):
    with crafted() as file:
        file.create_dataset("x", (2**40, 3), "f8", chunks=(2**20, 3))
        del file["y"]
        file.create_dataset("y", (2**40,), "f8", chunks=(2**20,))
    refused("a.h5: x was not written to the end (0 of 1048576 chunks); make the file again")


def test_more_is_claimed_than_the_file_holds(crafted):
    with crafted() as file:
        data = file.create_dataset("x", (4, 3), "f8", chunks=(1, 3))
        data[...] = X
        for chunk in range(4):
            data.id.write_direct_chunk((chunk, 0), bytes(50_000))
    size = os.path.getsize("a.h5")
    with open("a.h5", "r+b") as file:
        content = file.read().replace((50_000).to_bytes(4, "little"), (500_000).to_bytes(4, "little"))
        file.seek(0)
        file.write(content)
    refused(f"a.h5: x claims 2000000 bytes of a file of {size}; make the file again")


# More memory than it says


def test_a_chunk_too_large_once_decompressed(crafted):
    with crafted(np.zeros(2**17)) as file:
        file.create_dataset("x", (2**17, 3), "f8", chunks=(2**17, 3), compression="gzip", data=np.zeros((2**17, 3)))
    refused("a.h5: a chunk of x takes 3MiB once decompressed; pass --memory 3MiB", memory=2 * MEBIBYTE)
    assert not read(memory=4 * MEBIBYTE).any()


def test_rows_too_wide_for_the_memory(crafted):
    with crafted(np.zeros(64)) as file:
        file["x"] = np.zeros((64, 140_000), "i1")
    refused("--memory 64MiB is too small for 140,000 inputs: pass --memory 69MiB", UsageError, memory=2**26)
    assert read(memory=69 * MEBIBYTE).shape == (64, 140_000)


BOMB = "import sys; sys.path[:0] = [sys.argv[1]]; import test_trust; test_trust.refused(sys.argv[2])"


def bomb(mebibytes):
    """That many of zeros, compressed a thousand times: a deflate stream repeats what is flushed in full."""
    stream = zlib.compressobj(9)
    first, more = (stream.compress(bytes(MEBIBYTE)) + stream.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + more * (mebibytes - 1) + stream.flush()


def test_a_chunk_that_inflates_past_its_size(crafted):
    with crafted() as file:
        data = file.create_dataset("x", (4, 3), "f8", chunks=(2, 3), compression="gzip", data=X)
        data.id.write_direct_chunk((2, 0), bomb(2048))
    assert os.path.getsize("a.h5") < 3 * MEBIBYTE
    message = "a.h5: x has a chunk, at row 2, that holds more than its 48 bytes; make the file again"
    # HDF5 alone takes 4 GiB to find that it does not fit.
    done = subprocess.run(
        [sys.executable, "-c", BOMB, Path(__file__).parent, message],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_small_bomb_within_a_chunk_of_plausible_size(crafted):
    with crafted() as file:
        data = file.create_dataset("x", (4, 3), "f8", chunks=(2, 3), compression="gzip", data=X)
        data.id.write_direct_chunk((2, 0), zlib.compress(bytes(40 * MEBIBYTE), 9))
    message = "a.h5: x has a chunk, at row 2, that holds more than its 48 bytes; make the file again"
    refused(message, memory=16 * MEBIBYTE)


@pytest.mark.parametrize("filters", [{"compression": "lzf"}, {"compression": "gzip", "shuffle": True}])
def test_compressed_data_are_read(crafted, filters):
    random = np.random.default_rng(0).standard_normal((4000, 3))
    with crafted(random[:, 0]) as file:
        file.create_dataset("x", data=random, chunks=(1000, 3), fletcher32=True, **filters)
    assert np.array_equal(read(memory=4 * MEBIBYTE), random)


# Filters


def test_a_filter_that_relucli_does_not_know(crafted):
    with crafted() as file:
        file.create_dataset("x", data=X.astype(int), scaleoffset=0, chunks=(4, 3))
    refused(
        "a.h5: x needs the filter 6 (scaleoffset), not gzip; store it without compression, or "
        "pass --allow-external to read it all the same"
    )
    assert np.array_equal(read(allow_external=True), X)


def test_a_filter_that_is_nowhere(crafted):
    with crafted() as file:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((4, 3))
        created.set_filter(511, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4, 3))
        data = h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, space, created)
        data.write_direct_chunk((0, 0), X.tobytes())
    message = "x rows 0 to 3 cannot be read (checksum or filter failure); copy or make the file again"
    refused(f"a.h5: {message}", allow_external=True)


def test_data_compressed_twice(crafted):
    with crafted() as file:
        created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        created.set_chunk((4, 3))
        created.set_deflate(9)
        created.set_filter(h5py.h5z.FILTER_LZF, h5py.h5z.FLAG_OPTIONAL, ())
        h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((4, 3)), created)
        file["x"][...] = X
    refused("a.h5: x is compressed more than once; store it with gzip or without compression")


# Structures


def test_groups_nested_deeper_than_any_stack(crafted):
    with h5py.File("a.h5", "w", libver="latest") as file:
        group = file
        for _ in range(20_000):
            group = group.create_group("a")
        file["z/y"] = Y
    refused("a.h5: no dataset x; it has z/y: pass --inputs NAME")


def test_a_group_that_holds_itself_under_many_names(crafted):
    with crafted() as file:
        for i in range(100):
            file[f"g{i}"] = file["/"]
    refused(
        "a.h5: no dataset x; it has g0/g0/g0/g0/y, g0/g0/g0/g1/y, g0/g0/g0/g10/y, g0/g0/g0/g11/y, g0/g0/g0/g12/y, "
        "g0/g0/g0/g13/y, g0/g0/g0/g14/y, g0/g0/g0/g15/y, ...: pass --inputs NAME"
    )
    with h5py.File("a.h5", "a") as file:
        del file["y"]
    started = time.monotonic()
    refused("a.h5: no dataset x; it has ...: pass --inputs NAME")  # of 10^8 ways through it, some are looked at
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("filters", [{"compression": "gzip"}, {"fletcher32": True}])
def test_a_chunk_of_many_blocks_is_taken_apart_once(crafted, filters):
    rows = 40 * MOST_ROWS
    x = np.arange(2.0 * rows).reshape(rows, 2)
    with crafted(np.zeros(rows)) as file:
        file.create_dataset("x", data=x, chunks=(rows, 1), **filters)
    with open_dataset("a.h5") as opened:
        slots, kept, _ = opened._parts[0].x.id.get_access_plist().get_chunk_cache()
        assert slots > 2
        assert kept >= x.nbytes
    assert np.array_equal(read(), x)
    message = "a.h5: chunks of x hold 655360 rows, 10MiB once decompressed; pass --memory 10MiB"
    refused(f"{message} or store it in smaller chunks", memory=8 * MEBIBYTE)


def test_references_and_other_objects(crafted):
    with crafted() as file:
        file["x"] = np.array([[file["y"].ref]], h5py.ref_dtype)
    refused("a.h5: x has dtype object; convert it to real numbers, as float64")
    with crafted() as file:
        file["x"] = np.dtype("f8")
    refused("a.h5: x is not a dataset; it has y: pass --inputs NAME")


# Changed while it is read


@pytest.mark.parametrize("change", ["rewritten", "cut", "longer"])
def test_a_file_that_changes_while_it_is_read(crafted, change):
    with open_dataset(shutil.copy("other.h5", "a.h5") if crafted else "") as rows:
        rows.block(Span(0, 2))
        content = Path("a.h5").read_bytes()
        with open("a.h5", "r+b") as file:
            if change == "cut":
                file.truncate(len(content) - 50)
            file.write(content if change != "cut" else b"")
            file.seek(0, os.SEEK_END)
            file.write(b"more" if change == "longer" else b"")
        with pytest.raises(DataError) as caught:
            rows.block(Span(2, 4))
    assert str(caught.value) == "a.h5: changed while it was in use; start again"


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(crafted):
    crafted().close()
    shutil.copy("other.h5", "a.h5")
    with open_dataset("a.h5") as rows:
        with h5py.File("new.h5", "w") as file:
            file["x"], file["y"] = X + 1, Y
        os.replace("new.h5", "a.h5")
        assert np.array_equal(rows.block(Span(0, 4)).x, X)
