import math

import numpy as np
import pytest
from numpy.polynomial import hermite_e
from scipy.integrate import quad

from relucli.moments.hermite import hermite, relu_coefficient

Z = np.linspace(-5, 5, 41)


@pytest.mark.parametrize("order", range(13))
def test_hermite_is_that_of_numpy(order):
    expected = hermite_e.hermeval(Z, np.eye(order + 1)[order])
    np.testing.assert_allclose(hermite(order, Z), expected, rtol=1e-12, atol=1e-9 * math.factorial(order // 2))


@pytest.mark.parametrize("order", range(1, 12))
def test_hermite_recurrence(order):
    left = hermite(order + 1, Z) + order * hermite(order - 1, Z)
    np.testing.assert_allclose(left, Z * hermite(order, Z), rtol=1e-12, atol=1e-12 * np.abs(left).max())


def test_hermite_of_negative_order_is_zero_and_shapes_are_kept():
    for order in (-2, -1, 0, 1, 3):
        assert hermite(order, Z.reshape(1, -1)).shape == (1, len(Z))
        assert hermite(order, 0.5).shape == ()
    assert not hermite(-1, Z).any()
    assert (hermite(0, Z) == 1).all()


@pytest.mark.parametrize("bias", [0.0, 0.4, -0.7, 1.9, -3.0])
@pytest.mark.parametrize("order", range(11))
def test_relu_coefficient_is_its_integral(order, bias):
    def integrand(z):
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return (z + bias) * hermite_e.hermeval(z, np.eye(order + 1)[order]) * density

    expected = quad(integrand, -bias, 14, epsabs=1e-11, epsrel=1e-11, limit=200)[0]
    assert relu_coefficient(order, bias) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_relu_coefficients_without_bias():
    assert relu_coefficient(0) == pytest.approx(1 / math.sqrt(2 * math.pi), rel=1e-15)
    assert relu_coefficient(1) == 0.5
    assert [relu_coefficient(order) for order in (3, 5, 7, 9)] == [0.0] * 4
    ratio = [relu_coefficient(order) * math.sqrt(2 * math.pi) for order in (2, 4, 6, 8)]
    assert ratio == pytest.approx([1, -1, 3, -15], rel=1e-14)


@pytest.mark.parametrize("bias", [0.0, 0.8, -1.5])
def test_relu_coefficients_add_up_to_its_second_moment(bias):
    # Parseval; terms fall off as l^(-5/2), so the tail of 140 orders is below 1e-3.
    total = sum(relu_coefficient(order, bias) ** 2 / math.factorial(order) for order in range(140))
    second = quad(lambda z: (z + bias) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi), -bias, 14)[0]
    assert total == pytest.approx(second, abs=1e-3)
