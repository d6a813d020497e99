"""Passes on a real scheduler and worker processes: the same bits, whatever happens to the workers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest

import relucli
from relucli.cli.app import run
from relucli.errors import ClusterError, DataError, StorageError
from relucli.moments.estimate import MomentSettings, estimate_moments
from relucli.storage.dataset import MemoryRows, open_dataset
from relucli.streaming import dask
from relucli.streaming.blocks import group_rows, groups
from relucli.streaming.executors import SerialExecutor, ThreadExecutor
from relucli.streaming.fold import Engine

DIM, SAMPLES = 7, 110_000  # seven groups, the last of which is short
LEARN = "learn data.h5 -k 2 --seed 1"
MOMENTS = "moments data.h5 --orders 1,2 --contractions 1"

# Of the library: sockets that its threads close late.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def _data(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(1)
    x = rng.standard_normal((SAMPLES, DIM), np.float32).astype(np.float16)
    w = np.linalg.qr(rng.standard_normal((DIM, 2)))[0]
    y = np.maximum(x.astype(float) @ w, 0) @ [1.0, -2.0] + 0.1 * rng.standard_normal(SAMPLES)
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"], file["y"] = x, y
    return folder


@pytest.fixture
def data(_data, monkeypatch, tmp_path):
    """A working folder with ``data.h5``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RELUCLI_DEBUG", raising=False)
    monkeypatch.setenv("RELUCLI_TIMEOUT", "30")
    os.link(_data / "data.h5", tmp_path / "data.h5")
    return tmp_path


@pytest.fixture
def executor(cluster):
    with dask.cluster(cluster.address) as found:
        yield found


@pytest.fixture
def started():
    """Starts a command in a process of its own, which does not outlive the test."""
    commands = []

    def start(line):
        command = [sys.executable, "-c", "from relucli.cli.app import main; main()", *line.split()]
        commands.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return commands[-1]

    yield start
    for command in commands:
        command.kill()
        command.communicate()


def contents(path):
    """All arrays of a file, and its attributes but for the command and the digest that covers it."""
    found, skipped = {}, {"command", "relucli_sha256"}

    def note(name, item):
        found.update({f"{name}@{key}": value for key, value in item.attrs.items() if key not in skipped})
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(note)
        note("", file)
    return found


def same(a, b, but=()):
    a, b = contents(a), contents(b)
    differ = {name for name in a if np.asarray(a[name]).tobytes() != np.asarray(b[name]).tobytes()}
    return a.keys() == b.keys() and differ <= set(but)


def complaint(capsys, line, status):
    """What a command that is refused says, which must be one line."""
    assert run(line.split()) == status
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line.removeprefix("relucli: ")


class TestSameBits:
    @pytest.mark.parametrize("grain", [1, 2, 4, 8])
    def test_for_every_executor_and_size_of_runs(self, data, executor, monkeypatch, grain):
        with open_dataset("data.h5") as rows:
            assert len(groups(SAMPLES, DIM)) == 7
            settings = MomentSettings((1, 2), 1, 4)
            reference = estimate_moments(rows, settings, Engine()).sums.sums
            executor.check(rows)
            for way in (SerialExecutor(), ThreadExecutor(2), executor):
                monkeypatch.setattr(way, "grain", lambda count: grain, raising=True)
                found = estimate_moments(rows, settings, Engine(cluster=way)).sums.sums
                assert found.keys() == reference.keys()
                assert all(found[name].tobytes() == reference[name].tobytes() for name in found), way

    def test_of_moments_while_three_workers_are_killed(self, data, cluster, started):
        assert run(f"{MOMENTS} -o serial.h5 -q".split()) == 0
        with cluster.order("stop"):
            command = started(f"{MOMENTS} -o found.h5 --json --scheduler {cluster.address}")
            cluster.kill_readers(3)
        out, err = command.communicate(timeout=60)
        assert (err, command.returncode) == ("", 0)
        assert json.loads(out)["bytes_read"] == SAMPLES * (2 * DIM + 8)
        assert same("found.h5", "serial.h5")

    def test_of_learn_while_three_workers_are_killed(self, data, cluster, started, capsys):
        assert run(f"{LEARN} -o serial.h5 --json".split()) == 0
        serial = json.loads(capsys.readouterr().out)
        with cluster.order("stop"):
            command = started(f"{LEARN} -o found.h5 --json --scheduler {cluster.address}")
            cluster.kill_readers(3)
        out, err = command.communicate(timeout=60)
        assert (err, command.returncode) == ("", 0)
        assert same("found.h5", "serial.h5")
        found = json.loads(out)
        assert {name for name in serial if found[name] != serial[name]} <= {"seconds"}

    def test_with_processes_that_the_command_starts(self, data, started, capsys):
        plant = "generate more.h5 --samples 9 --dim 7 --neurons 2 --teacher-out net.h5 -q"
        assert run(plant.split()) == 0
        assert run(["evaluate", "net.h5", "data.h5", "--json"]) == 0
        serial = json.loads(capsys.readouterr().out)
        command = started("evaluate net.h5 data.h5 --json --scheduler local:2")
        out, err = command.communicate(timeout=60)
        assert (err, command.returncode) == ("", 0)
        assert json.loads(out) | {"seconds": 0} == serial | {"seconds": 0}

    def test_of_predictions_in_their_order(self, data, cluster, capsys):
        plant = "generate more.h5 --samples 9 --dim 7 --neurons 2 --teacher-out net.h5 -q --force"
        assert run(plant.split()) == 0
        assert run(["predict", "net.h5", "data.h5", "--hidden"]) == 0
        serial = capsys.readouterr().out
        assert run(["predict", "net.h5", "data.h5", "--hidden", "--scheduler", cluster.address]) == 0
        assert capsys.readouterr().out == serial


class TestErrors:
    def test_of_data_arrive_as_they_are_and_are_not_tried_again(self, data, cluster, capsys):
        shutil.copy("data.h5", "bad.h5")
        with h5py.File("bad.h5", "r+") as file:
            file["x"][100_000, 3] = np.nan
        message = complaint(capsys, "moments bad.h5 -o a.h5 --contractions 0", 65)
        assert message == "bad.h5: x row 100000 column 3 is nan; drop the row or correct it"
        with cluster.order("note"):
            line = f"moments bad.h5 -o a.h5 --contractions 0 --scheduler {cluster.address}"
            assert complaint(capsys, line, 65) == message
            assert sum(row <= 100_000 < row + 16384 for _, row in cluster.readings()) == 1

    def test_of_input_are_tried_again(self, data, cluster, executor):
        with open_dataset("data.h5") as rows, cluster.order("fail once"):
            assert estimate_moments(rows, MomentSettings((1,), 0, 2), Engine(cluster=executor)).samples == SAMPLES
            assert not (cluster.folder / "order").exists()

    def test_of_input_that_last_arrive_as_they_are(self, executor):
        def fail(item):
            raise StorageError(f"disk {item}: full")

        with pytest.raises(StorageError, match=r"^disk 0: full$"):
            list(executor.map(fail, range(3)))

    def test_come_after_the_results_before_them(self, executor):
        def work(item):
            if item == 3:
                raise DataError("item 3")
            return item

        results = executor.map(work, range(30))
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DataError, match=r"^item 3$"):
            next(results)

    def test_that_nothing_comes_back(self, data, cluster, capsys, monkeypatch):
        monkeypatch.setenv("RELUCLI_TIMEOUT", "1")
        with cluster.order("stop"):
            message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler {cluster.address}", 69)
        assert message == (
            f"scheduler {cluster.address}: no result for 1 s; "
            "see whether its workers run, or set RELUCLI_TIMEOUT to wait longer"
        )

    def test_an_interrupt_ends_a_pass(self, data, cluster, started):
        with cluster.order("stop"):
            command = started(f"{MOMENTS} -o a.h5 --scheduler {cluster.address}")
            cluster.wait_for_readers(4)
            command.send_signal(signal.SIGINT)
            assert command.communicate(timeout=20) == ("", "relucli: interrupted\n")
        assert command.returncode == 130
        assert os.listdir() == ["data.h5"]


class TestClustersThatCannotBeUsed:
    @pytest.fixture(scope="class")
    def other(self, start_cluster):
        return start_cluster()

    def test_no_library(self, data, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler local:2", 2)
        assert message == "--scheduler needs Dask; install it: pip install 'relucli[dask]'"

    @pytest.mark.parametrize("address", ["local:0", "somewhere", "http://a:1", "tcp://a"])
    def test_no_address(self, data, capsys, address):
        message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler {address}", 2)
        assert message == (
            f"--scheduler {address}: not an address; pass one like tcp://host:8786, or local:4 for this machine"
        )

    @pytest.mark.parametrize("text", ["soon", "0", "-1", "inf"])
    def test_no_timeout(self, data, capsys, monkeypatch, text):
        monkeypatch.setenv("RELUCLI_TIMEOUT", text)
        message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler local:2", 2)
        assert message == f"RELUCLI_TIMEOUT={text}: not a number of seconds; set it to one like 300"

    def test_no_scheduler(self, data, capsys, monkeypatch):
        monkeypatch.setenv("RELUCLI_TIMEOUT", "0.5")
        message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler tcp://127.0.0.1:1", 69)
        assert message == (
            "scheduler tcp://127.0.0.1:1: no answer within 0.5 s; check the address, or start one with dask scheduler"
        )

    def test_no_workers(self, data, capsys, monkeypatch, other):
        monkeypatch.setenv("RELUCLI_TIMEOUT", "0.5")
        message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler {other.address}", 69)
        assert message == f"scheduler {other.address}: no workers within 0.5 s; start some with dask worker"

    @pytest.mark.skipif(not os.path.exists("/proc/self/cwd"), reason="needs a path that differs between processes")
    def test_workers_that_see_no_file_or_another(self, data, capsys, other, tmp_path):
        there = tmp_path / "there"
        there.mkdir()
        other.add(1, cwd=there)
        line = f"moments /proc/self/cwd/data.h5 -o a.h5 --scheduler {other.address}"
        where = r"worker tcp://127\.0\.0\.1:\d+"
        assert re.fullmatch(
            rf"/proc/self/cwd/data\.h5: no such file on {where}; all workers must see it", complaint(capsys, line, 66)
        )
        shutil.copy("data.h5", there)
        with h5py.File(there / "data.h5", "r+") as file:
            file["x"][0, 0] += 1
        assert re.fullmatch(
            rf"/proc/self/cwd/data\.h5: other rows on {where} than here; give all workers the same file",
            complaint(capsys, line, 65),
        )
        size = os.path.getsize("data.h5")
        with open(there / "data.h5", "ab") as file:
            file.write(b"more")
        assert re.fullmatch(
            rf"/proc/self/cwd/data\.h5: {size + 4} bytes on {where}, but {size} here; give all workers the same file",
            complaint(capsys, line, 65),
        )
        shutil.copy("data.h5", there)
        assert run(f"{line} -q".split()) == 0

    def test_workers_of_another_version(self, data, capsys, other):
        other.add(1, preload='import relucli; relucli.__version__ = "0.0.1"')
        message = complaint(capsys, f"{MOMENTS} -o a.h5 --scheduler {other.address}", 69)
        assert re.fullmatch(
            rf"worker tcp://127\.0\.0\.1:\d+ runs relucli 0\.0\.1, but this machine {relucli.__version__}; "
            "install the same versions",
            message,
        )


def test_few_large_runs_with_some_for_every_worker():
    executor = object.__new__(dask.DaskExecutor)
    executor.workers = 2
    assert [executor.grain(count) for count in (0, 1, 15, 16, 64, 122, 10**6)] == [1, 1, 1, 2, 8, 8, 16]


def test_rows_in_memory_stay_here():
    class Nowhere(SerialExecutor):
        def map(self, function, items):
            raise ClusterError("out")

    rows = MemoryRows(np.random.default_rng(0).standard_normal((100, 3)), np.arange(100.0))
    assert estimate_moments(rows, MomentSettings((1,), 0, 2), Engine(cluster=Nowhere())).samples == 100


def test_a_run_begins_with_a_group():
    size = group_rows(DIM)
    assert [span.rows // size for span in groups(10 * size, DIM, 4)] == [4, 4, 2]
    assert groups(groups(10 * size, DIM, 4)[1], DIM) == groups(10 * size, DIM)[4:8]
