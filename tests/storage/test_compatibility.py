"""Files of format version 1, written when it was young, are read by every later version, and by other libraries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli.errors import DataError
from relucli.moments.estimate import Moments
from relucli.network import ReluNetwork
from relucli.storage.dataset import DatasetWriter, open_dataset
from relucli.storage.results import read_moments, read_network, write_moments, write_network
from relucli.streaming.blocks import Span

OLD = Path(__file__).with_name("v1")
EXPECTED = json.loads((OLD / "expected.json").read_text())
SHARDS = ["shard-00000-of-00002.h5", "shard-00001-of-00002.h5"]
DATASETS = ["data.h5", *SHARDS]
NETWORKS = ["net.h5", "teacher.h5"]
MOMENTS = ["moments.h5", "sliced.h5", "contracted.h5"]


def digest(array):
    return [array.dtype.str, list(array.shape), sha256(array.tobytes()).hexdigest()]


def reader(name):
    return open_dataset if name in DATASETS else read_network if name in NETWORKS else read_moments


@pytest.fixture
def copy(folder):
    """Copies an old file into the working folder and opens it to be changed."""

    def open_copy(name):
        shutil.copy(OLD / name, name)
        return h5py.File(name, "a")

    return open_copy


@pytest.mark.parametrize("name", DATASETS)
def test_datasets_of_version_1_hold_the_same_rows(name):
    with open_dataset(OLD / name) as rows:
        block = rows.block(Span(0, rows.samples))
    assert {"x": digest(block.x), "y": digest(block.y)} == EXPECTED[name]["arrays"]


@pytest.mark.parametrize(("files", "moments"), [(["data.h5"], "moments.h5"), (SHARDS, "contracted.h5")])
def test_fingerprints_of_version_1_are_those_of_its_moments(files, moments):
    with open_dataset([OLD / name for name in files]) as rows:
        assert rows.fingerprint == EXPECTED[moments]["attributes"]["fingerprint"]


@pytest.mark.parametrize("name", MOMENTS)
def test_moments_of_version_1_hold_the_same_sums(name):
    file, expected = read_moments(OLD / name), EXPECTED[name]
    assert {f"moments/{key}": digest(array) for key, array in file.arrays.items()} == {
        key: value for key, value in expected["arrays"].items() if key != "settings"
    }
    assert file.fingerprint == expected["attributes"]["fingerprint"]
    assert file.provenance.command == expected["attributes"]["command"]
    restored = Moments.restore(file.arrays, file.settings, file.fingerprint)
    assert (restored.samples, restored.dim) == (1000, 3)
    assert restored.arrays().keys() == file.arrays.keys()


def test_settings_of_moments_of_version_1_are_the_same():
    assert read_moments(OLD / "moments.h5").settings == EXPECTED["moments.h5"]["settings"]


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_of_version_1_are_the_same(name):
    file, expected = read_network(OLD / name), EXPECTED[name]
    found = {key: getattr(file.network, key) for key in ("weights", "coefficients", "biases", "linear")}
    found |= file.errors | {f"path/{key}": column for key, column in file.path.items()}
    arrays = {key: digest(array) for key, array in found.items()}
    assert arrays == {key: value for key, value in expected["arrays"].items() if key != "diagnostics"}
    assert file.network.offset == expected["attributes"]["offset"]
    assert (file.provenance.seed, file.provenance.version) == (expected["attributes"]["seed"], "0.1.0")


def test_a_network_of_version_1_holds_these_numbers():
    file, numbers = read_network(OLD / "net.h5"), EXPECTED["net.h5"]["numbers"]
    assert file.network.weights.tolist() == numbers["weights"]
    assert file.network.coefficients.tolist() == numbers["coefficients"]
    assert file.errors["bias_errors"].tolist() == numbers["bias_errors"]
    assert file.diagnostics == EXPECTED["net.h5"]["diagnostics"]


@pytest.mark.parametrize("name", ["data.h5", "moments.h5", "net.h5"])
def test_a_newer_version_is_refused(copy, name):
    with copy(name) as file:
        file.attrs["format_version"] = 2
    with pytest.raises(DataError) as caught:
        reader(name)(name)
    assert str(caught.value) == (f"{name}: format version 2, but relucli 0.1.0 reads up to 1; install a newer relucli")


@pytest.mark.parametrize("name", ["data.h5", "moments.h5", "net.h5"])
def test_what_a_file_holds_beside_its_format_is_ignored(copy, name):
    with copy(name) as file:
        file.attrs["note"] = "mine"
        file["extra"] = np.arange(3)
        file["more/extra"] = "text"
    read = reader(name)(name)
    if name == "net.h5":
        assert read.network.weights.tolist() == EXPECTED[name]["numbers"]["weights"]
    elif name == "moments.h5":
        assert "extra" not in read.arrays
    else:
        assert (read.samples, read.dim) == (1000, 3)


# Other programs


@pytest.fixture(params=["data.h5", "moments.h5", "net.h5"])
def written(request, folder, provenance):
    """A file of each kind, as this version writes it: its path, and its arrays of numbers."""
    random = np.random.default_rng(4)
    x, y = random.standard_normal((500, 3)).astype("f4"), random.standard_normal(500)
    if request.param == "data.h5":
        with DatasetWriter("data.h5", 500, 3, np.float32, provenance=provenance) as writer:
            writer.append(x, y)
    elif request.param == "moments.h5":
        write_moments("moments.h5", {"base/yx": y[:3], "count": np.array(500.0)}, {"seed": 1}, "f0", provenance)
    else:
        network = ReluNetwork(np.eye(3)[:2], y[:2], y[2:4], y[4:7], offset=0.5)
        errors, table = {"coefficient_errors": y[:2] ** 2}, {"neurons": [1, 2], "polished": [True, False]}
        write_network("net.h5", network, provenance=provenance, errors=errors, table=table, diagnostics={"a": 1})
    arrays = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind != "S":
            arrays[name] = item[()].tolist()

    with h5py.File(request.param) as file:
        file.visititems(note)
    assert arrays
    return request.param, arrays


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def test_the_tools_of_hdf5_read_a_file(written, provenance):
    if shutil.which("h5ls") is None or shutil.which("h5dump") is None:
        pytest.skip("h5ls and h5dump are not installed (Debian and Ubuntu: apt-get install hdf5-tools)")
    name, arrays = written
    listed = {line.split()[0].lstrip("/") for line in output("h5ls", "-r", name).splitlines() if " Dataset {" in line}
    assert listed - {"settings", "diagnostics"} == arrays.keys()
    dumped = output("h5dump", "-m", "%.17g", name)
    assert provenance.command in dumped
    assert all(f'DATASET "{path.split("/")[-1]}"' in dumped for path in arrays)


OTHER = """
import json, sys
import netCDF4
with netCDF4.Dataset(sys.argv[1]) as file:
    file.set_auto_mask(False)
    values = {name: file[name][...].tolist() for name in sys.argv[2:]}
    print(json.dumps([values, {name: str(file.getncattr(name)) for name in file.ncattrs()}]))
"""


def test_another_library_reads_the_same_numbers(written, provenance):
    if find_spec("netCDF4") is None:
        pytest.skip("netCDF4, which reads HDF5 with a library of its own, is not installed")
    name, arrays = written
    # In a process of its own: two HDF5 libraries should not share one.
    values, attributes = json.loads(output(sys.executable, "-c", OTHER, name, *arrays))
    assert values == arrays
    assert attributes["format"].startswith("relucli-")
    assert (attributes["command"], attributes["seed"]) == (provenance.command, str(provenance.seed))
