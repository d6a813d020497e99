"""Recovery beside its limit: plants networks, learns them through the command line and prints a table.

    python tests/bench/recovery.py [--seeds 3]

``limit`` is sigma^2 p / (N Var f), p the number of identifiable parameters: k d, or (k / 2 + 1) d for an alternating
network, whose neurons come in antipodal pairs.  ``error`` is the closed-form E (f - g)^2 / Var f, or its Monte Carlo on
fresh inputs where that cancels; the worst over the seeds without noise, the mean as a multiple of the limit with noise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from relucli.storage.results import read_network

CASES = [
    # family, d, k, N, noise as a share of sd(f), extra options of generate
    ("random", 50, 3, 20_000, 0.0, []),
    ("positive", 30, 6, 30_000, 0.0, []),
    ("planar", 40, 5, 40_000, 0.0, []),
    ("close", 30, 3, 50_000, 0.0, ["--separation", "0.01"]),
    ("alternating", 50, 8, 8_000, 0.0, []),
    ("random", 100, 3, 2_000, 0.0, []),
    ("random", 50, 3, 50_000, 0.3, []),
    ("positive", 50, 5, 50_000, 0.3, []),
    ("planar", 50, 4, 50_000, 0.3, []),
    ("close", 50, 3, 100_000, 0.1, ["--separation", "0.3"]),
    ("alternating", 100, 8, 100_000, 0.3, []),
    ("random", 100, 4, 100_000, 1.0, []),
]


def relucli(*arguments: object) -> dict:
    command = ["relucli", *map(str, arguments), "--json", "--force"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run(case: tuple, seed: int, folder: Path) -> tuple[float, float, float]:
    """Relative error, its limit and the seconds that learn took."""
    family, d, k, n, share, extra = case
    data, teacher, net = folder / "data.h5", folder / "teacher.h5", folder / "net.h5"
    plant = ["--family", family, "--dim", d, "--neurons", k, "--seed", seed, *extra]
    relucli("generate", data, *plant, "--samples", 1, "--teacher-out", teacher)
    variance = read_network(teacher).network.variance()
    noise = share * variance**0.5
    relucli("generate", data, "--teacher", teacher, "--samples", n, "--noise", noise, "--seed", seed + 1000)
    seconds = relucli("learn", data, "-k", k, "-o", net)["seconds"]
    error = relucli("evaluate", net, data, "--teacher", teacher)["population_error"]
    p = (k // 2 + 1) * d if family == "alternating" else k * d
    return error, noise**2 * p / n / variance, seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    print(f"| family | d | k | rows | noise / sd(f) | error | seconds |\n|{'---|' * 7}")
    for case in CASES:
        family, d, k, n, share, extra = case
        with tempfile.TemporaryDirectory() as folder:
            found = [run(case, seed, Path(folder)) for seed in range(1, seeds + 1)]
        ratio = sum(error / limit for error, limit, _ in found if limit) / seeds
        text = f"{ratio:.2f} x limit" if share else f"{max(error for error, _, _ in found):.0e}"
        name = f"{family}, {extra[1]} rad" if extra else family
        slowest = max(seconds for _, _, seconds in found)
        print(f"| {name} | {d} | {k} | {n:,} | {share:g} | {text} | {slowest:.1f} |", flush=True)


if __name__ == "__main__":
    main()
