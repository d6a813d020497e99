from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from relucli.storage.schema import Provenance


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, so that messages hold short names."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def provenance() -> Provenance:
    return Provenance("relucli generate data.h5 --seed 7", 7)


@pytest.fixture
def foreign(folder: Path) -> Callable[..., str]:
    """Writes an HDF5 file that relucli did not make."""

    def write(name: str, attributes: dict[str, Any] | None = None, **columns: Any) -> str:
        with h5py.File(name, "w") as file:
            file.attrs.update(attributes or {})
            for key, value in columns.items():
                file[key] = value
        return name

    return write


@pytest.fixture
def flip() -> Callable[[str, str, int], None]:
    """Flips a bit in a chunk of a dataset."""

    def corrupt(path: str, name: str, chunk: int = 0) -> None:
        with h5py.File(path) as file:
            offset = file[name].id.get_chunk_info(chunk).byte_offset
        content = bytearray(Path(path).read_bytes())
        content[offset + 3] ^= 16
        Path(path).write_bytes(content)

    return corrupt


@pytest.fixture
def sample() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    return random.standard_normal((1000, 3)), random.standard_normal(1000)
