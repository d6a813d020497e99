"""Files in any units, of any type of number, and with hardly any rows, through every command."""

import h5py
import numpy as np
import pytest

from relucli.cli.render import counted, number


@pytest.fixture
def planted(pipeline):
    with h5py.File("data.h5") as file:
        return file["x"][:], file["y"][:]


@pytest.mark.parametrize("labels", [1e-130, 1.0, 1e130])
@pytest.mark.parametrize("inputs", [1e-150, 1e-12, 1e12, 1e150, "mixed"])
def test_units_of_a_file_change_numbers_alone(cli, planted, foreign, inputs, labels):
    x, y = planted
    scale = np.array([1e-12, 1e-4, 1e4, 1e12]) if inputs == "mixed" else inputs
    foreign("a.h5", x=scale * x, y=labels * y)
    taken = cli("moments a.h5 -o m.h5 --json").json
    assert taken["label_std"] == pytest.approx(labels * y.std(), rel=1e-10)
    shown = f"mean {number(labels * y.mean())}, sd {number(labels * y.std())}"
    assert shown in cli("info m.h5").stdout
    here = cli("learn a.h5 -o n.h5 -k 2 --json").json
    there = cli("learn a.h5 -o n2.h5 -k 2 --moments m.h5 --json").json
    score = cli("evaluate n.h5 a.h5 --json").json
    plain = cli("learn data.h5 -o plain.h5 -k 2 --json").json
    assert here["r2"] == pytest.approx(plain["r2"], abs=1e-7)
    assert there["r2"] == pytest.approx(plain["r2"], abs=1e-7)
    assert here["noise_std"] == pytest.approx(labels * plain["noise_std"], rel=1e-4)
    assert here["path"][0]["validation_mse"] == pytest.approx(labels**2 * plain["path"][0]["validation_mse"], rel=0.01)
    assert score["r2"] == pytest.approx(here["r2"], abs=1e-9)
    assert score["mse"] == pytest.approx(labels**2 * (1 - plain["r2"]) * y.var(), rel=1e-3)


@pytest.mark.parametrize("dtype", ["f2", ">f4", "<f4", ">f8", "i2", ">i8", "u1"])
def test_any_type_of_number(cli, planted, foreign, dtype):
    x, y = planted
    step = 1.0 if "f" in dtype else 30.0
    stored = (
        np.clip(np.round(step * x) + (128 if dtype == "u1" else 0), 0 if dtype == "u1" else None, 255)
        if step > 1
        else x
    ).astype(dtype)
    foreign("a.h5", x=stored, y=y)
    found = cli("learn a.h5 -o n.h5 -k 2 --bias --json").json
    assert found["r2"] > 0.98
    assert cli("evaluate n.h5 a.h5 --json").json["r2"] == pytest.approx(found["r2"], abs=1e-6)


@pytest.mark.parametrize("rows", [1, 2])
def test_hardly_any_rows(cli, planted, foreign, rows):
    x, y = planted
    foreign("a.h5", x=x[:rows], y=y[:rows])
    assert cli("moments a.h5 -o m.h5 --json").json["label_std"] == pytest.approx(y[:rows].std())
    score = cli("evaluate net.h5 a.h5 --json").json
    assert (score["r2"] is None) == (rows == 1)
    few = f"a.h5: {counted(rows, 'row')} cannot determine 2 neurons in 4 dimensions (8 parameters)"
    assert cli("learn a.h5 -o n.h5 -k 2").stderr.startswith(f"relucli: {few}")


def test_labels_far_smaller_than_what_the_network_predicts(cli, planted, foreign):
    x, y = planted
    for size in (1e-130, 1e-300):
        foreign(f"{size}.h5", x=x, y=size * y)
        score = cli(f"evaluate net.h5 {size}.h5 --json").json
        predicted = cli("evaluate net.h5 data.h5 --json").json
        assert score["mse"] == pytest.approx(np.mean(y**2) - predicted["mse"], rel=0.1)
        assert score["r2"] is None or score["r2"] < -1e250
