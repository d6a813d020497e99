"""Moments of shards, taken apart, as the moments of the whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np

from relucli.errors import DataError
from relucli.moments.estimate import Moments
from relucli.storage.fingerprint import join_fingerprints, parts_of
from relucli.streaming.blocks import groups
from relucli.streaming.fold import tree_merge

__all__ = ["merge_moments"]

# What a difference in each part of the setup is called; all of it comes from the pilot of a dataset.
_SETUP = {
    "edges": "edges of slices",
    "shift": "shift of the inputs",
    "directions": "directions of contraction",
    "offsets": "offsets of projections",
    "center": "centre of the labels",
    "scale": "scale of the labels",
    "second": "kind of second moments",
    "narrow": "precision",
}


def merge_moments(parts: Sequence[tuple[str, Moments]]) -> Moments:
    """Merge moments of consecutive shards, taken with the same setup.

    They are merged along the tree of `tree_merge`: where every shard but the last holds the same 2^m canonical groups,
    the result is the moments of the whole to the bit, else to rounding.

    Parameters
    ----------
    parts : sequence of (str, Moments)
        What messages call each, and the moments.  They are used up: the first keeps the sums of all.

    Returns
    -------
    Moments

    Raises
    ------
    DataError
        If they are of inputs of another dimension, taken with other settings or another setup, or of the same rows.
    """
    (first, found), *rest = parts
    for name, moments in rest:
        difference = _difference(found, moments)
        if difference:
            raise DataError(f"{name}: {difference} {first}; take it again with --like {first}")
    _check_distinct(parts)
    sizes = [len(groups(moments.samples, moments.dim)) for _, moments in parts]
    fingerprint = join_fingerprints([(moments.samples, moments.fingerprint) for _, moments in parts])
    sums = tree_merge((moments.sums for _, moments in parts), found.sums, sizes)
    return replace(found, sums=sums, fingerprint=fingerprint)


def _difference(one: Moments, other: Moments) -> str:
    """The first difference that keeps the other from being merged into one, if there is any."""
    if one.dim != other.dim:
        return f"of {other.dim} inputs, not {one.dim} as"
    for item in fields(one.settings):
        asked, wanted = (getattr(moments.settings, item.name) for moments in (other, one))
        if asked != wanted:
            asked, wanted = (
                ",".join(map(str, value)) if isinstance(value, tuple) else value for value in (asked, wanted)
            )
            return f"taken with --{item.name} {asked}, not {wanted} as"
    if one.scaling.labels != other.scaling.labels or _unlike(one.scaling.inputs, other.scaling.inputs):
        return "units not those of"
    for name, words in _SETUP.items():
        if not np.array_equal(getattr(one.setup, name), getattr(other.setup, name)):
            return f"{words} not those of"
    if one.standard != other.standard or any(map(_unlike, one.whitening, other.whitening)):
        return "whitening not that of"
    return ""


def _unlike(one: object, other: object) -> bool:
    return not np.array_equal(np.asarray(one), np.asarray(other))


def _check_distinct(parts: Sequence[tuple[str, Moments]]) -> None:
    owners: dict[tuple[int, str], str] = {}
    for name, moments in parts:
        for part, count in Counter(parts_of(moments.fingerprint, moments.samples)).items():
            if part in owners or count > 1:
                raise DataError(f"{name}: of the same rows as {owners.get(part, name)}; name every shard once")
            owners[part] = name
