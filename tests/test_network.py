import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtr

from relucli.errors import DataError
from relucli.network import ReluNetwork, angle_words, gram, match, population_error
from relucli.network.comparison import _on_span
from relucli.network.gaussian import relu_gram
from relucli.synthesis import FAMILIES, plant

seeds = st.integers(0, 2**32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def network(seed, neurons=4, dim=3, bias=0.7, linear=1.0):
    rng = np.random.default_rng(seed)
    return ReluNetwork(
        unit(rng.standard_normal((neurons, dim))),
        rng.standard_normal(neurons),
        bias * rng.standard_normal(neurons),
        linear * rng.standard_normal(dim),
        linear * float(rng.standard_normal()),
    )


def by_hand(net, x):
    return [
        net.offset
        + sum(v * t for v, t in zip(net.linear, row, strict=True))
        + sum(
            c * max(0.0, sum(a * t for a, t in zip(w, row, strict=True)) + b)
            for w, c, b in zip(net.weights, net.coefficients, net.biases, strict=True)
        )
        for row in x
    ]


def phi(z):
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def relu_pair_by_quadrature(r, s, h, k):
    """E relu(z + h) relu(r z + s z' + k): the inner integral over z' is s psi((r z + k) / s)."""

    def inner(z):
        t = (r * z + k) / s
        return s * (phi(t) + t * ndtr(t))

    bend, width = -k / r, 8 * abs(s / r)  # psi bends over this range, which quad would miss if it is short
    edges = sorted({-h, *(c for c in (bend - width, bend, bend + width, 1.0) if -h < c < 12), 12.0})
    return sum(
        quad(lambda z: phi(z) * (z + h) * inner(z), a, b, epsabs=1e-14, epsrel=1e-13)[0] for a, b in pairwise(edges)
    )


def plane_integral(function, lines):
    """E function(x) under N(0, I_2), by Gauss-Legendre between the lines (w1, w2, b) where it has kinks."""
    nodes, weights = np.polynomial.legendre.leggauss(30)

    def pieces(cuts):
        edges = np.unique(np.clip([*cuts, *range(-10, 11, 2)], -10, 10))
        half, middle = np.diff(edges)[:, None] / 2, (edges[1:] + edges[:-1])[:, None] / 2
        return (middle + half * nodes).ravel(), (half * weights).ravel()

    crossings = [-b / w[0] for *w, b in lines if w[0]]
    for i, (*u, a) in enumerate(lines):
        for *v, b in lines[:i]:
            det = u[0] * v[1] - u[1] * v[0]
            if abs(det) > 1e-12:
                crossings.append((u[1] * b - v[1] * a) / det)
    total = 0.0
    for x1, weight in zip(*pieces(crossings), strict=True):
        x2, inner = pieces([-(w[0] * x1 + b) / w[1] for *w, b in lines if w[1]])
        values = function(np.column_stack([np.full_like(x2, x1), x2]))
        total += weight * phi(x1) * (inner * np.exp(-x2 * x2 / 2) / math.sqrt(2 * math.pi)) @ values
    return total


class TestValidation:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"weights": [1.0, 0.0]}, r"weights must have shape \(k, d\) with d >= 1, not \(2,\)"),
            ({"coefficients": [1.0]}, r"coefficients must have shape \(2,\), not \(1,\)"),
            ({"biases": [1.0, 2.0, 3.0]}, r"biases must have shape \(2,\), not \(3,\)"),
            ({"linear": [1.0]}, r"linear must have shape \(2,\), not \(1,\)"),
            ({"linear": [1.0, np.nan]}, "linear has a number that is not finite"),
            ({"weights": [[1.0, 0.0], [np.inf, 0.0]]}, "weights has a number that is not finite"),
            ({"offset": np.inf}, "offset is not finite"),
            ({"weights": [[1.0, 0.0], [0.0, 1.0 + 2e-12]]}, "row 1 of weights is not of unit length"),
        ],
    )
    def test_refuses(self, changes, message):
        with pytest.raises(ValueError, match=message):
            ReluNetwork(**({"weights": np.eye(2), "coefficients": [1.0, 1.0]} | changes))

    def test_accepts_rows_off_by_rounding_and_freezes_copies(self):
        weights = np.eye(2) * (1 + 5e-13)
        net = ReluNetwork(weights, np.ones(2))
        weights[:] = 7.0
        assert net.weights[0, 0] == 1 + 5e-13
        assert (net.neurons, net.dim) == (2, 2)
        with pytest.raises(ValueError, match="read-only"):
            net.biases[0] = 1.0

    def test_a_network_may_have_no_neurons(self):
        net = ReluNetwork(np.zeros((0, 2)), np.zeros(0), linear=np.array([3.0, 4.0]), offset=1.0)
        assert net(np.array([[1.0, 1.0]])) == [8.0]
        assert (net.mean(), net.variance(), gram(net, net)) == (1.0, 25.0, 26.0)
        assert net.canonical().neurons == 0
        assert match(net, net) == []


class TestCall:
    @given(seeds)
    @settings(max_examples=20)
    def test_agrees_with_the_formula(self, seed):
        net = network(seed)
        x = np.random.default_rng(seed).standard_normal((7, 3))
        np.testing.assert_allclose(net(x), by_hand(net, x), rtol=1e-13, atol=1e-13)

    def test_reads_float32_exactly_and_many_rows_in_blocks(self):
        net = network(1, dim=40)
        x = np.random.default_rng(1).standard_normal((30_000, 40), dtype=np.float32)
        values = net(x)
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, net(x.astype(np.float64)))
        np.testing.assert_allclose(values[[0, 12_345, -1]], by_hand(net, x[[0, 12_345, -1]].astype(float)), atol=1e-12)

    @pytest.mark.parametrize("shape", [(3,), (5, 2)])
    def test_refuses_other_shapes(self, shape):
        with pytest.raises(ValueError, match=r"inputs must have shape \(n, 3\)"):
            network(1)(np.zeros(shape))


class TestForms:
    @given(seeds, st.floats(-250, 250))
    @settings(max_examples=30)
    def test_from_vectors_at_any_scale(self, seed, exponent):
        net, scale = network(seed), 10.0**exponent
        size = np.abs(net.coefficients) * scale
        again = ReluNetwork.from_vectors(
            size[:, None] * net.weights, np.sign(net.coefficients), size * net.biases, net.linear, net.offset
        )
        np.testing.assert_allclose(again.weights, net.weights, rtol=0, atol=1e-15)
        np.testing.assert_allclose(again.coefficients / scale, net.coefficients, rtol=1e-14)
        np.testing.assert_allclose(again.biases, net.biases, rtol=1e-14)

    def test_from_vectors_turns_zero_rows_into_the_constants_they_are(self):
        net = ReluNetwork.from_vectors([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]], [-1, 1, 1], [2.0, 10.0, -3.0], offset=0.5)
        np.testing.assert_allclose(net.weights, [[0.6, 0.8]])
        assert (net.coefficients[0], net.biases[0], net.offset) == (5.0, 2.0, 0.5 - 2.0)

    @given(seeds, st.lists(st.booleans(), min_size=4, max_size=4))
    @settings(max_examples=30)
    def test_flipping_changes_the_orientation_alone(self, seed, mask):
        net = network(seed)
        turned = net.flipped(np.array(mask))
        x = np.random.default_rng(seed).standard_normal((50, 3))
        np.testing.assert_allclose(turned(x), net(x), rtol=0, atol=1e-13)
        np.testing.assert_array_equal(turned.weights, np.where(np.array(mask)[:, None], -1, 1) * net.weights)
        np.testing.assert_array_equal(turned.biases, np.where(mask, -1, 1) * net.biases)

    def test_canonical_merges_antipodal_pairs_and_duplicates(self):
        base = network(5, neurons=3)
        index, sign = np.array([0, 1, 0, 2, 0]), np.array([1, 1, -1, 1, 1])
        net = ReluNetwork(
            sign[:, None] * base.weights[index],
            [3.0, 2.0, 1.5, -1.0, -0.5],
            sign * base.biases[index],
            base.linear,
        )
        merged = net.canonical()
        x = np.random.default_rng(5).standard_normal((100, 3))
        np.testing.assert_allclose(merged(x), net(x), rtol=0, atol=1e-14)
        np.testing.assert_array_equal(merged.coefficients, [4.0, 2.0, -1.0])
        np.testing.assert_array_equal(merged.weights, base.weights)
        np.testing.assert_array_equal(merged.canonical().weights, merged.weights)

    def test_canonical_drops_neurons_that_cancel(self):
        w = unit(np.array([[1.0, 2.0]]))
        net = ReluNetwork(np.vstack([w, -w]), [2.0, -2.0], [0.5, -0.5])
        flat = net.canonical()
        assert flat.neurons == 0
        np.testing.assert_allclose(flat.linear, 2 * w[0])
        assert flat.offset == 1.0

    def test_canonical_keeps_networks_in_general_position_as_they_are(self):
        net = network(6, linear=0.0)
        same = net.canonical()
        for name in ("weights", "coefficients", "biases", "linear", "offset"):
            np.testing.assert_array_equal(getattr(same, name), getattr(net, name))

    def test_canonical_keeps_parallel_lines_and_lines_beyond_the_tolerance_apart(self):
        angle = np.array([0.0, 1e-6, 0.0])
        net = ReluNetwork(np.column_stack([np.cos(angle), np.sin(angle)]), [1.0, 1.0, 1.0], [0.0, 0.0, 1e-6])
        assert net.canonical().neurons == 3
        assert net.canonical(tolerance=1e-5).neurons == 1

    def test_canonical_compares_large_biases_by_their_ratio(self):
        w = unit(np.array([[1.0, 2.0]]))
        net = ReluNetwork(np.vstack([w, -w]), [1.0, 1.0], [1e8, -1e8 * (1 + 1e-12)])
        assert net.canonical().neurons == 1

    @given(seeds)
    @settings(max_examples=20)
    def test_canonical_within_a_tolerance_moves_the_function_by_no_more(self, seed):
        base, rng = network(seed), np.random.default_rng(seed)
        near = unit(base.weights + 1e-10 * rng.standard_normal(base.weights.shape) / 3)
        net = ReluNetwork(np.vstack([base.weights, -near]), rng.standard_normal(8), np.r_[base.biases, -base.biases])
        merged = net.canonical(tolerance=1e-9)
        x = rng.standard_normal((100, 3))
        bound = 1e-9 * np.abs(net.coefficients).sum() * np.linalg.norm(x, axis=1)
        assert merged.neurons == 4
        assert np.all(np.abs(merged(x) - net(x)) <= bound)


class TestInnerProducts:
    @pytest.mark.parametrize("angle", [1e-7, 1e-3, 0.4, math.pi / 2, 2.5, math.pi - 1e-3])
    @pytest.mark.parametrize(
        ("h", "k"),
        [(0.0, 0.0), (0.7, -0.3), (-1.2, -1.2), (0.0, 0.8), (-0.6, 0.0), (-0.0, -0.5), (2.0, -2.0)],
    )
    def test_relu_pairs_against_quadrature(self, angle, h, k):
        u, v = np.array([[1.0, 0.0]]), np.array([[math.cos(angle), math.sin(angle)]])
        got = relu_gram(u, np.array([h]), v, np.array([k]))[0, 0]
        want = relu_pair_by_quadrature(math.cos(angle), math.sin(angle), h, k)
        assert got == pytest.approx(want, abs=2e-13)

    @given(st.floats(0, math.pi))
    def test_without_biases_it_is_the_arc_cosine_kernel(self, angle):
        u, v = np.array([[1.0, 0.0]]), np.array([[math.cos(angle), math.sin(angle)]])
        want = (math.sin(angle) + (math.pi - angle) * math.cos(angle)) / (2 * math.pi)
        assert relu_gram(u, np.zeros(1), v, np.zeros(1))[0, 0] == pytest.approx(want, abs=1e-15)

    @pytest.mark.parametrize(("h", "k"), [(0.5, 0.5), (0.5, 1.25), (0.0, -0.5), (-0.7, 0.0), (0.0, 0.0)])
    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_on_one_axis_it_is_a_polynomial_against_the_density(self, h, k, sign):
        low = -min(h, k) if sign > 0 else -h
        high = 12.0 if sign > 0 else max(low, k)
        want = quad(lambda z: phi(z) * (z + h) * (sign * z + k), low, high, epsabs=1e-14)[0]
        got = relu_gram(np.array([[1.0]]), np.array([h]), np.array([[sign]]), np.array([k]))[0, 0]
        assert got == pytest.approx(want, abs=1e-14)

    @pytest.mark.parametrize("seed", range(3))
    def test_networks_against_quadrature_in_the_plane(self, seed):
        f, g = network(seed, neurons=2, dim=2), network(seed + 100, neurons=2, dim=2, bias=1.0)
        lines = [(*w, b) for net in (f, g) for w, b in zip(net.weights, net.biases, strict=True)]
        assert gram(f, g) == pytest.approx(plane_integral(lambda x: f(x) * g(x), lines), abs=1e-12)
        mean = plane_integral(f, lines)
        assert f.mean() == pytest.approx(mean, abs=1e-12)
        assert f.variance() == pytest.approx(plane_integral(lambda x: (f(x) - mean) ** 2, lines), abs=1e-12)

    @pytest.mark.parametrize("family", FAMILIES)
    def test_networks_against_monte_carlo(self, family):
        f, g = plant(family, 6, 4, seed=3, bias_sd=0.5), network(3, dim=6)
        x = np.random.default_rng(0).standard_normal((100_000, 6))
        for values, want in (
            (f(x) * g(x), gram(f, g)),
            (f(x), f.mean()),
            ((f(x) - f.mean()) ** 2, f.variance()),
        ):
            assert abs(values.mean() - want) < 5 * values.std() / math.sqrt(len(x))

    @given(seeds, st.lists(st.booleans(), min_size=4, max_size=4))
    @settings(max_examples=30)
    def test_they_depend_on_the_functions_alone(self, seed, mask):
        f, g = network(seed), network(seed + 1)
        turned = f.flipped(np.array(mask))
        tolerance = 1e-14 * (1 + gram(f, f)) ** 0.5 * (1 + gram(g, g)) ** 0.5 * 10
        assert gram(turned, g) == pytest.approx(gram(f, g), abs=tolerance)
        assert gram(g, f) == pytest.approx(gram(f, g), abs=tolerance)

    @given(seeds)
    @settings(max_examples=20)
    def test_rotations_leave_them_alone(self, seed):
        f, g = network(seed), network(seed + 1)
        q = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
        fq, gq = (ReluNetwork(unit(n.weights @ q), n.coefficients, n.biases, n.linear @ q, n.offset) for n in (f, g))
        assert gram(fq, gq) == pytest.approx(gram(f, g), abs=1e-13 * (1 + gram(f, f) + gram(g, g)))

    def test_variance_survives_biases_far_from_zero(self):
        near = network(7, bias=0.0, linear=0.0)
        far = ReluNetwork(near.weights, near.coefficients, np.full(4, 1e7))
        assert far.variance() == pytest.approx(np.sum((near.coefficients @ near.weights) ** 2), rel=1e-12)

    def test_other_dimensions_are_refused(self):
        message = "the networks take inputs of different dimension: 2 and 3"
        for function in (gram, match, population_error):
            with pytest.raises(DataError, match=message):
                function(network(1, dim=2), network(1, dim=3))


def perturbed(net, size, seed=0):
    rng = np.random.default_rng(seed)
    c = net.coefficients * (1 + size * rng.standard_normal(net.neurons))
    w = unit(net.weights + size * rng.standard_normal(net.weights.shape))
    return ReluNetwork(w, c, net.biases + size * rng.standard_normal(net.neurons), net.linear, net.offset)


class TestPopulationError:
    @pytest.mark.parametrize("family", FAMILIES)
    @pytest.mark.parametrize("size", [1.0, 1e-2])
    def test_closed_form_against_monte_carlo(self, family, size):
        g = plant(family, 5, 4, seed=1, bias_sd=0.3)
        f = perturbed(g, size)
        x = np.random.default_rng(0).standard_normal((100_000, 5))
        squared = (f(x) - g(x)) ** 2
        error = population_error(f, g)
        assert (error.method, error.rows) == ("closed-form", 0)
        bound = 5 * squared.std() / math.sqrt(len(x)) / g.variance()
        assert abs(error.value - squared.mean() / g.variance()) < bound

    @pytest.mark.parametrize("dim", [4, 60])
    @pytest.mark.parametrize("size", [1e-8, 1e-14])
    def test_small_errors_are_measured_and_scale_as_the_square(self, dim, size):
        g = plant("random", dim, 4, seed=2, bias_sd=0.5)
        steps, slope = size * np.arange(1, 5), size * np.ones(dim)
        f = ReluNetwork(g.weights, g.coefficients + steps, g.biases, slope)
        error = population_error(f, g)
        change = ReluNetwork(g.weights, f.coefficients - g.coefficients, g.biases, slope)
        assert (error.method, error.rows) == ("monte-carlo", 200_000)
        assert error.value == pytest.approx(gram(change, change) / g.variance(), rel=0.05)

    def test_both_methods_agree_where_they_meet(self):
        g = plant("random", 8, 3, seed=4)
        sizes = [10.0**p for p in np.arange(-7, -2, 0.25)]
        errors = [population_error(perturbed(g, size), g) for size in sizes]
        scaled = np.array([e.value / size**2 for e, size in zip(errors, sizes, strict=True)])
        assert {e.method for e in errors} == {"closed-form", "monte-carlo"}
        np.testing.assert_allclose(scaled, scaled[-1], rtol=0.05)
        closed = [v for v, e in zip(scaled, errors, strict=True) if e.method == "closed-form"]
        np.testing.assert_allclose(closed[0], closed[1], rtol=2e-3)

    @pytest.mark.parametrize("dim", [3, 40])
    @pytest.mark.parametrize("family", FAMILIES)
    def test_it_is_zero_for_one_network_and_rounding_for_one_function(self, family, dim):
        g = plant(family, dim, 8, seed=5, bias_sd=0.1)
        assert population_error(g, g).value == 0.0
        rounding = (np.finfo(float).eps * np.abs(g.coefficients).sum()) ** 2 / g.variance()
        assert population_error(g.canonical(), g).value < rounding
        assert population_error(g.flipped(np.arange(8) < 3), g).value < rounding

    def test_fresh_inputs_have_no_more_dimensions_than_the_networks_have_directions(self):
        f, g = network(8, neurons=3, dim=500), network(9, neurons=2, dim=500)
        a, b = _on_span(f, g)
        assert (a.dim, b.dim) == (7, 7)
        for before, after in ((gram(f, g), gram(a, b)), (gram(f, f), gram(a, a)), (gram(g, g), gram(b, b))):
            assert after == pytest.approx(before, rel=1e-13)

    def test_an_offset_counts_and_a_common_one_does_not(self):
        g = plant("random", 5, 3, seed=6)
        up = ReluNetwork(g.weights, g.coefficients, offset=1e6)
        upper = ReluNetwork(g.weights, g.coefficients, offset=1e6 + 0.5)
        assert population_error(upper, up).value == pytest.approx(0.25 / g.variance(), rel=1e-9)

    def test_a_close_pair_of_large_neurons_is_not_left_to_cancellation(self):
        angle = 1e-6
        w = np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
        g = ReluNetwork(w, [1 / angle, -1 / angle])  # nearly -x2 1[x1 > 0], of second moment 1 / 2
        f = ReluNetwork(w, [1.1 / angle, -1.1 / angle])
        assert population_error(f, g).value == pytest.approx(0.01, rel=1e-2)

    def test_a_constant_teacher_is_refused(self):
        flat = ReluNetwork(np.array([[1.0], [1.0]]), [1.0, -1.0], offset=3.0)
        with pytest.raises(DataError, match="the teacher is constant"):
            population_error(network(1, dim=1), flat)


class TestMatch:
    @given(seeds, st.permutations(range(4)), st.lists(st.booleans(), min_size=4, max_size=4))
    @settings(max_examples=30)
    def test_finds_permuted_and_reversed_neurons(self, seed, order, mask):
        g = network(seed, dim=5)
        order = np.array(order)
        turn = np.where(mask, -1.0, 1.0)
        f = ReluNetwork(turn[:, None] * g.weights[order], g.coefficients[order] + 0.25, turn * (g.biases[order] + 1e-3))
        for i, m in enumerate(match(f, g)):
            assert m.teacher == i
            assert order[m.student] == i
            assert m.coefficient_error == pytest.approx(0.25)
            assert m.bias_error == pytest.approx(1e-3)
            assert m.angle <= 1e-3

    @pytest.mark.parametrize("angle", [1e-13, 1e-9, 1e-4, 0.3])
    def test_angles_keep_their_digits(self, angle):
        g = ReluNetwork(np.array([[1.0, 0.0]]), [1.0])
        f = ReluNetwork(np.array([[-math.cos(angle), -math.sin(angle)]]), [1.0])
        assert match(f, g)[0].angle == pytest.approx(angle, rel=1e-9)

    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_an_angle_is_that_of_the_directions_however_large_the_bias(self, sign):
        g = ReluNetwork(np.array([[1.0, 0.0]]), [1.0], [-100.0])
        f = ReluNetwork(sign * np.array([[math.cos(0.1), math.sin(0.1)]]), [1.0], sign * np.array([-101.0]))
        (m,) = match(f, g)
        assert (m.angle, m.bias_error) == (pytest.approx(0.1), -1.0)

    def test_neurons_of_one_direction_are_told_apart_by_their_biases(self):
        g = ReluNetwork(np.ones((3, 1)), [1.0, 2.0, 3.0], [-1.0, 0.0, 1.0])
        f = ReluNetwork(np.ones((3, 1)), [3.0, 1.0, 2.0], [0.9, -1.1, 0.1])
        assert [m.student for m in match(f, g)] == [1, 2, 0]

    def test_neurons_without_a_partner_have_none(self):
        g = network(3)
        matches = match(ReluNetwork(g.weights[[2]], g.coefficients[[2]], g.biases[[2]]), g)
        assert [m.student for m in matches] == [None, None, 0, None]
        assert (matches[0].angle, matches[0].coefficient_error, matches[0].bias_error) == (None, None, None)
        assert (matches[2].angle, matches[2].coefficient_error, matches[2].bias_error) == (0.0, 0.0, 0.0)

    def test_surplus_students_are_left_out(self):
        g = network(3)
        few = ReluNetwork(g.weights[1:3], g.coefficients[1:3], g.biases[1:3])
        assert [(m.teacher, m.student, m.angle) for m in match(g, few)] == [(0, 1, 0.0), (1, 2, 0.0)]

    def test_pairs_match_the_lines_that_stand_for_them(self):
        g = plant("alternating", 10, 8, seed=1)
        f = g.canonical().flipped(np.array([True, False, True, False]))
        assert f.neurons == 4
        matches = match(f, g)
        assert [m.teacher for m in matches] == [0, 1, 2, 3]
        assert max(m.angle for m in matches) < 1e-15
        assert [m.coefficient_error for m in matches] == [0.0] * 4
        assert match(g, f)[0].coefficient_error == 0.0

    def test_a_merged_line_goes_by_its_largest_neuron(self):
        g, order = network(4, neurons=2), np.array([0, 0, 1])
        f = ReluNetwork(g.weights[order], [1.0, -3.0, 2.0], g.biases[order])
        assert [(m.teacher, m.student) for m in match(g, f)] == [(1, 0), (2, 1)]
        assert [(m.teacher, m.student) for m in match(f, g)] == [(0, 1), (1, 2)]

    def test_the_sum_of_the_angles_is_least(self):
        def at(*degrees):
            a = np.radians(degrees)
            return ReluNetwork(np.column_stack([np.cos(a), np.sin(a)]), np.ones(len(a)))

        assert [m.student for m in match(at(10, 31), at(0, 12))] == [
            0,
            1,
        ]  # the greedy pair 12-10 would cost more


@pytest.mark.parametrize(
    ("radians", "words"),
    [
        (0.0, "same to 1e-15 rad"),
        (8e-10, "same to 1e-9 rad"),
        (3e-13, "same to 1e-12 rad"),
        (1.2e-5, "0.0120 mrad"),
        (3.2e-4, "0.3 mrad"),
        (0.017, "17.0 mrad"),
        (math.radians(2.1), "2.1 degrees"),
        (math.pi / 2, "90.0 degrees"),
    ],
)
def test_angles_in_words(radians, words):
    assert angle_words(radians) == words
