"""Pairs that noise blurs: closed forms, derivatives, and what the mean is worth beside the least squares."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from relucli.learning.blurred import sharpened
from relucli.learning.blurred_pair import BlurredPair, Wedge, length
from relucli.learning.mean_field import BlurAccumulator, field
from relucli.learning.pipeline import LearnOptions, learn
from relucli.learning.polish import polish, to_network
from relucli.learning.structured import Metric
from relucli.learning.student import Student, augmented
from relucli.network.comparison import population_error
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine
from relucli.synthesis import plant

FIXED = np.empty(0, dtype=np.intp)
NOTHING = np.zeros((3, 3))


def relu(t):
    return np.maximum(t, 0)


@pytest.mark.parametrize(("across", "m", "tau"), [(0.6, 0.1, 0.2), (-0.6, 0.1, 0.2), (0.3, -0.9, 0.5), (2.0, 1.5, 0.1)])
def test_the_wedge_against_quadrature(across, m, tau):
    wedge = Wedge.at(np.array([across]), np.array([m]), tau)

    def moment(hermite):
        def integrand(z):
            pair = relu(z + across / 2) - relu(z - across / 2)
            return pair * ((z - m) / tau) ** hermite * norm.pdf(z, m, tau)

        points = [p for p in (-abs(across) / 2, abs(across) / 2) if abs(p - m) < 9 * tau]
        return quad(integrand, m - 9 * tau, m + 9 * tau, points=points, epsabs=1e-13, limit=200)[0]

    assert wedge.mean[0] == pytest.approx(moment(0), abs=1e-10)
    assert wedge.spread[0] == pytest.approx(moment(1) ** 2, abs=1e-10)


def blurred(kind, rng):
    """A pair beside two neurons, with a metric of its own."""
    bias, p = kind == "bias", 5 + (kind == "bias")
    root = np.linalg.cholesky(np.eye(5) + 0.3) if kind == "correlated" else np.full(5, 1.3)
    metric = Metric(np.zeros(5), root)
    free = {"tied": 0, "correlated": p, "bias": 1}[kind]
    rest = Student(rng.standard_normal((2, p)), np.array([1.0, -1.0]), np.zeros(p), np.arange(p - free, p))
    u = rng.standard_normal(p)
    logs = np.log([0.8, 0.3])
    return BlurredPair(rest, 0.5 * rng.standard_normal(p), u / length(u, metric), logs, metric), metric, bias


@pytest.mark.parametrize("kind", ["tied", "correlated", "bias"])
def test_the_gradient_against_finite_differences(kind):
    rng = np.random.default_rng(1)
    pair, metric, bias = blurred(kind, rng)
    x = rng.standard_normal((300, 5)) @ np.atleast_2d(np.diag(metric.root) if metric.root.ndim == 1 else metric.root.T)
    rows, noise = MemoryRows(x, rng.standard_normal(300)), 0.7
    known = np.cov(rng.standard_normal((3 + (kind == "correlated"), 50)))

    def slope(at):
        return Engine(1).fold(BlurAccumulator(at, bias, known), rows).slope(noise)[0]

    here = slope(pair)
    assert len(here.gradient) == pair.parameters
    for change in 1e-5 * rng.standard_normal((6, pair.parameters)):
        rise = slope(pair.moved(change)).loss - slope(pair.moved(-change)).loss
        assert -rise / 4 == pytest.approx(here.gradient @ change, rel=1e-3, abs=1e-8)


def test_the_loss_against_draws_of_the_direction():
    rng = np.random.default_rng(2)
    pair, _, _ = blurred("tied", rng)
    x, y = rng.standard_normal((4, 5)), rng.standard_normal(4)
    loss = Engine(1).fold(BlurAccumulator(pair, False, NOTHING), MemoryRows(x, y)).sums["loss"]
    draws = 200_000
    g = rng.standard_normal((draws, 4))
    z = pair.kappa * (x @ pair.along + pair.rho * g)
    half = x @ pair.step / 2
    values = relu(x @ pair.rest.beta.T) @ pair.rest.signs + relu(z + half) - relu(z - half)
    # What is not linear in g counts as nothing.
    known = values.mean(axis=0) + g * (values * g).mean(axis=0)
    losses = ((y - known) ** 2).sum(axis=1)
    assert loss == pytest.approx(losses.mean(), abs=5 * losses.std() / draws**0.5)


def normal_matrix(pair, x):
    """G, by finite differences of E f."""

    def mean(at, shift):
        values = relu(x @ at.rest.beta.T + shift[:2]) @ at.rest.signs
        across = x @ at.step + shift[2]
        return values + Wedge.at(across, at.kappa * (x @ at.along), at.kappa * at.rho).mean

    derivatives = np.stack([(mean(pair, h) - mean(pair, -h)) / 2e-6 for h in 1e-6 * np.eye(3)])
    return derivatives @ derivatives.T


def test_the_free_energy_counts_what_is_not_known_of_the_other_parameters():
    rng = np.random.default_rng(8)
    pair, _, _ = blurred("tied", rng)
    x, noise = rng.standard_normal((2000, 5)), 9.0
    rows = MemoryRows(x, pair.nearest()(x) + noise**0.5 * rng.standard_normal(2000))
    here = field(rows, pair, False, Engine(1), noise, volume=True, steps=0, tolerance=0.0)
    bare = Engine(1).fold(BlurAccumulator(pair, False, NOTHING), rows).slope(noise)[0].loss
    volume = np.linalg.slogdet(normal_matrix(pair, x))[1]
    assert here.energy == pytest.approx(bare + 5 * noise * volume, rel=1e-6)
    least, without = (
        field(rows, pair, False, Engine(1), noise, volume=volume, steps=60, tolerance=1e-3) for volume in (True, False)
    )
    again = field(rows, without.pair, False, Engine(1), noise, volume=True, steps=0, tolerance=0.0)
    assert least.converged
    assert without.converged
    assert without.energy < least.energy < again.energy


@pytest.mark.parametrize("kind", ["tied", "correlated", "bias"])
def test_no_pair_near_the_nearest_is_nearer_to_the_mean(kind):
    rng = np.random.default_rng(6)
    pair, metric, bias = blurred(kind, rng)
    metric = replace(metric, mean=0.3 * rng.standard_normal(5))
    pair = replace(pair, metric=metric, logs=np.log([0.8, 0.5]))
    nearest = pair.nearest()
    np.testing.assert_array_equal(nearest.beta[:2], pair.rest.beta)
    root = np.diag(metric.root) if metric.root.ndim == 1 else metric.root
    x = augmented(metric.mean + rng.standard_normal((400_000, 5)) @ root.T, bias)
    mean = Wedge.at(x @ pair.step, pair.kappa * (x @ pair.along), pair.kappa * pair.rho).mean
    alone = nearest.without([0, 1])
    residual = mean - relu(x @ alone.beta.T) @ alone.signs
    # The gradient of E (f - g)^2 vanishes along S and u.
    for beta in alone.beta:
        slope = (residual * (x @ beta > 0))[:, None] * np.column_stack([x @ pair.step, x @ pair.along])
        assert (np.abs(slope.mean(axis=0)) < 5 * slope.std(axis=0) / 400_000**0.5 + 1e-4).all()
    start = np.stack([pair.kappa * pair.along + t * pair.step for t in (0.5, -0.5)])
    assert (residual**2).mean() < ((mean - relu(x @ start.T) @ [1, -1]) ** 2).mean()


def test_the_nearest_pair_is_the_pair_itself_where_nothing_is_blurred():
    pair, _, _ = blurred("tied", np.random.default_rng(7))
    sharp = replace(pair, logs=np.log([0.8, 1e-4]))
    beta = [sharp.kappa * pair.along + pair.step / 2, sharp.kappa * pair.along - pair.step / 2]
    np.testing.assert_allclose(sharp.nearest().beta[2:], beta, atol=1e-6)


def test_the_free_energy_has_an_end_where_nothing_is_known_of_the_direction():
    rng = np.random.default_rng(4)
    pair, _, _ = blurred("tied", rng)
    rows = MemoryRows(rng.standard_normal((300, 5)), rng.standard_normal(300))

    def energy(rho):  # of normal vectors M of one length, all of it on either side of zero
        wide = replace(pair, logs=np.log([1 / rho, rho]))
        return field(rows, wide, False, Engine(1), 0.7, volume=True, steps=0, tolerance=0.0).energy

    assert energy(1e3) == pytest.approx(energy(1e4), rel=1e-3)
    assert energy(1e3) < energy(1.0)  # labels say nothing, so that the widest is the best


def test_sums_do_not_depend_on_workers():
    rng = np.random.default_rng(3)
    pair, _, _ = blurred("tied", rng)
    rows = MemoryRows(rng.standard_normal((40_000, 5)), rng.standard_normal(40_000))
    one, two = (Engine(workers).fold(BlurAccumulator(pair, False, NOTHING), rows).sums for workers in (1, 2))
    assert all((one[name] == two[name]).all() for name in one)


def sampled(separation, noise, samples, seed, dim=20, bias=0.0):
    teacher = plant("close", dim, 2, seed=seed, separation=separation, bias_sd=bias)
    rng = np.random.default_rng([seed, 1])
    x = rng.standard_normal((samples, dim))
    return teacher, MemoryRows(x, teacher(x) + noise * rng.standard_normal(samples))


def fitted(teacher, rows):
    """Least squares from the truth."""
    start = Student(
        np.abs(teacher.coefficients)[:, None] * teacher.weights,
        np.sign(teacher.coefficients),
        np.zeros(rows.dim),
        FIXED,
    )
    return polish(rows, start, False, Engine(), Metric.standard(rows.dim), tolerance=1e-6)


def test_where_least_squares_lets_a_pair_grow_without_end_the_mean_does_not():
    teacher, rows = sampled(0.08, 0.1, 10_000, 0)
    fit, metric = fitted(teacher, rows), Metric.standard(rows.dim)
    mean, half = fit.student.beta.mean(axis=0), np.outer([0.5, -0.5], fit.student.beta[0] - fit.student.beta[1])
    endless = replace(fit.student, beta=100 * mean + half)
    far = polish(rows, endless, False, Engine(), metric, steps=0)
    assert BlurredPair.of(endless, 0, 1, 0.12, metric).angle == pytest.approx(0.12, rel=1e-2)
    near, again = (sharpened(rows, start, False, Engine(), metric) for start in (fit, far))
    sizes = [np.linalg.norm(found.student.beta, axis=1).max() for found in (near, again)]
    assert sizes[1] == pytest.approx(sizes[0], rel=0.3)


@pytest.mark.parametrize("lower", [False, True])
def test_a_mean_that_is_not_reached_is_taken_only_where_it_fits_better(lower, monkeypatch):
    monkeypatch.setattr("relucli.learning.blurred.STEPS", 1)
    teacher, rows = sampled(0.08, 0.1, 10_000, 0)
    fit = fitted(teacher, rows)
    if lower:  # as if least squares had ended in a bad minimum
        fit = replace(fit, quadratic=replace(fit.quadratic, loss=1.1 * fit.quadratic.loss))
    found = sharpened(rows, fit, False, Engine(), Metric.standard(rows.dim))
    assert (found is fit) != lower
    assert (found.quadratic.loss < fit.quadratic.loss) == lower


def test_a_pair_that_is_resolved_is_left_alone():
    teacher, rows = sampled(0.5, 0.05, 20_000, 0)
    fit = fitted(teacher, rows)
    assert sharpened(rows, fit, False, Engine(), Metric.standard(rows.dim)) is fit


def test_without_noise_nothing_is_blurred():
    teacher, rows = sampled(0.02, 0.0, 5000, 0)
    fit = fitted(teacher, rows)
    assert sharpened(rows, fit, False, Engine(), Metric.standard(rows.dim)) is fit


def test_the_minimum_is_that_of_least_squares_where_the_wedge_is_wide(monkeypatch):
    monkeypatch.setattr("relucli.learning.blurred.RESOLVED", np.inf)
    teacher, rows = sampled(0.3, 0.2, 50_000, 3)
    fit = fitted(teacher, rows)
    again = sharpened(rows, fit, False, Engine(), Metric.standard(rows.dim))
    assert again is not fit
    assert again.blurred == ()
    # Apart by far less than what either misses the truth by, on average sigma^2 p / N.
    moved = population_error(to_network(again.student, False), to_network(fit.student, False)).value
    assert moved * teacher.variance() < 0.1 * 0.2**2 * 40 / 50_000


def test_the_mean_is_better_than_the_least_squares_where_noise_blurs():
    ratios = []
    for seed in range(8):
        teacher, rows = sampled(0.08, 0.1, 10_000, seed)
        fit = learn(rows, LearnOptions(neurons=2), Engine()).network
        least = sharpless(rows)
        ratios.append([population_error(net, teacher).value for net in (fit, least)])
    mean, least = np.mean(ratios, axis=0)
    assert mean < 0.95 * least


def sharpless(rows):
    """What `learn` finds by least squares alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relucli.learning.pipeline.sharpened", lambda rows, fit, *more: fit)
        return learn(rows, LearnOptions(neurons=2), Engine()).network


def test_only_the_sum_of_a_blurred_pair_is_said_to_be_sure():
    _, rows = sampled(0.08, 0.1, 10_000, 1)
    found = learn(rows, LearnOptions(neurons=2), Engine())
    assert found.fit.blurred == ((0, 1),)
    assert (found.errors.coefficients >= np.abs(found.network.coefficients)).all()
    (finding,) = [f for f in found.findings if f.stage == "identifiability" and not f.ok]
    assert finding.message.endswith("only their sum is sure")
    assert finding.numbers == {"neurons": [0, 1]}
