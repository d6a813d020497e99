"""Digests in files of results: whatever was written is read as it was, or refused."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli.errors import DataError
from relucli.network import ReluNetwork
from relucli.storage.results import read_moments, read_network, write_moments, write_network

NETWORK = ReluNetwork(np.eye(3)[:2], np.array([1.0, -2.0]), np.zeros(2), np.arange(3.0), offset=0.5)
SUMS = {"base/y": np.array([3.0, 1.0, 2.0]), "count": np.array(3.0), "edges": np.empty(0)}
EDITED = (
    "{} is not what was written (damaged or edited?); copy or make the file again, "
    "or delete its attribute relucli_sha256 to have it read as it is"
)


@pytest.fixture
def files(folder, provenance):
    """Files of results, and what reads each."""
    errors, table = {"coefficient_errors": np.array([0.1, np.nan])}, {"neurons": [1, 2]}
    write_network("net.h5", NETWORK, provenance=provenance, errors=errors, table=table, diagnostics={"a": 1})
    write_moments("moments.h5", SUMS, {"seed": 1}, "f00d", provenance)
    return {"net.h5": read_network, "moments.h5": read_moments}


def refused(read, path, message):
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {message}"


def digests(path):
    with h5py.File(path) as file:
        return json.loads(bytes(file.attrs["relucli_sha256"]))


def test_every_array_and_attribute_has_a_digest(files):
    attributes = {"@command", "@seed", "@relucli_version"}
    arrays = {"weights", "coefficients", "biases", "linear", "coefficient_errors", "path/neurons", "diagnostics"}
    assert digests("net.h5").keys() == attributes | arrays | {"@offset"}
    sums = {f"moments/{name}" for name in SUMS}
    assert digests("moments.h5").keys() == attributes | sums | {"@fingerprint", "@checksums", "settings"}


def test_a_digest_can_be_computed_by_anyone(files):
    known = digests("net.h5")
    assert known["weights"] == sha256(b"<f8 (2, 3) " + NETWORK.weights.tobytes()).hexdigest()
    assert known["@command"] == sha256(b"relucli generate data.h5 --seed 7").hexdigest()


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *(("net.h5", n) for n in ("weights", "coefficients", "biases", "linear", "coefficient_errors", "path/neurons")),
        ("moments.h5", "moments/base/y"),
    ],
)
def test_a_number_that_was_edited_is_noticed(files, path, name):
    with h5py.File(path, "a") as file:
        file[name][0] += 1
    refused(files[path], path, EDITED.format(name))


@pytest.mark.parametrize("name", ["settings", "moments/base/y"])
@pytest.mark.parametrize("dtype", ["f4", "<i8", "S9"])
def test_an_array_of_another_type_is_noticed(files, name, dtype):
    with h5py.File("moments.h5", "a") as file:
        value = np.ones(1 if name == "settings" else 3, dtype)
        del file[name]
        file[name] = value
    with pytest.raises(DataError):
        read_moments("moments.h5")


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("net.h5", "offset", 0.25),
        ("net.h5", "offset", np.float32(0.5)),
        ("net.h5", "command", "rm -rf"),
        ("net.h5", "seed", 8),
        ("net.h5", "relucli_version", "0.1.1"),
        ("moments.h5", "fingerprint", "f00e"),
        ("moments.h5", "fingerprint", None),
    ],
)
def test_an_attribute_that_was_edited_is_noticed(files, path, name, value):
    with h5py.File(path, "a") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    refused(files[path], path, EDITED.format(f"@{name}"))


def test_a_scalar_that_was_edited_is_noticed(files):
    with h5py.File("moments.h5", "a") as file:
        file["moments"].attrs["count"] = 4.0
    refused(read_moments, "moments.h5", EDITED.format("moments/count"))


@pytest.mark.parametrize("text", [b"relucli-network", b"generate data.h5", b"0.1.0"])
def test_text_that_no_checksum_of_hdf5_covers(files, text):
    content = Path("net.h5").read_bytes()
    assert content.count(text) == 1
    Path("net.h5").write_bytes(content.replace(text, b"x" + text[1:]))
    with pytest.raises(DataError, match=r"not what was written|attributes cannot be read"):
        read_network("net.h5")


def test_a_file_that_was_edited_can_be_had_as_it_is(files):
    with h5py.File("net.h5", "a") as file:
        file["linear"][0] = 9
        del file.attrs["relucli_sha256"]
    assert read_network("net.h5").network.linear[0] == 9


def test_what_was_added_later_does_no_harm(files):
    for path, read in files.items():
        before = read(path)
        with h5py.File(path, "a") as file:
            file.attrs["note"], file["mine"] = "text", ["text"]
            group = file["moments" if path == "moments.h5" else "path"]
            group["mine"], group.attrs["more"] = ["text"], "text"
        after = read(path)
        if path == "moments.h5":
            assert after.arrays.keys() == before.arrays.keys() == SUMS.keys()
        else:
            assert (after.path.keys(), after.diagnostics) == (before.path.keys(), before.diagnostics)


@pytest.mark.parametrize(
    "text",
    [
        *(b"[1]", b"[" * 50_000, b"1", b"{", b"", b'{"@a": 1}', b'{"@a\\u0000b\\ud800": ""}'),
        *(2**40, 0, [b"{}", b"{}"], h5py.Empty("f4")),
    ],
)
def test_digests_that_are_none(files, text):
    with h5py.File("net.h5", "a") as file:
        file.attrs["relucli_sha256"] = np.bytes_(text) if isinstance(text, bytes) else text
    with pytest.raises(DataError):
        read_network("net.h5")


@pytest.mark.parametrize("name", ["moments/no", "moments/no/more", "moments/base/y/more", "settings/more", "no/more"])
def test_digests_of_what_is_not_there(files, name):
    with h5py.File("moments.h5", "a") as file:
        file.attrs["relucli_sha256"] = np.bytes_(json.dumps(digests("moments.h5") | {name: "0"}))
    if name.startswith("moments/"):
        with pytest.raises(DataError, match=rf"^moments.h5: no dataset {name};"):
            read_moments("moments.h5")
    else:
        assert read_moments("moments.h5").arrays.keys() == SUMS.keys()


# JSON


@pytest.mark.parametrize(
    "text",
    [b"[" * 100_000, b'{"a": ' * 100_000, b"{" + b" " * 2**24 + b"}", b'{"a": 1' + b"0" * 5000 + b"}", b"[1]", b"\xff"],
)
def test_json_that_is_no_settings(files, text):
    with h5py.File("moments.h5", "a") as file:
        del file.attrs["relucli_sha256"], file["settings"]
        file["settings"] = np.array([text])
    refused(read_moments, "moments.h5", "settings cannot be read (damaged file?); copy or make it again")


def test_text_of_variable_length_is_no_json(files):
    with h5py.File("moments.h5", "a") as file:
        del file["settings"]
        file["settings"] = ["{}"]
    refused(read_moments, "moments.h5", "settings does not hold text of fixed length; make the file again")


# Sizes and places


def test_an_array_that_takes_far_more_memory_than_disk(files):
    with h5py.File("a.h5", "w") as file:
        data = file.create_dataset("weights", (2**24, 8), "f8", chunks=(2**21, 8), compression="gzip")
        for chunk in range(0, 2**24, 2**21):
            data.id.write_direct_chunk((chunk, 0), b"x")
    size = Path("a.h5").stat().st_size
    refused(read_network, "a.h5", f"weights takes {2**30} bytes in memory, its file {size}; make the file again")


@pytest.mark.parametrize("name", ["weights", "linear", "path", "diagnostics", "path/neurons"])
def test_nothing_is_read_from_other_files(files, name):
    with h5py.File("net.h5", "a") as file, h5py.File("other.h5", "w") as other:
        file.copy(name, other, name="there")
        del file[name]
        file[name] = h5py.ExternalLink("other.h5", "there")
    message = f"{name} is a link to another file, other.h5; copy it into this file"
    refused(read_network, "net.h5", message)
