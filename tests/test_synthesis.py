import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relucli.errors import UsageError
from relucli.network import ReluNetwork
from relucli.streaming.blocks import Span, stripe_rows
from relucli.synthesis import FAMILIES, draw, plant, synthesize

DIM = 2000  # canonical blocks of 256 rows
TEACHER = plant("random", DIM, 3, seed=0)


def whole(blocks):
    blocks = list(blocks)
    return np.concatenate([b.x for b in blocks]), np.concatenate([b.y for b in blocks])


class TestPlant:
    @pytest.mark.parametrize("family", FAMILIES)
    def test_draws_unit_rows_and_depends_on_the_seed_alone(self, family):
        a, b, c = (plant(family, 7, 4, seed=s, bias_sd=0.5) for s in (3, 3, 4))
        np.testing.assert_allclose(np.linalg.norm(a.weights, axis=1), 1.0, rtol=1e-15)
        for name in ("weights", "coefficients", "biases"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert not np.allclose(a.weights, c.weights)
        assert (a.offset, a.linear.any()) == (0.0, False)

    @pytest.mark.parametrize("family", ["random", "positive", "planar"])
    def test_coefficients_are_uniform_on_half_to_three_halves(self, family):
        c = plant(family, 2, 20_000, seed=1).coefficients
        size = np.sort(np.abs(c))
        distance = np.abs(size - (0.5 + np.arange(20_000) / 20_000)).max()
        assert distance < 1.95 / math.sqrt(20_000)  # Kolmogorov's 0.999 quantile
        positive = np.mean(c > 0)
        assert positive == 1.0 if family == "positive" else abs(positive - 0.5) < 4 * 0.5 / math.sqrt(20_000)

    @pytest.mark.parametrize(("family", "dim"), [("random", 4), ("planar", 2)])
    def test_directions_are_isotropic(self, family, dim):
        w = plant(family, dim, 20_000, seed=2).weights
        assert np.abs(w.mean(axis=0)).max() < 4 / math.sqrt(dim * 20_000)
        assert np.abs(w.T @ w / 20_000 - np.eye(dim) / dim).max() < 4 / math.sqrt(20_000)

    def test_planar_directions_span_a_plane(self):
        for family in ("planar", "alternating"):
            singular = np.linalg.svd(plant(family, 30, 8, seed=3).weights, compute_uv=False)
            assert singular[1] > 1e-3
            assert singular[2] < 1e-14

    @pytest.mark.parametrize("separation", [1e-6, 0.05, 2.0])
    def test_close_neurons_are_as_far_apart_as_asked_and_cancel(self, separation):
        net = plant("close", 9, 3, seed=4, separation=separation, bias_sd=1.0)
        u, v = net.weights[:2]
        angle = 2 * math.atan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
        assert angle == pytest.approx(separation, rel=1e-9)
        assert net.coefficients[1] == -net.coefficients[0]
        assert net.biases[1] == net.biases[0]

    @pytest.mark.parametrize("neurons", [4, 8, 12])
    def test_alternating_tensors_vanish_below_order_half_k(self, neurons):
        net = plant("alternating", 5, neurons, seed=5)
        g = np.random.default_rng(0).standard_normal((20, 5))
        tensors = [np.abs((g @ net.weights.T) ** order @ net.coefficients).max() for order in range(neurons // 2 + 1)]
        assert max(tensors[:-1]) < 1e-10
        assert tensors[-1] > 0.1

    def test_biases_have_the_deviation_asked(self):
        b = plant("random", 2, 20_000, seed=6, bias_sd=0.7).biases
        assert abs(b.std() - 0.7) < 4 * 0.7 / math.sqrt(2 * 20_000)
        assert not plant("random", 2, 5, seed=6).biases.any()

    @pytest.mark.parametrize(
        ("family", "dim", "neurons", "options", "message"),
        [
            (
                "round",
                3,
                3,
                {},
                "--family must be one of random, positive, close, planar, alternating, not round",
            ),
            ("random", 0, 3, {}, "--dim must be at least 1, not 0"),
            ("random", 3, 0, {}, "--neurons must be at least 1, not 0"),
            ("close", 1, 3, {}, "--family close needs --dim of at least 2, not 1"),
            ("planar", 1, 3, {}, "--family planar needs --dim of at least 2, not 1"),
            ("alternating", 1, 4, {}, "--family alternating needs --dim of at least 2, not 1"),
            ("close", 3, 1, {}, "--family close needs --neurons of at least 2, not 1"),
            ("alternating", 3, 6, {}, "--family alternating needs --neurons that is a multiple of 4, not 6"),
            ("close", 3, 2, {"separation": 0.0}, "--separation must lie between 0 and pi radians, not 0.0"),
            ("random", 3, 2, {"bias_sd": -1.0}, "--bias must be at least 0 and finite, not -1.0"),
            ("random", 3, 2, {"seed": -1}, "--seed must be at least 0, not -1"),
        ],
    )
    def test_refuses_what_cannot_be(self, family, dim, neurons, options, message):
        with pytest.raises(UsageError) as caught:
            plant(family, dim, neurons, **({"seed": 0} | options))
        assert str(caught.value) == message


class TestDraw:
    def test_inputs_are_standard_normal_and_labels_are_the_teacher_with_noise(self):
        teacher = plant("random", 5, 3, seed=1)
        x, y = draw(teacher, 7, 0, 40_000, 5, 0.3, "float64")
        e, n = y - teacher(x), len(x)
        assert np.abs(x.mean(axis=0)).max() < 4.5 / math.sqrt(n)
        assert np.abs(x.T @ x / n - np.eye(5)).max() < 5 * math.sqrt(2 / n)
        assert abs(np.mean(x**4) - 3) < 5 * math.sqrt(96 / x.size)
        assert abs(e.std() - 0.3) < 4.5 * 0.3 / math.sqrt(2 * n)
        assert np.abs(e @ x / n).max() < 4.5 * 0.3 / math.sqrt(n)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_labels_come_from_the_inputs_as_stored(self, dtype):
        teacher = plant("random", 5, 3, seed=1)
        x, y = draw(teacher, 7, 2, 100, 5, 0.0, dtype)
        assert (x.dtype, y.dtype) == (np.dtype(dtype), np.float64)
        np.testing.assert_array_equal(y, teacher(x.astype(np.float64)))

    def test_inputs_depend_on_seed_and_block_alone(self):
        a, b = plant("random", 5, 3, seed=1), plant("random", 5, 2, seed=2)
        x, _ = draw(a, 7, 2, 100, 5, 0.0, "float64")
        np.testing.assert_array_equal(draw(b, 7, 2, 100, 5, 1.0, "float64")[0], x)
        np.testing.assert_array_equal(draw(a, 7, 2, 60, 5, 0.0, "float64")[0], x[:60])

    def test_streams_differ_by_seed_block_and_purpose(self):
        zero = ReluNetwork(np.ones((1, 1)), np.zeros(1))
        streams = []
        for seed, block in ((7, 0), (7, 1), (8, 0)):
            x, noise = draw(zero, seed, block, 10_000, 1, 1.0, "float64")
            streams += [x[:, 0], noise]
        streams.append(plant("random", 10_000, 1, seed=7).weights[0] * 100)
        correlations = np.corrcoef(streams) - np.eye(len(streams))
        assert np.abs(correlations).max() < 5 / math.sqrt(10_000)


class TestSynthesize:
    def test_yields_canonical_stripes_in_order(self):
        rows = stripe_rows(DIM)
        blocks = list(synthesize(TEACHER, 3 * rows + 5, seed=1, noise=0.1, workers=2))
        assert [(b.start, len(b.y)) for b in blocks] == [
            (0, rows),
            (rows, rows),
            (2 * rows, rows),
            (3 * rows, 5),
        ]
        for i, b in enumerate(blocks):
            x, y = draw(TEACHER, 1, i, rows, DIM, 0.1, "float64")
            np.testing.assert_array_equal(b.x, x[: len(b.y)])
            np.testing.assert_allclose(b.y, y[: len(b.y)], rtol=0, atol=1e-13)

    @pytest.mark.parametrize("workers", [2, 5])
    def test_workers_change_no_bit(self, workers):
        one, many = (
            whole(synthesize(TEACHER, 1000, seed=2, noise=0.1, dtype="float32", workers=w)) for w in (1, workers)
        )
        np.testing.assert_array_equal(one[0], many[0])
        np.testing.assert_array_equal(one[1], many[1])

    @given(st.sets(st.integers(1, 599), max_size=4))
    @settings(max_examples=12, deadline=None)
    def test_shards_change_no_bit(self, cuts):
        x, y = whole(synthesize(TEACHER, 600, seed=3, noise=0.1))
        for start, stop in pairwise([0, *sorted(cuts), 600]):
            blocks = list(synthesize(TEACHER, 600, seed=3, noise=0.1, span=Span(start, stop)))
            shard = whole(blocks)
            assert blocks[0].start == start
            np.testing.assert_array_equal(shard[0], x[start:stop])
            np.testing.assert_array_equal(shard[1], y[start:stop])

    @pytest.mark.parametrize("samples", [1, 300, 599])
    def test_a_shorter_dataset_is_the_beginning_of_a_longer_one(self, samples):
        long = whole(synthesize(TEACHER, 600, seed=3, noise=0.1))
        short = whole(synthesize(TEACHER, samples, seed=3, noise=0.1))
        np.testing.assert_array_equal(short[0], long[0][:samples])
        np.testing.assert_array_equal(short[1], long[1][:samples])

    def test_holds_no_more_than_it_computes_ahead(self):
        drawn = []

        class Watched(ReluNetwork):
            def __call__(self, x):
                drawn.append(len(x))
                return super().__call__(x)

        teacher = Watched(TEACHER.weights, TEACHER.coefficients)
        stream = synthesize(teacher, 10**12, seed=4, workers=2)
        assert drawn == []
        next(stream)
        next(stream)
        stream.close()
        assert 2 <= len(drawn) <= 2 + 3

    @pytest.mark.parametrize(
        ("samples", "options", "message"),
        [
            (0, {}, "--samples must be at least 1, not 0"),
            (5, {"noise": -0.1}, "--noise must be at least 0 and finite, not -0.1"),
            (5, {"noise": math.nan}, "--noise must be at least 0 and finite, not nan"),
            (5, {"dtype": "float16"}, "--dtype must be float32 or float64, not float16"),
            (5, {"seed": -1}, "--seed must be at least 0, not -1"),
        ],
    )
    def test_refuses_what_cannot_be_meant_before_it_starts(self, samples, options, message):
        with pytest.raises(UsageError) as caught:
            synthesize(TEACHER, samples, **({"seed": 0} | options))
        assert str(caught.value) == message
