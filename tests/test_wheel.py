"""The wheel, in an empty environment: what a user installs is whole, and needs no more than it declares."""

import json
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLANT = "generate a.h5 --samples 2000 --dim 4 --neurons 2 --teacher-out t.h5"
pytestmark = pytest.mark.index


def call(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (path,) = folder.glob("relucli-*-py3-none-any.whl")
    return path


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("empty")
    call(sys.executable, "-m", "venv", folder)
    call(folder / "bin" / "pip", "install", "--quiet", wheel)
    return folder / "bin"


def test_the_wheel_holds_the_package_and_its_types_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "relucli").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} >= sources | {"relucli/py.typed"}
    assert {name.split("/")[0].split("-")[0] for name in names} == {"relucli"}
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_metadata_are_complete(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    for field in ("Name", "Version", "Summary", "License-Expression", "Requires-Python", "Keywords"):
        assert metadata[field], field
    assert "Typing :: Typed" in metadata.get_all("Classifier")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_runs_with_what_it_declares_alone(environment, tmp_path):
    relucli = environment / "relucli"
    call(environment / "pip", "check")
    call(relucli, *PLANT.split(), cwd=tmp_path)
    call(relucli, *["learn", "a.h5", "-k", "2", "-o", "net.h5"], cwd=tmp_path)
    score = json.loads(call(relucli, *["evaluate", "net.h5", "a.h5", "--teacher", "t.h5", "--json"], cwd=tmp_path))
    assert score["population_error"] < 1e-20
    usage = call(relucli, "--help")
    for command in re.findall(r"^  ([a-z]+)  ", usage.split("Commands:")[1], re.M):
        assert call(relucli, command, "--help").startswith(f"Usage: relucli {command}")


def test_a_missing_extra_is_named(environment, tmp_path):
    call(environment / "relucli", *PLANT.split(), cwd=tmp_path)
    words = [environment / "relucli", "export", "t.h5", "-o", "t.onnx"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "pip install 'relucli[export]'" in done.stderr
