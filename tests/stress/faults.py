"""Disks that are full or fail: the right status, one line, nothing left behind, and never a crash.

A library loaded before the C library lets the n-th read or write of an HDF5 file fail, and all that follow.  A clean
run counts the calls; tries are spread evenly over them.  Commands run in forks of a process that has that library and
has imported everything.

    python tests/stress/faults.py write ENOSPC 80
"""

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from trial import Trial

from relucli.cli import app

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;
static long first = -1;
static int kind, code;

void faults_arm(int what, int number, long at) { kind = what; code = number; first = at; atomic_store(&calls, 0); }
long faults_seen(void) { return atomic_load(&calls); }

static int fails(int handle, int what) {
    char link[64], path[PATH_MAX];
    if (first < 0 || what != kind) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    if (!strstr(path, ".h5")) return 0;
    if (atomic_fetch_add(&calls, 1) < first) return 0;
    errno = code;
    return 1;
}

#define WRAP(type, name, what, arguments, ...) \
    type name arguments { \
        static type (*real) arguments; \
        if (!real) real = (type (*) arguments) dlsym(RTLD_NEXT, #name); \
        return fails(handle, what) ? -1 : real(__VA_ARGS__); \
    }

WRAP(ssize_t, read, 'r', (int handle, void *to, size_t size), handle, to, size)
WRAP(ssize_t, pread, 'r', (int handle, void *to, size_t size, off_t at), handle, to, size, at)
WRAP(ssize_t, pread64, 'r', (int handle, void *to, size_t size, off64_t at), handle, to, size, at)
WRAP(ssize_t, write, 'w', (int handle, const void *from, size_t size), handle, from, size)
WRAP(ssize_t, pwrite, 'w', (int handle, const void *from, size_t size, off_t at), handle, from, size, at)
WRAP(ssize_t, pwrite64, 'w', (int handle, const void *from, size_t size, off64_t at), handle, from, size, at)
WRAP(int, ftruncate, 'w', (int handle, off_t size), handle, size)
WRAP(int, ftruncate64, 'w', (int handle, off64_t size), handle, size)
WRAP(int, fsync, 'w', (int handle), handle)
"""

COMPILER = shutil.which("cc") or shutil.which("gcc")
NEVER = 2**40
SECONDS = 60
LEAST = 1000
"""Bytes that any file may have: the message is written to one."""

MAKE = (
    "generate data.h5 --samples 20000 --dim 12 --neurons 2 --noise 0.1 --seed 3 --teacher-out teacher.h5 -q",
    "moments data.h5 -o moments.h5 --contractions 2 --slices 4 -q",
    "learn data.h5 -o network.h5 -k 2 --moments moments.h5 -q",
)
WRITERS = (
    "generate out.h5 --samples 20000 --dim 12 --neurons 2 --teacher-out out2.h5",
    "generate out.h5 --samples 30000 --dim 12 --neurons 2 --shards 3",
    "moments data.h5 -o out.h5 --workers 2",
    "learn data.h5 -o out.h5 -k 2 --workers 2",
)
READERS = (
    "generate out.h5 --samples 20000 --teacher teacher.h5",
    "moments data.h5 -o out.h5 --workers 2",
    "learn data.h5 -o out.h5 -k 2 --moments moments.h5 --workers 2",
    "evaluate network.h5 data.h5 --teacher teacher.h5 --workers 2",
)
COMMANDS = {"read": READERS, "write": WRITERS, "limit": WRITERS}


def attempt(line: str, what: str, code: int, at: int) -> tuple[int, int]:
    """Run a command in a fork with a fault; its exit status, negative for a signal, and the calls it made."""
    Path("calls").write_text("0")
    process = os.fork()
    if process:
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return status, int(Path("calls").read_text())
    signal.alarm(SECONDS)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    library = ctypes.CDLL(None)
    if what == "limit":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (at, resource.RLIM_INFINITY))
    else:
        library.faults_arm(ord(what[0]), code, ctypes.c_long(at))
    sys.argv = ["relucli", *line.split()]
    try:
        app.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    if at >= NEVER:
        size = max((path.stat().st_size for path in Path().glob("out*")), default=0)
        calls = size if what == "limit" else ctypes.c_long(library.faults_seen()).value
        Path("calls").write_text(str(calls))
    library.exit(status)
    raise AssertionError("the process has ended")


def judged(status: int, before: set[str]) -> str | None:
    """What is wrong with how a command ended."""
    printed, said = (Path(name).read_bytes().decode(errors="replace") for name in ("stdout", "stderr"))
    left = set(os.listdir()) - before
    if status != 74 or printed or left or not said.startswith("relucli: ") or said.count("\n") != 1:
        return f"status {status}, left {sorted(left)}, said {said[-300:]!r}"
    return None


def serve(what: str, code: int, tries: int) -> None:
    """Spread tries over commands and their calls, and print what is wrong with each as JSON."""
    for line in MAKE:
        assert app.run(line.split()) == 0, line
    Path("stdout").touch(), Path("stderr").touch(), Path("calls").touch()
    before = set(os.listdir())
    gc.freeze()
    lines = COMMANDS[what]
    for index, line in enumerate(lines):
        share = len(range(index, tries, len(lines)))
        status, calls = attempt(line, what, code, NEVER) if share else (0, 1)
        assert status == 0, Path("stderr").read_text()
        assert calls > 0, line
        for name in set(os.listdir()) - before:
            Path(name).unlink()
        for i in range(share):
            least = LEAST if what == "limit" else 0
            at = least + (calls - least) * i // share
            wrong = judged(attempt(line, what, code, at)[0], before)
            print(json.dumps(wrong and f"{line.split()[0]}, {what} {at} of {calls}: {wrong}"), flush=True)


def faults(what: str, name: str, tries: int, folder: Path) -> Iterator[str | None]:
    """Commands that meet a fault, by a server of their own."""
    source, library = folder / "faults.c", folder / "faults.so"
    source.write_text(SHIM)
    assert COMPILER is not None
    subprocess.run([COMPILER, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    work = folder / "work"
    work.mkdir()
    command = [sys.executable, __file__, what, name, str(tries)]
    environment = os.environ | {"LD_PRELOAD": str(library)}
    with subprocess.Popen(command, cwd=work, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            yield json.loads(line)


_KINDS = (
    ("a disk that is full, at any write", "write", "ENOSPC", 4),
    ("writes that fail, at any of them", "write", "EIO", 0),
    ("reads that fail, at any of them", "read", "EIO", 4),
    ("files that may not grow further", "limit", "EFBIG", 0),
)

TRIALS = [
    Trial(title, partial(faults, what, name), tries=80, share=share)
    for title, what, name, share in _KINDS
    if COMPILER  # without one, there is nothing to try
]

if __name__ == "__main__":
    serve(sys.argv[1], getattr(errno, sys.argv[2]), int(sys.argv[3]))
