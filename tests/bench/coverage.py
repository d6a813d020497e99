"""Do 95 % intervals hold the truth 95 % of the time?  Plants, learns and counts, over many replications.

    python tests/bench/coverage.py [--replications 500]

Every replication draws new rows from the same network and learns it with default options apart from ``-k``, ``--bias``
and ``--loss``.  For each neuron it notes whether the interval of 1.96 standard errors holds its coefficient and its
bias, and whether its direction is within the angle that 95 % should be.  The exit status is 1 if a share is not between
93 and 97 %; by chance alone a share of 500 has a standard deviation of 1 %.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from relucli.learning.pipeline import LearnOptions, learn
from relucli.network import match
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

CASES = [
    # name, family, d, k, rows, standard deviation of the biases, noise, options
    ("constant noise", "random", 6, 2, 3000, 0.0, "normal", {}),
    ("constant noise, biases", "random", 6, 2, 3000, 0.5, "normal", {"bias": True}),
    ("40 rows a parameter", "random", 20, 2, 1600, 0.0, "normal", {}),
    ("noise that depends on x", "random", 6, 2, 3000, 0.5, "heteroscedastic", {"bias": True}),
    ("antipodal pairs", "alternating", 6, 4, 3000, 0.0, "normal", {}),
    ("heavy tails (t, 3 degrees)", "random", 6, 2, 3000, 0.0, "heavy", {"loss": "huber"}),
    ("5 % of labels wrong", "random", 6, 2, 3000, 0.0, "gross", {"loss": "huber"}),
]
NOISE = 0.1


def noise(kind: str, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    n = len(x)
    if kind == "heavy":
        return NOISE * rng.standard_t(3, n)
    e = NOISE * rng.standard_normal(n)
    if kind == "heteroscedastic":
        e *= np.abs(x[:, 0]) + 0.3
    if kind == "gross":
        e += np.where(rng.random(n) < 0.05, 20 * rng.standard_normal(n), 0.0)
    return e


def run(case: tuple, seed: int) -> np.ndarray | None:
    """Whether the intervals of coefficients, directions and biases hold, (3, k); None if neurons were not all found."""
    _, family, d, k, n, bias_sd, kind, extra = case
    teacher = plant(family, d, k, seed=1, bias_sd=bias_sd)
    rng = np.random.default_rng([seed, d, n])
    x = rng.standard_normal((n, d))
    found = learn(MemoryRows(x, teacher(x) + noise(kind, x, rng)), LearnOptions(k, **extra), Engine())
    matches = match(found.network, teacher)
    if any(m.student is None for m in matches):
        return None
    i = [m.student for m in matches]
    errors = found.errors
    coefficients = np.abs([m.coefficient_error for m in matches]) < 1.96 * errors.coefficients[i]
    # The angle between lines in (w, b) is not that in w: compare directions of w themselves.
    planted = teacher.merged(1e-9)[0].weights
    directions = np.arccos(np.clip(np.abs((found.network.weights[i] * planted).sum(axis=1)), 0, 1))
    biases = np.abs([m.bias_error for m in matches]) < 1.96 * errors.biases[i]
    return np.array([coefficients, directions < errors.within[i], biases if bias_sd else np.full(len(i), np.nan)])


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--replications", type=int, default=500)
    count, missed = parser.parse_args().replications, 0
    print("| case | found | coefficients | directions | biases |\n|---|---|---|---|---|")
    for case in CASES:
        held = [result for seed in range(count) if (result := run(case, seed)) is not None]
        shares = 100 * np.mean(held, axis=(0, 2))
        words = ["-" if np.isnan(share) else f"{share:.1f} %" for share in shares]
        missed += sum(not 93 <= share <= 97 for share in shares if not np.isnan(share))
        print(f"| {case[0]} | {len(held)} of {count} | {' | '.join(words)} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
