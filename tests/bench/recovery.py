"""Recovery beside its limit: plants networks, learns them through the command line and prints tables.

    python tests/bench/recovery.py [--seeds 3] [--few SEEDS]

The first table: ``limit`` is sigma^2 p / (N Var f), p the number of identifiable parameters: k d, k (d + 1) + 1 with
biases, and fewer for alternating networks, whose neurons come in antipodal pairs.  ``error`` is the closed-form
E (f - g)^2 / Var f, or its Monte Carlo on fresh inputs where that cancels; the worst over the seeds without noise, the
mean as a multiple of the limit with noise.  The second table (``--few``) counts exact recoveries from few rows.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

from relucli.storage.results import read_network

CASES = [
    # family, d, k, N, noise as a share of sd(f), options of generate, options of learn
    ("random", 50, 3, 20_000, 0.0, [], []),
    ("positive", 30, 6, 30_000, 0.0, [], []),
    ("planar", 40, 5, 40_000, 0.0, [], []),
    ("close", 30, 3, 50_000, 0.0, ["--separation", "0.01"], []),
    ("alternating", 50, 8, 8_000, 0.0, [], []),
    ("random", 100, 3, 2_000, 0.0, [], []),
    ("random", 10, 30, 40_000, 0.0, ["--bias", "0.3"], ["--bias"]),
    ("random", 10, 50, 40_000, 0.0, ["--bias", "0.3"], ["--bias"]),
    ("random", 50, 3, 50_000, 0.3, [], []),
    ("positive", 50, 5, 50_000, 0.3, [], []),
    ("planar", 50, 4, 50_000, 0.3, [], []),
    ("close", 50, 3, 100_000, 0.1, ["--separation", "0.3"], []),
    ("alternating", 100, 8, 100_000, 0.3, [], []),
    ("alternating", 30, 12, 100_000, 0.1, [], []),
    ("random", 100, 4, 100_000, 1.0, [], []),
    ("random", 50, 4, 100_000, 0.3, ["--bias", "0.7"], ["--bias"]),
    ("random", 30, 5, 50_000, 0.2, [], ["-k", "auto"]),
    ("alternating", 30, 8, 50_000, 0.2, [], ["-k", "auto"]),
    ("close", 100, 3, 100_000, 0.3, ["--separation", "0.05"], []),
]
FEW = [("random", 50, 3, (4, 3, 2.5, 2)), ("random", 100, 3, (4, 3, 2.5, 2)), ("alternating", 50, 8, (8, 6, 5, 4))]


def relucli(*arguments: object) -> dict:
    command = ["relucli", *map(str, arguments), "--json", "--force"]
    done = subprocess.run(command, capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {}


def parameters(family: str, d: int, k: int, learn: list[str]) -> int:
    if family == "alternating":
        # A ReLU for each line, and a linear part unless the lines can be turned so that none is left:
        # for k / 2 lines at equal angles, that needs an odd factor of k.
        return (k // 2 + (k & (k - 1) == 0)) * d
    return k * (d + 1) + 1 if "--bias" in learn else k * d


def run(case: tuple, seed: int, folder: Path) -> tuple[float, float, float]:
    """Relative error, its limit and the seconds that learn took."""
    family, d, k, n, share, extra, options = case
    data, teacher, net = folder / "data.h5", folder / "teacher.h5", folder / "net.h5"
    plant = ["--family", family, "--dim", d, "--neurons", k, "--seed", seed, *extra]
    relucli("generate", data, *plant, "--samples", 1, "--teacher-out", teacher)
    variance = read_network(teacher).network.variance()
    noise = share * variance**0.5
    relucli("generate", data, "--teacher", teacher, "--samples", n, "--noise", noise, "--seed", seed + 1000)
    learned = relucli("learn", data, "-k", k, "-o", net, *options)
    if not learned:
        return 1.0, 0.0, 0.0
    error = relucli("evaluate", net, data, "--teacher", teacher)["population_error"]
    return error, noise**2 * parameters(family, d, k, options) / n / variance, learned["seconds"]


def recoveries(seeds: int) -> None:
    print(f"| family | d | k | rows | noise / sd(f) | error | seconds |\n|{'---|' * 7}")
    ratios = []
    for case in CASES:
        family, d, k, n, share, extra, options = case
        with tempfile.TemporaryDirectory() as folder:
            found = [run(case, seed, Path(folder)) for seed in range(1, seeds + 1)]
        if share:
            these = [error / limit for error, limit, _ in found]
            ratios += these
        text = f"{sum(these) / seeds:.2f} x limit" if share else f"{max(error for error, _, _ in found):.0e}"
        notes = [f"{extra[1]} rad"] if family == "close" else []
        notes += ["biases"] * ("--bias" in options) + ["-k auto"] * ("auto" in options)
        slowest = max(seconds for _, _, seconds in found)
        print(f"| {', '.join([family, *notes])} | {d} | {k} | {n:,} | {share:g} | {text} | {slowest:.1f} |", flush=True)
    print(f"\nmean over {len(ratios)} noisy cases: {sum(ratios) / len(ratios):.3f} x limit")


def few_rows(seeds: int) -> None:
    print("| family | d | k | rows a parameter | rows | exact |\n|---|---|---|---|---|---|")
    for family, d, k, shares in FEW:
        for share in shares:
            n, exact = int(share * parameters(family, d, k, [])), 0
            for seed in range(1, seeds + 1):
                with tempfile.TemporaryDirectory() as folder:
                    exact += run((family, d, k, n, 0.0, [], []), seed, Path(folder))[0] < 1e-20
            print(f"| {family} | {d} | {k} | {share:g} | {n:,} | {exact} of {seeds} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--few", type=int, metavar="SEEDS", help="count exact recoveries from few rows instead")
    args = parser.parse_args()
    if args.few:
        few_rows(args.few)
    else:
        recoveries(args.seeds)


if __name__ == "__main__":
    main()
