import numpy as np
import pytest

from relucli.streaming.accumulator import Accumulator, Block, Gathered, Joint


class Power(Accumulator):
    """Sums of x to a power, and of the labels."""

    def __init__(self, dim, power, scratch=0):
        self.dim, self.power, self.bytes = dim, power, scratch
        self.sums = {name: np.zeros(shape) for name, shape in self.shapes().items()}

    def shapes(self):
        return {"x": (self.dim, 2), "y": ()}

    def scratch(self, rows):
        return self.bytes * rows

    def update(self, block):
        self.sums["x"] += (block.wide**self.power).sum(axis=0)[:, None]
        self.sums["y"] += block.y.sum()


@pytest.fixture
def pieces():
    rng = np.random.default_rng(0)
    return [Block(rng.standard_normal((20, 3)), rng.standard_normal(20), 20 * i) for i in range(2)]


def test_fresh_keeps_the_settings_and_shares_no_sum(pieces):
    used = Power(3, 2)
    used.update(pieces[0])
    fresh = used.fresh()
    assert fresh.power == 2
    assert all(not total.any() for total in fresh.sums.values())
    fresh.update(pieces[1])
    alone = Power(3, 2)
    alone.update(pieces[0])
    assert all(np.array_equal(used.sums[key], alone.sums[key]) for key in used.sums)


def test_merge_adds_every_sum_scalars_included(pieces):
    left, right, both = Power(3, 1), Power(3, 1), Power(3, 1)
    left.update(pieces[0])
    right.update(pieces[1])
    expected = {key: left.sums[key] + right.sums[key] for key in left.sums}
    left.merge(right)
    assert all(np.array_equal(left.sums[key], expected[key]) for key in expected)
    for piece in pieces:
        both.update(piece)
    assert left.sums["y"] == pytest.approx(both.sums["y"])


def test_bytes_are_those_of_the_sums():
    accumulator = Power(3, 1)
    assert accumulator.nbytes == sum(total.nbytes for total in accumulator.sums.values()) == 7 * 8


def test_joint_equals_its_parts(pieces):
    joint = Joint({"a": Power(3, 1), "b": Power(3, 2)}).fresh()
    later = joint.fresh()
    joint.update(pieces[0])
    later.update(pieces[1])
    joint.merge(later)
    for name, power in (("a", 1), ("b", 2)):
        first, second = Power(3, power), Power(3, power)
        first.update(pieces[0])
        second.update(pieces[1])
        first.merge(second)
        for key, total in first.sums.items():
            assert np.array_equal(joint.sums[f"{name}/{key}"], total)
            assert np.array_equal(joint.parts[name].sums[key], total)


def test_joint_measures_all_sums_and_the_largest_scratch():
    joint = Joint({"a": Power(3, 1, scratch=5), "b": Power(4, 2, scratch=2)})
    assert joint.shapes() == {"a/x": (3, 2), "a/y": (), "b/x": (4, 2), "b/y": ()}
    assert joint.nbytes == 8 * (7 + 9)
    assert joint.scratch(10) == 50


def test_wide_copies_only_what_is_not_float64():
    narrow = Block(np.full((2, 1), 0.1, np.float32), np.zeros(2), 0)
    assert narrow.wide.dtype == np.float64
    assert narrow.wide[0, 0] == np.float64(np.float32(0.1))
    x = np.ones((2, 1))
    assert Block(x, np.zeros(2), 0).wide is x


def test_gathered_values_are_in_the_order_of_the_rows(pieces):
    empty = Gathered(lambda block: np.column_stack([block.x[:, 0], block.y]), 2)
    early, late = empty.fresh(), empty.fresh()
    early.update(pieces[0])
    late.update(pieces[1])
    early.merge(late)
    expected = np.concatenate([np.column_stack([piece.x[:, 0], piece.y]) for piece in pieces])
    np.testing.assert_array_equal(early.values, expected)
    assert empty.values.shape == (0, 2)


def test_one_gathered_number_a_row_may_be_a_vector(pieces):
    total = Gathered(lambda block: block.y, 1)
    total.update(pieces[0])
    np.testing.assert_array_equal(total.values[:, 0], pieces[0].y)


def test_gathered_values_count_all_rows_as_held(pieces):
    assert Gathered(lambda block: block.y, 3).held(groups=7, rows=1000) == 2 * 8 * 3 * 1000
    assert Power(3, 2).held(groups=7, rows=1000) == 4 * Power(3, 2).nbytes
