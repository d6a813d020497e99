"""Damaged files of every kind, at random: each is refused with one line, or answered exactly as the sound file.

Every mutation is tried by a command line in a process of its own, of 4 GB of address space and 20 seconds, forked
from one that has imported everything.  A file is damaged in its bytes or, as a hostile one would be, rebuilt by HDF5,
checksums and all.  Of a dataset that was rebuilt, and of one without checksums, no answer is known to be right, and
only how the command ends is looked at.

    python tests/stress/fuzz.py dataset 2000
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from functools import partial
from io import StringIO
from pathlib import Path

import h5py
import numpy as np
from trial import Trial

from relucli.cli import app

ADDRESS_SPACE = 4 * 10**9
SECONDS = 20
REFUSALS = {65, 66, 74}
SOUND = -1
OUTPUTS = ("out.h5", "out.json")

MAKE = (
    "generate data.h5 --samples 400 --dim 3 --neurons 1 --noise 0.1 --seed 3 --teacher-out teacher.h5 -q",
    "moments data.h5 -o moments.h5 --contractions 2 --orders 1,2,4 --slices 4 -q",
    "learn data.h5 -o network.h5 -k 1 --moments moments.h5 -q",
    "generate more.h5 --samples 300 --teacher teacher.h5 --seed 5 -q",
    "moments more.h5 -o second.h5 --like moments.h5 -q",
)
FILES = {
    "dataset": ("data.h5",),
    "foreign": ("foreign.h5",),
    "moments": ("moments.h5",),
    "network": ("network.h5",),
    "predict": ("data.h5",),
    "export": ("network.h5",),
    "merge": ("second.h5",),
    "info": ("data.h5", "foreign.h5", "moments.h5", "network.h5"),
}
"""What is damaged, in turn."""

COMMANDS = {
    "dataset": "evaluate network.h5 bad.h5 --json --workers 1",
    "foreign": "evaluate network.h5 bad.h5 --json --workers 1",
    "moments": "learn data.h5 -k 1 --starts 1 --moments bad.h5 -o out.h5 --json --workers 1",
    "network": "evaluate bad.h5 data.h5 --teacher teacher.h5 --json --workers 1",
    "predict": "predict network.h5 bad.h5 --workers 1",
    "export": "export bad.h5 -o out.json --json",
    "merge": "merge moments.h5 bad.h5 -o out.h5 --json",
    "info": "info bad.h5 --json --workers 1",
}
OPEN = {"foreign", "info"}
"""Where no answer to a damaged file is known to be right."""

ROWS = {"dataset", "predict"}
"""Where none is to one that was rebuilt."""

EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, 2**40]

Random = np.random.Generator


# Damage


def flip(content: bytearray, random: Random) -> None:
    for at in random.integers(len(content), size=random.integers(1, 4)):
        content[at] ^= 1 << random.integers(8)


def overwrite(content: bytearray, random: Random) -> None:
    at, size = random.integers(len(content)), int(random.integers(1, 9))
    content[at : at + size] = random.bytes(len(content[at : at + size]))


def extreme(content: bytearray, random: Random) -> None:
    at, size = random.integers(len(content) // 4) * 4, int(random.choice([2, 4, 8]))
    value = EXTREMES[random.integers(len(EXTREMES))] % 256**size
    content[at : at + size] = value.to_bytes(size, "little")[: len(content[at : at + size])]


def blank(content: bytearray, random: Random) -> None:
    at, size = random.integers(len(content)), int(random.integers(1, 600))
    content[at : at + size] = bytes([random.choice([0, 0xFF])]) * len(content[at : at + size])


def cut(content: bytearray, random: Random) -> None:
    del content[random.integers(len(content)) :]


def append(content: bytearray, random: Random) -> None:
    content += random.bytes(random.integers(1, 5000))


def swap(content: bytearray, random: Random) -> None:
    size = int(random.integers(1, 300))
    a, b = sorted(random.integers(len(content) - size, size=2))
    if b - a >= size:
        content[a : a + size], content[b : b + size] = content[b : b + size], content[a : a + size]


def drop(content: bytearray, random: Random) -> None:
    at = random.integers(len(content))
    del content[at : at + random.integers(1, 200)]


def insert(content: bytearray, random: Random) -> None:
    at = random.integers(len(content))
    content[at:at] = random.bytes(random.integers(1, 200))


DAMAGE = [flip, flip, overwrite, extreme, extreme, blank, cut, append, swap, drop, insert]


# Files that were rebuilt


def names_of(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visit(found.append)
    return found


def remove(file: h5py.File, name: str, random: Random) -> None:
    del file[name]


def retype(file: h5py.File, name: str, random: Random) -> None:
    strange = [
        np.zeros((3, 3), [("a", "f8"), ("b", "S3")]),
        np.array(["text", "more"], h5py.string_dtype()),
        np.zeros((2, 2), "V7"),
        np.array([file.ref], h5py.ref_dtype),
        np.full((2, 2), 1 + 2j),
        np.float128(3),
        h5py.Empty("f8"),
        np.zeros((0, 3)),
        np.zeros((1,) * 20),
        np.full((40, 3), np.nan),
        np.full((40, 3), 1e308),
        np.dtype("f8"),
    ]
    del file[name]
    file[name] = strange[random.integers(len(strange))]


def enlarge(file: h5py.File, name: str, random: Random) -> None:
    del file[name]
    shape = [int(2 ** random.integers(0, 60)) for _ in range(random.integers(1, 3))]
    chunks = tuple(min(n, int(2 ** random.integers(0, 14))) for n in shape)
    filters = [{}, {"compression": "gzip"}, {"fletcher32": True}, {"shuffle": True}, {"compression": "lzf"}]
    with suppress(ValueError, OverflowError, OSError):
        data = file.create_dataset(name, shape, "f8", chunks=chunks, **filters[random.integers(len(filters))])
        for at in range(min(4, -(-shape[0] // chunks[0]))):
            data.id.write_direct_chunk((at * chunks[0], *[0] * (len(shape) - 1)), random.bytes(50))


def relink(file: h5py.File, name: str, random: Random) -> None:
    del file[name]
    links = [
        h5py.SoftLink("/" + name),
        h5py.SoftLink("/nowhere"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        h5py.ExternalLink("data.h5", "/x"),
        h5py.ExternalLink("bad.h5", "/x"),
    ]
    file[name] = links[random.integers(len(links))]


def annotate(file: h5py.File, name: str, random: Random) -> None:
    target = file if random.integers(2) else file[name]
    key = [*file.attrs, "note"][random.integers(len(file.attrs) + 1)]
    values = ["relucli-network", "\x1b[31mtext\u202e\n", 2**40, -1, np.nan, np.arange(9), ["a", "b"], h5py.Empty("f4")]
    target.attrs[key] = values[random.integers(len(values))]


def virtualise(file: h5py.File, name: str, random: Random) -> None:
    del file[name]
    layout = h5py.VirtualLayout((400, 3), "f8")
    layout[:] = h5py.VirtualSource(["data.h5", ".", "bad.h5"][random.integers(3)], "x", (400, 3))
    file.create_virtual_dataset(name, layout)


REBUILD = [remove, retype, retype, enlarge, enlarge, relink, annotate, annotate, virtualise]


def mutate(kind: str, seed: int) -> tuple[str, bool]:
    """Write bad.h5; what was done to it, and whether there is one right answer."""
    random = np.random.default_rng([seed, len(kind)])
    content = bytearray(Path("bad.h5").read_bytes())
    if random.integers(4):
        change = DAMAGE[random.integers(len(DAMAGE))]
        change(content, random)
        Path("bad.h5").write_bytes(content)
        return change.__name__, kind not in OPEN
    with h5py.File("bad.h5", "a") as file:
        rebuild = REBUILD[random.integers(len(REBUILD))]
        names: list[str] = []
        file.visit(names.append)
        rebuild(file, names[random.integers(len(names))], random)
    return rebuild.__name__, kind not in OPEN | ROWS


# What comes of it


def everything(kind: str, path: str) -> str:
    """All that a file, or what was made of it, says, as text that two equal ones share."""
    from relucli.storage.dataset import open_dataset
    from relucli.storage.results import read_moments, read_network

    if kind in ("dataset", "foreign"):
        with open_dataset(path) as rows:
            return rows.fingerprint
    if kind not in ("moments", "network"):
        return "".join(path.read_bytes().hex() for path in Path().glob("out.*"))
    found = vars(read_moments(path) if kind == "moments" else read_network(path))
    return json.dumps(found, default=lambda value: value.tolist() if hasattr(value, "tolist") else vars(value))


def child(kind: str, seed: int) -> None:
    """Damage the file, run the command on it, and end the process."""
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), number)
    shutil.copy(FILES[kind][seed % len(FILES[kind])], "bad.h5")
    mutation, strict = ("none", True) if seed == SOUND else mutate(kind, seed)
    Path("mutation").write_text(f"{mutation} {int(strict)}")
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SECONDS)
    sys.argv = ["relucli", *COMMANDS[kind].split()]
    try:
        app.main()
    except SystemExit as ended:
        status = int(ended.code or 0)
    if status == 0:
        Path("everything").write_text(everything(kind, "bad.h5"))
    gc.collect()
    # HDF5 ends as it always does; the interpreter, which takes longer than the command, need not.
    ctypes.CDLL(None).exit(status)


def attempt(kind: str, seed: int) -> int:
    """Try a mutation in the working folder, in a fork; the exit status, negative for a signal."""
    for name in ("bad.h5", "mutation", "everything", *OUTPUTS):
        Path(name).unlink(missing_ok=True)
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    child(kind, seed)
    raise AssertionError("the command line has ended")


def answer() -> tuple[dict[str, object], str]:
    """What the command printed, without the time that it took, and all that the file says."""
    printed = Path("stdout").read_text()
    values: dict[str, object] = json.loads(printed) if printed.startswith("{") else {"printed": printed}
    values.pop("seconds", None)
    return values, Path("everything").read_text()


def judged(status: int, right: tuple[dict[str, object], str]) -> tuple[str, str | None]:
    """How a command ended, and what is wrong with that, if anything."""
    mutation, strict = Path("mutation").read_text().split()
    printed, said = (Path(name).read_bytes().decode(errors="replace") for name in ("stdout", "stderr"))
    if status in REFUSALS or (status == 2 and "--memory" in said and strict == "0"):
        tidy = said.startswith("relucli: ") and said.count("\n") == 1 and said[:-1].isprintable()
        if tidy and not printed and not any(map(os.path.exists, OUTPUTS)):
            return "refused", None
    elif status == 0 and not said:
        same = answer() == right
        if same or strict == "0":
            return "same" if same else "other content", None
        said = "another answer than that of the sound file"
    return "lost", f"{mutation}: status {status}: {said[-300:]!r}"


def serve(kind: str, count: int) -> None:
    """Make sound files in the working folder, try mutations, and print what became of each as JSON."""
    for line in MAKE:
        assert app.run(line.split()) == 0, line
    with h5py.File("data.h5") as file, h5py.File("foreign.h5", "w") as foreign:
        foreign["x"], foreign["y"] = file["x"][()], file["y"][()]
    shutil.copy(FILES[kind][0], "bad.h5")
    with redirect_stdout(StringIO()):
        assert app.run(COMMANDS[kind].split()) == 0  # what it imports and prepares, forks need not again
    assert attempt(kind, SOUND) == 0, Path("stderr").read_text()
    right = answer()
    gc.freeze()
    for seed in range(count):
        outcome, complaint = judged(attempt(kind, seed), right)
        print(json.dumps([outcome, complaint and f"mutation {seed} of {kind}, {complaint}"]), flush=True)


def mutations(kind: str, tries: int, folder: Path) -> Iterator[str | None]:
    """Mutations of a kind of file, by a server of their own, since this process may have threads."""
    command = [sys.executable, __file__, kind, str(tries)]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # the threads of a fork would spin, for nothing
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        for line in server.stdout:
            yield json.loads(line)[1]


KINDS = (
    ("dataset", "datasets", 2000, 60),
    ("foreign", "datasets without checksums", 2000, 0),
    ("moments", "moments", 2000, 60),
    ("network", "networks", 2000, 60),
    ("predict", "inputs to predict for", 500, 0),
    ("export", "networks to export", 500, 0),
    ("merge", "moments to merge", 500, 0),
    ("info", "files to be told of, of four kinds", 500, 20),
)

TRIALS = [
    Trial(f"damaged and hostile files: {what}", partial(mutations, kind), tries, share)
    for kind, what, tries, share in KINDS
]

if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
