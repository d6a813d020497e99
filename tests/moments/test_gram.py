"""Products of a block against the sums that they stand for."""

import numpy as np
import pytest

from relucli.moments.gram import (
    CHUNK,
    gram_scratch,
    matched,
    packed,
    packed_size,
    projections,
    unpacked,
    weighted_grams,
)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("rows", "dim"), [(1, 1), (5, 3), (CHUNK, 4), (CHUNK + 1, 7), (3 * CHUNK - 1, 10)])
@pytest.mark.parametrize("count", [1, 3])
def test_weighted_grams_are_sums_of_outer_products(dtype, rows, dim, count):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((rows, dim)).astype(dtype), rng.standard_normal((count, rows)).astype(dtype)
    found = weighted_grams(x, w)
    exact = np.einsum("kn,ni,nj->kij", w.astype(float), x.astype(float), x.astype(float))
    size = np.einsum("kn,ni,nj->kij", *(np.abs(a).astype(float) for a in (w, x, x)))
    assert found.dtype == dtype
    assert found.shape == (count, packed_size(dim))
    assert np.all(np.abs(unpacked(found, dim) - exact) <= (rows + 2) * np.finfo(dtype).eps * size)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_triangles_are_packed_row_by_row_and_back(shape, dim):
    half = np.random.default_rng(0).standard_normal((*shape, dim, dim))
    matrices = half + np.swapaxes(half, -1, -2)
    triangles = packed(matrices)
    assert triangles.shape == (*shape, packed_size(dim))
    np.testing.assert_array_equal(triangles[..., :dim], matrices[..., 0, :])
    np.testing.assert_array_equal(unpacked(triangles, dim), matrices)


def test_scratch_covers_what_weighted_grams_allocate():
    import tracemalloc

    x, w = np.ones((2000, 96)), np.ones((5, 2000))
    tracemalloc.start()
    weighted_grams(x, w)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= gram_scratch(96, 5) + 2**16


def test_projections_are_in_float64_and_centred():
    rng = np.random.default_rng(1)
    x, g = rng.standard_normal((50, 4)), rng.standard_normal((2, 4))
    np.testing.assert_allclose(projections(x, g, np.array([1.0, -2.0])), g @ x.T - [[1.0], [-2.0]], rtol=1e-14)
    assert projections(x.astype(np.float32), g, np.zeros(2)).dtype == np.float64


@pytest.mark.parametrize(("largest", "dtype"), [(1.0, np.float32), (1e9, np.float64), (np.nan, np.float64)])
def test_inputs_are_widened_only_for_weights_that_need_it(largest, dtype):
    x, w = matched(np.ones((3, 2), np.float32), np.array([1.0, 0.5, largest]))
    assert (x.dtype, w.dtype) == (dtype, dtype)
    wide = np.ones((3, 2))
    assert matched(wide, np.array([largest]))[0] is wide
