from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.streaming.blocks import Span, block_rows, blocks, group_rows, groups, stripe_rows, stripes

dims = st.integers(1, 200_000)
rows = st.integers(0, 300_000)


@pytest.mark.parametrize(("size", "unit"), [(4, stripe_rows), (16, block_rows)])
@given(dim=dims)
def test_stripes_and_blocks_are_the_largest_powers_of_two_within_their_bytes_and_limits(size, unit, dim):
    step = unit(dim)
    assert step.bit_count() == 1
    assert 64 <= step <= 16384
    assert step == 64 or step * 8 * dim <= size * 2**20
    assert step == 16384 or 2 * step * 8 * dim > size * 2**20


@pytest.mark.parametrize(
    ("dim", "stripe", "block", "group"),
    [
        (1, 16384, 16384, 16384),
        (32, 16384, 16384, 16384),
        (33, 8192, 16384, 16384),
        (100, 4096, 16384, 16384),
        (200, 2048, 8192, 8192),
        (1000, 512, 2048, 16384),
        (8192, 64, 256, 16384),
        (10**6, 64, 64, 16384),
    ],
)
def test_the_partition_is_pinned(dim, stripe, block, group):
    assert (stripe_rows(dim), block_rows(dim), group_rows(dim)) == (stripe, block, group)


@given(rows, dims)
def test_stripes_cover_all_rows_and_share_the_edges_of_blocks(n, dim):
    edges = [0, *(s.stop for s in stripes(n, dim))]
    assert [s.start for s in stripes(n, dim)] == edges[:-1]
    assert edges[-1] == n
    assert {s.stop for s in blocks(Span(0, n), dim)} <= set(edges)


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
