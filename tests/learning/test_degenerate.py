"""Few rows, and rows in which much coincides: learned from or refused with a reason, whatever the options."""

from __future__ import annotations

import numpy as np
import pytest

from relucli.errors import UnsupportedError
from relucli.learning.pipeline import LearnOptions, learn
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine
from relucli.synthesis import plant


def drawn(seed):
    """A few rows in which columns and labels may be constant, repeated, rounded, of one sign or zero."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(1, 60)), int(rng.integers(1, 6))
    x = rng.standard_normal((n, d))
    if rng.random() < 0.2:
        x = np.round(x)
    if rng.random() < 0.1:
        x[:, 0] = 1
    if rng.random() < 0.1:
        x[:, -1] = x[:, 0]
    if rng.random() < 0.1:
        x = np.abs(x)
    if rng.random() < 0.1:
        x = np.zeros_like(x)
    labels = (
        lambda: x[:, 0].copy(),
        lambda: rng.standard_normal(n),
        lambda: np.maximum(x[:, 0], 0),
        lambda: np.abs(x[:, 0]),
        lambda: np.round(x[:, 0]),
        lambda: (x[:, 0] > 0) * 1.0,
        lambda: plant("random", d, 2, seed=seed)(x),
        lambda: plant("random", d, 2, seed=seed, bias_sd=1)(x) + 0.1 * rng.standard_normal(n),
    )
    y = labels[rng.integers(8)]()
    return x, y + 100 if rng.random() < 0.1 else y


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("discovery", ["overcomplete", "iterative"])
@pytest.mark.parametrize("seed", [4, 31, 33, 63, 69])
def test_they_are_learned_from_or_refused(seed, discovery, loss):
    x, y = drawn(seed)
    options = LearnOptions([1, 2, 3][seed % 3], bias=seed % 2 == 0, discovery=discovery, loss=loss, seed=seed)
    try:
        found = learn(MemoryRows(x, y), options, Engine())
    except UnsupportedError:
        return
    residual = y - found.network(x)
    assert np.isfinite(residual).all()
    assert np.median(np.abs(residual)) <= np.median(np.abs(y)) + 1e-12
