"""Moments of shards, from the command line to a network."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from relucli.storage.results import read_moments

SHARDS = ["data-00000-of-00003.h5", "data-00001-of-00003.h5", "data-00002-of-00003.h5"]


@pytest.fixture
def shards(cli, folder):
    """Three files of 4000 rows of four inputs, and moments of each, all like the first."""
    plant = "generate data.h5 --samples 12000 --dim 4 --neurons 2 --noise 0.1 --shards 3 --dtype float32 -q"
    assert cli(plant).status == 0
    for i, like in enumerate(["", " --like m0.h5", " --like m0.h5"]):
        assert cli(f"moments {SHARDS[i]} -o m{i}.h5 -q{like or ' --seed 3 --slices 8'}").status == 0
    return folder


def column(path, name):
    with h5py.File(path) as file:
        return file[name][()]


def test_merged_moments_are_those_of_the_whole(cli, shards):
    values = cli("merge m0.h5 m1.h5 m2.h5 -o m.h5 --json").json
    assert (values["samples"], values["dim"], values["slices"]) == (12000, 4, 8)
    assert values["parts"] == [{"path": f"m{i}.h5", "samples": 4000} for i in range(3)]
    assert cli(f"moments {' '.join(SHARDS)} -o whole.h5 --like m0.h5 -q").status == 0
    merged, whole = (read_moments(name) for name in ("m.h5", "whole.h5"))
    assert merged.settings == whole.settings
    assert merged.settings["seed"] == merged.provenance.seed == 3
    assert merged.provenance.command == "relucli merge m0.h5 m1.h5 m2.h5 -o m.h5 --json"
    for name, array in whole.arrays.items():
        np.testing.assert_allclose(merged.arrays[name], array, rtol=1e-4, atol=0.1, err_msg=name)
    assert merged.arrays["base/y"][0] == 12000


def test_learning_takes_merged_moments_in_place_of_a_pass(cli, shards):
    cli("merge m0.h5 m1.h5 m2.h5 -o m.h5")
    line = f"learn {' '.join(SHARDS)} -k 2"
    own, given = cli(f"{line} -o a.h5 --json").json, cli(f"{line} -o b.h5 --moments m.h5 --json").json
    assert given["passes"] == own["passes"] - 1
    assert given["noise_std"] == pytest.approx(own["noise_std"], rel=1e-3)
    # However the rows lie in files.
    with h5py.File("one.h5", "w") as file:
        for name in "xy":
            file[name] = np.concatenate([column(shard, name) for shard in SHARDS])
    assert cli("learn one.h5 -k 2 -o c.h5 --moments m.h5").status == 0
    done = cli(f"learn {SHARDS[1]} {SHARDS[0]} {SHARDS[2]} -k 2 -o d.h5 --moments m.h5")
    message = f"m.h5: taken from other data than {SHARDS[1]} (their rows differ); take them again"
    assert (done.stderr, done.status) == (f"relucli: {message}\n", 65)


def test_people_are_told_what_was_merged(cli, shards):
    text = cli("merge m0.h5 m1.h5 -o m.h5").stdout
    assert "m1.h5" in text
    assert "8,000 of 4 inputs" in text
    assert cli("merge m0.h5 m1.h5 -o q.h5 -q").stdout == ""


@pytest.mark.parametrize(
    ("line", "message", "status"),
    [
        ("merge m0.h5 m0.h5 -o m.h5", "m0.h5: of the same rows as m0.h5; name every shard once", 65),
        ("merge m0.h5 other.h5 -o m.h5", "other.h5: taken with --slices 16, not 8 as m0.h5; "
         "take it again with --like m0.h5", 65),
        ("merge m0.h5 gone.h5 -o m.h5", "gone.h5: no such file; check its name", 66),
        ("merge m0.h5 m1.h5 -o m1.h5 --force", "m1.h5 is both input and output; choose another output", 2),
        ("merge m0.h5 m1.h5 -o m2.h5", "m2.h5: exists already; pass --force to replace it", 73),
        (f"merge {SHARDS[0]} m1.h5 -o m.h5",
         f"{SHARDS[0]}: a relucli-dataset file where a relucli-moments file is wanted; check the order of files", 65),
        (f"moments {SHARDS[1]} -o m.h5 --like m0.h5 --slices 8",
         "--slices does not go with --like, which brings its own; leave it out", 2),
        ("moments narrow.h5 -o m.h5 --like m0.h5",
         "narrow.h5: there are 2 inputs, but 4 in the moments to be like; check which is meant", 65),
    ],
)  # fmt: skip
def test_what_cannot_be_merged(cli, shards, line, message, status):
    cli(f"moments {SHARDS[1]} -o other.h5 --seed 3")
    cli("generate narrow.h5 --samples 100 --dim 2 --neurons 1")
    done = cli(line)
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)


def test_moments_written_before_there_was_merging_can_be_read(cli, shards):
    file = read_moments("m0.h5")
    from relucli.moments.estimate import Moments

    older = {name: value for name, value in file.settings.items() if name not in ("scale", "narrow")}
    assert Moments.restore(file.arrays, older, file.fingerprint).setup.scale == 1.0
