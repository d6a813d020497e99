from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from relucli.errors import InputError, OutputError, StorageError
from relucli.storage import atomic
from relucli.storage.atomic import atomic_output, check_output, error_code, io_error


@pytest.fixture
def unprivileged():
    """A folder of mode 0555 in the hands of a user whom that binds, also where the tests run as root."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        locked = Path(name, "locked")
        locked.mkdir()
        locked.chmod(0o555)
        os.chmod(name, 0o755)
        if root:
            os.seteuid(65534)
        try:
            yield locked
        finally:
            if root:
                os.seteuid(0)


def test_output_appears_when_the_body_succeeds(folder):
    with atomic_output("out.h5") as temporary:
        temporary.write_text("whole")
        assert not Path("out.h5").exists()
        assert temporary.parent == Path("out.h5").parent
    assert os.listdir() == ["out.h5"]
    assert Path("out.h5").read_text() == "whole"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", ["old", None])
def test_a_failing_body_leaves_what_was_there(folder, error, old):
    if old:
        Path("out.h5").write_text(old)

    def fail_within():
        with atomic_output("out.h5", force=True) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail_within()
    assert [Path(name).read_text() for name in os.listdir()] == ([old] if old else [])


def test_force_replaces(folder):
    Path("out.h5").write_text("old")
    with atomic_output("out.h5", force=True) as temporary:
        temporary.write_text("new")
    assert os.listdir() == ["out.h5"]
    assert Path("out.h5").read_text() == "new"


def test_the_quicker_of_two_writers_is_not_overwritten(folder):
    def write(text, meanwhile):
        with atomic_output("out.h5") as temporary:
            temporary.write_text(text)
            meanwhile()

    with pytest.raises(OutputError) as caught:
        write("slow", meanwhile=lambda: write("quick", meanwhile=lambda: None))
    assert str(caught.value) == "out.h5: exists already; pass --force to replace it"
    assert os.listdir() == ["out.h5"]
    assert Path("out.h5").read_text() == "quick"


@pytest.mark.parametrize("links", [True, False])
def test_of_many_writers_at_once_one_wins_whole(folder, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    start, won = threading.Barrier(8), []

    def write(writer):
        try:
            with atomic_output("out.h5") as temporary:
                temporary.write_text(str(writer) * 1000)
                start.wait()
            won.append(writer)
        except OutputError:
            pass

    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert Path("out.h5").read_text() == str(won[0]) * 1000
    assert os.listdir() == ["out.h5"]


def test_a_claim_is_withdrawn_if_the_rename_fails(folder, monkeypatch):
    monkeypatch.setattr(os, "link", refuse(errno.EOPNOTSUPP))
    monkeypatch.setattr(os, "replace", refuse(errno.EIO))
    with pytest.raises(StorageError), atomic_output("out.h5") as temporary:
        temporary.write_text("x")
    assert os.listdir() == []


def refuse(code):
    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    return fail


def test_file_and_folder_are_synced_around_publication(folder, monkeypatch):
    synced, fsync = [], os.fsync

    def note(handle):
        synced.append((os.path.isdir(f"/proc/self/fd/{handle}"), Path("out.h5").exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    with atomic_output("out.h5") as temporary:
        temporary.write_text("x")
    assert synced == [(False, False), (True, True)]


def temporary_of(process, name="out.h5"):
    return f"{atomic._prefix(Path(name))}{process}-0123abcd"


def test_temporaries_of_dead_processes_are_removed(folder):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale, kept = temporary_of(dead.pid), [temporary_of(os.getpid()), temporary_of(dead.pid, "other.h5")]
    for name in [stale, *kept]:
        Path(name).touch()
    with atomic_output("out.h5") as temporary:
        temporary.touch()
    assert sorted(os.listdir()) == sorted(["out.h5", *kept])


def test_a_name_of_the_greatest_length_can_be_written(folder):
    name = "é" * 126 + ".h5"
    with atomic_output(name) as temporary:
        temporary.touch()
    assert os.listdir() == [name]


def test_a_temporary_is_recognisable(folder):
    with atomic_output("out.h5") as temporary:
        assert temporary.name.startswith(".out.h5.relucli-tmp-")
        assert f"-{os.getpid()}-" in temporary.name
        temporary.touch()


@pytest.mark.parametrize(
    ("path", "force", "message"),
    [
        ("old.h5", False, "old.h5: exists already; pass --force to replace it"),
        ("dangling", False, "dangling: exists already; pass --force to replace it"),
        ("sub", True, "sub: is a directory; name a file in it"),
        ("pipe", True, "pipe: is not a regular file; choose another name"),
        ("no/out.h5", True, "no/out.h5: folder no does not exist; create it first"),
        ("old.h5/out.h5", True, "old.h5/out.h5: folder old.h5 does not exist; create it first"),
        ("a\nb/c", True, r"a\nb/c: folder a\nb does not exist; create it first"),
    ],
)
def test_outputs_that_cannot_be_created(folder, path, force, message):
    Path("old.h5").touch()
    Path("sub").mkdir()
    Path("dangling").symlink_to("nowhere")
    os.mkfifo("pipe")
    for attempt in (check_output, lambda *a: atomic_output(*a).__enter__()):
        with pytest.raises(OutputError) as caught:
            attempt(path, force)
        assert str(caught.value) == message


def test_an_unwritable_folder(unprivileged):
    path = unprivileged / "out.h5"
    with pytest.raises(OutputError) as caught:
        check_output(path)
    assert str(caught.value) == f"{path}: folder {unprivileged} is not writable; choose another folder"


def test_a_check_passes_where_the_output_can_be_made(folder):
    check_output("out.h5")
    Path("out.h5").touch()
    check_output("out.h5", force=True)


@pytest.mark.parametrize(
    ("error", "writing", "kind", "text"),
    [
        (
            OSError(errno.ENOSPC, ""),
            True,
            StorageError,
            "disk full; free some space or choose another folder",
        ),
        (
            OSError(errno.EDQUOT, ""),
            True,
            StorageError,
            "disk full; free some space or choose another folder",
        ),
        (OSError(errno.EFBIG, ""), True, StorageError, "disk full; free some space or choose another folder"),
        (
            OSError("Can't write data (errno = 28, error message = 'No space left on device')"),
            True,
            StorageError,
            "disk full; free some space or choose another folder",
        ),
        (
            RuntimeError("Can't decrement id ref count (errno = 28, ...)"),
            True,
            StorageError,
            "disk full; free some space or choose another folder",
        ),
        (OSError(errno.EIO, ""), False, StorageError, "input/output error; check the disk"),
        (OSError("file read failed: errno = 5,"), False, StorageError, "input/output error; check the disk"),
        (OSError(errno.EACCES, ""), True, OutputError, "permission denied; choose another folder"),
        (OSError(errno.EACCES, ""), False, InputError, "permission denied; make it readable"),
        (OSError(errno.EROFS, ""), True, OutputError, "read-only disk; choose another folder"),
        (OSError(errno.ENOENT, ""), False, InputError, "no such file; check its name"),
        (
            OSError(errno.EAGAIN, ""),
            False,
            InputError,
            "in use by another program; try again when that has closed it "
            "(a lock that is left over is passed by with HDF5_USE_FILE_LOCKING=FALSE)",
        ),
        (OSError(errno.ENAMETOOLONG, ""), True, OutputError, "file name too long; check its name and folder"),
        (OSError("no number"), True, StorageError, "cannot be written; check the disk"),
    ],
)
def test_errors_of_the_system_have_their_exit_status(error, writing, kind, text):
    mapped = io_error(error, "f.h5", writing=writing)
    assert type(mapped) is kind
    assert str(mapped) == f"f.h5: {text}"


def test_an_error_in_the_wake_of_another_has_its_number():
    error, wake = OSError(errno.ENOSPC, ""), RuntimeError("slist already enabled?")
    wake.__context__ = error
    assert error_code(wake) == errno.ENOSPC
    assert error_code(RuntimeError("")) is None


def test_a_full_disk_while_hdf5_writes_leaves_nothing(folder):
    # In a process of its own, which must go on and end as any other does: HDF5 is ready to crash it.
    script = """
import gc, os, resource
import numpy as np
from relucli.errors import StorageError
from relucli.storage.dataset import DatasetWriter
from relucli.storage.schema import Provenance
for limit in (0, 1_000, 200_000, 2_000_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        with DatasetWriter("out.h5", 100_000, 3, provenance=Provenance("", 0)) as writer:
            writer.append(np.ones((100_000, 3)), np.ones(100_000))
        message = "written"
    except StorageError as error:
        message = str(error)
    gc.collect()
    print(message, os.listdir(), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    full = "out.h5: disk full; free some space or choose another folder []\n"
    assert done.stdout == 4 * full
