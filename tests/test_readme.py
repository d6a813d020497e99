"""The commands of the README are run, in their order and in one folder, as by a reader who copies them."""

import os
import re
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

from relucli import errors
from relucli.cli.app import COMMANDS
from relucli.cli.stopping import WORDS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

BLOCK = re.compile(
    r"^(?:<!-- not run by the tests: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```", re.M | re.S
)
LANGUAGES = {"sh", "make", "python", "text"}  # text is output
SMALLER = {"--samples 1e5": "--samples 1e4"}


def blocks(*languages, run=True):
    found = [match for match in BLOCK.finditer(README) if match["language"] in languages]
    return [match["text"] for match in found if (match["reason"] is None) == run]


def shell(text, folder):
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stderr}\n(a block that cannot run here says why: see BLOCK)"


@pytest.fixture
def clone(tmp_path):
    """A folder with what a clone of the repository has that commands name."""
    (tmp_path / "sample_data").symlink_to(ROOT / "sample_data")
    return tmp_path


def test_every_block_is_of_a_language_that_is_known():
    assert {match["language"] for match in BLOCK.finditer(README)} <= LANGUAGES
    assert README.count("```") == 2 * len(list(BLOCK.finditer(README)))


def test_the_commands_run_in_their_order(clone):
    texts = blocks("sh")
    assert len(texts) >= 3
    for long, short in SMALLER.items():
        assert any(long in text for text in texts), long
        texts = [text.replace(long, short) for text in texts]
    for text in texts:
        shell(text, clone)
    commands = set(re.findall(r"^relucli ([a-z]+)", "\n".join(texts), re.M))
    assert commands >= {"generate", "learn", "evaluate"}

    # The rules for make, on the files that are there by now.
    assert {"train.h5", "net.h5"} <= {path.name for path in clone.iterdir()}
    (rules,) = blocks("make")
    (clone / "Makefile").write_text(rules, encoding="utf-8")
    for made in ("moments.h5", "net.h5"):
        (clone / made).unlink(missing_ok=True)
    shell("make net.h5 && make --question net.h5", clone)
    assert (clone / "moments.h5").exists()


def test_the_demo_runs_at_reduced_size_and_then_is_up_to_date(tmp_path):
    environment = tmp_path / "environment"
    environment.mkdir()
    (environment / "bin").symlink_to(sysconfig.get_path("scripts"))
    (environment / "installed").touch()  # what make would install into
    command = f"make -C {ROOT} demo DEMO={tmp_path}/demo VENV={environment} DIM=10 SAMPLES=5_000"
    shell(command, tmp_path)
    assert "population error" in (tmp_path / "demo" / "scored").read_text(encoding="utf-8")
    shell(f"{command} --question", tmp_path)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.M))))
def test_targets_of_make_that_are_named_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", README)) - {""}))
def test_files_that_are_linked_exist(link):
    assert (ROOT / link).exists()


def test_sections_that_are_linked_exist():
    titles = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", README, re.M)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert links
    assert links <= titles


def test_every_command_and_every_folder_is_listed():
    assert set(re.findall(r"^\| `([a-z]+) ", README, re.M)) == set(COMMANDS)
    listed = set(re.findall(r"`relucli/([a-z_]+)(?:\.py)?`", README.split("## Layout")[1]))
    folders = {path.name for path in (ROOT / "relucli").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= listed
    assert all((ROOT / "relucli" / name).exists() or (ROOT / "relucli" / f"{name}.py").exists() for name in listed)


def test_the_table_of_statuses_is_that_of_the_errors():
    table = README.split("| exit status | means |")[1].split("\n\n")[0]
    listed = {int(word) for row in re.findall(r"^\| ([0-9, ]+) \|", table, re.M) for word in row.split(",")}
    assert listed == {kind.exit_status for kind in vars(errors).values() if hasattr(kind, "exit_status")} | {
        0,
        *(128 + number for number in WORDS),
    }


def test_extras_that_are_named_exist():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "relucli").rglob("*.py")]
    known = set(tomllib.loads(project)["project"]["optional-dependencies"])
    named = re.findall(r"(?:relucli|'\.)\[([a-z,]+)\]", "\n".join([README, project, *sources]))
    assert {"dask", "report", "sklearn"} <= {name for names in named for name in names.split(",")} <= known
