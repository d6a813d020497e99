"""How passes scale on a cluster: the moments pass on two Dask workers beside one, of one thread each.

python tests/bench/scale_dask.py [--samples 2_000_000] [--dim 100]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.storage.dataset import open_dataset
from relucli.streaming.dask import cluster
from relucli.streaming.fold import Engine

BOUND = 0.65
SMALL = 50_000


def taken(data: Path, workers: int) -> tuple[Moments, float]:
    """Moments as ``relucli moments`` takes them, and seconds; that the cluster starts and imports is not counted."""
    settings = MomentSettings()
    with cluster(f"local:{workers}") as executor:
        for name in ("small", "whole"):
            with open_dataset(data / f"{name}.h5") as stored:
                executor.check(stored)
                start = perf_counter()
                found = estimate_moments(stored, settings, Engine(cluster=executor))
    return found, perf_counter() - start


def _equal(one: Moments, other: Moments) -> bool:
    return all(np.array_equal(total, other.sums.sums[name]) for name, total in one.sums.sums.items())


def rows(samples: int = 2_000_000, dim: int = 100) -> list[dict[str, Any]]:
    """What was measured, as rows of a table: name, value, bound, unit, ok."""
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("small", SMALL), ("whole", samples)):
            recipe = f"--samples {count} --dim {dim} --neurons 5 --noise 0.3 --dtype float32 --quiet"
            subprocess.run(["relucli", "generate", f"{folder}/{name}.h5", *recipe.split()], check=True)
        with open_dataset(f"{folder}/whole.h5") as stored:
            here = estimate_moments(stored, MomentSettings(), Engine())
        (one, slow), (two, quick) = (taken(Path(folder), workers) for workers in (1, 2))
    same = _equal(here, one) and _equal(here, two)
    ratio = quick / slow
    names = (
        "moments on two dask workers, of one",
        "moments on one dask worker",
        "sums that differ from those of a process",
    )
    values = (ratio, BOUND, "x", ratio <= BOUND), (slow, None, "s", True), (int(not same), 0, "", same)
    keys = "name", "value", "bound", "unit", "ok"
    return [dict(zip(keys, (name, *value), strict=True)) for name, value in zip(names, values, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=100)
    options = parser.parse_args()
    measured = rows(options.samples, options.dim)
    for row in measured:
        bound = "" if row["bound"] is None else f"at most {row['bound']}"
        print(f"{row['name']:50s} {row['value']:8.3g} {row['unit']:2s} {bound:14s} {'ok' if row['ok'] else 'MISSED'}")
    raise SystemExit(not all(row["ok"] for row in measured))


if __name__ == "__main__":
    main()
