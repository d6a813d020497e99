import numpy as np
import pytest
from scipy.special import ndtr

from relucli.errors import DataError, UsageError
from relucli.moments.base import BaseMoments
from relucli.moments.estimate import (
    Moments,
    MomentSettings,
    estimate_moments,
)
from relucli.moments.setup import PILOT_ROWS
from relucli.moments.whitening import cholesky_root, looks_standard
from relucli.storage.dataset import MemoryRows
from relucli.streaming import blocks as partition
from relucli.streaming.accumulator import Block
from relucli.streaming.fold import Engine
from relucli.synthesis import plant


def taken(x, y, engine=None, **settings):
    return estimate_moments(MemoryRows(x, y), MomentSettings(**settings), engine or Engine(), "abc")


@pytest.mark.parametrize(("mean", "factor"), [(0.0, 1.0), (1e3, 1.0), (0.0, 1e-12), (0.0, 1e15), (0.0, 1e25)])
@pytest.mark.parametrize("label", [1.0, 1e-100, 1e100])
def test_moments_of_float32_are_those_of_float64_to_single_precision(mean, factor, label):
    rng = np.random.default_rng(8)
    x = ((rng.standard_normal((5000, 4)) + mean) * factor).astype(np.float32)
    y = label * (np.abs(x[:, 0] / factor - mean) + rng.standard_normal(5000))
    narrow, wide = (taken(rows, y, contractions=2, slices=4) for rows in (x, x.astype(float)))
    for name, total in wide.sums.sums.items():
        # Each product is rounded by half a unit, and a sum of n of them by less than n: in the worst case, all alike.
        reach = np.abs(total).max() + np.sqrt(5000 * np.abs(total).max()) * (name != "base/y")
        assert np.abs(narrow.sums.sums[name] - total).max() <= 64 * np.finfo(np.float32).eps * reach, name
    assert np.isfinite(narrow.contracted(6)).all()


def test_a_wild_row_among_float32_inputs_or_labels_overflows_nothing():
    rng = np.random.default_rng(9)
    x, y = rng.standard_normal((80_000, 3)).astype(np.float32), rng.standard_normal(80_000)
    wild_x, wild_y = x.copy(), y.copy()
    wild_x[70_000] = 3e30
    wild_y[70_000] = 1e60
    with np.errstate(all="raise"):
        for inputs, labels in ((wild_x, y), (x, wild_y)):
            sums = taken(inputs, labels, contractions=2, slices=4).sums.sums
            assert all(np.isfinite(total).all() for total in sums.values())


def test_base_sums_are_those_of_a_loop_over_rows():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 3)), rng.standard_normal(9)
    g, offsets, shift = rng.standard_normal((2, 3)), np.array([0.5, -1.0]), np.array([1.0, 0.0, -2.0])
    base = BaseMoments(g, offsets, 0.4, shift)
    base.update(Block(x[:5] - shift, y[:5], 0))
    base.update(Block(x[5:] - shift, y[5:], 5))
    z, label = x @ g.T - offsets, y - 0.4
    np.testing.assert_allclose(base.sums["y"], [9, sum(label), sum(label**2)], rtol=1e-13)
    np.testing.assert_allclose(base.sums["yx"], sum(t * (row - shift) for t, row in zip(label, x, strict=True)))
    np.testing.assert_allclose(base.sums["z"], [(z**i).sum(axis=0) for i in range(5)])


@pytest.mark.parametrize("shift", [0.0, 50.0, 1e6])
def test_mean_covariance_and_label_moments_are_those_of_numpy(shift):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3000, 3)) @ rng.standard_normal((3, 3)) + shift * np.array([1.0, -1.0, 0.0])
    y = rng.standard_normal(3000) * 0.3 + shift
    moments = taken(x, y)
    assert (moments.samples, moments.dim, moments.fingerprint) == (3000, 3, "abc")
    tolerance = 1e-13 * max(1, shift**2 if shift < 100 else shift)
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(x.T, bias=True), rtol=0, atol=10 * tolerance)
    assert moments.label_mean == pytest.approx(y.mean(), rel=1e-13)
    assert moments.label_variance == pytest.approx(y.var(), rel=1e-8)
    cross = (x - x.mean(axis=0)).T @ (y - y.mean()) / 3000
    np.testing.assert_allclose(moments.first, cross, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize("bias_sd", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(5))
def test_first_moment_is_the_closed_form_within_its_error_bar(seed, bias_sd):
    # 10 x 6 entries at 6 standard deviations, sqrt(E (y - E y)^2 x_j^2 / N) each: 2e-9 an entry.
    net, n = plant("random", 6, 4, seed=seed, bias_sd=bias_sd), 20_000
    x = np.random.default_rng([seed, 7]).standard_normal((n, 6))
    y = net(x)
    expected = (net.coefficients * ndtr(net.biases)) @ net.weights
    bar = 6 * np.sqrt(np.mean((y - y.mean())[:, None] ** 2 * x**2, axis=0) / n)
    assert (np.abs(taken(x, y, contractions=0).first - expected) < bar).all()


def test_the_pilot_may_be_a_small_part_of_the_rows(monkeypatch):
    monkeypatch.setattr(partition, "STRIPE_BYTES", 64 * 8 * 2)
    monkeypatch.setattr(partition, "BLOCK_BYTES", 64 * 8 * 2)
    monkeypatch.setattr("relucli.moments.setup.PILOT_ROWS", 128)
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2000, 2)) + np.linspace(0, 3, 2000)[:, None], np.linspace(-1, 9, 2000) ** 2
    one, two = (taken(x, y, Engine(workers)) for workers in (1, 2))
    np.testing.assert_allclose(one.covariance, np.cov(x.T, bias=True))
    assert one.label_variance == pytest.approx(y.var())
    np.testing.assert_allclose(one.first, (x - x.mean(axis=0)).T @ (y - y.mean()) / 2000, rtol=1e-10)
    z = x @ one._base.directions.T
    z -= z.mean(axis=0)
    assert abs(one._base.sums["z"][1] / 2000).max() > 0.1  # what the pilot took for the mean is far off
    np.testing.assert_allclose(one.kurtosis, (z**4).mean(axis=0) / z.var(axis=0) ** 2 - 3, rtol=1e-9)
    assert all(np.array_equal(one.arrays()[key], two.arrays()[key]) for key in one.arrays())
    assert PILOT_ROWS == 65_536


def test_moments_take_one_pass():
    engine = Engine()
    x = np.random.default_rng(0).standard_normal((500, 2))
    taken(x, x[:, 0], engine)
    assert (engine.passes, engine.rows_read) == (1, 500)


@pytest.mark.parametrize("seed", range(20))
def test_kurtosis_of_gaussian_inputs_is_zero(seed):
    # 8 directions x 20 seeds at 6 standard deviations, sqrt(24 / N); mixed columns make whitening matter.
    rng, n = np.random.default_rng(seed), 5000
    x = rng.standard_normal((n, 4)) @ (rng.standard_normal((4, 4)) + 2 * np.eye(4)) + 3
    kurtosis = taken(x, x[:, 0], contractions=0).kurtosis
    assert kurtosis.shape == (8,)
    assert np.abs(kurtosis).max() < 6 * np.sqrt(24 / n)


@pytest.mark.parametrize(("kind", "excess"), [("uniform", -1.2), ("laplace", 3.0)])
def test_kurtosis_of_other_inputs_is_theirs(kind, excess):
    x = getattr(np.random.default_rng(0), kind)(size=(20_000, 1))
    moments = taken(x, x[:, 0])
    fourth = np.mean((x - x.mean()) ** 4) / x.var() ** 2 - 3
    np.testing.assert_allclose(moments.kurtosis, fourth, rtol=1e-9)
    assert fourth == pytest.approx(excess, abs=0.4)


def test_more_contractions_than_projections_are_used():
    x = np.random.default_rng(0).standard_normal((500, 3))
    moments = taken(x, x[:, 0], contractions=11, orders=(4,))
    assert moments.contracted(4).shape == (11, 3, 3)
    assert taken(x, x[:, 0], contractions=2, orders=(4,)).contracted(4).shape == (2, 3, 3)


def test_the_seed_draws_the_directions():
    x = np.random.default_rng(0).standard_normal((500, 3))
    a, b, c = (taken(x, x[:, 0], seed=seed)._base.directions for seed in (1, 1, 2))
    assert np.array_equal(a, b)
    assert not np.allclose(a, c)
    np.testing.assert_allclose(np.linalg.norm(a, axis=1), 1)


@pytest.mark.parametrize("contractions", [0, 3])
@pytest.mark.parametrize("shift", [0.0, 900.0])
def test_moments_are_restored_to_the_bit(contractions, shift):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((700, 3)) * [1, 2, 3] + shift
    moments = taken(x, np.abs(x[:, 0]), contractions=contractions, orders=(1, 2, 4), slices=5, seed=9)
    arrays = {key: np.array(value) for key, value in moments.arrays().items()}
    back = Moments.restore(arrays, moments.scalars(), moments.fingerprint)
    assert back.settings == moments.settings == MomentSettings((1, 2, 4), contractions, 5, 9)
    assert (back.standard, back.fingerprint, back.samples) == (False, "abc", 700)
    assert back.scalars() == moments.scalars()
    assert back.arrays().keys() == moments.arrays().keys()
    assert all(np.array_equal(back.arrays()[key], moments.arrays()[key]) for key in arrays)
    for name in ("mean", "covariance", "first", "kurtosis", "slice_count", "label_mean", "label_variance"):
        assert np.array_equal(getattr(back, name), getattr(moments, name)), name
    for a, b in zip(back.slices(*back.whitening), moments.slices(*moments.whitening), strict=True):
        assert np.array_equal(a, b)
    if contractions:
        assert np.array_equal(back.contracted(4), moments.contracted(4))


def test_restored_moments_add_further_rows():
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((600, 2)), rng.standard_normal(600)
    first = taken(x, y)
    back = Moments.restore(first.arrays(), first.scalars(), "")
    later = back.sums.fresh()
    later.update(Block(x, y, 600))
    before = first.sums.sums["base/y"].copy()
    back.sums.merge(later)
    assert back.samples == 1200
    assert np.array_equal(first.sums.sums["base/y"], before)


@pytest.mark.parametrize("missing", ["sliced/xx", "edges", "contracted/xx_4", "mean"])
def test_incomplete_moments_are_refused(missing):
    x = np.random.default_rng(3).standard_normal((100, 2))
    moments = taken(x, x[:, 0])
    arrays = {key: value for key, value in moments.arrays().items() if key != missing}
    with pytest.raises(DataError) as caught:
        Moments.restore(arrays, moments.scalars(), "")
    assert str(caught.value) == f"the moments are incomplete ('{missing}'); take them again"


@pytest.mark.parametrize("wrong", [{"base/yx": np.zeros(3)}, {"sliced/xx": np.zeros(())}, {"sliced/xx": np.zeros(9)}])
def test_moments_of_a_wrong_shape_are_refused(wrong):
    x = np.random.default_rng(3).standard_normal((100, 2))
    moments = taken(x, x[:, 0])
    with pytest.raises(DataError, match=r"^the moments are incomplete .*; take them again$"):
        Moments.restore(moments.arrays() | wrong, moments.scalars(), "")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"orders": (1, 17)}, "--orders 1,17: each must be from 1 to 16"),
        ({"orders": (1, 0)}, "--orders 1,0: each must be from 1 to 16"),
        ({"contractions": -1}, "--contractions and --slices must not be negative"),
        ({"slices": -1}, "--contractions and --slices must not be negative"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(UsageError) as caught:
        MomentSettings(**settings)
    assert str(caught.value) == message


def centred(x):
    mean = x.mean(axis=0)
    return mean, x - mean


@pytest.mark.parametrize(("n", "d"), [(30, 1), (200, 5), (60, 50), (3000, 20), (400, 200), (100, 2000)])
def test_standard_inputs_look_standard(n, d):
    # Six standard deviations and a margin: 100 draws in all, not one of which may be refused.
    for seed in range(20):
        x = np.random.default_rng([seed, n]).standard_normal((n, d))
        assert looks_standard(*centred(x))


def test_other_inputs_do_not_look_standard():
    n, d = 5000, 6
    x = np.random.default_rng(0).standard_normal((n, d))
    one = np.eye(d)[0]
    for other in (
        x + 0.15 * one,
        x * (1 + 0.15 * one),
        x @ (np.eye(d) + 0.15 * np.eye(d, k=1)),
        1.1 * x,
        0.9 * x,
    ):
        assert not looks_standard(*centred(other))
        assert not taken(other, other[:, 0]).standard
    assert taken(x, x[:, 0]).standard


def test_correlations_show_in_fewer_rows_than_columns():
    x = np.random.default_rng(1).standard_normal((400, 1000))
    root = np.linalg.qr(np.random.default_rng(2).standard_normal((1000, 1000)))[0] * np.geomspace(0.8, 1.22, 1000)
    turned = np.linalg.qr(np.random.default_rng(3).standard_normal((1000, 1000)))[0]
    mixed = x @ root.T @ turned
    assert looks_standard(*centred(x))
    assert not looks_standard(*centred(mixed / np.sqrt((mixed**2).mean())))


def test_root_is_the_cholesky_factor_at_any_scale():
    a = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.4], [0.1, -0.4, 3.0]])
    scale = np.array([1e-8, 1.0, 1e8])
    root = cholesky_root(np.zeros(3), a * scale[:, None] * scale, 10)
    assert np.array_equal(root, np.tril(root))
    np.testing.assert_allclose(root @ root.T, a * scale[:, None] * scale, rtol=1e-13)


def refused(x):
    try:
        taken(x, x[:, 0], contractions=1, slices=0)
    except DataError as error:
        return str(error)
    return ""


def test_a_column_of_zeros_is_named():
    x = 2 * np.random.default_rng(0).standard_normal((200, 4))
    x[:, 2] = 0.0
    assert refused(x) == "x column 2 is constant, so moments cannot be contracted; pass --contractions 0"


def test_any_constant_column_is_named():
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((200 + seed, 4))
        x[:, 2] = 0.1 + seed / 7
        assert refused(x) == "x column 2 is constant, so moments cannot be contracted; pass --contractions 0"


@pytest.mark.parametrize(
    ("mix", "which"),
    [
        ([0.0, 1.0, 0.0], "column 3 is column 1 again, up to scale and shift"),
        ([-1e9, 0.0, 0.0], "column 3 is column 0 again, up to scale and shift"),
        ([0.5, 1.0, -0.3], "column 3 depends on the columns before it"),
    ],
)
def test_dependent_columns_are_named(mix, which):
    for seed in range(40):
        x = np.random.default_rng(seed).standard_normal((200, 3))
        found = refused(np.column_stack([x, x @ mix, x[:, 0] + x[:, 1] ** 2]))
        why = "so moments cannot be contracted; pass --contractions 0"
        assert found == f"the covariance of x is singular: {which}, {why}"


def test_an_indefinite_covariance_says_whether_rows_are_too_few():
    matrix = np.eye(4) - 0.3
    with pytest.raises(DataError, match=r"^the covariance of x is singular: 3 rows are too few for 4 columns"):
        cholesky_root(np.zeros(4), matrix, 3)
    with pytest.raises(DataError, match=r"^the covariance of x is singular: column 3 depends on the columns before it"):
        cholesky_root(np.zeros(4), matrix, 300)
