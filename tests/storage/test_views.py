import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relucli.storage.dataset import MemoryRows
from relucli.storage.views import RelabelledRows, ShiftedRows, part
from relucli.streaming.accumulator import Block
from relucli.streaming.blocks import Span, stripe_rows


class Elsewhere:
    """Rows that are not in memory: x_n = (n, 0, 0, ...), y_n = n; so wide that a block has 64 of them."""

    dim = 8192
    row_bytes = 8

    def __init__(self, samples):
        self.samples, self.calls = samples, 0

    def block(self, span):
        assert 0 <= span.start < span.stop <= self.samples
        self.calls += 1
        x = np.zeros((span.rows, 3))
        x[:, 0] = np.arange(span.start, span.stop)
        return Block(x, x[:, 0].copy(), span.start)


@given(samples=st.integers(1, 2000), every=st.integers(2, 5), cuts=st.data())
def test_parts_share_out_the_rows(samples, every, cuts):
    rows, run = Elsewhere(samples), stripe_rows(Elsewhere.dim)
    assert run == 64
    seen = []
    for last in (False, True):
        view = part(rows, every, last)
        if view is None:
            continue
        start = cuts.draw(st.integers(0, view.samples - 1))
        stop = cuts.draw(st.integers(start + 1, view.samples))
        whole = view.block(Span(0, view.samples))
        some = view.block(Span(start, stop))
        assert some.start == start
        np.testing.assert_array_equal(some.y, whole.y[start:stop])
        np.testing.assert_array_equal(some.x[:, 0], some.y)
        assert ((whole.y // run % every == every - 1) == last).all()
        assert (np.diff(whole.y) > 0).all()
        seen.append(whole.y)
    np.testing.assert_array_equal(np.sort(np.concatenate(seen)), np.arange(samples))


def test_a_canonical_stripe_of_a_part_is_read_at_once():
    rows = Elsewhere(64 * 20)
    view = part(rows, 4, True)
    assert view.samples == 64 * 5
    view.block(Span(64, 128))
    assert rows.calls == 1


def test_parts_of_rows_in_memory_are_rows_in_memory():
    rows = MemoryRows(np.arange(20.0)[:, None], np.arange(20.0))
    assert part(rows, 5, True).y.tolist() == [4, 9, 14, 19]
    assert part(rows, 5, False).y.tolist() == [y for y in range(20) if y % 5 != 4]
    assert part(MemoryRows(rows.x[:3], rows.y[:3]), 5, True) is None


@pytest.mark.parametrize("narrow", [False, True])
def test_shifted_rows_are_narrow_if_they_may_be(narrow):
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    block = ShiftedRows(MemoryRows(x, np.zeros(4)), np.array([1.0, 2, 3]), narrow).block(Span(1, 3))
    assert block.x.dtype == (np.float32 if narrow else np.float64)
    np.testing.assert_array_equal(block.x, x[1:3] - [1, 2, 3])
    assert block.start == 1


def test_huge_inputs_are_wide_lest_their_squares_overflow():
    x = np.full((4, 3), 1e30, dtype=np.float32)
    assert ShiftedRows(MemoryRows(x, np.zeros(4)), np.zeros(3), True).block(Span(0, 4)).x.dtype == np.float64


def test_relabelled_rows_have_the_inputs_of_the_rows():
    rows = MemoryRows(np.arange(10.0).reshape(5, 2), np.zeros(5))
    block = RelabelledRows(rows, np.arange(5.0)).block(Span(2, 4))
    assert block.y.tolist() == [2, 3]
    np.testing.assert_array_equal(block.x, rows.x[2:4])
