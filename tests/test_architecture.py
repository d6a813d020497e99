"""Rules of the house that the source must keep: what imports what, and what is public."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import relucli

ROOT = Path(relucli.__file__).parent

# What each part of the package may import; the order admits no arrow back.
MAY_IMPORT = {
    "errors": set(),
    "extras": {"errors"},
    "quantities": {"errors"},
    "network": {"errors", "quantities"},
    "streaming": {"errors"},
    "storage": {"errors", "quantities", "network", "streaming"},
    "synthesis": {"errors", "network", "streaming"},
    "prediction": {"errors", "network", "streaming", "storage"},
    "scoring": {"errors", "network", "streaming", "storage"},
    "generation": {"errors", "network", "streaming", "storage", "synthesis"},
    "inspection": {"errors", "network", "streaming", "storage", "moments"},
    "interchange": {"errors", "extras", "network", "streaming", "storage"},
    "moments": {"errors", "quantities", "streaming", "storage"},
    "learning": {"errors", "quantities", "network", "streaming", "storage", "moments"},
    "report": {"errors", "extras", "quantities", "network", "streaming", "storage", "scoring", "moments", "learning"},
}
MAY_IMPORT["api"] = {*MAY_IMPORT}
MAY_IMPORT["estimator"] = {*MAY_IMPORT}


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
modules = pytest.mark.parametrize("name", SOURCES)


def part_of(name):
    return name.split(".")[1] if "." in name else ""


def imports(name):
    """Modules imported anywhere in a module, and the names taken from each."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            for alias in node.names:
                yield node.module, alias.name


def parts_imported(name):
    for module, taken in imports(name):
        if module.split(".")[0] == "relucli" and (module, taken) != ("relucli", "__version__"):
            within = f"{module}.{taken}"
            yield part_of(within if within in SOURCES else module)


def test_there_is_something_to_look_at():
    assert {part_of(name) for name in SOURCES} >= {
        "streaming",
        "moments",
        "learning",
        "storage",
        "network",
        "cli",
    }
    assert "streaming" in set(parts_imported("relucli.learning.pipeline"))
    assert ("numpy", None) in set(imports("relucli.learning.pipeline"))


@modules
def test_imports_follow_the_order_of_the_layers(name):
    part = part_of(name)
    if part in MAY_IMPORT:
        assert set(parts_imported(name)) <= MAY_IMPORT[part] | {part}
    else:
        assert part in {"", "__main__", "cli"}, f"{name}: say in MAY_IMPORT where it belongs"


@modules
def test_only_the_command_line_imports_typer_or_rich(name):
    if part_of(name) != "cli":
        assert not {module.split(".")[0] for module, _ in imports(name)} & {"typer", "rich", "click"}


@modules
def test_only_storage_imports_h5py(name):
    if part_of(name) not in {"storage", "cli"}:
        assert "h5py" not in {module.split(".")[0] for module, _ in imports(name)}


@modules
def test_only_the_command_line_prints(name):
    if part_of(name) != "cli":
        calls = (node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call))
        assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@modules
def test_nothing_that_could_run_what_a_file_holds(name):
    runs_code = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "runpy", "yaml"}
    assert not {module.split(".")[0] for module, _ in imports(name)} & runs_code
    calls = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    assert not {call.func.id for call in calls if isinstance(call.func, ast.Name)} & {"eval", "exec", "compile"}
    allowed = [word.value for call in calls for word in call.keywords if word.arg == "allow_pickle"]
    assert all(isinstance(value, ast.Constant) and value.value is False for value in allowed)


@modules
def test_all_is_what_it_says(name):
    module = import_module(name)
    public = getattr(module, "__all__", None)
    if public is None:
        assert part_of(name) == "cli" or SOURCES[name].name == "__init__.py", "no __all__"
        return
    assert len(set(public)) == len(public)
    assert [word for word in public if not hasattr(module, word)] == []


@modules
def test_what_is_imported_from_a_module_is_public_there(name):
    for module, taken in imports(name):
        if module in SOURCES and f"{module}.{taken}" not in SOURCES and module != "relucli":
            assert not taken.startswith("_"), f"{name} takes {taken} from {module}"


@modules
def test_modules_stay_short(name):
    assert len(SOURCES[name].read_text(encoding="utf-8").splitlines()) <= 350


@pytest.mark.parametrize("statement", ["import relucli", "import relucli; dir(relucli); relucli.RelucliError"])
def test_importing_relucli_loads_no_numerics(statement):
    heavy = "numpy", "h5py", "scipy", "sklearn", "typer", "rich"
    code = f"import sys; {statement}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_public_names_are_found_and_others_are_not():
    assert all(getattr(relucli, word) is not None for word in relucli.__all__)
    # The regressor needs an extra, which `from relucli import *` must not.
    assert dir(relucli) == sorted([*relucli.__all__, "ReluNetworkRegressor"])
    with pytest.raises(AttributeError, match=r"^module 'relucli' has no attribute 'nothing'$"):
        relucli.nothing  # noqa: B018
