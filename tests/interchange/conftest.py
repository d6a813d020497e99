from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relucli.network import ReluNetwork


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planted(neurons: int, dim: int, straight: bool, seed: int = 0) -> ReluNetwork:
    """A network with biases, and a linear part and offset if they are asked for."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((neurons, dim))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    linear, offset = (rng.standard_normal(dim), -1.7) if straight else (None, 0.0)
    return ReluNetwork(w, rng.standard_normal(neurons), rng.standard_normal(neurons), linear, offset)


NETWORKS = {
    "relus": planted(3, 4, False),
    "relus and a plane": planted(5, 2, True),
    "one neuron of one input": planted(1, 1, True),
    "a plane": planted(0, 3, True),
    "a constant": ReluNetwork(np.empty((0, 3)), np.empty(0), offset=2.5),
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> ReluNetwork:
    """Every kind of network."""
    return NETWORKS[request.param]
