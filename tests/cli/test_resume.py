"""Commands that are interrupted, and go on: what they give is what they would have given."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli import synthesis
from relucli.errors import OutputError
from relucli.storage import checkpoint
from relucli.storage.checkpoint import file_stamp
from relucli.storage.dataset import StoredRows
from relucli.streaming import blocks, executors, fold

MOMENTS = "moments data.h5 -o out.h5 --seed 5 --slices 4"
LEARN = "learn data.h5 -o out.h5 -k 2 --quiet"
FOLDER = Path(".out.h5.relucli-checkpoint")


class Interrupted(KeyboardInterrupt):
    """What a signal raises, at a group of our choice."""


@pytest.fixture
def eager(monkeypatch):
    """Checkpoints after every group, of which there are many."""
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)
    monkeypatch.setattr(blocks, "STRIPE_BYTES", 64 * 8 * 4)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 64 * 8 * 4)


@pytest.fixture
def stop_at(monkeypatch):
    """Interrupts the folding of a group, counted over all passes over the file; tells how many groups were folded."""
    real = fold._fold_group

    def stored(rows):
        return isinstance(rows, StoredRows) or (hasattr(rows, "rows") and stored(rows.rows))

    def arrange(group):
        count = [0]

        def counted(empty, rows, span):
            count[0] += stored(rows)
            if count[0] == group and stored(rows):
                raise Interrupted
            return real(empty, rows, span)

        monkeypatch.setattr(fold, "_fold_group", counted)
        return count

    return arrange


@pytest.mark.usefixtures("pipeline", "eager")
@pytest.mark.parametrize(("line", "least", "points"), [(MOMENTS, 15, 6), (LEARN, 60, 5)], ids=["moments", "learn"])
def test_what_is_resumed_is_the_same_to_the_bit(cli, stop_at, monkeypatch, line, least, points):
    count = stop_at(0)
    assert cli(line).status == 0
    whole, groups = Path("out.h5").read_bytes(), count[0]
    assert groups >= least
    for turn, group in enumerate(np.linspace(2, groups, points, dtype=int)):
        Path("out.h5").unlink()
        stop_at(group)
        first, second = 1 + turn % 2, 2 - turn % 2
        monkeypatch.setattr(executors, "usable_cores", lambda cores=first: cores)
        assert cli(line).status == 130
        count = stop_at(0)
        monkeypatch.setattr(executors, "usable_cores", lambda cores=second: cores)
        assert cli(f"{line} --resume").status == 0
        assert count[0] <= groups - group + 2 + first
        assert Path("out.h5").read_bytes() == whole
        assert not FOLDER.exists()


@pytest.fixture
def stop_drawing_at(monkeypatch):
    """Interrupts the drawing of a block of rows; tells how many blocks were drawn."""
    real = synthesis.draw

    def arrange(block):
        count = [0]

        def counted(*arguments):
            count[0] += 1
            if count[0] == block:
                raise Interrupted
            return real(*arguments)

        monkeypatch.setattr(synthesis, "draw", counted)
        return count

    return arrange


def written():
    return {path.name: path.read_bytes() for path in Path().glob("out*")}


@pytest.mark.usefixtures("pipeline", "eager")
@pytest.mark.parametrize("more", ["", " --shards 3 --dtype float32", " --teacher-out out-net.h5"])
def test_rows_that_are_drawn_need_not_be_drawn_again(cli, stop_drawing_at, monkeypatch, more):
    line = f"generate out.h5 --samples 3000 --dim 4 --neurons 2 --noise 0.1 --quiet{more}"
    count = stop_drawing_at(0)
    monkeypatch.setattr(checkpoint, "INTERVAL", 30.0)  # the reference never is closed and opened again
    assert cli(line).status == 0
    whole, blocks_drawn = written(), count[0]
    assert blocks_drawn == 47
    monkeypatch.setattr(checkpoint, "INTERVAL", 0.0)
    for turn, block in enumerate((2, 7, 18, 30, 46)):
        for name in whole:
            Path(name).unlink()
        monkeypatch.setattr(executors, "usable_cores", lambda cores=1 + turn % 2: cores)
        stop_drawing_at(block)
        assert cli(line).status == 130
        assert written() == {}
        stop_drawing_at(2)
        assert cli(f"{line} --resume").status == 130
        count = stop_drawing_at(0)
        monkeypatch.setattr(executors, "usable_cores", lambda cores=2 - turn % 2: cores)
        assert cli(f"{line} --resume").status == 0
        assert count[0] <= blocks_drawn - block + 1 + 2 + 4  # drawn ahead, or of a chunk of labels that was not full
        assert written() == whole
        assert not FOLDER.exists()


@pytest.mark.usefixtures("pipeline", "eager")
def test_a_kill_between_the_name_of_a_file_and_its_entry_does_no_harm(cli, stop_drawing_at):
    line = "generate out.h5 --samples 3000 --dim 4 --neurons 2 --noise 0.1 --quiet"
    assert cli(line).status == 0
    whole = Path("out.h5").read_bytes()
    Path("out.h5").unlink()
    FOLDER.mkdir()
    (FOLDER / "rows-00000.h5").write_bytes(b"begun, but never saved")
    stop_drawing_at(30)
    assert cli(f"{line} --resume").status == 130
    stop_drawing_at(0)
    assert cli(f"{line} --resume").status == 0
    assert Path("out.h5").read_bytes() == whole


@pytest.mark.usefixtures("pipeline", "eager")
def test_a_file_that_is_an_output_already_is_not_written_to(cli, stop_drawing_at):
    line = "generate out.h5 --samples 3000 --dim 4 --neurons 2 --noise 0.1 --quiet --force"
    stop_drawing_at(30)
    assert cli(line).status == 130
    os.link(FOLDER / "rows-00000.h5", "out.h5")  # as after a kill between the output and the end of its checkpoint
    then = Path("out.h5").read_bytes()
    stop_drawing_at(20)
    assert cli(f"{line} --resume").status == 130
    assert Path("out.h5").read_bytes() == then
    count = stop_drawing_at(0)
    assert cli(f"{line} --resume").status == 0
    assert count[0] < 40
    resumed = Path("out.h5").read_bytes()
    assert cli(line).status == 0
    assert Path("out.h5").read_bytes() == resumed


@pytest.mark.usefixtures("pipeline", "eager")
def test_rows_of_another_network_are_refused(cli, stop_drawing_at):
    line = "generate out.h5 --samples 3000 --teacher teacher.h5 --seed 9"
    stop_drawing_at(20)
    assert cli(line).status == 130
    stop_drawing_at(0)
    result = cli(f"{line} --resume --noise 1")
    text = "--noise was 0.0 and is 1.0 now; pass it as it was, or leave --resume out to start afresh"
    assert (result.status, result.stderr.splitlines()[-1]) == (2, f"relucli: {FOLDER}: {text}")
    then = file_stamp("teacher.h5")
    os.utime("teacher.h5", ns=(0, 0))
    result = cli(f"{line} --resume")
    text = f"teacher.h5 was {then} and is {file_stamp('teacher.h5')} now; leave --resume out to start afresh"
    assert (result.status, result.stderr.splitlines()[-1]) == (65, f"relucli: {FOLDER}: {text}")


@pytest.mark.usefixtures("pipeline", "eager")
def test_where_files_cannot_have_two_names_rows_are_drawn_without_checkpoints(cli, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    result = cli("generate out.h5 --samples 3000 --dim 4 --neurons 2")
    assert result.status == 0
    assert result.stderr == "note: no checkpoints from here on: [Errno 1] Operation not permitted\n"
    assert not FOLDER.exists()


@pytest.fixture
def interrupted(cli, pipeline, eager, stop_at):
    """A checkpoint of the moments of data.h5."""
    stop_at(6)
    assert cli(f"{MOMENTS} --workers 1").status == 130
    return stop_at(0)


@pytest.mark.usefixtures("interrupted")
def test_an_interrupt_says_what_is_kept(cli, stop_at):
    stop_at(3)
    result = cli(f"{MOMENTS} --workers 1 --resume")
    assert result.stderr.splitlines() == [
        "note: what was done is kept in .out.h5.relucli-checkpoint; --resume goes on from there",
        "relucli: interrupted",
    ]
    assert os.listdir(FOLDER) == ["pass-00000.npz"]


@pytest.mark.usefixtures("interrupted")
@pytest.mark.parametrize(
    ("more", "status", "text"),
    [
        ("--slices 8", 2, "--slices was 4 and is 8 now; pass it as it was, or leave --resume out to start afresh"),
        ("--seed 6", 2, "--seed was 5 and is 6 now; pass it as it was, or leave --resume out to start afresh"),
        (
            "--orders 2",
            2,
            "--orders was 1,2,4,6 and is 2 now; pass it as it was, or leave --resume out to start afresh",
        ),
    ],
)
def test_other_options_are_refused(cli, more, status, text):
    result = cli(f"{MOMENTS} --resume {more}")
    assert (result.status, result.stderr) == (status, f"relucli: .out.h5.relucli-checkpoint: {text}\n")
    assert FOLDER.exists()


@pytest.mark.usefixtures("interrupted")
def test_another_command_is_refused(cli):
    result = cli(f"{LEARN} --resume")
    text = "the command was moments and is learn now; pass it as it was, or leave --resume out to start afresh"
    assert (result.status, result.stderr) == (2, f"relucli: .out.h5.relucli-checkpoint: {text}\n")


@pytest.mark.usefixtures("interrupted")
def test_data_that_changed_are_refused(cli):
    then = file_stamp("data.h5")
    with h5py.File("data.h5", "r+") as file:
        file["y"][17] += 1.0
    result = cli(f"{MOMENTS} --resume")
    text = f"data.h5 was {then} and is {file_stamp('data.h5')} now; leave --resume out to start afresh"
    assert (result.status, result.stderr) == (65, f"relucli: .out.h5.relucli-checkpoint: {text}\n")


@pytest.mark.usefixtures("interrupted")
def test_another_version_or_processor_is_refused(cli, monkeypatch):
    monkeypatch.setattr(checkpoint, "_processor", lambda: "Z80")
    result = cli(f"{MOMENTS} --resume")
    assert result.status == 65
    assert re.fullmatch(r"relucli: .*: the processor was .* and is Z80 now; leave --resume out .*\n", result.stderr)


@pytest.mark.usefixtures("interrupted")
def test_a_damaged_checkpoint_is_refused(cli):
    path = FOLDER / "pass-00000.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    result = cli(f"{MOMENTS} --resume")
    assert result.status == 65
    assert result.stderr == f"relucli: {path}: damaged checkpoint; leave --resume out to start afresh\n"


def test_without_resume_a_command_starts_afresh_and_says_what_it_could_have_done(cli, interrupted):
    result = cli(f"{MOMENTS} --workers 1")
    assert result.status == 0
    assert result.stderr == (
        "note: .out.h5.relucli-checkpoint is of a run that was interrupted; --resume would go on from there\n"
    )
    assert interrupted[0] == 63
    assert not FOLDER.exists()


@pytest.mark.usefixtures("pipeline", "eager")
def test_resume_without_a_checkpoint_starts(cli):
    assert cli(f"{MOMENTS} --resume").status == 0
    resumed = Path("out.h5").read_bytes()
    assert cli(f"{MOMENTS}").status == 73
    Path("out.h5").unlink()
    assert cli(MOMENTS).status == 0
    assert Path("out.h5").read_bytes() == resumed


@pytest.mark.usefixtures("pipeline")
def test_short_runs_leave_no_checkpoint(cli, stop_at):
    stop_at(1)
    assert cli(MOMENTS).status == 130
    assert not FOLDER.exists()


@pytest.mark.usefixtures("pipeline", "eager")
def test_bad_data_leave_no_checkpoint(cli):
    with h5py.File("data.h5", "r+") as file:
        file["y"][3000] = np.nan
    result = cli(MOMENTS)
    assert (result.status, result.stderr) == (65, "relucli: data.h5: y row 3000 is nan; drop the row or correct it\n")
    assert not FOLDER.exists()


@pytest.mark.usefixtures("pipeline", "eager")
def test_a_disk_that_is_full_for_checkpoints_is_told_once_and_does_no_harm(cli, monkeypatch):
    assert cli(MOMENTS).status == 0
    whole = Path("out.h5").read_bytes()
    Path("out.h5").unlink()

    def full(file, **arrays):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    result = cli(MOMENTS)
    assert result.status == 0
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(r"note: no checkpoints from here on: .*/pass-00000.npz: disk full; .*", line)
    assert Path("out.h5").read_bytes() == whole
    assert sorted(os.listdir()) == ["data.h5", "moments.h5", "net.h5", "out.h5", "teacher.h5", "test.h5"]


@pytest.mark.usefixtures("interrupted")
def test_a_checkpoint_in_use_is_not_touched(cli):
    with checkpoint.Checkpoint("out.h5", checkpoint.Identity({}, {})) as other:
        other._take()
        result = cli(f"{MOMENTS} --resume")
        text = "in use by another relucli; wait until that has ended"
        assert (result.status, result.stderr) == (73, f"relucli: .out.h5.relucli-checkpoint: {text}\n")
        assert cli(f"{MOMENTS} --quiet").status == 0
        assert os.listdir(FOLDER) == ["pass-00000.npz"]


def test_a_checkpoint_that_its_owner_removes_just_then_is_made_anew(tmp_path, monkeypatch):
    real, removed = fcntl.flock, []

    def late(handle, how):
        real(handle, how)
        if not removed:
            removed.append(kept.folder.stat().st_ino)
            kept.folder.rename(tmp_path / "removed")
            kept.folder.mkdir()

    monkeypatch.setattr(fcntl, "flock", late)
    with checkpoint.Checkpoint(tmp_path / "out.h5", checkpoint.Identity({}, {})) as kept:
        kept.save({"pass-00000": ({}, {})})
        assert [path.name for path in kept.folder.iterdir()] == ["pass-00000.npz"]
        with (
            checkpoint.Checkpoint(tmp_path / "out.h5", checkpoint.Identity({}, {})) as other,
            pytest.raises(OutputError, match="in use by another relucli"),
        ):
            other._take()
    assert removed
    assert not kept.folder.exists()


@pytest.mark.usefixtures("interrupted")
def test_where_there_are_no_locks_commands_resume_without(cli, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(checkpoint.fcntl, "flock", none)
    assert cli(f"{MOMENTS} --resume").status == 0


def test_intervals_grow_so_that_writing_takes_a_hundredth_of_the_time(tmp_path, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(checkpoint, "monotonic", lambda: now[0])

    def slow():
        now[0] += 2.0

    with checkpoint.Checkpoint(tmp_path / "out.h5", checkpoint.Identity({}, {})) as kept:
        for moment, due in ((1029.9, False), (1030.1, True)):
            now[0] = moment
            assert kept.due == due
        kept.save({"pass-00000": ({}, {"a": np.ones(3)})}, slow)
        for moment, due in ((1032.2 + 199.8, False), (1032.2 + 200.1, True)):
            now[0] = moment
            assert kept.due == due


def test_the_longest_name_has_a_checkpoint(tmp_path):
    with checkpoint.Checkpoint(tmp_path / ("é" * 126 + ".h5"), checkpoint.Identity({}, {})) as kept:
        kept.save({"pass-00000": ({}, {})})
        assert os.listdir(kept.folder) == ["pass-00000.npz"]
