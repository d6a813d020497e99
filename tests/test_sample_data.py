"""The worked examples of sample_data, as their pages tell to run them, at reduced size."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import h5py
import pytest

SAMPLES = Path(__file__).parent.parent / "sample_data"
RELUCLI = Path(sysconfig.get_path("scripts")) / "relucli"


def make(example, out, **variables):
    settings = {"OUT": out, "PYTHON": sys.executable, "RELUCLI": RELUCLI} | variables
    words = ["make", "-s", "-C", str(SAMPLES / example), *(f"{name}={value}" for name, value in settings.items())]
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def neurons(path):
    with h5py.File(path) as file:
        return len(file["coefficients"]), bool(file["linear"][:].any())


@pytest.fixture(scope="module")
def black_box(tmp_path_factory):
    """A folder where the box was read out, and what make said."""
    pytest.importorskip("sklearn")
    out = tmp_path_factory.mktemp("black-box")
    done = make("black-box", out, ROWS=1000)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_a_black_box_is_read_out_and_its_export_is_equal_to_it(black_box):
    out, said = black_box
    fresh, patients = said.splitlines()[-2:]
    assert fresh.startswith("fresh Gaussian inputs")
    assert patients.startswith("the 442 patients")
    # Two of the eight hidden units never fire.
    assert neurons(out / "net.h5") == (6, False)
    assert make("black-box", out, ROWS=1000).stdout == "", "all is up to date"


def test_questions_that_miss_kinks_do_not_pass_for_an_equal_function(black_box, tmp_path):
    for name in ("box.pickle", "fresh.h5"):
        shutil.copy(black_box[0] / name, tmp_path)
    done = make("black-box", tmp_path, ROWS=400, SPREAD=0.1)
    assert done.returncode != 0
    assert "not equal" in done.stderr
    found, linear = neurons(tmp_path / "net.h5")
    assert found < 6
    assert linear
    assert not (tmp_path / "compared.txt").exists()


def test_a_book_of_options_is_recovered_within_its_error_bars(tmp_path):
    rows, noise = 3000, 2.0
    done = make("options", tmp_path, ROWS=rows)
    assert done.returncode == 0, done.stderr
    score = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))
    assert score["neurons"] == 5
    # Fifteen errors: a normal one is beyond four with probability 6e-5.
    for match in score["matches"]:
        assert match["angle"] < 2 * match["angle_within"]
        assert abs(match["coefficient_error"]) < 4 * match["coefficient_se"]
        assert abs(match["bias_error"]) < 4 * match["bias_se"]
    # Of 5 x 7 parameters, the fit takes so much from the residual.
    assert abs(score["mse"] / noise**2 - (1 - 35 / rows)) < 4 * (2 / rows) ** 0.5
    table = (tmp_path / "table.txt").read_text(encoding="utf-8")
    assert len(re.findall(r"\([+-][0-9.]+\)", table)) == 10
    assert re.search(r"largest error [0-3]\.[0-9] standard errors", table)
