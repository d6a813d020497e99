from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from relucli.storage.results import read_network

ENDINGS = [".onnx", ".safetensors", ".npz", ".json"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_export_tells_what_it_wrote(cli, pipeline, ending):
    done = cli(f"export net.h5 -o out{ending} --json")
    values = done.json
    assert values.pop("seconds") > 0
    assert values == {
        "path": f"out{ending}",
        "format": ending[1:],
        "dtype": "float64",
        "neurons": 2,
        "dim": 4,
        "bytes": Path(f"out{ending}").stat().st_size,
    }
    assert done.stderr == ""
    assert cli(f"export net.h5 -o again{ending} --quiet").stdout == ""


def test_an_exported_network_keeps_its_errors_and_its_provenance(cli, pipeline):
    assert cli("export net.h5 -o net.json").status == 0
    found, file = json.loads(Path("net.json").read_text()), read_network("net.h5")
    assert np.array_equal(found["errors"]["coefficient_errors"], file.errors["coefficient_errors"])
    assert found["provenance"]["command"] == file.provenance.command


@pytest.mark.parametrize(
    ("line", "message", "status"),
    [
        (
            "export net.h5 -o net.pt",
            "net.pt: not a format to export to; end the name in .onnx, .safetensors, .npz or .json",
            2,
        ),
        (
            "export net.h5 -o net.json --dtype float32",
            "--dtype float32: JSON is written to the last digit; leave --dtype out",
            2,
        ),
        (
            "export net.h5 -o net.h5 --force",
            "net.h5: not a format to export to; end the name in .onnx, .safetensors, .npz or .json",
            2,
        ),
        ("export missing.h5 -o net.npz", "missing.h5: no such file; check its name", 66),
        (
            "export data.h5 -o net.npz",
            "data.h5: a relucli-dataset file where a relucli-network file is wanted; check the order of files",
            65,
        ),
        ("export net.h5 -o old.npz", "old.npz: exists already; pass --force to replace it", 73),
        ("export net.h5 -o no/net.npz", "no/net.npz: folder no does not exist; create it first", 73),
        (
            "export huge.h5 -o net.npz --dtype float32",
            "huge.h5: coefficients[0] is 1e+300, beyond float32; pass --dtype float64",
            65,
        ),
    ],
)
def test_what_cannot_be_exported(cli, pipeline, foreign, line, message, status):
    Path("old.npz").write_text("old")
    foreign("huge.h5", weights=np.eye(2), coefficients=np.array([1e300, 1.0]))
    before = sorted(Path().iterdir())
    done = cli(line)
    assert (done.stdout, done.stderr, done.status) == ("", f"relucli: {message}\n", status)
    assert sorted(Path().iterdir()) == before
    assert Path("old.npz").read_text() == "old"


@pytest.mark.parametrize(("ending", "package"), [(".onnx", "onnx"), (".safetensors", "safetensors")])
def test_a_package_that_is_not_installed(cli, pipeline, monkeypatch, ending, package):
    for name in [name for name in sys.modules if name.split(".")[0] == package] + [package]:
        monkeypatch.setitem(sys.modules, name, None)
    done = cli(f"export net.h5 -o out{ending}")
    message = f"relucli: this needs {package}, which is not installed; pip install 'relucli[export]'\n"
    assert (done.stdout, done.stderr, done.status) == ("", message, 2)
    assert not Path(f"out{ending}").exists()
    assert cli("export net.h5 -o out.json").status == 0
