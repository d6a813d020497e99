from __future__ import annotations

import numpy as np
import pytest

from relucli.errors import DataError, UsageError
from relucli.network import ReluNetwork
from relucli.prediction import as_csv, predict
from relucli.storage.dataset import MemoryRows
from relucli.streaming.accumulator import Gathered
from relucli.streaming.blocks import group_rows
from relucli.streaming.fold import Engine

DIM = 70


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, DIM))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    return ReluNetwork(w, np.array([1.0, -2.0, 0.5]), rng.standard_normal(3), rng.standard_normal(DIM), 0.3)


@pytest.fixture
def rows():
    """Two groups and a bit."""
    rng = np.random.default_rng(1)
    return MemoryRows(rng.standard_normal((2 * group_rows(DIM) + 5, DIM)), np.zeros(2 * group_rows(DIM) + 5))


@pytest.mark.parametrize("workers", [1, 3])
def test_predictions_are_the_network_at_every_row_in_order(network, rows, workers):
    parts = list(predict(network, rows, Engine(workers)))
    assert [len(part) for part in parts] == [group_rows(DIM), group_rows(DIM), 5]
    np.testing.assert_allclose(np.concatenate(parts)[:, 0], network(rows.x), rtol=0, atol=1e-12)


def test_predictions_do_not_depend_on_workers(network, rows):
    one, three = (np.concatenate(list(predict(network, rows, Engine(workers), hidden=True))) for workers in (1, 3))
    assert one.tobytes() == three.tobytes()


def test_activations_make_up_the_prediction(network, rows):
    values = np.concatenate(list(predict(network, rows, Engine(), hidden=True)))
    assert values.shape == (rows.samples, 4)
    assert (values[:, 1:] >= 0).all()
    assert 0.3 < (values[:, 1:] > 0).mean() < 0.7
    made = values[:, 1:] @ network.coefficients + rows.x @ network.linear + network.offset
    np.testing.assert_allclose(values[:, 0], made, rtol=0, atol=1e-12)


def test_a_network_of_other_inputs_is_refused(network):
    with pytest.raises(DataError, match=r"^the network takes 70 inputs, but the data have 2$"):
        predict(network, MemoryRows(np.ones((3, 2)), np.ones(3)), Engine())


def test_a_prediction_that_overflows_names_the_row(rows):
    network = ReluNetwork(np.eye(1, DIM), np.array([1e300]))
    rows.x[group_rows(DIM) + 7, 0] = 1e10
    message = f"^x row {group_rows(DIM) + 7} column 0 is 1e\\+10, too large beside the others: sums overflow"
    with pytest.raises(DataError, match=message):
        list(predict(network, rows, Engine()))


def test_memory_is_of_a_few_groups_however_many_rows_there_are(network):
    """A group of (1 + k) numbers a row, twice, and a block of inputs twice: 21 MiB, where all would take 300 MiB."""
    rows = MemoryRows(np.broadcast_to(np.zeros(DIM), (10**7, DIM)), np.broadcast_to(0.0, 10**7))
    with pytest.raises(UsageError, match=r"pass --memory 21MiB$"):
        next(predict(network, rows, Engine(memory=2**20), hidden=True))


def test_csv_reads_back_to_the_bit(network, rows):
    parts = list(predict(network, rows, Engine(), hidden=True))
    lines = []
    as_csv(iter(parts), lines.append)
    text = "".join(lines).splitlines()
    assert text[0] == "prediction,hidden_0,hidden_1,hidden_2"
    assert np.array([line.split(",") for line in text[1:]], float).tobytes() == np.concatenate(parts).tobytes()


def test_a_stream_hands_on_the_groups_of_a_fold(rows):
    engine, empty = Engine(2), Gathered(lambda block: block.x[:, 0], 1)
    parts = [part.values for part in engine.stream(empty, rows)]
    assert len(parts) == 3
    assert np.concatenate(parts).tobytes() == engine.fold(empty, rows).values.tobytes() == rows.x[:, :1].tobytes()
    assert (engine.passes, engine.rows_read) == (2, 2 * rows.samples)
