import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from relucli.streaming.accumulator import Accumulator
from relucli.streaming.fold import tree_merge


class Node:
    """Records the tree of merges as nested pairs."""

    def __init__(self, tree):
        self.tree = tree

    def merge(self, other):
        self.tree = (self.tree, other.tree)

    def fresh(self):
        return Node(None)


class Total(Accumulator):
    def __init__(self, value=0.0):
        self.sums = {"value": np.array(float(value))}

    def shapes(self):
        return {"value": ()}

    def update(self, block):
        raise AssertionError("nothing to read")

    @property
    def value(self):
        return float(self.sums["value"])


def tree(items):
    return tree_merge(map(Node, items), Node("empty")).tree


def total(values):
    return tree_merge(map(Total, values), Total()).value


def leaves(node):
    return leaves(node[0]) + leaves(node[1]) if isinstance(node, tuple) else [node]


def nodes(node):
    return {node} | (nodes(node[0]) | nodes(node[1]) if isinstance(node, tuple) else set())


def depth(node):
    return 1 + max(map(depth, node)) if isinstance(node, tuple) else 0


def test_shape_is_pinned():
    assert tree([0]) == 0
    assert tree(range(3)) == ((0, 1), 2)
    assert tree(range(7)) == (((0, 1), (2, 3)), ((4, 5), 6))
    assert tree(range(9)) == ((((0, 1), (2, 3)), ((4, 5), (6, 7))), 8)


@given(st.integers(1, 300))
def test_leaves_stay_in_order_and_depth_is_logarithmic(n):
    found = tree(range(n))
    assert leaves(found) == list(range(n))
    assert depth(found) == (n - 1).bit_length()


@given(st.integers(1, 300), st.integers(0, 8))
def test_sum_over_the_first_power_of_two_groups_is_a_node(n, m):
    if 2**m <= n:
        assert tree(range(2**m)) in nodes(tree(range(n)))


@given(st.integers(0, 3), st.integers(1, 9), st.integers(1, 8))
def test_shards_of_a_power_of_two_groups_merge_to_the_whole_tree(m, shards, last):
    size = 2**m
    n = size * (shards - 1) + min(last, size)
    parts = [tree(range(i, min(i + size, n))) for i in range(0, n, size)]
    assert tree(parts) == tree(range(n))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=6).map(lambda m: sorted(m, reverse=True)))
def test_nodes_of_any_size_that_begin_where_nodes_of_that_size_do_merge_to_the_whole_tree(powers):
    stops = np.cumsum([2**m for m in powers]).tolist()
    parts = [tree(range(stop - 2**m, stop)) for stop, m in zip(stops, powers, strict=True)]
    merged = tree_merge(map(Node, parts), Node("empty"), [2**m for m in powers]).tree
    assert merged == tree(range(stops[-1]))


@given(hnp.arrays(np.float64, st.integers(1, 70), elements=st.floats(-1e9, 1e9)), st.integers(0, 4))
def test_sums_of_shards_merge_to_the_bit(values, m):
    parts = [total(values[i : i + 2**m]) for i in range(0, len(values), 2**m)]
    assert total(parts) == total(values)


@given(hnp.arrays(np.float64, st.integers(1, 100), elements=st.floats(-1e9, 1e9)))
def test_total_is_right_to_rounding(values):
    slack = np.finfo(float).eps * (len(values) - 1).bit_length() * math.fsum(np.abs(values))
    assert abs(total(values) - math.fsum(values)) <= slack


def test_rounding_does_not_grow_with_the_number_of_groups():
    # A running sum of these is off by about 1e-12 of it: four hundred times the bound.
    values = np.full(2**15 + 3, 0.1)
    assert total(values) == pytest.approx(math.fsum(values), rel=1e-15 * 3)


def test_nothing_merges_to_a_fresh_accumulator():
    empty = Total(5.0)
    merged = tree_merge([], empty)
    assert merged is not empty
    assert merged.value == 0.0
    assert empty.value == 5.0
