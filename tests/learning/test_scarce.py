import numpy as np
import pytest

from relucli.learning.pipeline import LearnOptions, learn
from relucli.learning.scarce import SCARCE, exact_fit
from relucli.learning.structured import Metric
from relucli.learning.student import augmented
from relucli.network import match
from relucli.storage.dataset import MemoryRows
from relucli.streaming.fold import Engine
from relucli.synthesis import plant


def planted(family, d, k, n, seed, bias_sd=0.0):
    net = plant(family, d, k, seed=seed, bias_sd=bias_sd)
    x = np.random.default_rng(seed + 50).standard_normal((n, d))
    return net, x, net(x)


def test_three_rows_a_parameter_are_enough():
    # Each of six networks succeeds nine times in ten or more: two failures would have probability 0.1.
    failures = 0
    for seed in range(6):
        net, x, y = planted("random", 20, 2, 120, seed)
        found = learn(MemoryRows(x, y), LearnOptions(2), Engine())
        failures += not (found.fit.quadratic.exact and all(m.angle < 1e-9 for m in match(found.network, net)))
    assert failures <= 1


@pytest.mark.parametrize("bias", [False, True])
def test_fit_leaves_no_residual_and_no_neuron_too_many(bias):
    net, x, y = planted("random", 6, 2, 60, 3, 0.5 if bias else 0.0)
    fit = exact_fit(MemoryRows(x, y), np.eye(6), 3, bias, 0, Engine(), Metric.standard(6))
    assert fit is not None
    assert fit.student.neurons == 2
    assert fit.student.parameters == 12 + 3 * bias
    fresh = np.random.default_rng(9).standard_normal((1000, 6))
    np.testing.assert_allclose(fit.student(augmented(fresh, bias)), net(fresh), atol=1e-9)


def test_antipodal_pairs_are_found_as_lines():
    _, x, y = planted("alternating", 5, 4, 120, 1)
    fit = exact_fit(MemoryRows(x, y), np.eye(5), 4, False, 0, Engine(), Metric.standard(5))
    assert fit is not None
    assert fit.student.neurons == 2
    assert len(fit.student.free) == 5


def test_noise_is_never_exact():
    _, x, y = planted("random", 6, 2, 60, 3)
    noisy = y + 1e-3 * np.random.default_rng(0).standard_normal(60)
    assert exact_fit(MemoryRows(x, noisy), np.eye(6), 2, False, 0, Engine(), Metric.standard(6)) is None


def test_rows_in_plenty_are_left_to_the_moments():
    _, x, y = planted("random", 6, 2, SCARCE * 18, 3)
    assert exact_fit(MemoryRows(x, y), np.eye(6), 2, False, 0, Engine(), Metric.standard(6)) is None


def test_result_does_not_depend_on_workers():
    _, x, y = planted("random", 8, 2, 60, 5)
    one, two = (
        exact_fit(MemoryRows(x, y), np.eye(8), 2, False, 0, Engine(workers=w), Metric.standard(8)) for w in (1, 2)
    )
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.student.beta, two.student.beta)
