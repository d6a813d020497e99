"""Fingerprints of rows taken part by part, as those of moments that were merged.

One part has the digest of its rows.  Several have, in order, the number of rows and the digest of each:
``1000:5d1f...,500:09ab...``.  Digests depend on rows alone, not on files: rows that are cut elsewhere, or not at all,
have the same fingerprint in the same parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["join_fingerprints", "part_rows", "parts_of"]

_MERGED = re.compile(r"[0-9]{1,18}:[0-9a-f]{32}(,[0-9]{1,18}:[0-9a-f]{32})*")


def parts_of(fingerprint: str, rows: int) -> list[tuple[int, str]]:
    """Rows and digest of each part; one part of all the rows unless the fingerprint tells of several."""
    if not _MERGED.fullmatch(fingerprint):
        return [(rows, fingerprint)]
    return [(int(count), digest) for count, digest in (part.split(":") for part in fingerprint.split(","))]


def part_rows(fingerprint: str, rows: int) -> list[int]:
    """Rows of each part."""
    return [count for count, _ in parts_of(fingerprint, rows)]


def join_fingerprints(fingerprints: Iterable[tuple[int, str]]) -> str:
    """The fingerprint of parts in order, from the rows and the fingerprint of each."""
    parts = [part for rows, fingerprint in fingerprints for part in parts_of(fingerprint, rows)]
    return parts[0][1] if len(parts) == 1 else ",".join(f"{count}:{digest}" for count, digest in parts)
