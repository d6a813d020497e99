"""File systems without locks, as some network file systems are: played by a library that stands before that of C."""

import shutil
import subprocess
import sys

import pytest

NO_LOCKS = """
#include <errno.h>
#include <stdlib.h>
int flock(int handle, int operation) { errno = atoi(getenv("LOCK_ERROR")); return -1; }
"""

SCRIPT = """
import errno, os, sys
from relucli.cli.app import run
os.environ["LOCK_ERROR"] = str(errno.ENOLCK)
for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "EACCES", "EINVAL", "EAGAIN"):
    os.environ["LOCK_ERROR"] = str(getattr(errno, name))
    for line in (
        "generate data.h5 --samples 2000 --dim 3 --neurons 1 --seed 1 --force -q",
        "moments data.h5 -o out.h5 --force --resume -q",
    ):
        print(name, line.split()[0], run(line.split()), file=sys.stderr, flush=True)
"""


@pytest.fixture
def without_locks(tmp_path):
    """Runs the script in a folder without locks; gives what it says, line by line."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "locks.c").write_text(NO_LOCKS)
    library = tmp_path / "locks.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "locks.c"], check=True)

    def call(**environment):
        done = subprocess.run(
            [
                "env",
                f"LD_PRELOAD={library}",
                *(f"{k}={v}" for k, v in environment.items()),
                sys.executable,
                "-c",
                SCRIPT,
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        return done.stderr.splitlines()

    return call


HELD = (
    "relucli: data.h5: in use by another program; try again when that has closed it "
    "(a lock that is left over is passed by with HDF5_USE_FILE_LOCKING=FALSE)"
)


def test_commands_do_without_locks_but_not_against_one_that_is_held(without_locks):
    lines = [
        f"{e} {c} 0" for e in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "EACCES", "EINVAL") for c in ("generate", "moments")
    ]
    assert without_locks() == [*lines, "EAGAIN generate 0", HELD, "EAGAIN moments 66"]


def test_a_user_who_insists_on_locks_is_told_of_the_remedy(without_locks):
    remedy = "no locks on this file system; set HDF5_USE_FILE_LOCKING=FALSE"
    lines = without_locks(HDF5_USE_FILE_LOCKING="TRUE")
    assert lines[:2] == [f"relucli: data.h5: {remedy}", "ENOLCK generate 73"]


def test_the_remedy_helps(without_locks):
    assert {line.split()[-1] for line in without_locks(HDF5_USE_FILE_LOCKING="FALSE")} == {"0"}
