import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relucli.errors import DataError
from relucli.network import ReluNetwork, population_error
from relucli.scoring import ScoreAccumulator, score
from relucli.streaming.accumulator import Block
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

METRICS = ("mse", "rmse", "mae", "r2")
LINE = ReluNetwork(np.zeros((0, 1)), np.zeros(0), linear=np.ones(1))


class Memory:
    """Rows in memory."""

    def __init__(self, x, y):
        self.x, self.y = x, y
        self.samples, self.dim = x.shape
        self.row_bytes = x.itemsize * self.dim + 8

    def block(self, span):
        return Block(self.x[span.start : span.stop], self.y[span.start : span.stop], span.start)


def scored(network, x, y, workers=1):
    return score(network, Memory(x, y), Engine(workers))


def by_hand(network, x, y):
    """Metrics and the standard errors from the influence of every row, in two passes."""
    n, e = len(y), y - network(x)
    u = y - y.mean()
    mse, variance = np.mean(e**2), np.mean(u**2)
    ratio = mse / variance
    influence = {
        "mse": e**2 - mse,
        "rmse": (e**2 - mse) / (2 * math.sqrt(mse)),
        "mae": np.abs(e) - np.abs(e).mean(),
        "r2": (e**2 - ratio * u**2) / variance,
    }
    values = {"mse": mse, "rmse": math.sqrt(mse), "mae": np.abs(e).mean(), "r2": 1 - ratio}
    return values, {name: math.sqrt(np.sum(v**2) / (n - 1) / n) for name, v in influence.items()}


class TestScore:
    @given(st.integers(0, 2**32), st.integers(2, 60))
    @settings(max_examples=30)
    def test_agrees_with_two_passes(self, seed, rows):
        rng = np.random.default_rng(seed)
        network = plant("random", 3, 2, seed=seed)
        x = rng.standard_normal((rows, 3))
        y = network(x) + rng.standard_normal(rows) + 3
        result = scored(network, x, y)
        values, errors = by_hand(network, x, y)
        assert result.samples == rows
        for name in METRICS:
            assert getattr(result, name) == pytest.approx(values[name], rel=1e-10)
            assert getattr(result, name + "_se") == pytest.approx(errors[name], rel=1e-6)

    def test_standard_errors_are_those_of_repeated_samples(self):
        rng, repeats, n = np.random.default_rng(1), 1500, 400
        x = rng.standard_normal((repeats, n, 1))
        y = x[:, :, 0] + rng.uniform(-1, 1, (repeats, n)) * (1 + np.abs(x[:, :, 0]))  # e^2 and y^2 correlate
        results = [scored(LINE, a, b) for a, b in zip(x, y, strict=True)]
        for name in METRICS:
            spread = np.std([getattr(r, name) for r in results])
            claimed = math.sqrt(np.mean([getattr(r, name + "_se") ** 2 for r in results]))
            assert claimed == pytest.approx(spread, rel=4 / math.sqrt(2 * repeats)), name

    def test_mse_of_fresh_rows_is_the_population_error(self):
        teacher, student = plant("planar", 6, 4, seed=2), plant("planar", 6, 3, seed=3)
        x = np.random.default_rng(2).standard_normal((60_000, 6))
        result = scored(student, x, teacher(x))
        want = population_error(student, teacher).value
        assert abs(result.mse - want * teacher.variance()) < 4.5 * result.mse_se
        assert abs(result.r2 - (1 - want)) < 4.5 * result.r2_se

    @pytest.mark.parametrize("shift", [0.0, 1e6, 1e9])
    def test_r2_keeps_its_digits_for_labels_far_from_zero(self, shift):
        rng = np.random.default_rng(3)
        x = np.round(rng.standard_normal((40_000, 1)) * 64) / 64  # exact after the shift
        noise = np.round(rng.standard_normal(40_000) * 64) / 64
        base = scored(LINE, x, x[:, 0] + noise)
        far = scored(
            ReluNetwork(np.zeros((0, 1)), np.zeros(0), linear=np.ones(1), offset=shift),
            x,
            x[:, 0] + noise + shift,
        )
        assert far.r2 == pytest.approx(base.r2, abs=1e-13)
        assert far.r2_se == pytest.approx(base.r2_se, rel=1e-10)

    @pytest.mark.parametrize("scale", [1e-140, 1e140])
    def test_labels_of_any_size_are_scored(self, scale):
        rng = np.random.default_rng(4)
        x = rng.standard_normal((500, 1))
        y = x[:, 0] + rng.standard_normal(500)
        base = scored(LINE, x, y)
        scaled = scored(ReluNetwork(np.zeros((0, 1)), np.zeros(0), linear=np.array([scale])), x, scale * y)
        for name, power in (("mse", 2), ("rmse", 1), ("mae", 1), ("r2", 0)):
            for key in (name, name + "_se"):
                assert getattr(scaled, key) == pytest.approx(getattr(base, key) * scale**power, rel=1e-10)

    def test_a_perfect_network(self):
        network = plant("random", 3, 2, seed=5)
        x = np.random.default_rng(5).standard_normal((100, 3))
        result = scored(network, x, network(x))
        assert [getattr(result, n) for n in METRICS] == [0, 0, 0, 1]
        assert [getattr(result, n + "_se") for n in METRICS] == [0, 0, 0, 0]

    @pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 3])
    def test_constant_labels_have_no_r2(self, value):
        x = np.random.default_rng(6).standard_normal((1000, 1))
        result = scored(LINE, x, np.full(1000, value))
        assert (result.r2, result.r2_se) == (None, None)
        assert result.mse == pytest.approx(np.mean((x[:, 0] - value) ** 2), rel=1e-12)

    def test_one_row_has_no_standard_errors(self):
        result = scored(LINE, np.array([[1.0]]), np.array([4.0]))
        assert (result.samples, result.mse, result.rmse, result.mae, result.r2) == (1, 9.0, 3.0, 3.0, None)
        assert [getattr(result, n + "_se") for n in METRICS] == [None] * 4

    def test_float32_rows_are_scored_in_float64(self):
        network = plant("random", 3, 2, seed=7)
        x = np.random.default_rng(7).standard_normal((300, 3), dtype=np.float32)
        y = np.sin(x[:, 0].astype(np.float64))
        assert scored(network, x, y) == scored(network, x.astype(np.float64), y)

    def test_other_dimensions_are_refused(self):
        with pytest.raises(DataError, match="the network takes 1 input, but the data have 2"):
            scored(LINE, np.zeros((3, 2)), np.zeros(3))


class TestPass:
    def test_workers_change_no_bit_and_the_rows_are_read_once(self):
        rng = np.random.default_rng(8)
        x = rng.standard_normal((3000, 2000), dtype=np.float32)
        network, y = plant("random", 2000, 2, seed=8), rng.standard_normal(3000)
        engines = [Engine(w) for w in (1, 2, 5)]
        results = [score(network, Memory(x, y), engine) for engine in engines]
        assert results[0] == results[1] == results[2]
        assert [(e.passes, e.rows_read) for e in engines] == [(1, 3000)] * 3

    @given(st.integers(1, 99))
    @settings(max_examples=20)
    def test_sums_merge(self, cut):
        rng = np.random.default_rng(9)
        x, y = rng.standard_normal((100, 1)), rng.standard_normal(100)
        one = ScoreAccumulator(LINE, 0.1, 2.0)
        one.update(Block(x, y, 0))
        first, second = one.fresh(), one.fresh()
        first.update(Block(x[:cut], y[:cut], 0))
        second.update(Block(x[cut:], y[cut:], cut))
        first.merge(second)
        for name, total in one.sums.items():
            np.testing.assert_allclose(first.sums[name], total, rtol=1e-12, atol=1e-12)
