from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from relucli.storage.heaps import watched

MEBIBYTE = 2**20
FAR = 20 * MEBIBYTE


def new_file(name: str, size_bytes: int) -> h5py.File:
    created = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    created.set_sizes(8, size_bytes)
    return h5py.File(h5py.h5f.create(name.encode(), fcpl=created))


def far_away(name: str, size_bytes: int = 8, virtual: bool = False) -> None:
    """Write a file whose heap, of an attribute or of a virtual dataset's sources, lies beyond 20 MiB."""
    with new_file(name, size_bytes) as file:
        padding = file.create_dataset("padding", FAR, "u1")
        padding[-1] = 1
        file["x"], file["y"] = np.eye(40, 3), np.arange(40.0)
        if virtual:
            layout = h5py.VirtualLayout((40, 3), "f8")
            layout[:] = h5py.VirtualSource(".", "x", (40, 3))
            file.create_virtual_dataset("virtual", layout)
        else:
            file.attrs["format"] = "of another program"


def forge(name: str, size: int, reserved: int = 0, size_bytes: int = 8) -> None:
    """Give the space that is free in the only heap of a file another size."""
    content = bytearray(Path(name).read_bytes())
    heap = content.find(b"GCOL\1", FAR)
    assert heap > FAR
    header = 16
    length = int.from_bytes(content[heap + 8 : heap + 8 + size_bytes], "little")
    content[heap + 5] = reserved
    at = heap + header
    while struct.unpack_from("<H", content, at)[0]:
        used = int.from_bytes(content[at + 8 : at + 8 + size_bytes], "little")
        at += header + -(-used // 8) * 8
        assert at < heap + length
    content[at + 8 : at + 8 + size_bytes] = (size % 256**size_bytes).to_bytes(size_bytes, "little")
    Path(name).write_bytes(content)


def relucli(*words: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("relucli"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


REFUSED = "relucli: forged.h5: attributes cannot be read (damaged file?); copy or make it again\n"


@pytest.mark.parametrize("reserved", [0, 7])
@pytest.mark.parametrize("size", [0, -16, -8, 2**20])
def test_text_in_a_heap_without_end_is_refused_wherever_it_is(folder: Path, size: int, reserved: int) -> None:
    far_away("forged.h5")
    forge("forged.h5", size, reserved)
    ended = relucli("moments", "forged.h5", "-o", "moments.h5")
    assert (ended.returncode, ended.stdout, ended.stderr) == (65, "", REFUSED)


def test_heaps_with_short_sizes_are_looked_at_too(folder: Path) -> None:
    far_away("forged.h5", size_bytes=4)
    forge("forged.h5", 0, size_bytes=4)
    assert relucli("info", "forged.h5").stderr == REFUSED


@pytest.mark.parametrize("words", [("info", "forged.h5"), ("evaluate", "net.h5", "forged.h5", "--inputs", "virtual")])
def test_sources_in_a_heap_without_end_are_refused(folder: Path, words: tuple[str, ...]) -> None:
    far_away("forged.h5", virtual=True)
    forge("forged.h5", 0)
    with h5py.File("net.h5", "w") as file:
        file["weights"], file["coefficients"], file["biases"] = np.eye(1, 3), np.ones(1), np.zeros(1)
    ended = relucli(*words)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (65, "", 1)
    assert "cannot be read (damaged file?)" in ended.stderr


@pytest.mark.parametrize("size_bytes", [4, 8])
def test_sound_heaps_pass(folder: Path, size_bytes: int) -> None:
    with new_file("sound.h5", size_bytes) as file:
        for i in range(300):
            file.attrs[f"note {i}"] = "text " * i
    with h5py.File("sound.h5", "r") as file, watched(file["/"]) as again:
        assert [again.attrs[f"note {i}"] for i in range(300)] == ["text " * i for i in range(300)]
        with watched(again) as same:
            assert same is again


def test_what_is_watched_keeps_its_place(folder: Path, foreign: Callable[..., str]) -> None:
    with h5py.File(foreign("data.h5", {"note": "text"}, x=np.eye(3)), "r") as file, watched(file["x"]) as again:
        assert again.name == "/x"
        np.testing.assert_array_equal(again[()], np.eye(3))
