"""Figures as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from relucli.errors import UsageError
from relucli.report.figures import FIGURES, figure
from relucli.report.material import Material
from relucli.report.style import save, suffix_of
from relucli.storage.atomic import atomic_output

__all__ = ["draw", "targets"]


def targets(output: Path, names: Sequence[str]) -> dict[str, Path]:
    """The file of each figure: the output or, of several, the output with their name before its ending.

    Raises
    ------
    UsageError
        If there is no such format or figure, or a figure is named twice.
    """
    suffix_of(output)
    for name in names:
        if name not in FIGURES:
            raise UsageError(f"no figure {name}; there are {', '.join(FIGURES)}")
        if names.count(name) > 1:
            raise UsageError(f"figure {name} is named twice; name it once")
    if len(names) == 1:
        return {names[0]: output}
    return {name: output.with_name(f"{output.stem}-{name}{output.suffix}") for name in names}


def draw(material: Material, paths: Mapping[str, Path], force: bool = False) -> None:
    """Write figures, after it is clear that there is all that they need.

    Raises
    ------
    UsageError
        If something is missing for a figure, or matplotlib is not installed.
    OutputError, StorageError
        As `relucli.storage.atomic.atomic_output`.
    """
    chosen = {name: figure(name, material) for name in paths}
    for name, path in paths.items():
        with atomic_output(path, force) as temporary:
            found = chosen[name]
            save(temporary, found.painter(material), found.height(material), suffix_of(path))
