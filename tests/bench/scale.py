"""Speed, memory and reach on large files, each beside its bound.

    python tests/bench/scale.py [--rows 10_000_000] [--folder DIR] [speed] [memory] [wide] [growth] [dask]

Speed is a ratio to plain loops over the same file in the same run (`yardsticks`), each the faster of two; memory is
resident memory at its peak; errors are multiples of the limit sigma^2 p / N.  Needs 30 GB of disk.  Exits with 1 if a
bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import yardsticks

MIB = 2**20
DIM, NEURONS, NOISE = 100, 5, 0.3
SLACK = 150


@dataclass(frozen=True)
class Ran:
    """What a command said, and what it took."""

    values: dict
    seconds: float
    peak: float


@dataclass(frozen=True)
class Row:
    """A figure and its bound."""

    what: str
    value: float
    bound: float
    unit: str
    detail: str = ""

    @property
    def held(self) -> bool:
        return self.value <= self.bound

    def __str__(self) -> str:
        verdict = "" if self.held else " **missed**"
        return f"| {self.what} | {self.value:.3g} {self.unit}{verdict} | {self.bound:.3g} {self.unit} | {self.detail} |"


def relucli(*arguments: object, address_space: int = 0) -> Ran:
    """Run a command, under a limit of its address space in bytes if one is given."""
    limit = partial(resource.setrlimit, resource.RLIMIT_AS, (address_space, address_space)) if address_space else None
    with tempfile.TemporaryFile("w+") as out:
        start = perf_counter()
        command = ["relucli", *map(str, arguments), "--json", "--force"]
        process = subprocess.Popen(command, stdout=out, preexec_fn=limit)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = perf_counter() - start
        if status:
            raise SystemExit(f"{' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}")
        out.seek(0)
        return Ran(json.load(out), seconds, usage.ru_maxrss / 1024)


def planted(folder: Path, name: str, samples: int, dim: int, neurons: int, noise: float, *more: object) -> Path:
    """A dataset, with its teacher beside it."""
    data = folder / f"{name}.h5"
    recipe = ["--dim", dim, "--neurons", neurons, "--noise", noise, "--dtype", "float32", "--seed", 31]
    relucli("generate", data, "--samples", samples, *recipe, "--teacher-out", folder / f"{name}-teacher.h5", *more)
    return data


def ratio_to_limit(folder: Path, name: str, net: Path, samples: int, parameters: int, noise: float) -> float:
    """Closed-form E (f - g)^2 as a multiple of sigma^2 p / N."""
    some, teacher = folder / "some.h5", folder / f"{name}-teacher.h5"
    relucli("generate", some, "--teacher", teacher, "--samples", 1)
    from relucli.storage.results import read_network

    variance = read_network(teacher).network.variance()
    error = relucli("evaluate", net, some, "--teacher", teacher).values["population_error"] * variance
    return error / (noise**2 * parameters / samples)


def speed(folder: Path, samples: int) -> Iterator[Row]:
    """Every command beside the plain loop that it is bound to."""
    drawn = yardsticks.draw(folder / "plain.h5", samples, DIM)
    start = perf_counter()
    data = planted(folder, "big", samples, DIM, NEURONS, NOISE)
    yield Row("`generate` / draw and write", (perf_counter() - start) / drawn, 1.5, "x", f"{drawn:.1f} s")
    gram = yardsticks.gram(data)
    moments, net = folder / "moments.h5", folder / "net.h5"
    ran = min((relucli("moments", data, "-o", moments, "--contractions", 0) for _ in range(2)), key=lambda r: r.seconds)
    yield Row("`moments --contractions 0` / Gram", ran.seconds / gram, 1.4, "x", f"{gram:.1f} s")
    ran = relucli("learn", data, "--moments", moments, "-k", NEURONS, "-o", net)
    detail = f"{ran.values['passes']} passes, 3 Grams + 5 s"
    yield Row("`learn --moments -k 5`", ran.seconds, 3 * gram + 5, "s", detail)
    ratio = ratio_to_limit(folder, "big", net, samples, NEURONS * DIM, NOISE)
    chance = 4 * (2 / (NEURONS * DIM)) ** 0.5
    yield Row("its error / limit", ratio, 1.1 + chance, "x", "1.1 and four standard deviations of chance")
    read = yardsticks.multiply(data, NEURONS)
    ran = min((relucli("evaluate", net, data) for _ in range(2)), key=lambda r: r.seconds)
    yield Row("`evaluate` / read and multiply", ran.seconds / read, 1.3, "x", f"{read:.1f} s")
    weighted = yardsticks.weighted_grams(data, 17)
    ran = relucli("moments", data, "-o", folder / "contracted.h5")
    yield Row("`moments` / 17 weighted Grams", ran.seconds / weighted, 1.2, "x", f"{weighted:.1f} s")
    data.unlink()


def memory(folder: Path, samples: int) -> Iterator[Row]:
    """Peaks on a small file and on one of twenty times the rows, and the large one under a hard limit."""
    peaks: dict[str, list[float]] = {}
    bound = 256
    for rows in (samples // 10, 2 * samples):
        data, net, moments = folder / "rows.h5", folder / "rows-net.h5", folder / "rows-moments.h5"
        teacher = folder / "rows-teacher.h5"
        plant = ["--dim", DIM, "--neurons", NEURONS, "--noise", NOISE, "--dtype", "float32", "--teacher-out", teacher]
        commands: list[list[object]] = [
            ["generate", data, "--samples", rows, *plant],
            ["moments", data, "-o", moments],
            ["learn", data, "--moments", moments, "-k", NEURONS, "-o", net],
            ["evaluate", net, data, "--teacher", teacher],
        ]
        for command in commands:
            peak = relucli(*command, "--memory", f"{bound}MiB").peak
            peaks.setdefault(str(command[0]), []).append(peak)
    for name, (small, large) in peaks.items():
        detail = f"--memory {bound}MiB, {2 * samples:,} rows"
        yield Row(f"`{name}`, peak", large, bound + SLACK / 1.048576, "MiB", detail)
        yield Row(f"`{name}`, growth over 20 x the rows", large / small, 1.1, "x")
    size = data.stat().st_size
    for command in commands[1:]:
        relucli(*command, "--memory", f"{bound}MiB", "--workers", 2, address_space=size // 10)
    yield Row(f"RLIMIT_AS of {size / 10 / MIB:.0f} MiB", 0.1, 0.1, "of the file", "moments, learn, evaluate")
    data.unlink()


def wide(folder: Path, samples: int) -> Iterator[Row]:
    """Few rows a parameter, and no matrix of d x d."""
    for dim, neurons, rows, noise, limit, memory in (
        (2_000, 5, samples // 20, 0.3, 1.1, 512),
        (10_000, 2, samples // 50, 0.1, 1.2, 512),
    ):
        name = f"wide-{dim}"
        data, net = planted(folder, name, rows, dim, neurons, noise), folder / f"{name}-net.h5"
        ran = relucli("learn", data, "-k", neurons, "-o", net, "--memory", f"{memory}MiB")
        ratio = ratio_to_limit(folder, name, net, rows, neurons * dim, noise)
        what = f"`learn`, d = {dim:,}, {rows:,} rows"
        yield Row(f"{what}: error / limit", ratio, limit, "x", f"{ran.seconds:.0f} s, {ran.values['passes']} passes")
        yield Row(f"{what}: peak", ran.peak, memory + SLACK / 1.048576, "MiB", f"--memory {memory}MiB")
        data.unlink()


def growth(folder: Path, samples: int) -> None:
    """Seconds of moments and learn against N, d and k, with fitted exponents."""
    base = {"N": samples // 10, "d": DIM, "k": NEURONS}
    print("| | N | d | k | `moments` | `learn` |\n|---|---|---|---|---|---|")
    for axis, factors in (("N", (1, 2, 4, 8)), ("d", (0.5, 1, 2, 4)), ("k", (0.4, 1, 2))):
        sizes, seconds = [], []
        for factor in factors:
            case = base | {axis: int(base[axis] * factor)}
            data, moments = planted(folder, "grow", case["N"], case["d"], case["k"], NOISE), folder / "grow-moments.h5"
            taken = relucli("moments", data, "-o", moments, "--contractions", 0).seconds
            learned = relucli("learn", data, "--moments", moments, "-k", case["k"], "-o", folder / "net.h5").seconds
            sizes.append(case[axis])
            seconds.append((taken, learned))
            cells = [f"{case['N']:,}", case["d"], case["k"], f"{taken:.1f} s", f"{learned:.1f} s"]
            print(f"| | {' | '.join(map(str, cells))} |", flush=True)
        slopes = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
        print(f"| exponent in {axis} | | | | {slopes[0]:.2f} | {slopes[1]:.2f} |", flush=True)


def dask(folder: Path, samples: int) -> Iterator[Row]:
    """Two workers beside one."""
    import scale_dask

    for row in scale_dask.rows():
        if row["bound"] is not None:
            yield Row(row["name"], row["value"], row["bound"], row["unit"])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=lambda text: int(float(text)), default=10_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("parts", nargs="*", default=["speed", "memory", "wide", "dask", "growth"])
    args = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        print("| what | measured | bound | |\n|---|---|---|---|")
        for name in args.parts:
            if name == "growth":
                continue
            for row in {"speed": speed, "memory": memory, "wide": wide, "dask": dask}[name](Path(folder), args.rows):
                rows.append(row)
                print(row, flush=True)
        print()
        if "growth" in args.parts:
            growth(Path(folder), args.rows)
    missed = [row.what for row in rows if not row.held]
    print(f"\n{len(rows) - len(missed)} of {len(rows)} bounds hold" + "".join(f"; missed: {what}" for what in missed))
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
