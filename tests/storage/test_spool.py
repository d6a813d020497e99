from __future__ import annotations

import pickle

import numpy as np
import pytest

from relucli.errors import UsageError
from relucli.storage.spool import Spool
from relucli.streaming.blocks import Span

X, Y = np.random.default_rng(0).standard_normal((1000, 3)), np.arange(1000.0)
ROW = 32


def filled(limit, dtype=np.float64):
    spool = Spool(limit)
    for i in range(0, 1000, 90):
        spool.append(X[i : i + 90].astype(dtype), Y[i : i + 90])
    return spool


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("limit", [0, 300 * ROW, 10**6])
def test_rows_come_back_in_order_from_memory_or_disk(limit, dtype):
    spool = filled(limit, dtype)
    assert spool.on_disk == (limit < 1000 * ROW)
    assert spool.samples == 1000
    for _ in range(2):
        with spool.rows() as rows:
            assert (rows.samples, rows.dim, rows.dtype) == (1000, 3, dtype)
            block = rows.block(Span(0, 1000))
            assert np.array_equal(block.x, X.astype(dtype))
            assert np.array_equal(block.y, Y)


def test_what_is_given_may_change_afterwards():
    x, spool = X.copy(), Spool(10**6)
    spool.append(x, Y)
    x[:] = 0
    with spool.rows() as rows:
        assert np.array_equal(rows.block(Span(0, 1000)).x, X)


def test_files_go_with_the_spool():
    spool = filled(0)
    folder = spool._folder
    assert any(folder.iterdir())
    del spool
    assert not folder.exists()


def test_a_copy_has_the_rows_in_memory():
    copy = pickle.loads(pickle.dumps(filled(10**6)))
    copy.append(X, Y)
    with copy.rows() as rows:
        assert rows.samples == 2000


def test_a_copy_of_rows_on_disk_says_that_they_stayed():
    copy = pickle.loads(pickle.dumps(filled(300 * ROW)))
    for again in (copy, pickle.loads(pickle.dumps(copy))):
        with pytest.raises(UsageError, match=r"^the rows so far stayed with the process that kept them on disk; start"):
            again.append(X, Y)
