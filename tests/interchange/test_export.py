"""Exported networks, computed by the tools that they are exported to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors
import safetensors.numpy

from relucli.errors import DataError
from relucli.interchange.export import FORMATS, export
from relucli.interchange.onnx import IR_VERSION, OPSET
from relucli.network import ReluNetwork
from relucli.storage.results import NetworkFile
from relucli.storage.schema import Provenance

DTYPES = ["float64", "float32"]
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def inputs_of(network, dtype, rows=200):
    return np.random.default_rng(1).standard_normal((rows, network.dim)).astype(dtype)


def slack(network, x, dtype):
    """What rounding may change: a unit for each of the additions, of the sum of absolute values, per row."""
    size = np.abs(x) @ np.abs(network.weights).T + np.abs(network.biases)
    total = size @ np.abs(network.coefficients) + np.abs(x) @ np.abs(network.linear) + abs(network.offset)
    return np.finfo(dtype).eps * (network.dim + network.neurons + 6) * total


def assert_computes(values, network, x, dtype):
    assert values.dtype == dtype
    assert values.shape == (len(x), 1)
    assert np.all(np.abs(values[:, 0] - network(x.astype(np.float64))) <= slack(network, x, dtype))


@dtypes
@pytest.mark.parametrize("rows", [1, 200])
def test_onnx_computes_the_same_in_onnxruntime(folder, network, dtype, rows):
    export(NetworkFile(network), Path("a.onnx"), dtype)
    session = onnxruntime.InferenceSession("a.onnx", providers=["CPUExecutionProvider"])
    x = inputs_of(network, dtype, rows)
    assert_computes(session.run(["y"], {"x": x})[0], network, x, dtype)


def test_onnx_is_of_an_old_opset_and_says_where_it_came_from(folder, network):
    made = Provenance("relucli learn data.h5 -o net.h5", 7)
    export(NetworkFile(network, provenance=made), Path("a.onnx"))
    model = onnx.load("a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", OPSET)] == [("", 11)]
    assert model.ir_version == IR_VERSION
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == {"command": made.command, "seed": "7", "relucli_version": made.version}


@dtypes
def test_safetensors_hold_a_sequential_of_linear_relu_linear(folder, network, dtype):
    export(NetworkFile(network), Path("a.safetensors"), dtype)
    state = safetensors.numpy.load_file("a.safetensors")
    x = inputs_of(network, dtype)
    hidden = np.maximum(x @ state["0.weight"].T + state["0.bias"], 0)
    assert_computes(hidden @ state["2.weight"].T + state["2.bias"], network, x, dtype)
    with safetensors.safe_open("a.safetensors", "np") as file:
        about = json.loads(file.metadata()["relucli"])
    width = len(state["0.weight"])
    assert about == {"architecture": f"Sequential(Linear({network.dim}, {width}), ReLU(), Linear({width}, 1))"}


@pytest.mark.filterwarnings("ignore")
@dtypes
def test_safetensors_load_into_torch(folder, network, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed: it comes with the extra `bench`")
    from safetensors.torch import load_file

    export(NetworkFile(network), Path("a.safetensors"), dtype)
    state = load_file("a.safetensors")
    hidden, dim = state["0.weight"].shape
    model = torch.nn.Sequential(torch.nn.Linear(dim, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 1))
    model = model.to(getattr(torch, dtype))
    model.load_state_dict(state)
    x = inputs_of(network, dtype)
    with torch.no_grad():
        assert_computes(model(torch.from_numpy(x)).numpy(), network, x, dtype)


def parts(network):
    return {name: getattr(network, name) for name in ("weights", "coefficients", "biases", "linear")}


def same_bits(arrays, network):
    assert all(np.asarray(arrays[name]).tobytes() == array.tobytes() for name, array in parts(network).items())
    assert float(arrays["offset"]) == network.offset


def test_npz_reads_back_to_the_bit_without_pickle(folder, network):
    errors = {"coefficient_errors": np.full(network.neurons, 0.25)}
    export(NetworkFile(network, errors, provenance=Provenance("made", 3)), Path("a.npz"))
    with np.load("a.npz", allow_pickle=False) as file:
        same_bits(file, network)
        assert np.array_equal(file["coefficient_errors"], errors["coefficient_errors"])
        assert (str(file["command"]), int(file["seed"])) == ("made", 3)


def test_npz_in_single_precision(folder, network):
    export(NetworkFile(network), Path("a.npz"), "float32")
    with np.load("a.npz") as file:
        assert all(np.array_equal(file[name], array.astype(np.float32)) for name, array in parts(network).items())


def test_json_reads_back_to_the_bit(folder, network):
    errors = {"weight_errors": np.full(network.neurons, np.nan)}
    export(NetworkFile(network, errors, provenance=Provenance("made", 2**64 - 1)), Path("a.json"))
    found = json.loads(Path("a.json").read_text(), parse_constant=pytest.fail)
    arrays = {name: np.array(found[name]).reshape(array.shape) for name, array in parts(network).items()}
    same_bits(arrays | {"offset": found["offset"]}, network)
    assert found["errors"] == {"weight_errors": [None] * network.neurons}
    assert found["provenance"]["seed"] == 2**64 - 1
    assert (found["format"], found["format_version"]) == ("relucli-network", 1)
    assert (found["neurons"], found["dim"]) == network.weights.shape


def test_names_of_inputs_are_exported(folder, network):
    names = tuple(f"c{j}" for j in range(network.dim))
    for columns in (names, ()):
        for ending in (".json", ".npz"):
            export(NetworkFile(replace(network, columns=columns)), Path(f"a{ending}"), force=True)
        assert json.loads(Path("a.json").read_text())["columns"] == (list(columns) or None)
        assert ("columns" in np.load("a.npz")) == bool(columns)
    export(NetworkFile(replace(network, columns=names)), Path("a.npz"), force=True)
    assert np.load("a.npz")["columns"].tolist() == list(names)


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_network_is_the_same_file(folder, network, ending):
    file = NetworkFile(network, provenance=Provenance("made", 3))
    for name in ("a", "b", "c"):
        export(file, Path(f"{name}{ending}"))
    assert len({Path(f"{name}{ending}").read_bytes() for name in ("a", "b", "c")}) == 1


@pytest.mark.parametrize("ending", [".onnx", ".safetensors", ".npz"])
def test_numbers_that_single_precision_cannot_hold_are_refused(folder, ending):
    network = ReluNetwork(np.eye(2), np.array([1.0, -1e300]))
    with pytest.raises(DataError, match=r"^coefficients\[1\] is -1e\+300, beyond float32; pass --dtype float64$"):
        export(NetworkFile(network), Path(f"a{ending}"), "float32")
    assert not list(folder.iterdir())
