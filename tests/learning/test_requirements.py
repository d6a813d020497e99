import re

import h5py
import numpy as np
import pytest

from relucli.errors import UsageError
from relucli.learning.pipeline import LearnOptions, learn
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.storage.dataset import open_dataset
from relucli.streaming.fold import Engine
from relucli.synthesis import plant, synthesize

REFUSED = r"--memory (\d+)MiB is too small {}: pass --memory (\d+)MiB"


class Unread:
    """Rows that must not be read."""

    stored, row_bytes = True, 8

    def __init__(self, samples, dim):
        self.samples, self.dim = samples, dim

    def block(self, span):
        raise AssertionError("read")


def least(work, purpose="to learn from this dataset"):
    """MiB that a refusal asks for."""
    with pytest.raises(UsageError) as caught:
        work(Engine(memory=2**20))
    return int(re.fullmatch(REFUSED.format(purpose), str(caught.value))[2])


@pytest.mark.parametrize(
    ("samples", "dim", "options", "purpose"),
    [
        (10**6, 100, LearnOptions(5), "to learn from this dataset"),
        (10**6, 100, LearnOptions(), "to learn from this dataset"),
        (10**6, 100, LearnOptions(5, subspace="contracted"), "to learn from this dataset"),
        (200_000, 10_000, LearnOptions(2), "to learn from this dataset"),
        (10**6, 400, LearnOptions(200), "to discover 200 neurons"),
    ],
    ids=str,
)
def test_too_little_memory_is_refused_before_a_row_is_read(samples, dim, options, purpose):
    rows = Unread(samples, dim)
    need = least(lambda engine: learn(rows, options, engine), purpose)
    with pytest.raises(UsageError, match=f"--memory {need - 1}MiB is too small {purpose}"):
        learn(rows, options, Engine(memory=(need - 1) * 2**20))
    with pytest.raises(AssertionError, match="read"):
        learn(rows, options, Engine(memory=need * 2**20))


@pytest.mark.parametrize(
    ("samples", "dim", "neurons", "options"),
    [
        (3000, 8, 2, LearnOptions(2)),
        (3000, 8, 2, LearnOptions(2, bias=True)),
        (3000, 8, 1, LearnOptions(1, loss="huber")),
        (3000, 8, 1, LearnOptions()),
        (2500, 600, 1, LearnOptions(1)),
    ],
    ids=str,
)
def test_what_a_refusal_asks_for_is_enough_for_every_stage(tmp_path, samples, dim, neurons, options):
    drawn = list(synthesize(plant("random", dim, neurons, seed=3), samples, seed=4, noise=0.1))
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"], file["y"] = (np.concatenate([getattr(block, name) for block in drawn]) for name in ("x", "y"))
    with open_dataset(tmp_path / "data.h5") as rows:
        need = least(lambda engine: learn(rows, options, engine))
        assert learn(rows, options, Engine(memory=need * 2**20)).network.neurons == neurons


@pytest.mark.parametrize("settings", [MomentSettings(), MomentSettings(contractions=0)], ids=str)
def test_moments_that_do_not_fit_are_refused_before_a_row_is_read(settings):
    need = least(lambda engine: estimate_moments(Unread(10**6, 300), settings, engine), "for this pass")
    with pytest.raises(AssertionError, match="read"):
        estimate_moments(Unread(10**6, 300), settings, Engine(memory=need * 2**20))
