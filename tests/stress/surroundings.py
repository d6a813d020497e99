"""Command lines in odd surroundings: closed files, narrow and dumb terminals, locales, and names of any bytes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trial import Trial

PROGRAM = [sys.executable, "-c", "from relucli.cli.app import main; main()"]
PATIENCE = 120

SETTINGS: list[dict[str, str]] = [
    {},
    {"NO_COLOR": "1"},
    {"FORCE_COLOR": "1"},
    {"TERM": "dumb"},
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii:strict"},
    *({"COLUMNS": width} for width in ("0", "1", "20", "40", "100000", "-1", "x", "")),
]
COMMANDS = [
    "generate g.h5 --samples 2000 --dim 3 --neurons 1 --force",
    "moments data.h5 -o m.h5 --force",
    "learn data.h5 -k 2 -o n.h5 --force",
    "evaluate net.h5 data.h5 --teacher teacher.h5",
]
OTHERS = {"--help": 0, "learn --help": 0, "--version": 0, "": 2, "learn": 2, "evaluate é.h5 data.h5": 66}
PLUMBING = ["", " | head -1", " | true", " >&-", " 2>&-", " <&-", " <&- >&- 2>&-", " >/dev/full", " 2>/dev/full"]


def _run(words: list[str | bytes], folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*PROGRAM, *words], cwd=folder, capture_output=True, timeout=PATIENCE, check=False)


def _plant(folder: Path) -> None:
    for line in (
        "generate data.h5 --samples 2000 --dim 3 --neurons 2 --noise 0.1 --teacher-out teacher.h5",
        "learn data.h5 -k 2 -o net.h5",
    ):
        done = _run(list(line.split()), folder)
        assert done.returncode == 0, done.stderr


def surroundings(tries: int, folder: Path) -> Iterator[str | None]:
    """Any command, in any setting, with any plumbing."""
    _plant(folder)
    rng = random.Random(1)
    program = "r() { " + " ".join(f"'{word}'" for word in PROGRAM) + ' "$@"; }; set -o pipefail; r '
    for _ in range(tries):
        setting, plumbing = rng.choice(SETTINGS), rng.choice(PLUMBING)
        line = rng.choice(COMMANDS) if rng.random() < 0.8 else rng.choice(list(OTHERS))
        as_json = line in COMMANDS and rng.random() < 0.5
        whole = program + line + (" --json" if as_json else "") + plumbing
        done = subprocess.run(
            ["bash", "-c", whole],
            cwd=folder,
            capture_output=True,
            timeout=PATIENCE,
            env=os.environ | setting,
            check=False,
        )
        what = f"{line}{' --json' if as_json else ''}{plumbing} with {setting}"
        yield _complaint(done, OTHERS.get(line, 0), plumbing, as_json, what)


def _complaint(
    done: subprocess.CompletedProcess[bytes], status: int, plumbing: str, as_json: bool, what: str
) -> str | None:
    full = plumbing == " >/dev/full" and status == 0
    expected = 74 if full else status
    if done.returncode != expected:
        return f"{what}: status {done.returncode}, not {expected}: {done.stderr[-200:]!r}"
    lines = done.stderr.splitlines()
    if len(lines) > 1 or any(not line.startswith(b"relucli: ") for line in lines):
        return f"{what}: stderr holds {done.stderr[:200]!r}"
    if lines and not (expected or b"2>" in plumbing.encode()):
        return f"{what}: a complaint but status 0"
    if as_json and done.stdout:
        try:
            json.loads(done.stdout)
        except ValueError:
            return f"{what}: stdout is {done.stdout[:80]!r}"
    silent = plumbing in (" | true", " >&-", " <&- >&- 2>&-", " >/dev/full")
    if not silent and expected == 0 and not done.stdout:
        return f"{what}: nothing was printed"
    return None


def _name(rng: random.Random) -> bytes:
    """A name of any bytes but those that cannot be in one."""
    kinds = [
        b"[bold]",
        b"\n",
        b"\t",
        b" ",
        b"-",
        b"--json",
        b"\xff\xfe",
        "é中🎉".encode(),
        b"%s{0}",
        b":smile:",
        b"'\"",
        b"\x1b[31m",
    ]
    while True:
        parts = [
            rng.choice([*kinds, bytes(rng.randrange(1, 256) for _ in range(3))]) for _ in range(rng.randrange(1, 5))
        ]
        name = b"".join(parts).replace(b"/", b"")[:100] + rng.choice([b"", b".h5"])
        if name not in (b"", b".", b".."):
            return name


def names(tries: int, folder: Path) -> Iterator[str | None]:
    """Every command on a file of any name, which stays what it is in JSON."""
    rng = random.Random(2)
    for i in range(tries):
        name, place = _name(rng), folder / str(i)
        place.mkdir()
        path = b"./" + name if rng.random() < 0.5 else name
        lines: list[list[str | bytes]] = [
            [*["generate", "--samples", "600", "--dim", "2", "--neurons", "1", "--json", "--"], path],
            [*["moments", "--json", "-o", "m.h5", "--"], path],
            [*["learn", "-k", "1", "--json", "-o"], b"./net-" + name, "--", path],
            ["evaluate", "--json", "--", b"./net-" + name, path],
        ]
        yield next((bad for line in lines if (bad := _wrong(line, place, path))), None)


def _wrong(line: list[str | bytes], place: Path, path: bytes) -> str | None:
    done = _run(line, place)
    if done.returncode or done.stderr:
        return f"{line}: status {done.returncode}, {done.stderr[-200:]!r}"
    values = json.loads(done.stdout)
    if "paths" in values and os.path.normpath(os.fsencode(values["paths"][0])) != os.path.normpath(path):
        return f"{line}: JSON says {values['paths']}"
    return None


TRIALS = [
    Trial("a command in odd surroundings", surroundings, tries=60, share=2),
    Trial("a file with a name of any bytes", names, tries=10),
]
