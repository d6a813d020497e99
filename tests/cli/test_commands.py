from __future__ import annotations

import h5py
import numpy as np
import pytest

from relucli.storage.results import read_moments, read_network

GENERATE = "generate {} --samples 6000 --dim 300 --neurons 2 --noise 0.1 --json"


def contents(*paths):
    """Every dataset in HDF5 files, by name, those of several files laid end to end."""

    def read(path):
        names = []
        with h5py.File(path) as file:
            file.visit(names.append)
            return {name: file[name][()] for name in names if isinstance(file[name], h5py.Dataset)}

    found = [read(path) for path in paths]
    return {name: np.concatenate([np.atleast_1d(arrays[name]) for arrays in found]) for name in found[0]}


def equal(a, b):
    return a.keys() == b.keys() and all(a[name].tobytes() == b[name].tobytes() for name in a)


def types(values, **expected):
    return {name: type(values[name]) for name in expected} == expected


def test_generate_tells_what_it_made(cli, folder):
    values = cli("generate data.h5 --samples 1e3 --dim 3 --neurons 2 --family close --separation 0.2 --json").json
    assert values.pop("seconds") > 0
    assert values == {
        "samples": 1000,
        "dim": 3,
        "neurons": 2,
        "noise": 0.0,
        "dtype": "float64",
        "paths": ["data.h5"],
        "bytes": (folder / "data.h5").stat().st_size,
    }


def test_generate_plants_what_is_asked_for(cli, folder):
    line = "generate data.h5 --samples 9 --dim 4 --neurons 8 --family alternating --teacher-out t.h5 --bias 0.5"
    assert cli(line).status == 0
    network = read_network("t.h5").network
    assert sorted(network.coefficients) == [-1] * 4 + [1] * 4
    assert network.biases.all()
    assert read_network("t.h5").provenance.command == f"relucli {line}"


def test_generate_does_not_depend_on_workers_or_shards(cli, folder):
    assert cli(GENERATE.format("a.h5") + " --workers 1").status == 0
    assert cli(GENERATE.format("b.h5") + " --workers 2 --memory 40MiB").status == 0
    paths = cli(GENERATE.format("c.h5") + " --workers 2 --shards 2").json["paths"]
    assert paths == ["c-00000-of-00002.h5", "c-00001-of-00002.h5"]
    assert equal(contents("a.h5"), contents("b.h5"))
    assert equal(contents("a.h5"), contents(*paths))


def test_generate_in_single_precision(cli, folder):
    cli("generate data.h5 --samples 9 --dim 2 --neurons 1 --dtype float32")
    with h5py.File("data.h5") as file:
        assert (file["x"].dtype, file["y"].dtype) == (np.float32, np.float64)


def test_a_teacher_labels_new_inputs(cli, pipeline):
    network = read_network("teacher.h5").network
    test, train = contents("test.h5"), contents("data.h5")
    np.testing.assert_allclose(test["y"], network(test["x"]), atol=1e-12)
    assert not np.isin(test["x"], train["x"]).any()


def test_a_test_set_that_may_repeat_the_data_is_noted(cli, pipeline):
    done = cli("generate again.h5 --samples 9 --teacher teacher.h5 --seed 5 --json")
    assert done.json["samples"] == 9
    assert done.stderr == (
        "note: teacher.h5 was made with --seed 5 too: inputs may repeat earlier ones; "
        "pass another seed for a test set\n"
    )
    assert cli("generate again.h5 --samples 9 --teacher teacher.h5 --seed 5 --force --quiet").stderr == ""


def test_moments_tells_what_it_took(cli, pipeline):
    values = cli("moments data.h5 -o m.h5 --json --orders 1,2,4 --contractions 3 --slices 5").json
    assert types(values, samples=int, dim=int, seconds=float, bytes_read=int, fingerprint=str)
    assert (values["samples"], values["dim"], values["bytes_read"]) == (4000, 4, 4000 * 40)
    assert (values["orders"], values["contractions"], values["slices"]) == ([1, 2, 4], 3, 5)
    assert values["standard_inputs"] is True
    y = contents("data.h5")["y"]
    np.testing.assert_allclose([values["label_mean"], values["label_std"]], [y.mean(), y.std()], rtol=1e-12)
    assert read_moments("m.h5").fingerprint == values["fingerprint"]


def test_moments_keep_their_seed(cli, pipeline):
    files = []
    for seed in (3, 4):
        line = f"moments data.h5 -o m{seed}.h5 --seed {seed}"
        cli(line)
        files.append(read_moments(f"m{seed}.h5"))
        assert (files[-1].provenance.command, files[-1].provenance.seed) == (f"relucli {line}", seed)
        assert files[-1].settings["seed"] == seed
    assert not np.array_equal(files[0].arrays["directions"], files[1].arrays["directions"])


def test_kinds_of_moments_can_be_left_out(cli, pipeline):
    assert cli("moments data.h5 -o a.h5 --contractions 0").status == 0
    assert cli("moments data.h5 -o b.h5 --slices 0").status == 0
    assert cli("learn data.h5 -o n.h5 -k 2 --moments a.h5").status == 0
    done = cli("learn data.h5 -o n.h5 -k 2 --moments a.h5 --subspace contracted --force")
    assert done.status == 2
    assert cli("learn data.h5 -o n.h5 -k 2 --moments b.h5 --subspace contracted --force").status == 0


def test_moments_do_not_depend_on_workers_or_memory(cli, folder):
    cli("generate data.h5 --samples 50000 --dim 30 --neurons 2")
    for name, option in (("a", "--workers 1"), ("b", "--workers 2"), ("c", "--workers 2 --memory 24MiB")):
        assert cli(f"moments data.h5 -o {name}.h5 {option}").status == 0
    assert equal(contents("a.h5"), contents("b.h5"))
    assert equal(contents("a.h5"), contents("c.h5"))


def test_learn_tells_what_it_found(cli, pipeline):
    values = cli("learn data.h5 -o n.h5 -k 2 --json").json
    assert types(
        values,
        neurons=int,
        dim=int,
        samples=int,
        subspace_dim=int,
        noise_std=float,
        r2=float,
        passes=int,
        seconds=float,
        path=list,
    )
    assert (values["neurons"], values["dim"], values["samples"]) == (2, 4, 4000)
    assert values["noise_std"] == pytest.approx(0.1, rel=0.1)
    assert 0.5 < values["r2"] < 1
    assert [type(values["path"][-1][name]) for name in ("neurons", "validation_mse")] == [int, float]


def test_learn_writes_what_it_found(cli, pipeline):
    values = cli("learn data.h5 -o n.h5 -k 2 --bias --seed 4 --json").json
    file = read_network("n.h5")
    assert file.errors["coefficient_errors"].shape == file.errors["bias_errors"].shape == (2,)
    assert list(file.path["neurons"]) == [row["neurons"] for row in values["path"]]
    assert file.diagnostics["options"]["bias"] is True
    assert file.provenance.seed == 4
    assert file.provenance.command == "relucli learn data.h5 -o n.h5 -k 2 --bias --seed 4 --json"


def test_learn_uses_moments_instead_of_a_pass(cli, pipeline):
    own = cli("learn data.h5 -o a.h5 -k 2 --json").json
    given = cli("learn data.h5 -o b.h5 -k 2 --moments moments.h5 --json").json
    assert given["passes"] == own["passes"] - 1


def test_learn_does_not_depend_on_workers(cli, pipeline):
    for name, workers in (("a.h5", 1), ("b.h5", 2)):
        assert cli(f"learn data.h5 -o {name} --max-neurons 3 --workers {workers}").status == 0
    arrays = [contents(name) for name in ("a.h5", "b.h5")]
    assert equal(*arrays)


def test_evaluate_tells_how_good_the_network_is(cli, pipeline):
    values = cli("evaluate net.h5 test.h5 --json").json
    assert types(values, samples=int, mse=float, rmse=float, mae=float, r2=float)
    assert values["samples"] == 2000
    assert 0 < values["mse"] < 1e-3
    assert values["r2"] > 0.999
    assert not {"population_error", "matches"} & values.keys()


def test_evaluate_compares_with_the_teacher(cli, pipeline):
    values = cli("evaluate net.h5 test.h5 --teacher teacher.h5 --json").json
    assert 0 < values["population_error"] < 1e-3
    assert [match["teacher"] for match in values["matches"]] == [0, 1]
    assert all(0 < match["angle"] < 0.05 for match in values["matches"])
    promised = {"teacher", "student", "angle", "coefficient_error", "bias_error"}
    errors = {"angle_se", "angle_within", "coefficient_se", "bias_se"}
    assert values["matches"][0].keys() == promised | errors
    assert all(0 < found["angle_se"] < found["angle_within"] < 0.1 for found in values["matches"])
    assert all(abs(found["coefficient_error"]) < 5 * found["coefficient_se"] for found in values["matches"])


def test_a_network_is_itself(cli, pipeline):
    values = cli("evaluate teacher.h5 test.h5 --teacher teacher.h5 --json").json
    assert values["population_error"] == 0
    assert [(match["student"], match["angle"]) for match in values["matches"]] == [(0, 0.0), (1, 0.0)]


def test_evaluate_reports_what_is_not_a_number_as_null(cli, pipeline, foreign):
    foreign("one.h5", x=np.ones((1, 4)), y=np.ones(1))
    values = cli("evaluate net.h5 one.h5 --json").json
    assert values["samples"] == 1
    assert values["r2"] is values["mse_se"] is None


def test_a_neuron_that_was_not_found_is_in_the_table(cli, pipeline, foreign):
    foreign("one.h5", weights=np.eye(4)[:1], coefficients=np.ones(1))
    done = cli("evaluate one.h5 test.h5 --teacher teacher.h5")
    assert "not recovered" in done.stdout
    matches = cli("evaluate one.h5 test.h5 --teacher teacher.h5 --json").json["matches"]
    assert {"student": None, "angle": None}.items() <= next(m for m in matches if m["student"] is None).items()


def test_several_files_are_one_dataset(cli, pipeline):
    shards = cli("generate s.h5 --samples 4000 --dim 4 --neurons 2 --noise 0.1 --seed 5 --shards 3 --json").json
    whole = cli("evaluate net.h5 data.h5 --json").json
    parts = cli(f"evaluate net.h5 {' '.join(shards['paths'])} --json").json
    assert whole.pop("seconds") != parts.pop("seconds")
    assert whole == parts
    assert cli("learn", *shards["paths"], "-o", "n.h5", "-k", "2", "--moments", "moments.h5").status == 0


def test_datasets_of_other_programs(cli, pipeline, foreign):
    data = contents("test.h5")
    foreign("other.h5", features=data["x"], target=data["y"][:, None], more=np.arange(3))
    ours = cli("evaluate net.h5 test.h5 --json").json
    theirs = cli("evaluate net.h5 other.h5 --inputs features --labels target --json").json
    assert theirs["mse"] == ours["mse"]


def test_integers_are_converted(cli, pipeline, foreign):
    foreign("integers.h5", x=np.arange(400).reshape(100, 4), y=np.arange(100))
    assert cli("evaluate net.h5 integers.h5 --json").json["samples"] == 100


@pytest.mark.parametrize(
    "line",
    [
        "generate a.h5 --samples 100 --dim 3 --neurons 2",
        "moments data.h5 -o a.h5",
        "learn data.h5 -o a.h5 -k 2",
        "evaluate net.h5 test.h5 --teacher teacher.h5",
    ],
)
def test_results_are_on_stdout_and_nothing_else(cli, pipeline, line):
    people, scripts = cli(line), cli(f"{line} --json --force")
    assert people.status == scripts.status == 0
    assert people.stderr == scripts.stderr == ""
    assert len(people.stdout.splitlines()) > 3
    assert max(map(len, people.stdout.splitlines())) <= 120
    assert isinstance(scripts.json, dict)
    quiet = cli(f"{line} --quiet --force")
    assert bool(quiet.stdout) == line.startswith("evaluate")


def test_names_of_files_are_taken_as_they_are(cli, pipeline):
    names = ["-data [bold] %d.h5", "-n e t[bold].h5", ":smile:.h5"]
    words = ["--samples", "500", "--teacher", "teacher.h5", "--noise", "0.1", "--", names[0]]
    done = cli("generate", *words)
    assert names[0] in done.stdout
    assert cli("learn", "-k", "1", "-o", names[1], "--", names[0]).status == 0
    assert cli("moments", "-o", names[2], "--json", "--", names[0]).status == 0
    assert cli("evaluate", "--", names[1], names[0]).status == 0
    assert all((pipeline / name).exists() for name in names)


@pytest.mark.parametrize(
    "line",
    [
        "generate out.h5 --samples 99 --dim 3 --neurons 2",
        "moments data.h5 -o out.h5",
        "learn data.h5 -o out.h5 -k 2 --moments moments.h5",
    ],
)
def test_the_same_command_makes_the_same_file(cli, pipeline, line):
    made = []
    for _ in range(2):
        cli(line)
        made.append((pipeline / "out.h5").read_bytes())
        (pipeline / "out.h5").unlink()
    assert made[0] == made[1]


def test_learn_tells_what_each_stage_saw(cli, pipeline):
    values = cli("learn data.h5 -o f.h5 -k 2 --json").json
    stages = [item["stage"] for item in values["findings"]]
    assert stages[:3] == ["inputs", "span", "residual"]
    assert set(stages[3:]) <= {"residual", "identifiability"}
    assert all(item["ok"] in (True, False) and item["message"] for item in values["findings"])
    assert values["findings"][1]["significant"] == 2
    assert read_network("f.h5").diagnostics["findings"] == values["findings"]
    drawn = cli("learn data.h5 -o f.h5 -k 2 --force").stdout
    assert "What each stage saw" in drawn
    assert values["findings"][0]["message"] in drawn


def test_a_neuron_too_few_is_said(cli, pipeline):
    done = cli("learn data.h5 -o f.h5 -k 1")
    assert done.status == 0
    assert "neurons may be missing; try a larger -k, or --bias" in done.stdout


def test_huber_stands_wrong_labels(cli, pipeline):
    with h5py.File("data.h5") as file:
        x, y = file["x"][:], file["y"][:]
    y[::40] += 100.0
    with h5py.File("spoilt.h5", "w") as file:
        file["x"], file["y"] = x, y
    errors = {}
    for loss in ("squared", "huber"):
        done = cli(f"learn spoilt.h5 -o {loss}.h5 -k 2 --loss {loss} --json")
        if done.status == 0:
            errors[loss] = cli(f"evaluate {loss}.h5 test.h5 --teacher teacher.h5 --json").json["population_error"]
    clean = cli("learn data.h5 -o clean.h5 -k 2 --json")
    assert clean.status == 0
    least = cli("evaluate clean.h5 test.h5 --teacher teacher.h5 --json").json["population_error"]
    assert errors["huber"] < 3 * least
    assert errors.get("squared", 1.0) > 10 * errors["huber"]
    assert read_network("huber.h5").diagnostics["options"]["loss"] == "huber"
