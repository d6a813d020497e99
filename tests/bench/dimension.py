"""Counts how often the tests of the dimension reject, and how often the bands hold the mean eigenvalue."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from relucli.learning.dimension import DimensionOptions, span_dimension
from relucli.network import ReluNetwork
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine

Labels = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def independent(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(len(x))


def one_neuron(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.maximum(x[:, 0], 0.0) + 0.3 * rng.standard_normal(len(x))


def alternating(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    angles = np.arange(8) * np.pi / 4
    weights = np.zeros((8, x.shape[1]))
    weights[:, 0], weights[:, 1] = np.cos(angles), np.sin(angles)
    return ReluNetwork(weights, np.where(np.arange(8) % 2, -1.0, 1.0))(x) + 0.1 * rng.standard_normal(len(x))


def three_neurons(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    z = np.maximum(x[:, :3], 0.0)
    return z @ [1.0, -0.7, 0.5] + 0.3 * rng.standard_normal(len(x))


CASES: list[tuple[str, Labels, int, int, int]] = [
    ("independent labels", independent, 0, 500, 10),
    ("one neuron", one_neuron, 1, 1000, 10),
    ("alternating, in a plane", alternating, 2, 4000, 10),
    ("alternating, few rows", alternating, 2, 1000, 10),
    ("three neurons", three_neurons, 3, 4000, 10),
    ("three neurons, more inputs", three_neurons, 3, 8000, 30),
]


def measure(labels: Labels, true: int, samples: int, dim: int, trials: int, permutations: int) -> tuple[float, ...]:
    """Shares: rejections of one dimension too few, of the true one, that one found; coverage of the bands."""
    rejected, values, lows, highs, found = [], [], [], [], 0
    for trial in range(trials):
        rng = np.random.default_rng([trial, 1])
        x = rng.standard_normal((samples, dim))
        options = DimensionOptions(most=true + 1, permutations=permutations, seed=trial)
        result = span_dimension(MemoryRows(x, labels(x, rng)), options, Engine(2))
        rejected.append([test.p_value <= options.level for test in result.tests])
        found += result.dimension == true
        values.append(result.eigenvalues[:true])
        lows.append(result.low[:true])
        highs.append(result.high[:true])
    share = np.mean(rejected, axis=0)
    mean = np.mean(values, axis=0)
    held = np.mean((lows <= mean) & (mean <= highs)) if true else np.nan
    return share[true - 1] if true else np.nan, share[true], found / trials, held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--permutations", type=int, default=99)
    parser.add_argument("--only", help="cases whose name contains this")
    asked = parser.parse_args()
    print("| labels | dimension | rows | d | power | level | found | bands hold |\n|---|---|---|---|---|---|---|---|")
    for name, labels, true, samples, dim in CASES:
        if asked.only and asked.only not in name:
            continue
        shares = measure(labels, true, samples, dim, asked.trials, asked.permutations)
        cells = ("-" if np.isnan(share) else f"{100 * share:.1f} %" for share in shares)
        print(f"| {name} | {true} | {samples:,} | {dim} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
