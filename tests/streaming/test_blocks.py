from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.streaming.blocks import Span, block_rows, blocks, group_rows, groups

dims = st.integers(1, 200_000)
rows = st.integers(0, 300_000)


@given(dims)
def test_block_is_the_largest_power_of_two_within_4_mib_and_its_limits(dim):
    step = block_rows(dim)
    assert step.bit_count() == 1
    assert 64 <= step <= 16384
    assert step == 64 or step * 8 * dim <= 4 * 2**20
    assert step == 16384 or 2 * step * 8 * dim > 4 * 2**20


@pytest.mark.parametrize(("dim", "step"), [(1, 16384), (32, 16384), (33, 8192), (100, 4096), (8192, 64), (10**6, 64)])
def test_block_rows_are_pinned(dim, step):
    assert block_rows(dim) == step
    outweigh = min(16 * dim, 16384)
    assert group_rows(dim) == 4 * step * max(1, 2 ** int(np.ceil(np.log2(outweigh / (4 * step)))))


@given(rows, dims)
def test_groups_cover_all_rows_in_order_and_once(n, dim):
    spans = groups(n, dim)
    assert [0, *(s.stop for s in spans)] == [*(s.start for s in spans), n]
    assert all(s.rows == group_rows(dim) for s in spans[:-1])
    assert all(0 < s.rows <= group_rows(dim) for s in spans)


@given(rows, dims)
def test_blocks_of_the_groups_are_the_blocks_of_all_rows(n, dim):
    within = [blocks(group, dim) for group in groups(n, dim)]
    assert all(len(cut) <= group_rows(dim) // block_rows(dim) for cut in within)
    assert [span for cut in within for span in cut] == blocks(Span(0, n), dim)


@given(rows, rows, dims)
def test_more_rows_leave_earlier_groups_where_they_are(n, more, dim):
    whole = len(groups(n, dim)) - (n % group_rows(dim) > 0)
    assert groups(n + more, dim)[:whole] == groups(n, dim)[:whole]


@given(st.integers(0, 10_000), st.integers(0, 100_000), dims)
def test_blocks_cut_any_span_from_its_start(start, length, dim):
    span = Span(start, start + length)
    cut = blocks(span, dim)
    assert sum(s.rows for s in cut) == length
    assert all(a.stop == b.start for a, b in pairwise(cut))
    assert not cut or (cut[0].start, cut[-1].stop) == span
