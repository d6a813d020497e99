"""Contracted moments against their closed form.

ReLU networks are piecewise linear and moments linear in the label, so a quadrature with its weights in the
labels is exact: for each neuron, Gauss-Legendre along it from its kink, Gauss-Hermite across it.
"""

import itertools
import math

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss, hermeval
from numpy.polynomial.legendre import leggauss
from scipy.special import ndtr

from relucli.errors import UsageError
from relucli.moments.base import BaseMoments
from relucli.moments.contracted import ContractedMoments
from relucli.moments.estimate import Moments, MomentSettings, estimate_moments
from relucli.moments.scaling import Scaling
from relucli.moments.sliced import SliceMoments
from relucli.storage.dataset import MemoryRows
from relucli.streaming.accumulator import Block, Joint
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

ORDERS = (2, 3, 4, 5, 6)


def he(order, z):
    return hermeval(z, np.eye(order + 1)[order]) if order >= 0 else np.zeros_like(z)


def chat(order, b):
    """E relu(z + b) He_l(z), written anew."""
    if order == 1:
        return ndtr(b)
    return he(order - 2, -b) * np.exp(-b * b / 2) / math.sqrt(2 * math.pi)


def closed_form(net, order, g):
    size = net.coefficients * chat(order, net.biases) * (net.weights @ g) ** (order - 2)
    return np.einsum("i,ij,ik->jk", size, net.weights, net.weights)


def exact_rows(net):
    """Rows and labels such that sum_n y_n p(x_n) = E f(x) p(x) for polynomials p of degree at most 7."""
    nodes, weights = hermegauss(6)
    weights = weights / weights.sum()
    across = np.array(list(itertools.product(nodes, repeat=net.dim - 1)))
    share = np.prod(list(itertools.product(weights, repeat=net.dim - 1)), axis=1)
    x, y = [], []
    for w, c, b in zip(net.weights, net.coefficients, net.biases, strict=True):
        t, dt = leggauss(60)
        t, dt = -b + (t + 1) * (12 + b) / 2, dt * (12 + b) / 2
        frame = np.linalg.svd(w[None])[2][1:]
        x.append((t[:, None, None] * w + across @ frame).reshape(-1, net.dim))
        label = c * (t + b) * np.exp(-t * t / 2) / math.sqrt(2 * math.pi) * dt
        y.append(np.outer(label, share).ravel())
    return np.vstack(x), np.concatenate(y)


def moments_of(x, y, g, orders, mean, root, center=0.0, shift=None):
    """Moments of rows of raw inputs, with projections whitened by a mean and a root."""
    shift = np.zeros(len(mean)) if shift is None else shift
    directions = np.linalg.solve(root.T, g.T).T
    line = directions, directions @ mean
    parts = {
        "base": BaseMoments(*line, center, shift),
        "sliced": SliceMoments(len(mean), np.empty(0), shift),
        "contracted": ContractedMoments(*line, orders, center, shift),
    }
    sums = Joint(parts).fresh()
    for i in range(0, len(y), 5000):
        sums.update(Block(x[i : i + 5000] - shift, y[i : i + 5000], i))
    scaling = Scaling.none(len(mean))
    return Moments(sums, MomentSettings(orders, len(g)), False, (mean, root), "", scaling)


def unit_rows(rng, count, dim):
    g = rng.standard_normal((count, dim))
    return g / np.linalg.norm(g, axis=1, keepdims=True)


def by_rows(x, y, g, order):
    """The formula, row by row: the mean of y [He (x x^T - I) - ...]."""
    z, eye = x @ g, np.eye(x.shape[1])
    a, b, c = (he(order - i, z) for i in (2, 3, 4))
    return np.mean(
        [
            yn
            * (
                an * (np.outer(xn, xn) - eye)
                - (order - 2) * bn * (np.outer(xn, g) + np.outer(g, xn))
                + (order - 2) * (order - 3) * cn * np.outer(g, g)
            )
            for xn, yn, an, bn, cn in zip(x, y, a, b, c, strict=True)
        ],
        axis=0,
    )


@pytest.mark.parametrize("bias_sd", [0.0, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_moments_are_the_closed_form_to_rounding(seed, bias_sd):
    net = plant("random", 3, 4, seed=seed, bias_sd=bias_sd)
    g = unit_rows(np.random.default_rng(seed), 3, 3)
    x, y = exact_rows(net)
    moments = moments_of(x, len(y) * y, g, ORDERS, np.zeros(3), np.eye(3))
    for order in ORDERS:
        found = moments.contracted(order)
        assert found.shape == (1 if order == 2 else 3, 3, 3)
        for i, matrix in enumerate(found):
            np.testing.assert_allclose(matrix, closed_form(net, order, g[i]), rtol=0, atol=1e-11)
    odd = max(np.abs(moments.contracted(order)).max() for order in (3, 5))
    assert odd < 1e-11 if bias_sd == 0 else odd > 1e-2


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_moments_of_shifted_and_scaled_inputs_are_the_closed_form_of_whitened_ones(seed, shift):
    rng = np.random.default_rng([seed, 1])
    net, g = plant("random", 3, 3, seed=seed, bias_sd=0.6), unit_rows(rng, 2, 3)
    mean = 4 * rng.standard_normal(3)
    root = np.linalg.cholesky(np.diag([0.1, 1.0, 9.0]) + 0.05)
    white, y = exact_rows(net)
    x = white @ root.T + mean
    moments = moments_of(x, len(y) * y, g, ORDERS, mean, root, shift=shift * (mean + 0.3))
    for order in ORDERS:
        for i, matrix in enumerate(moments.contracted(order)):
            np.testing.assert_allclose(matrix, closed_form(net, order, g[i]), rtol=0, atol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_algebra_is_that_of_the_formula_row_by_row(order):
    rng = np.random.default_rng(order)
    mean, shift = rng.standard_normal(4), rng.standard_normal(4)
    root = np.tril(rng.standard_normal((4, 4))) + 3 * np.eye(4)
    g, white, y = unit_rows(rng, 3, 4), rng.standard_normal((11, 4)), rng.standard_normal(11)
    moments = moments_of(white @ root.T + mean, y, g, (order,), mean, root, center=0.7, shift=shift)
    for i, matrix in enumerate(moments.contracted(order)):
        np.testing.assert_allclose(matrix, by_rows(white, y - 0.7, g[i], order), rtol=0, atol=1e-11)


@pytest.mark.parametrize("bias_sd", [0.0, 0.7])
@pytest.mark.parametrize("seed", range(3))
def test_estimates_are_within_their_error_bars(seed, bias_sd):
    # 810 entries in all, each a mean of N = 30,000 summands whose second moment is taken from fresh rows and
    # weighted once more by half for its own error: 6 standard deviations fail with probability 2e-9 each.
    net, n = plant("random", 5, 3, seed=seed, bias_sd=bias_sd), 30_000
    rng = np.random.default_rng([seed, 2])
    x, fresh = rng.standard_normal((n, 5)), rng.standard_normal((n, 5))
    moments = estimate_moments(MemoryRows(x, net(x)), MomentSettings(ORDERS, 2, 4, seed), Engine())
    assert moments.standard
    centred = net(fresh) - net(fresh).mean()
    for order in ORDERS:
        for matrix, g in zip(moments.contracted(order), moments._base.directions, strict=False):
            a, b, c = (he(order - i, fresh @ g) for i in (2, 3, 4))
            summand = np.einsum("n,ni,nj->nij", a, fresh, fresh) - np.einsum("n,ij->nij", a, np.eye(5))
            cross = (order - 2) * np.einsum("n,ni,j->nij", b, fresh, g)
            summand += (order - 2) * (order - 3) * c[:, None, None] * np.outer(g, g)
            summand -= cross + cross.transpose(0, 2, 1)
            second = np.mean((centred[:, None, None] * summand) ** 2, axis=0)
            error = np.abs(matrix - closed_form(net, order, g))
            assert (error <= 6 * np.sqrt(1.5 * second / n)).all()


@pytest.mark.parametrize("seed", range(3))
def test_estimates_in_whitened_coordinates_are_within_their_error_bars(seed):
    # f(x) of x = mean + root z is a network in z.  Entries are within 7 sqrt(E y^2 |z|^4 / N), times
    # what their order adds; whitening by sample moments adds to each a term of the same size.
    rng, n = np.random.default_rng([seed, 3]), 40_000
    inner, mean = plant("random", 4, 3, seed=seed, bias_sd=0.5), np.array([3.0, -1.0, 0.5, 20.0])
    root = np.linalg.cholesky(np.diag([0.04, 1.0, 4.0, 25.0]) + 0.02)
    z = rng.standard_normal((n, 4))
    y = inner(z)
    moments = estimate_moments(MemoryRows(z @ root.T + mean, y), MomentSettings(ORDERS, 2, 4, seed), Engine())
    assert not moments.standard
    np.testing.assert_allclose(moments.whitening[0], mean, atol=6 * np.sqrt(np.diag(root @ root.T).max() / n))
    np.testing.assert_allclose(moments.whitening[1], root, rtol=0, atol=0.2)
    spread = np.sqrt(np.mean((y - y.mean()) ** 2 * (z**2).sum(axis=1) ** 2) / n)
    for order in (2, 3, 4):
        for i, matrix in enumerate(moments.contracted(order)):
            g = moments.whitening[1].T @ moments._base.directions[i]
            assert np.linalg.norm(g) == pytest.approx(1, abs=1e-12)
            bar = 7 * spread * math.sqrt(math.factorial(order - 2)) * (1 + (order - 2))
            assert np.abs(matrix - closed_form(inner, order, g)).max() < bar


def test_an_order_that_was_not_taken_is_refused():
    x = np.random.default_rng(0).standard_normal((300, 2))
    moments = estimate_moments(MemoryRows(x, x[:, 0]), MomentSettings((1, 2), 2), Engine())
    with pytest.raises(UsageError) as caught:
        moments.contracted(4)
    assert str(caught.value) == "order 4 is not among the moments; take it with --orders"
    without = estimate_moments(MemoryRows(x, x[:, 0]), MomentSettings((1, 2), 0), Engine())
    with pytest.raises(UsageError, match=r"^order 2 is not among the moments; take it with --orders$"):
        without.contracted(2)
