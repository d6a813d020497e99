"""The covariance by its structure, against dense algebra and against the dense sandwich."""

import numpy as np
import pytest
from students import CASES, METRICS, draw, metric_of, planted

from relucli.learning.covariance import DenseBlock, SandwichAccumulator, StructuredBlock
from relucli.learning.loss import SQUARED
from relucli.learning.structured import StructuredAccumulator, frame_of
from relucli.learning.student import augmented
from relucli.learning.uncertainty import sandwich, standard_errors
from relucli.streaming.accumulator import Block


def fitted(student, x, y, bias, metric):
    """The folded sandwich, over three blocks."""
    parts = [Block(x[i], y[i], int(i[0])) for i in np.array_split(np.arange(len(y)), 3)]
    normal = StructuredAccumulator(student, frame_of(student, bias, metric), bias, SQUARED)
    for part in parts:
        normal.update(part)
    total = SandwichAccumulator(normal.slope(metric)[1])
    for part in parts:
        total.update(part)
    return total.covariance(len(y))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", METRICS)
def test_a_block_is_the_dense_matrix_that_it_stands_for(bias, kind):
    rng = np.random.default_rng(0)
    d = 9
    student, metric = planted(rng, 2, d, bias, "none"), metric_of(rng, d, kind)
    covariance = fitted(student, draw(rng, 200, metric), rng.standard_normal(200), bias, metric)
    found = covariance.block(1)
    assert isinstance(found, StructuredBlock)
    frame, white = found.normal.frame, np.zeros((d + bias, d + bias))
    onto = frame[:d, : frame.shape[1] - bias]
    white[:d, :d] = metric.solve(np.eye(d)) - onto @ onto.T
    dense = DenseBlock(frame @ found.core @ frame.T + found.scale * white)
    np.testing.assert_allclose(found.diagonal, dense.diagonal, rtol=1e-9)
    v, w = rng.standard_normal(d + bias), rng.standard_normal(d)
    assert found.along(v) == pytest.approx(dense.along(v), rel=1e-9)
    np.testing.assert_allclose(found.across(w / np.linalg.norm(w)), dense.across(w / np.linalg.norm(w)), rtol=1e-9)


@pytest.mark.parametrize(("bias", "free"), CASES)
@pytest.mark.parametrize("kind", METRICS)
def test_it_is_the_sandwich_where_the_span_is_everything(bias, free, kind):
    rng = np.random.default_rng(1)
    student, metric = planted(rng, 5, 4, bias, free), metric_of(rng, 4, kind)
    x = draw(rng, 500, metric)
    y = student(augmented(x, bias)) + rng.standard_normal(500) * (1 + np.abs(x[:, 0]))
    structured = standard_errors(student, fitted(student, x, y, bias, metric), bias)
    dense = standard_errors(student, sandwich(augmented(x, bias), y, student, SQUARED, 500), bias)
    for name in ("weights", "within", "coefficients", "biases", "linear", "offset"):
        np.testing.assert_allclose(getattr(structured, name), getattr(dense, name), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("bias", "free"), CASES)
@pytest.mark.parametrize("kind", METRICS)
def test_on_gaussian_inputs_it_is_the_sandwich_in_the_limit(bias, free, kind):
    # A standard error is the root of a quadratic form in the inverse of matrices of n rows.  These are known to
    # 3 sqrt(8 q / n) (see test_structured), and the root halves it; the sandwich has three of them.
    rng = np.random.default_rng(2)
    n, d = 40_000, 8
    student, metric = planted(rng, 2, d, bias, free), metric_of(rng, d, kind)
    x = draw(rng, n, metric)
    y = student(augmented(x, bias)) + rng.standard_normal(n)
    structured = standard_errors(student, fitted(student, x, y, bias, metric), bias)
    dense = standard_errors(student, sandwich(augmented(x, bias), y, student, SQUARED, n), bias)
    bound = 1.5 * 3 * np.sqrt(8 * student.parameters / n)
    for name in ("weights", "within", "coefficients", "biases", "linear", "offset"):
        np.testing.assert_allclose(getattr(structured, name), getattr(dense, name), rtol=bound)


def test_rows_that_were_thinned_count_for_all():
    rng = np.random.default_rng(3)
    student, metric = planted(rng, 2, 6, False, "none"), metric_of(rng, 6, "standard")
    x, y = rng.standard_normal((300, 6)), rng.standard_normal(300)
    normal = StructuredAccumulator(student, frame_of(student, False, metric), False, SQUARED)
    normal.update(Block(x, y, 0))
    whole, half = (SandwichAccumulator(normal.slope(metric)[1]) for _ in range(2))
    whole.update(Block(x, y, 0))
    whole.update(Block(x, y, 300))
    half.update(Block(x, y, 0))
    np.testing.assert_allclose(half.covariance(600).core, whole.covariance(600).core, rtol=1e-12)
