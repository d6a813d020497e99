"""Killed at any time, interrupted at any time: outputs are old, absent or complete, and the next run puts all right.

The moments are spread at random over the time that a command was measured to take.  Commands run in children of a
process that has imported everything (`commands`), so that most of that time is their own work.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from commands import start, stop, text
from trial import Trial

from relucli.cli.stopping import WORDS

PATIENCE = 60
TEMPORARY = re.compile(r"\.out[^/]*\.relucli-tmp-[0-9a-f]{6}-[0-9]+-[0-9a-f]{8}")
DATA = "generate data.h5 --samples 6000 --dim 6 --neurons 2 --noise 0.1 --seed 3 --teacher-out net.h5 --quiet"
COMMANDS = {
    "generate": "generate out.h5 --samples 20000 --dim 20 --neurons 3 --seed 4 --quiet",
    "moments": "moments data.h5 -o out.h5 --quiet",
    "learn": "learn data.h5 -o out.h5 -k 2 --quiet",
    "evaluate": "evaluate net.h5 data.h5 --json",
}
PREPARED = (
    "moments data.h5 -o first.h5 --quiet",
    "generate more.h5 --samples 4000 --teacher net.h5 --noise 0.1 --seed 5 --quiet",
    "moments more.h5 -o second.h5 --like first.h5 --quiet",
    "predict net.h5 data.h5 -o table.csv --hidden --quiet",
)
OTHERS = {
    "generate --shards": "generate out.h5 --samples 20000 --dim 20 --neurons 3 --seed 4 --shards 3 --quiet",
    "import": "import table.csv -o out.h5 --quiet",
    "merge": "merge first.h5 second.h5 -o out.h5 --quiet",
    "predict": "predict net.h5 data.h5 -o out.h5 --hidden --quiet",
    "predict to CSV": "predict net.h5 data.h5 -o out.csv --quiet",
    "export": "export net.h5 -o out.json --quiet",
    "report": "report net.h5 --data data.h5 -o out.html --quiet",
    "plot": "plot net.h5 residuals --data data.h5 -o out.png --quiet",
}
SLOW = {"report", "plot"}  # matplotlib draws for seconds


@dataclass
class Case:
    """A command in a folder, what it makes when nothing disturbs it, and how long it takes.

    Attributes
    ----------
    folder : Path
    line : str
    eager : bool
        Whether small blocks make many groups, with a checkpoint after each.
    prepared : tuple of str
        Commands that make what the command needs beside a dataset and a network.
    """

    folder: Path
    line: str
    eager: bool = False
    prepared: tuple[str, ...] = ()
    inputs: dict[str, bytes] = field(default_factory=dict)
    whole: dict[str, bytes] = field(default_factory=dict)
    said: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.folder.mkdir()
        for line in (DATA, *self.prepared):
            assert self.run(line) == 0, text(self.log)
        self.inputs = self.files()
        taken = []
        for _ in range(3):
            began = time.perf_counter()
            assert self.run(self.line) == 0, text(self.log)
            taken.append(time.perf_counter() - began)
            self.whole, self.said = {n: b for n, b in self.files().items() if n not in self.inputs}, self.printed()
            self.clear()
        self.seconds = sorted(taken)[1]

    @property
    def log(self) -> Path:
        """Where a command prints to, outside its folder."""
        return self.folder.with_suffix(".log")

    def run(self, line: str) -> int | None:
        """Run a command line to its end."""
        process = start(line, self.folder, self.log, eager=self.eager)
        process.join(PATIENCE)
        stop(process)
        return process.exitcode

    def disturb(self, more: str, delay: float, number: int) -> int | None:
        """Run the command, send it a signal after a delay, and wait for its end."""
        gate = self.folder.with_suffix(".gate")
        gate.unlink(missing_ok=True)
        self.log.unlink(missing_ok=True)
        process = start(self.line + more, self.folder, self.log, gate, eager=self.eager)
        while not self.log.exists() and process.is_alive():
            time.sleep(0.001)
        gate.touch()
        time.sleep(delay)
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        process.join(PATIENCE)
        stop(process)
        return process.exitcode

    def files(self) -> dict[str, bytes]:
        """What is in the folder."""
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}

    def printed(self) -> str:
        """What the command printed, but for the time it took."""
        found = self.log.read_text()
        return json.dumps(json.loads(found) | {"seconds": 0}) if found.startswith("{") else found

    def clear(self) -> None:
        """Remove what is no input."""
        for path in self.folder.iterdir():
            if path.is_file() and path.name not in self.inputs:
                path.unlink()

    def left(self, old: dict[str, bytes]) -> str | None:
        """What is wrong with the folder after a command was disturbed: outputs are old, absent or whole."""
        for name, content in self.files().items():
            known = [self.inputs.get(name), self.whole.get(name), old.get(name)]
            if content not in known and not TEMPORARY.fullmatch(name):
                return f"{name} is neither old nor whole"
        lost = [name for name in old if name not in self.files()]
        return f"{lost[0]} is lost" if lost else None

    def again(self, more: str = "") -> str | None:
        """What is wrong after the command ran again, undisturbed."""
        status = self.run(self.line + more)
        if status:
            return f"the next run ended with status {status}: {text(self.log)}"
        if self.files() != self.inputs | self.whole or self.checkpoints():
            return f"the next run left {sorted(self.files())} and {self.checkpoints()}, or another result"
        return None if self.printed() == self.said else "the next run printed something else"

    def checkpoints(self) -> list[str]:
        """Folders that are left."""
        return [path.name for path in self.folder.iterdir() if path.is_dir()]


def killed(command: str, tries: int, folder: Path) -> Iterator[str | None]:
    """kill -9 where there is an older output, and where there is none; then the command runs again."""
    line, rng, hit = (COMMANDS | OTHERS)[command], random.Random(1), 0
    forced, prepared = line + ("" if command == "evaluate" else " --force"), PREPARED if command in OTHERS else ()
    cases = [Case(folder / "absent", line, prepared=prepared), Case(folder / "old", forced, prepared=prepared)]
    for turn in range(tries):
        case = cases[turn % 2]
        old = dict.fromkeys(case.whole, b"old") if turn % 2 else {}
        for name, content in old.items():
            (case.folder / name).write_bytes(content)
        hit += case.disturb("", rng.uniform(0, case.seconds), signal.SIGKILL) == -signal.SIGKILL
        wrong = case.left(old)
        if not wrong:
            for name in () if old else case.whole:
                (case.folder / name).unlink(missing_ok=True)
            wrong = case.again()
        if turn == tries - 1 and hit < tries / 4:
            wrong = wrong or f"only {hit} of {tries} kills came in time"
        case.clear()
        yield wrong and f"try {turn}: {wrong}"


def signalled(tries: int, folder: Path) -> Iterator[str | None]:
    """SIGINT, SIGTERM and SIGHUP: their status, one line, and nothing left."""
    cases = [Case(folder / name, line) for name, line in COMMANDS.items()]
    rng, hit, numbers = random.Random(2), 0, list(WORDS)
    for turn in range(tries):
        case, number = cases[turn % len(cases)], numbers[turn // len(cases) % len(numbers)]
        status = case.disturb("", rng.uniform(0.005, case.seconds), number)
        strays = [name for name in case.files() if TEMPORARY.fullmatch(name)]
        wrong = case.left({})
        if status not in (0, 128 + number):
            wrong = f"status {status} after signal {number}: {text(case.log)}"
        elif status and text(case.log) != f"relucli: {WORDS[number]}":
            wrong = f"it said {text(case.log)}"
        elif strays:
            wrong = f"{strays[0]} is left"
        hit += status == 128 + number
        if turn == tries - 1 and hit < tries / 4:
            wrong = wrong or f"only {hit} of {tries} signals came in time"
        case.clear()
        yield wrong and f"try {turn}: {wrong}"


def resumed(command: str, tries: int, folder: Path) -> Iterator[str | None]:
    """kill -9 up to four times, going on with --resume each time, and then to the end."""
    case, rng = Case(folder / command, COMMANDS[command], eager=True), random.Random(3)
    turn = found = 0
    while turn < tries:
        kills = 0
        while kills < 4 and case.disturb(" --resume", rng.uniform(0, case.seconds), signal.SIGKILL) == -signal.SIGKILL:
            kills, found = kills + 1, found + bool(case.checkpoints())
            wrong = case.left({})
            yield wrong and f"try {turn}: {wrong}"
        turn += kills
        whole = case.files() == case.inputs | case.whole
        wrong = None if whole else case.again(" --resume")
        if turn >= tries and found < tries / 4:
            wrong = wrong or f"only {found} of {tries} kills left a checkpoint"
        if wrong:
            yield f"try {turn}: {wrong}"
        case.clear()


SHARES = {"moments": 2}
RESUME_SHARES = {"generate": 2, "learn": 2}

TRIALS = [
    *(Trial(f"kill -9 amid {name}", partial(killed, name), 200, SHARES.get(name, 0)) for name in COMMANDS),
    *(Trial(f"kill -9 amid {name}", partial(killed, name), 12 if name in SLOW else 50) for name in OTHERS),
    Trial("SIGINT, SIGTERM and SIGHUP amid all four", signalled, tries=200, share=4),
    *(
        Trial(f"{name}: kill -9, then --resume", partial(resumed, name), 100, RESUME_SHARES.get(name, 0))
        for name in ("generate", "moments", "learn")
    ),
]
