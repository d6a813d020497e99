from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relucli.storage.dataset import MemoryRows
from relucli.storage.fingerprint import join_fingerprints, part_rows, parts_of

X, Y = np.random.default_rng(0).standard_normal((90, 3)), np.arange(90.0)


def rows(start, stop):
    return MemoryRows(X[start:stop], Y[start:stop])


def test_one_part_is_as_it_is():
    assert join_fingerprints([(90, rows(0, 90).fingerprint)]) == rows(0, 90).fingerprint
    assert parts_of(rows(0, 90).fingerprint, 90) == [(90, rows(0, 90).fingerprint)]


@settings(deadline=None)
@given(st.sets(st.integers(1, 89), min_size=1, max_size=5).map(sorted))
def test_rows_have_the_fingerprint_of_their_parts_however_those_were_joined(cuts):
    edges = [0, *cuts, 90]
    parts = [(b - a, rows(a, b).fingerprint) for a, b in pairwise(edges)]
    whole = join_fingerprints(parts)
    assert rows(0, 90).fingerprint_like(whole) == whole
    assert part_rows(whole, 90) == [count for count, _ in parts]
    first = join_fingerprints(parts[:2])
    assert join_fingerprints([(edges[2], first), *parts[2:]]) == whole


def test_other_rows_have_another_fingerprint():
    whole = join_fingerprints([(40, rows(0, 40).fingerprint), (50, rows(40, 90).fingerprint)])
    moved = MemoryRows(X[::-1], Y)
    assert moved.fingerprint_like(whole) != whole
    swapped = join_fingerprints([(50, rows(40, 90).fingerprint), (40, rows(0, 40).fingerprint)])
    assert rows(0, 90).fingerprint_like(swapped) != swapped
    assert rows(0, 89).fingerprint_like(whole) == rows(0, 89).fingerprint


@pytest.mark.parametrize("text", ["", "no digest", "0:" + 32 * "a" + ",90:" + 32 * "a", "1:aa,89:bb", "-1:" + 32 * "a"])
def test_what_is_no_fingerprint_is_that_of_no_rows(text):
    assert rows(0, 90).fingerprint_like(text) == rows(0, 90).fingerprint != text
