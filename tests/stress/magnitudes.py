"""Numbers of any size: a command answers rightly, or says in one line why it does not."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from trial import Trial

PROGRAM = [sys.executable, "-W", "error::RuntimeWarning", "-c", "from relucli.cli.app import main; main()"]
PATIENCE = 120
DIM = 4
DTYPES = ["<f8", ">f8", "<f4", ">f4", "<f2", "<i8", ">i4", "i2", "i1", "u1", "bool"]


def _teacher(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    w = rng.standard_normal((2, DIM))
    return w / np.linalg.norm(w, axis=1, keepdims=True), rng.choice([-1.0, 1.0], 2), 0.4 * rng.standard_normal(2)


def _harmed(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Inputs and labels with something odd about them, and what that is."""
    kind = int(rng.integers(9))
    with np.errstate(over="ignore", invalid="ignore"):
        if kind == 0:
            powers = rng.uniform(-300, 300, DIM if rng.random() < 0.5 else 1)
            return np.nan_to_num(x * 10.0**powers), y, f"inputs in units of 1e{powers.round()}"
        if kind == 1:
            power = rng.uniform(-310, 308)
            return x, np.nan_to_num(y * 10.0**power), f"labels in units of 1e{power:.0f}"
        if kind == 2:
            powers = rng.uniform(-12, 12, DIM)
            return (x + rng.uniform(-1e6, 1e6, DIM)) * 10.0**powers, y, "means far from zero, and mixed units"
        if kind == 3:
            column, value = int(rng.integers(DIM)), float(rng.choice([0.0, 5e-324, 7.0, 1e300]))
            x[:, column] = value
            return x, y, f"column {column} is {value}"
        if kind == 4:
            factor = float(rng.choice([1.0, -3.0, 1e9]))
            return np.column_stack([x, factor * x[:, 1]]), y, "a column twice"
        if kind == 5:
            rows = int(rng.integers(1, 30))
            return x[:rows], y[:rows], f"{rows} rows"
        if kind == 6:
            size = 10.0 ** rng.uniform(2, 300)
            target, row = (x[:, 2], y)[int(rng.integers(2))], int(rng.integers(len(y)))
            target[row] = size
            return x, y, f"one number of 1e{np.log10(size):.0f}"
        if kind == 7:
            dtype = str(rng.choice(DTYPES))
            step = 1.0 if "f" in dtype else 20.0
            return np.clip(step * x, 0 if dtype[0] in "ub" else -100, 100).astype(dtype), y, f"inputs as {dtype}"
        return x[:, :1], y, "one column"


def numbers(tries: int, folder: Path) -> Iterator[str | None]:
    """moments, learn and evaluate on data with something odd about them."""
    for i in range(tries):
        rng = np.random.default_rng([3, i])
        w, c, b = _teacher(rng)
        x = rng.standard_normal((1500, DIM))
        y = np.maximum(x @ w.T + b, 0) @ c + 0.05 * rng.standard_normal(1500)
        x, y, what = _harmed(rng, x, y)
        place = folder / str(i)
        place.mkdir()
        with h5py.File(place / "a.h5", "w") as file:
            file["x"], file["y"] = x, y
        complaint = _complaint(place, rng.random() < 0.5)
        yield None if complaint is None else f"{i}, {what}: {complaint}"


def _answer(line: str, place: Path) -> dict[str, Any] | str | None:
    """The JSON of a command that answers, None if it refuses in one line, and else what is wrong."""
    done = subprocess.run(
        [*PROGRAM, *line.split(), "--json"], cwd=place, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    if done.returncode in (2, 65):
        lines = done.stderr.splitlines()
        plain = len(lines) == 1 and lines[0].startswith("relucli: ") and not done.stdout
        return None if plain else f"{line}: {done.stderr[-300:]}"
    if done.returncode:
        return f"{line}: status {done.returncode}: {done.stderr[-300:]}"
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def _complaint(place: Path, bias: bool) -> str | None:
    taken = _answer("moments a.h5 -o m.h5", place)
    learned = _answer(f"learn a.h5 -o n.h5 -k 2 --{'' if bias else 'no-'}bias", place)
    for found in (taken, learned):
        if isinstance(found, str):
            return found
    if not isinstance(learned, dict):
        return None
    scored = _answer("evaluate n.h5 a.h5", place)
    if not isinstance(scored, dict):
        return scored or "evaluate refuses what learn has learned"
    if any(not isinstance(learned[key], float) for key in ("r2", "noise_std")):
        return f"learn gives {learned}"
    # The answer may be bad, but not other than what learn says of it.
    if not math.isclose(1 - learned["r2"], 1 - scored["r2"], rel_tol=1e-3, abs_tol=1e-9):
        return f"learn says r2 = {learned['r2']}, evaluate {scored['r2']}"
    return None


TRIALS = [Trial("numbers of any size, or few, or alike", numbers, tries=20)]
