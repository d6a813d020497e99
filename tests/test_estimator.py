"""The regressor: what scikit-learn asks of it, and that it is the command `learn`."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import warnings

import h5py
import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import relucli
from relucli import RelucliWarning, ReluNetworkRegressor
from relucli.cli.app import run
from relucli.errors import DataError, UsageError

TEACHER = relucli.plant("random", 5, 2, seed=1)
X, Y = relucli.sample(TEACHER, 2000, noise=0.1, seed=2)
PARTS = ("weights_", "coefficients_", "biases_", "linear_", "offset_")
ERRORS = ("weight_errors_", "weight_within_", "coefficient_errors_", "bias_errors_", "linear_errors_", "offset_error_")


@pytest.fixture(scope="module")
def fitted():
    return ReluNetworkRegressor(n_neurons=2).fit(X, Y)


def same(a, b):
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in PARTS + ERRORS)


# `make stress` runs them with more parameters.
@pytest.mark.filterwarnings("ignore::relucli.errors.RelucliWarning")
@parametrize_with_checks([ReluNetworkRegressor(), ReluNetworkRegressor(bias=True, max_neurons=2)])
def test_every_check_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("options", [{"n_neurons": 2}, {"n_neurons": 2, "bias": True, "random_state": 7}])
def test_it_learns_what_the_command_learns_to_the_bit(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    planted = "--bias 0.5" if "bias" in options else ""
    line = f"generate data.h5 --samples 4000 --dim 5 --neurons 2 --noise 0.1 --seed 4 {planted} --dtype float32 -q"
    assert run(line.split()) == 0
    flags = "-k 2 --bias --seed 7" if "bias" in options else "-k 2"
    assert run(f"learn data.h5 -o net.h5 -q {flags}".split()) == 0
    file = relucli.load("net.h5")
    with h5py.File("data.h5") as data:
        x, y = data["x"][()], data["y"][()]
    regressor = ReluNetworkRegressor(**options)
    by_rows = clone(regressor).fit(x, y)
    by_columns = clone(regressor).fit(np.asfortranarray(x), y)
    by_path = clone(regressor).set_params(n_jobs=2).fit("data.h5")
    by_paths = clone(regressor).fit([tmp_path / "data.h5"])
    for found in (by_rows, by_columns, by_path, by_paths):
        assert np.array_equal(found.weights_, file.network.weights)
        assert np.array_equal(found.coefficients_, file.network.coefficients)
        assert np.array_equal(found.biases_, file.network.biases)
        assert np.array_equal(found.coefficient_errors_, file.errors["coefficient_errors"])
        assert np.array_equal(found.weight_within_, file.errors["weight_within"])
        assert (found.offset_, found.n_features_in_, found.n_samples_) == (file.network.offset, 5, 4000)
        assert found.supported_
        assert [item.message for item in found.findings_] == [item["message"] for item in file.diagnostics["findings"]]
        assert [model.neurons for model in found.path_] == list(file.path["neurons"])
    assert np.array_equal(by_path.predict(x), file.network(x))


def test_files_hold_their_own_labels_and_names(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["inputs"], file["outputs"] = X, Y
    regressor = ReluNetworkRegressor(2, inputs="inputs", labels="outputs").fit(tmp_path / "other.h5")
    assert same(regressor, ReluNetworkRegressor(2).fit(X, Y))
    with pytest.raises(ValueError, match=r"^y must be None where X names files: the labels are in the files$"):
        regressor.fit(tmp_path / "other.h5", Y)


def test_names_of_inputs_are_forgotten_with_the_arrays_that_had_them(tmp_path):
    regressor = ReluNetworkRegressor(2).fit(pd.DataFrame(X, columns=list("abcde")), Y)
    assert list(regressor.feature_names_in_) == list("abcde")
    relucli.generate(tmp_path / "data.h5", TEACHER, 2000, noise=0.1, seed=2)
    assert not hasattr(regressor.fit(tmp_path / "data.h5"), "feature_names_in_")


def test_hidden_activations(fitted):
    hidden = fitted.transform(X)
    expected = np.array([[max(w @ x + b, 0) for w, b in zip(fitted.weights_, fitted.biases_, strict=True)] for x in X])
    np.testing.assert_allclose(hidden, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(hidden @ fitted.coefficients_, fitted.predict(X), rtol=1e-12, atol=1e-12)
    assert list(fitted.get_feature_names_out()) == ["relunetworkregressor0", "relunetworkregressor1"]
    noise = np.var(Y - TEACHER(X)) / np.var(Y)
    assert fitted.score(X, Y) == pytest.approx(1 - noise, abs=0.01)


def test_activations_as_a_data_frame():
    table = pd.DataFrame(X, columns=list("abcde"), index=range(5, 2005))
    regressor = ReluNetworkRegressor(2).set_output(transform="pandas").fit(table, Y)
    hidden = regressor.transform(table)
    assert list(hidden.columns) == ["relunetworkregressor0", "relunetworkregressor1"]
    assert list(hidden.index) == list(table.index)
    with pytest.raises(ValueError, match="feature names should match"):
        regressor.predict(table[list("bacde")])


def test_in_a_pipeline_and_a_search():
    scaled = X * [1, 10, 0.1, 1, 1] + [0, 3, 0, 0, -1]
    search = GridSearchCV(
        make_pipeline(StandardScaler(), ReluNetworkRegressor()), {"relunetworkregressor__n_neurons": [1, 2]}, cv=2
    )
    search.fit(scaled, Y)
    assert search.best_params_ == {"relunetworkregressor__n_neurons": 2}
    scores = cross_val_score(search.best_estimator_, scaled, Y, cv=3)
    # Labels have noise 0.1; what a third of the rows add to it is 10 parameters in 1,300 rows.
    assert scores.min() > 1 - 1.3 * 0.01 / np.var(Y)


def test_copies(fitted):
    assert not hasattr(clone(fitted), "network_")
    assert clone(fitted).get_params() == fitted.get_params()
    file = io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(file)):
        assert same(copy, fitted)
        assert np.array_equal(copy.predict(X), fitted.predict(X))


def test_before_it_is_fitted():
    for call in ("predict", "transform"):
        with pytest.raises(NotFittedError):
            getattr(ReluNetworkRegressor(), call)(X)
    with pytest.raises(AttributeError, match="no attribute 'network_'"):
        ReluNetworkRegressor().network_  # noqa: B018


@pytest.mark.parametrize("memory", ["512MiB", 2**25])
def test_batches_are_learned_from_as_one_when_the_network_is_asked_for(fitted, memory, monkeypatch):
    monkeypatch.setattr("relucli.estimator.KEPT", 0.25 if memory == "512MiB" else 1e-3)
    regressor = ReluNetworkRegressor(2, memory=memory)
    for i in range(0, 2000, 300):
        assert regressor.partial_fit(X[i : i + 300], Y[i : i + 300]) is regressor
        assert "network_" not in vars(regressor)
    copy = pickle.loads(pickle.dumps(regressor))
    assert same(copy, fitted)
    assert same(regressor, fitted)
    regressor.partial_fit(X, Y)
    assert regressor.n_samples_ == 4000
    assert same(regressor, ReluNetworkRegressor(2).fit(np.vstack([X, X]), np.append(Y, Y)))
    if memory != "512MiB":
        with pytest.raises(UsageError, match="stayed with the process that kept them on disk"):
            copy.partial_fit(X, Y)
    assert same(copy.fit(X, Y), fitted)


def test_batches_after_a_fit_begin_again_and_say_so(fitted):
    regressor = ReluNetworkRegressor(2).fit(X, Y)
    with pytest.warns(RelucliWarning, match=r"^fit kept no rows that partial_fit could add to"):
        regressor.partial_fit(X[:1000], Y[:1000])
    assert regressor.n_samples_ == 1000


def test_batches_must_be_alike():
    regressor = ReluNetworkRegressor().partial_fit(X, Y)
    with pytest.raises(ValueError, match="X has 4 features, but ReluNetworkRegressor is expecting 5"):
        regressor.partial_fit(X[:, :4], Y)


@pytest.mark.parametrize(
    ("neurons", "x", "y", "reason", "fitted"),
    [
        (
            1,
            X[:8],
            Y[:8],
            "8 rows do not support a network: they are too few to hold some out",
            "the mean of the labels",
        ),
        (1, X, np.full(2000, 3.0), "y is constant: there is nothing to learn from it", "the mean of the labels"),
        (
            3,
            X[:12],
            X[:12] @ np.arange(5.0) + 3,
            "12 rows cannot determine 3 neurons in 5 dimensions (15 parameters); it takes more than 15 rows, "
            "or a smaller n_neurons",
            "a linear function",
        ),
    ],
)
def test_rows_that_support_no_network_are_fitted_by_less_with_a_warning(neurons, x, y, reason, fitted):
    with pytest.warns(RelucliWarning) as caught:
        regressor = ReluNetworkRegressor(neurons).fit(x, y)
    message = f"{reason}; {fitted} was fitted in place of a network"
    assert [str(warning.message) for warning in caught] == [message]
    assert caught[0].filename == __file__
    assert [item.message for item in regressor.findings_] == [message]
    assert not regressor.supported_
    assert regressor.transform(x).shape == (len(x), 0)
    assert np.isnan(regressor.linear_errors_).all()
    expected = np.full(len(x), y.mean()) if fitted.startswith("the mean") else y
    np.testing.assert_allclose(regressor.predict(x), expected, atol=1e-6)


def test_findings_speak_of_parameters():
    x = np.random.default_rng(0).standard_normal((4000, 5))
    y = np.maximum(x[:, 0] + 1, 0) - np.maximum(x[:, 1] - 1, 0) + 0.01 * x[:, 2] ** 3
    regressor = ReluNetworkRegressor(n_neurons=1).fit(x, y)
    (found,) = (item for item in regressor.findings_ if item.stage == "residual" and not item.ok)
    assert found.message.endswith("; pass bias=True")
    assert str(found) == f"!! residual: {found.message}"
    y = np.maximum(x[:, 0], 0) + np.maximum(x[:, 1], 0) - np.maximum(x[:, 2], 0)
    regressor = ReluNetworkRegressor(n_neurons=1).fit(x, y)
    (found,) = (item for item in regressor.findings_ if item.stage == "residual" and not item.ok)
    assert found.message.endswith("neurons may be missing; try more neurons, or bias=True")


def test_only_rows_that_can_be_used_are_fitted_by_less(tmp_path):
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["x"], file["y"] = X, np.append(Y[:-1], np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=r"bad\.h5: y row 1999 is nan"):
            ReluNetworkRegressor().fit(tmp_path / "bad.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "least"}, "loss must be one of squared, huber, not least"),
        ({"n_neurons": 0}, "n_neurons=0: there must be at least one neuron"),
        ({"n_neurons": "three"}, "n_neurons='three': not a whole number"),
        ({"n_neurons": 2.0}, "n_neurons=2.0: not a whole number"),
        ({"n_neurons": True}, "n_neurons=True: not a whole number"),
        ({"max_neurons": "many"}, "max_neurons 'many': not a whole number"),
        ({"n_starts": 0}, "n_starts must be at least 1, not 0"),
        ({"bias": "yes"}, "bias must be True or False, not 'yes'"),
        ({"random_state": -1}, "random_state must be from 0 to 2^64 - 1, not -1"),
        ({"memory": "lots"}, "memory lots: not a size; pass one like 512MiB, 2GiB or 1e9"),
        ({"n_jobs": 0}, "n_jobs must not be 0: pass the number of threads, or -1 for all cores"),
    ],
)
def test_parameters_that_cannot_be_meant_are_refused_by_their_names(options, message):
    with pytest.raises(UsageError) as caught:
        ReluNetworkRegressor(**options).fit(X, Y)
    assert str(caught.value) == message


def test_files_are_scored_and_what_takes_arrays_says_so(tmp_path, fitted):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = X, Y
    assert fitted.score(tmp_path / "data.h5") == pytest.approx(fitted.score(X, Y), rel=1e-12)
    assert fitted.score([tmp_path / "data.h5"] * 2) == pytest.approx(fitted.score(X, Y), rel=1e-12)
    with pytest.raises(ValueError, match=r"^y and sample_weight must be None where X names files"):
        fitted.score(tmp_path / "data.h5", Y)
    for method in (fitted.predict, fitted.transform):
        with pytest.raises(ValueError, match=r"^this takes an array: for files there is score"):
            method(str(tmp_path / "data.h5"))
    with pytest.raises(NotFittedError):
        ReluNetworkRegressor().score(tmp_path / "data.h5")


def test_the_network_knows_the_names_of_a_data_frame():
    names = tuple(f"f{i}" for i in range(5))
    frame = pd.DataFrame(X, columns=names)
    regressor = ReluNetworkRegressor(n_neurons=2).fit(frame, Y)
    assert regressor.network_.columns == names
    assert relucli.learn((frame, Y), 2).network.columns == names
    assert ReluNetworkRegressor(n_neurons=2).partial_fit(frame, Y).network_.columns == names
    assert regressor.fit(X, Y).network_.columns == ()
    assert relucli.learn((pd.DataFrame(X), Y), 2).network.columns == ()


def test_seeds():
    few, labels = X[:300], Y[:300]
    by_seed = ReluNetworkRegressor(2, random_state=np.int64(3)).fit(few, labels)
    assert same(by_seed, ReluNetworkRegressor(2, random_state=3).fit(few, labels))
    first, again = (ReluNetworkRegressor(2, random_state=np.random.RandomState(5))._seed() for _ in range(2))
    assert first == again
    assert ReluNetworkRegressor(random_state=None)._seed() != ReluNetworkRegressor(random_state=None)._seed()


def test_without_scikit_learn_there_is_help_all_the_same():
    code = "import sys; sys.modules['sklearn'] = None; import pydoc, relucli; print(pydoc.render_doc(relucli))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "Recover one-hidden-layer ReLU networks" in done.stdout
    assert "take_moments" in done.stdout


def test_without_scikit_learn_it_says_what_to_install():
    code = (
        "import sys; sys.modules['sklearn'] = None; import relucli; from relucli import *; dir(relucli)\n"
        "try: relucli.ReluNetworkRegressor\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == (
        "ReluNetworkRegressor needs scikit-learn, which is not installed; pip install 'relucli[sklearn]'\n"
    )
