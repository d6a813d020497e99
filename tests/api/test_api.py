"""The plain functions: the same numbers as the commands, from files and from arrays, with errors of their own."""

from __future__ import annotations

import doctest
from dataclasses import asdict
from importlib import import_module

import h5py
import numpy as np
import pytest

import relucli
from relucli.api.common import engine_for
from relucli.cli.app import run
from relucli.errors import DataError, InputError, OutputError, UnsupportedError, UsageError
from relucli.learning.pipeline import Learned
from relucli.moments.estimate import Moments
from relucli.quantities import with_error
from relucli.storage.results import NetworkFile

GENERATE = "generate data.h5 --samples 4000 --dim 4 --neurons 2 --noise 0.1 --seed 5 --teacher-out teacher.h5 -q"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder):
    """A dataset that a command made; its rows."""
    assert run(GENERATE.split()) == 0
    with h5py.File("data.h5") as file:
        return file["x"][()], file["y"][()]


def same(a, b):
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("weights", "coefficients", "biases", "linear", "offset")
    )


@pytest.mark.parametrize(
    "module", ["relucli.api.data", "relucli.api.networks", "relucli.estimator", "relucli.synthesis"]
)
def test_examples_in_docstrings_run(module, folder):
    done = doctest.testmod(import_module(module))
    assert done.failed == 0
    assert done.attempted > 2


def test_rows_are_those_of_the_command(data):
    teacher = relucli.load("teacher.h5")
    x, y = relucli.sample("teacher.h5", 4000, noise=0.1, seed=5)
    assert np.array_equal(x, data[0])
    assert np.array_equal(y, data[1])
    paths = relucli.generate("again.h5", teacher, 4000, noise=0.1, seed=5, shards=2, workers=2)
    assert [path.name for path in paths] == ["again-00000-of-00002.h5", "again-00001-of-00002.h5"]
    found = [h5py.File(path) for path in paths]
    assert np.array_equal(np.concatenate([file["x"][()] for file in found]), x)
    assert np.array_equal(np.concatenate([file["y"][()] for file in found]), y)


@pytest.mark.parametrize("options", [{"neurons": 2}, {"neurons": 2, "bias": True, "loss": "huber", "seed": 7}])
def test_networks_are_those_of_the_command_to_the_bit(data, options):
    words = {"neurons": "-k 2", "bias": "--bias", "loss": "--loss huber", "seed": "--seed 7"}
    assert run(f"learn data.h5 -o net.h5 -q {' '.join(words[name] for name in options)}".split()) == 0
    expected = relucli.load("net.h5")
    for rows in ("data.h5", ["data.h5"], data):
        found = relucli.learn(rows, workers=1, memory="256MiB", **options)
        assert isinstance(found, Learned)
        assert same(found.network, expected.network)
        errors = found.errors.by_name()
        assert all(np.array_equal(errors[name], expected.errors[name]) for name in errors)
    relucli.save("saved.h5", found)
    saved = relucli.load("saved.h5")
    assert same(saved.network, expected.network)
    assert saved.diagnostics == {**expected.diagnostics}
    assert {name: list(column) for name, column in saved.path.items()} == {
        name: list(column) for name, column in expected.path.items()
    }


def test_moments_are_taken_once_and_belong_to_their_rows(data):
    found = relucli.take_moments("data.h5", seed=0)
    assert isinstance(found, Moments)
    relucli.save("moments.h5", found)
    by_file, by_hand = (relucli.learn("data.h5", 2, moments=moments) for moments in ("moments.h5", found))
    assert same(by_file.network, by_hand.network)
    assert by_hand.passes == relucli.learn("data.h5", 2).passes - 1
    with pytest.raises(DataError, match=r"^moments\.h5: taken from other data than these \(of 4000 rows"):
        relucli.learn((data[0][:2000], data[1][:2000]), 2, moments="moments.h5")
    with pytest.raises(DataError, match=r"^the moments were taken from other data"):
        relucli.learn((data[0][:2000], data[1][:2000]), 2, moments=found)


def test_evaluation_is_that_of_the_command(data, capsys):
    import json

    assert run(["learn", "data.h5", "-o", "net.h5", "-k", "2", "-q"]) == 0
    assert run(["evaluate", "net.h5", "data.h5", "--teacher", "teacher.h5", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)
    for network in ("net.h5", relucli.load("net.h5"), relucli.load("net.h5").network):
        found = relucli.evaluate(network, data, "teacher.h5")
        assert {name: expected[name] for name in asdict(found.score)} == asdict(found.score)
        assert found.population_error.value == expected["population_error"]
        assert [item.angle for item in found.matches] == [item["angle"] for item in expected["matches"]]
    assert relucli.evaluate("net.h5", data).population_error is None


def test_what_is_saved_comes_back(folder):
    network = relucli.plant("random", 3, 2, seed=1, bias_sd=1.0)
    relucli.save("net.h5", network)
    file = relucli.load("net.h5")
    assert isinstance(file, NetworkFile)
    assert same(file.network, network)
    relucli.save("copy.h5", file)
    assert relucli.load("copy.h5").provenance == file.provenance
    with pytest.raises(OutputError, match=r"^net\.h5: exists already"):
        relucli.save("net.h5", network)


@pytest.mark.parametrize("data", [(), [], 7, (1, 2, 3), [np.eye(2), np.ones(2)]])
def test_data_of_no_known_kind(data):
    with pytest.raises(UsageError, match=r"^data must be a path, a list of paths or a pair \(x, y\) of arrays$"):
        relucli.learn(data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"neurons": 0}, "-k 0: there must be at least one neuron"),
        ({"neurons": "3"}, "-k '3': not a whole number"),
        ({"neurons": 2.0}, "-k 2.0: not a whole number"),
        ({"bias": 1}, "--bias must be True or False, not 1"),
        ({"seed": 0.5}, "--seed 0.5: not a whole number"),
        ({"loss": "absolute"}, "--loss must be one of squared, huber, not absolute"),
        ({"subspace": "all"}, "--subspace must be one of sliced, contracted, both, not all"),
        ({"whiten": True}, "--whiten must be one of auto, on, off, not True"),
        ({"starts": 0}, "--starts must be at least 1, not 0"),
        ({"max_neurons": 0}, "--max-neurons must be at least 1, not 0"),
        ({"seed": -1}, "--seed must be from 0 to 2^64 - 1, not -1"),
        ({"memory": "much"}, "--memory much: not a size; pass one like 512MiB, 2GiB or 1e9"),
        ({"workers": 0}, "--workers must be at least 1, not 0"),
    ],
)
def test_options_that_cannot_be_meant(options, message):
    with pytest.raises(UsageError) as caught:
        relucli.learn((np.eye(2), np.ones(2)), **options)
    assert str(caught.value) == message


def test_errors_name_the_file(data):
    with pytest.raises(InputError, match=r"^missing\.h5: no such file"):
        relucli.learn("missing.h5")
    with h5py.File("bad.h5", "w") as file:
        file["a"], file["b"] = data[0][:50], np.zeros(50)
    with pytest.raises(UnsupportedError, match=r"^bad\.h5: y is constant"):
        relucli.learn("bad.h5", inputs="a", labels="b")


def test_results_show_what_they_say_in_lines_and_in_notebooks():
    teacher = relucli.plant("random", 4, 2, seed=1)
    data = relucli.sample(teacher, 1000, noise=0.1)
    moments = relucli.take_moments(data, slices=8)
    assert repr(moments) == "Moments(1,000 rows of 4 inputs; orders 1, 2, 4, 6 along 8 directions, 8 slices)"
    found = relucli.evaluate(teacher, data, teacher)
    lines = repr(found).splitlines()
    assert lines[0] == "Evaluation(1,000 rows)"
    assert lines[1].split() == ["planted", "recovered", "angle,", "rad", "coefficient", "error", "bias", "error"]
    assert [line.split() for line in lines[2:4]] == [["0", "0", "0", "0", "0"], ["1", "1", "0", "0", "0"]]
    score = found.score
    assert lines[5] == f"rmse: {with_error(score.rmse, score.rmse_se)}"
    assert lines[8] == "population error: 0.00e+00 of the teacher's variance"
    assert "<strong>Evaluation: 1,000 rows</strong>" in found._repr_html_()
    assert len(repr(relucli.evaluate(teacher, data)).splitlines()) == 5


def test_bounds_on_memory_in_bytes_or_in_words():
    assert engine_for(2, 2**20).memory == engine_for(2, "1MiB").memory == 2**20
    assert engine_for(3).workers == 3
