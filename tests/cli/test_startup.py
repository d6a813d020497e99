"""Time to start, held by counting what is imported: every module costs a fraction of a millisecond."""

import subprocess
import sys

import pytest

LIST = "import sys; print(*sys.modules, file=sys.stderr)"


def loaded(code):
    """Modules that a statement imports into a bare interpreter."""

    def after(statement):
        command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {statement}; {LIST}"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
        return set(done.stderr.split())

    return after(code) - after("pass")


def ours(modules):
    return {name for name in modules if name.split(".")[0] == "relucli"}


def foreign(modules):
    """Packages that are neither relucli nor of the standard library."""
    return {name.split(".")[0] for name in modules} - sys.stdlib_module_names - {"relucli"}


def test_importing_the_package_costs_next_to_nothing():
    modules = loaded("import relucli")
    assert ours(modules) == {"relucli"}
    assert foreign(modules) == set()
    assert len(modules) <= 45


@pytest.mark.parametrize("line", ["['--help']", "['--version']"])
def test_what_needs_no_command_imports_none(line):
    modules = loaded(f"from relucli.cli.app import run; run({line})")
    assert ours(modules) == {"relucli", "relucli.errors"} | {f"relucli.cli{name}" for name in ("", ".app", ".stopping")}
    assert foreign(modules) <= {"typer", "click", "typing_extensions", "shellingham", "annotated_doc", "colorama"}
    assert len(modules) <= 160
