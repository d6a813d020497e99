"""Two at once: writers race for one output, and readers look on."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
from commands import start, stop, text
from trial import Trial

SHAPES = ["--samples 3000 --dim 5 --neurons 2 --seed 1", "--samples 4000 --dim 4 --neurons 3 --seed 2"]
PATIENCE = 60
LATE = "relucli: out.h5: exists already; pass --force to replace it"


def _references(folder: Path) -> list[bytes]:
    """What each of the two writers would have written alone: files are the same to the byte but for the command."""
    found = []
    for i, shape in enumerate(SHAPES):
        process = start(f"generate ref{i}.h5 {shape} --quiet", folder, folder / "log")
        process.join(PATIENCE)
        assert process.exitcode == 0, text(folder / "log")
        found.append(_rows(folder / f"ref{i}.h5"))
    return found


def _rows(path: Path) -> bytes:
    with h5py.File(path) as file:
        assert file.attrs["format"] == "relucli-dataset"
        return file["x"][()].tobytes() + file["y"][()].tobytes()


def _race(folder: Path, logs: list[Path], more: str) -> list[int | None]:
    """Start both writers at once and wait for them."""
    gate = folder.with_suffix(".gate")
    racers = [
        start(f"generate out.h5 {shape} --quiet{more}", folder, log, gate)
        for shape, log in zip(SHAPES, logs, strict=True)
    ]
    time.sleep(0.1)
    gate.touch()
    for process in racers:
        process.join(PATIENCE)
        stop(process)
    return [process.exitcode for process in racers]


def _verdict(folder: Path, logs: list[Path], statuses: list[int | None], force: bool, whole: list[bytes]) -> str | None:
    left = sorted(path.name for path in folder.iterdir())
    if left != ["out.h5"]:
        return f"the folder holds {left}"
    found = _rows(folder / "out.h5")
    if found not in whole:
        return "the output is neither of the two"
    if force:
        return None if statuses == [0, 0] else f"statuses {statuses}: {[text(log) for log in logs]}"
    if sorted(statuses, key=str) != [0, 73]:
        return f"statuses {statuses}: {[text(log) for log in logs]}"
    if found != whole[statuses.index(0)]:
        return "the output is that of the writer which was told that it lost"
    said = text(logs[statuses.index(73)])
    return None if said == LATE else f"the loser said {said}"


def _writers(force: bool, tries: int, folder: Path) -> Iterator[str | None]:
    whole = _references(folder)
    logs = [folder / "log0", folder / "log1"]
    for i in range(tries):
        place = folder / f"race{i}"
        place.mkdir()
        if force:
            os.link(folder / "ref0.h5", place / "out.h5")
        yield _verdict(place, logs, _race(place, logs, " --force" if force else ""), force, whole)


def one_wins(tries: int, folder: Path) -> Iterator[str | None]:
    """Without --force one writer wins, and the other is told so, with status 73."""
    yield from _writers(False, tries, folder)


def last_wins(tries: int, folder: Path) -> Iterator[str | None]:
    """With --force the output is that of the last, whole."""
    yield from _writers(True, tries, folder)


def reader_beside_writer(tries: int, folder: Path) -> Iterator[str | None]:
    """A reader that opened the old file sees it to the end; one that opens it anew sees an old or a new one, whole."""
    whole, log = _references(folder), folder / "log"
    place = folder / "out.h5"
    for i in range(tries):
        os.link(folder / f"ref{i % 2}.h5", folder / "old")
        os.replace(folder / "old", place)
        old, seen = whole[i % 2], set()
        with h5py.File(place) as file:
            writer = start(f"generate out.h5 {SHAPES[1 - i % 2]} --quiet --force", folder, log)
            while writer.is_alive():
                seen.add(_rows(place))
            writer.join()
            still = file["x"][()].tobytes() + file["y"][()].tobytes()
        if writer.exitcode:
            yield f"the writer ended with status {writer.exitcode}: {text(log)}"
        elif still != old or not seen <= set(whole):
            yield "a reader saw rows that are neither the old nor the new"
        else:
            yield None if _rows(place) == whole[1 - i % 2] else "the new file is not there"


TRIALS = [
    Trial("two writers race for one output", one_wins, tries=50, share=3),
    Trial("two writers race to replace one output", last_wins, tries=50, share=3),
    Trial("a reader beside a writer", reader_beside_writer, tries=50, share=3),
]
