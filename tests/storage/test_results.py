from __future__ import annotations

import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relucli.errors import DataError, InputError, OutputError
from relucli.network import ReluNetwork
from relucli.storage.results import read_moments, read_network, write_moments, write_network
from relucli.storage.schema import Provenance

MADE = Provenance("relucli learn data.h5 -o net.h5", 5)


def network(neurons=2, dim=3):
    random = np.random.default_rng(neurons)
    weights = random.standard_normal((neurons, dim))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return ReluNetwork(
        weights,
        *(random.standard_normal(n) for n in (neurons, neurons, dim)),
        offset=random.standard_normal(),
    )


def same(a, b):
    names = ("weights", "coefficients", "biases", "linear", "offset")
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


@pytest.mark.parametrize(("neurons", "dim"), [(1, 1), (2, 3), (30, 10), (0, 2)])
def test_a_network_returns_from_its_file(folder, neurons, dim):
    net = network(neurons, dim)
    write_network("net.h5", net, provenance=MADE)
    back = read_network("net.h5")
    assert same(back.network, net)
    assert (back.errors, back.path, back.diagnostics, back.provenance) == ({}, {}, {}, MADE)


def test_errors_path_and_diagnostics_return(folder):
    errors = {
        "coefficient_errors": np.array([0.1, np.nan]),
        "weight_errors": np.full(2, 0.2),
        "bias_errors": None,
        "linear_errors": np.zeros(3),
    }
    table = {"neurons": [3, 2, 1], "validation_mse": [0.1, 0.2, np.nan], "chosen": [False, True, False]}
    diagnostics = {"passes": np.int64(3), "mean": np.arange(2.0), "text": "é\n", "noise": 0.1, "none": None}
    write_network("net.h5", network(), provenance=MADE, errors=errors, table=table, diagnostics=diagnostics)
    back = read_network("net.h5")
    assert sorted(back.errors) == ["coefficient_errors", "linear_errors", "weight_errors"]
    assert all(np.array_equal(back.errors[name], errors[name], equal_nan=True) for name in back.errors)
    assert sorted(back.path) == sorted(table)
    assert all(np.array_equal(back.path[n], table[n], equal_nan=n == "validation_mse") for n in table)
    assert back.diagnostics == {"passes": 3, "mean": [0.0, 1.0], "text": "é\n", "noise": 0.1, "none": None}


def test_names_of_inputs_return(folder):
    names = ("rate", "Δ<b>", "")
    write_network("net.h5", replace(network(), columns=names), provenance=MADE)
    assert read_network("net.h5").network.columns == names
    with h5py.File("net.h5") as file:
        assert (file["columns"].shape, file["columns"].dtype.kind, file["columns"].fletcher32) == ((3,), "S", True)


def test_damaged_names_are_refused(folder):
    write_network("net.h5", replace(network(), columns=("a", "b", "c")), provenance=MADE)
    with h5py.File("net.h5", "r+") as file:
        file["columns"][1] = "z"
    with pytest.raises(DataError, match=r"^net\.h5: columns is not what was written "):
        read_network("net.h5")


def test_a_network_file_is_as_documented(folder):
    write_network("net.h5", network(), provenance=MADE, table={"neurons": [2]})
    with h5py.File("net.h5") as file:
        assert file.attrs["format"] == "relucli-network"
        assert file.attrs["format_version"] == 1
        assert file.attrs["offset"] == network().offset
        shapes = {name: file[name].shape for name in ("weights", "coefficients", "biases", "linear")}
        assert shapes == {"weights": (2, 3), "coefficients": (2,), "biases": (2,), "linear": (3,)}
        assert file["weights"].fletcher32
        assert list(file["path/neurons"]) == [2]


def test_what_a_foreign_network_lacks_is_zero(foreign):
    net = network()
    path = foreign("net.h5", weights=net.weights, coefficients=net.coefficients)
    back = read_network(path)
    assert same(back.network, ReluNetwork(net.weights, net.coefficients))
    assert back.provenance is None


def test_results_are_the_same_to_the_bit_at_another_time(folder):
    for name in "ab":
        time.sleep(1.1 - time.time() % 1 if name == "b" else 0)
        write_network(f"{name}-net.h5", network(), provenance=MADE, table={"neurons": [2]}, diagnostics={"a": 1})
        write_moments(f"{name}-mom.h5", {"mean": np.ones(3), "count": np.array(3.0)}, {"a": 1}, "f", MADE)
    for kind in ("net", "mom"):
        assert Path(f"a-{kind}.h5").read_bytes() == Path(f"b-{kind}.h5").read_bytes()


def refused(read, message, kind=DataError):
    with pytest.raises(kind) as caught:
        read()
    assert type(caught.value) is kind
    assert str(caught.value) == message


W, C = np.eye(2, 3), np.ones(2)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"x": W, "y": C}, "no dataset weights; it has x, y: is this the right file?"),
        ({"weights": W}, "no dataset coefficients; it has weights: is this the right file?"),
        (
            {"weights": C, "coefficients": C},
            "weights has shape (2,), but must have (any, any); make the file again",
        ),
        (
            {"weights": W, "coefficients": W},
            "coefficients has shape (2, 3), but must have (2); make the file again",
        ),
        (
            {"weights": W, "coefficients": C, "linear": C},
            "linear has shape (2,), but must have (3); make the file again",
        ),
        (
            {"weights": W, "coefficients": C, "bias_errors": np.ones(3)},
            "bias_errors has shape (3,), but must have (2); make the file again",
        ),
        ({"weights": W + np.nan, "coefficients": C}, "weights[0, 0] is nan; make the file again"),
        ({"weights": W, "coefficients": C * np.inf}, "coefficients[0] is inf; make the file again"),
        ({"weights": W * 1j, "coefficients": C}, "weights does not hold real numbers; make the file again"),
        (
            {"weights": 2 * W, "coefficients": C},
            "row 0 of weights is not of unit length; correct it or make it again",
        ),
    ],
)
def test_what_is_no_network(foreign, contents, message):
    path = foreign("net.h5", **contents)
    refused(lambda: read_network(path), f"net.h5: {message}")


@pytest.mark.parametrize("name", ["weights", "coefficients", "biases", "linear", "diagnostics", "path"])
def test_a_network_file_of_relucli_has_all_its_parts(folder, name):
    write_network("net.h5", network(), provenance=MADE)
    with h5py.File("net.h5", "a") as file:
        del file[name]
    with pytest.raises(DataError, match=rf"^net.h5: (no dataset )?{name}\b"):
        read_network("net.h5")


def test_columns_of_a_path_have_one_length(folder):
    write_network("net.h5", network(), provenance=MADE, table={"neurons": [1, 2], "validation_mse": [1.0]})
    refused(lambda: read_network("net.h5"), "net.h5: columns of path differ in length; make the file again")


@pytest.mark.parametrize("read", [read_network, read_moments])
def test_files_of_another_kind_or_version(foreign, read):
    kind = {read_network: "relucli-network", read_moments: "relucli-moments"}[read]
    path = foreign("a.h5", {"format": "relucli-dataset", "format_version": 1})
    refused(
        lambda: read(path),
        f"a.h5: a relucli-dataset file where a {kind} file is wanted; check the order of files",
    )
    path = foreign("a.h5", {"format": kind, "format_version": 9})
    refused(lambda: read(path), "a.h5: format version 9, but relucli 0.1.0 reads up to 1; install a newer relucli")


@pytest.mark.parametrize("read", [read_network, read_moments])
def test_files_that_cannot_be_opened(folder, read):
    refused(lambda: read("no.h5"), "no.h5: no such file; check its name", InputError)
    Path("a.h5").write_text("text")
    refused(lambda: read("a.h5"), "a.h5: not an HDF5 file; convert it to HDF5 first")


def test_a_file_that_is_no_moments_file(foreign):
    path = foreign("a.h5", x=W)
    refused(lambda: read_moments(path), "a.h5: not a relucli-moments file; make one with relucli moments")


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text("abcz_", min_size=1),
        hnp.arrays(
            st.sampled_from(["f8", "i8", "f4", "?"]),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
            elements={"allow_nan": False, "allow_infinity": False},
        ),
        max_size=4,
    ),
    st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans() | st.none()),
    st.text("0123456789abcdef"),
)
def test_moments_return_from_their_file(arrays, settings, fingerprint):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.h5")
        write_moments(path, arrays, settings, fingerprint, MADE)
        back = read_moments(path)
    assert sorted(back.arrays) == sorted(arrays)
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].shape == array.shape
        assert np.array_equal(back.arrays[name], array)
    assert (back.settings, back.fingerprint, back.provenance) == (settings, fingerprint, MADE)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_moments_that_are_not_finite(folder, value):
    write_moments("m.h5", {"mean": np.array([0.0, value])}, {}, "f", MADE)
    refused(lambda: read_moments("m.h5"), f"m.h5: moments/mean[1] is {value}; make the file again")


@pytest.mark.parametrize("name", ["moments/mean", "settings"])
def test_a_flipped_bit_is_noticed(folder, flip, name):
    write_moments("m.h5", {"mean": np.ones(5)}, {"slices": 16}, "f", MADE)
    flip("m.h5", name)
    refused(lambda: read_moments("m.h5"), f"m.h5: {name} cannot be read (damaged file?); copy or make it again")


def test_a_flipped_bit_in_a_network_is_noticed(folder, flip):
    write_network("net.h5", network(), provenance=MADE)
    flip("net.h5", "weights")
    refused(
        lambda: read_network("net.h5"),
        "net.h5: weights cannot be read (damaged file?); copy or make it again",
    )


@pytest.mark.parametrize("write", ["network", "moments"])
def test_results_appear_whole_or_not_at_all(folder, write):
    attempts = {
        "network": lambda **force: write_network("a.h5", network(), provenance=MADE, **force),
        "moments": lambda **force: write_moments("a.h5", {}, {}, "f", MADE, **force),
    }
    with pytest.raises(TypeError):
        write_moments("a.h5", {"bad": np.array([object()])}, {}, "f", MADE)
    assert os.listdir() == []
    attempts[write]()
    with pytest.raises(OutputError) as caught:
        attempts[write]()
    assert str(caught.value) == "a.h5: exists already; pass --force to replace it"
    attempts[write](force=True)
    assert os.listdir() == ["a.h5"]


def test_errors_of_the_wrong_shape_are_not_written(folder):
    with pytest.raises(ValueError, match="bias_errors has shape"):
        write_network("a.h5", network(), provenance=MADE, errors={"bias_errors": np.ones(3)})
    assert os.listdir() == []
