"""Sizes, counts and values with errors: as people write them, as they read them, and as JSON has them."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from relucli.errors import UsageError

__all__ = ["counted", "duration", "number", "parse_count", "parse_memory", "plain", "rough_count", "size", "with_error"]

_LARGEST = 2**62
_SIZE = re.compile(r"([0-9_]*\.?[0-9]+(?:e\+?[0-9]{1,3})?) ?(?:([kmgt]?)(i?b|)|b)", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Bytes in a size: 512MiB and 512M are binary, 100MB is decimal, 1e9 is bytes.

    Raises
    ------
    UsageError
        If it is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found:
        count, prefix, unit = found[1], (found[2] or "").lower(), (found[3] or "").lower()
        base = 1000 if unit == "b" else 1024
        total = Decimal(count) * base ** " kmgt".index(prefix or " ")
        if 1 <= total <= _LARGEST:
            return int(total)
    raise UsageError(f"--memory {text}: not a size; pass one like 512MiB, 2GiB or 1e9")


def parse_count(text: str, option: str) -> int:
    """A whole number of at least 1, as people write large ones: 1000000, 1e6, 1_000_000.

    Raises
    ------
    UsageError
        If it is not one.
    """
    try:
        count = Decimal(text)
    except InvalidOperation:
        count = Decimal("nan")
    if not count.is_finite() or count > _LARGEST or count != count.to_integral_value():
        raise UsageError(f"{option} {text}: not a whole number; pass one like 1000000, 1e6 or 1_000_000")
    if count < 1:
        raise UsageError(f"{option} must be at least 1, not {text}")
    return int(count)


def counted(count: int, noun: str) -> str:
    """A number of things: 1 pass, 2 passes, 30,000 inputs."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def number(value: float | None) -> str:
    """A number for people, of five digits."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.5g}"


def with_error(value: float | None, error: float | None) -> str:
    """A number and its standard error: digits down to two of the error's."""
    if value is None or error is None or not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value)
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits > 8 or error >= 1e4:
        return f"{value:.8g} +- {error:.1e}"
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def rough_count(value: float) -> str:
    """A large number for people: 950, 12k, 1.2M."""
    power = min(3, max(0, (len(str(round(value))) - 1) // 3))
    scaled = value / 1000**power
    return f"{scaled:.{int(power > 0 and scaled < 10)}f}{('', 'k', 'M', 'G')[power]}"


def size(count: float) -> str:
    """Bytes for people, in powers of 1024."""
    power = min(4, max(0, (int(count).bit_length() - 1) // 10))
    unit = ("B", "KiB", "MiB", "GiB", "TiB")[power]
    return f"{count / 1024**power:.{int(power > 0)}f} {unit}"


def duration(seconds: float) -> str:
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


def plain(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, paths as text, and null for what is no finite number."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
