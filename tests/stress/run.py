"""Run the trials of stress, one more at a time than there are cores, and print what survived: `make stress`.

``run.py WORD...`` runs those whose name holds one of the words; ``--share`` tries as often as `make test` does.
`trial` says how to write one.  Exits with status 1 if any try did not survive, or all took longer than 15 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from time import perf_counter

from trial import Trial, all_trials

LIMIT = 900.0
AT_ONCE = (os.cpu_count() or 1) + 2  # they wait for processes, too
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a kill is not a loss of power: no disk is needed
SHOWN = 3


def one(trial: Trial, tries: int) -> None:
    """Run a trial in this process; its tries go to stdout, a line of JSON each."""
    with tempfile.TemporaryDirectory(prefix="relucli-stress-", dir=SCRATCH) as folder:
        for verdict in islice(trial.run(tries, Path(folder)), tries):
            print(json.dumps(verdict), flush=True)


def verdicts(index: int, trial: Trial, tries: int, deadline: float) -> tuple[list[str | None], float]:
    """The tries of a trial, run in a process group of its own, and how long they took."""
    start = perf_counter()
    command = [sys.executable, __file__, "--one", str(index), "--tries", str(tries)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            output, errors = process.communicate(timeout=max(1.0, deadline - start))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            errors = "out of time"
    found = [json.loads(line) for line in output.splitlines()]
    if process.returncode or len(found) < tries:
        last = (errors.strip().splitlines() or [f"ended with status {process.returncode}"])[-1]
        found.append(f"ended after {len(found)} of {tries} tries: {last}")
    return found, perf_counter() - start


HEAD = "| what | tried | survived | seconds |\n|---|---|---|---|"


def row(trial: Trial, tries: int, found: list[str | None], seconds: float) -> str:
    """What was tried, as a row of Markdown."""
    return f"| {trial.what} | {tries:,} | {found.count(None):,} | {seconds:.0f} |"


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="run the trials whose name holds one of these")
    parser.add_argument("--share", action="store_true", help="as many tries as in make test")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--tries", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    trials = all_trials()
    if asked.one is not None:
        one(trials[asked.one], asked.tries)
        return 0
    used = [i for i, t in enumerate(trials) if not asked.words or any(word in t.what for word in asked.words)]
    counts = {i: trials[i].share if asked.share else trials[i].tries for i in used}
    used = [i for i in used if counts[i]]
    start = perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Those that take longest begin first: these are, but for a few, those that try most.
        longest = sorted(used, key=lambda i: -counts[i])
        jobs = {i: pool.submit(verdicts, i, trials[i], counts[i], start + LIMIT) for i in longest}
        print(HEAD)
        lost = []
        for i in used:
            found, seconds = jobs[i].result()
            print(row(trials[i], counts[i], found, seconds), flush=True)
            lost += [f"{trials[i].what}: {complaint}" for complaint in found if complaint is not None][:SHOWN]
    seconds = perf_counter() - start
    print(*lost, f"{seconds:.0f} s in all, {AT_ONCE} trials at a time", sep="\n", file=sys.stderr)
    return 0 if used and not lost and seconds <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
