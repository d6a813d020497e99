from dataclasses import replace

import numpy as np
import pytest

from relucli.errors import DataError
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.moments.merge import merge_moments
from relucli.storage.dataset import MemoryRows
from relucli.streaming.blocks import group_rows
from relucli.streaming.fold import Engine

DIM = 300
GROUP = group_rows(DIM)
SETTINGS = MomentSettings((1,), 0, 3)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3 * GROUP + 100, DIM), np.float32)
    return x, np.abs(x[:, 0]) + x[:, 1] + 5


def taken(rows, *cuts, settings=SETTINGS):
    """Moments of the shards between cuts, all like the first."""
    found = []
    for start, stop in zip([0, *cuts], [*cuts, len(rows[1])], strict=True):
        shard = MemoryRows(rows[0][start:stop], rows[1][start:stop])
        like = found[0][1] if found else None
        found.append((f"{len(found)}.h5", estimate_moments(shard, settings, Engine(), shard.fingerprint, like)))
    return found


def whole(rows, like):
    return estimate_moments(MemoryRows(*rows), SETTINGS, Engine(), "", like)


@pytest.mark.parametrize("cuts", [[2 * GROUP], [GROUP, 2 * GROUP], [GROUP, 2 * GROUP, 3 * GROUP]])
def test_shards_that_end_with_groups_merge_to_the_bit(rows, cuts):
    parts = taken(rows, *cuts)
    expected, found = whole(rows, parts[0][1]), merge_moments(parts)
    assert found.samples == len(rows[1])
    for name, total in expected.sums.sums.items():
        assert found.sums.sums[name].tobytes() == total.tobytes(), name


def test_shards_that_end_anywhere_merge_to_rounding(rows):
    parts = taken(rows, 1000, GROUP + 77)
    expected, found = whole(rows, parts[0][1]), merge_moments(parts)
    # Sums of products of float32 within a block, of 2^13 rows at most, are rounded to 2^-24 of their terms.
    slack = 2.0**-24 * np.sqrt(len(rows[1])) * 50
    np.testing.assert_allclose(found.covariance, expected.covariance, atol=slack)
    np.testing.assert_allclose(found.mean, expected.mean, atol=slack)
    assert found.label_variance == pytest.approx(expected.label_variance, rel=1e-12)
    assert MemoryRows(*rows).fingerprint_like(found.fingerprint) == found.fingerprint


def test_merged_moments_merge_again(rows):
    at_once = merge_moments(taken(rows, GROUP, 2 * GROUP))
    first, second, third = taken(rows, GROUP, 2 * GROUP)
    in_steps = merge_moments([("a", merge_moments([first, second])), third])
    assert in_steps.fingerprint == at_once.fingerprint
    assert all(np.array_equal(in_steps.sums.sums[name], total) for name, total in at_once.sums.sums.items())


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        (MomentSettings((1,), 0, 4), "taken with --slices 4, not 3 as"),
        (MomentSettings((1, 2), 0, 3), "taken with --orders 1,2, not 1 as"),
        (MomentSettings((1,), 1, 3), "taken with --contractions 1, not 0 as"),
        (MomentSettings((1,), 0, 3, seed=5), "taken with --seed 5, not 0 as"),
    ],
)
def test_other_settings_are_refused(rows, settings, difference):
    few = rows[0][:900, :4], rows[1][:900]
    (one,), (other,) = taken(few), taken(few, settings=settings)
    with pytest.raises(DataError) as caught:
        merge_moments([one, ("b.h5", other[1])])
    assert str(caught.value) == f"b.h5: {difference} 0.h5; take it again with --like 0.h5"


@pytest.mark.parametrize(
    ("part", "words"),
    [("edges", "edges of slices"), ("directions", "directions of contraction"), ("center", "centre of the labels")],
)
def test_another_setup_is_refused(rows, part, words):
    first, second = taken((rows[0][:900, :4], rows[1][:900]), 500)
    sums = second[1].sums
    owner = sums.parts["sliced" if part == "edges" else "base"]
    setattr(owner, part, getattr(owner, part) + 1)
    with pytest.raises(DataError, match=rf"^1\.h5: {words} not those of 0\.h5; take it again with --like 0\.h5$"):
        merge_moments([first, second])


def test_another_whitening_is_refused(rows):
    first, (name, second) = taken((rows[0][:900, :4], rows[1][:900]), 500)
    second = replace(second, whitening=(second.whitening[0] + 1, second.whitening[1]))
    with pytest.raises(DataError, match=r"^1\.h5: whitening not that of 0\.h5; take it again with --like 0\.h5$"):
        merge_moments([first, (name, second)])


def test_the_same_rows_twice_are_refused(rows):
    few = rows[0][:900, :4], rows[1][:900]
    with pytest.raises(DataError, match=r"^b: of the same rows as 0\.h5; name every shard once$"):
        merge_moments([*taken(few), ("b", taken(few)[0][1])])


def test_another_dimension_is_refused(rows):
    (one,), (other,) = (taken((rows[0][:900, :d], rows[1][:900])) for d in (4, 5))
    with pytest.raises(DataError, match=r"^b\.h5: of 5 inputs, not 4 as 0\.h5; take it again with --like 0\.h5$"):
        merge_moments([one, ("b.h5", other[1])])
    with pytest.raises(DataError, match=r"^there are 5 inputs, but 4 in the moments to be like; check which is meant$"):
        estimate_moments(MemoryRows(rows[0][:900, :5], rows[1][:900]), SETTINGS, Engine(), like=one[1])
