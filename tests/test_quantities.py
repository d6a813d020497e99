from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from relucli.errors import UsageError
from relucli.quantities import (
    counted,
    duration,
    number,
    parse_count,
    parse_memory,
    plain,
    rough_count,
    size,
    with_error,
)


@pytest.mark.parametrize("text", ["1000000", "1e6", "1_000_000", "1E+6", "10e5", " 1000000"])
def test_counts_as_people_write_them(text):
    assert parse_count(text, "--samples") == 1_000_000


@pytest.mark.parametrize("text", ["1.5", "1e-1", "many", "", "nan", "inf", "1e400", "0x10"])
def test_what_is_not_a_count(text):
    with pytest.raises(UsageError) as caught:
        parse_count(text, "--samples")
    message = f"--samples {text}: not a whole number; pass one like 1000000, 1e6 or 1_000_000"
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["0", "-3", "-1e6"])
def test_counts_begin_at_one(text):
    with pytest.raises(UsageError) as caught:
        parse_count(text, "--samples")
    assert str(caught.value) == f"--samples must be at least 1, not {text}"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 2**29),
        ("512M", 2**29),
        ("2GiB", 2**31),
        ("2gib", 2**31),
        ("1.5 GiB", 3 * 2**29),
        ("100MB", 10**8),
        ("1e9", 10**9),
        ("1e+9", 10**9),
        ("4096", 4096),
        ("4096B", 4096),
        ("1_000", 1000),
    ],
)
def test_sizes_as_people_write_them(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "12XB", "-1GiB", "0", "0.1", "1e99GiB", "nan", "1 2MB"])
def test_what_is_not_a_size(text):
    with pytest.raises(UsageError) as caught:
        parse_memory(text)
    assert str(caught.value) == f"--memory {text}: not a size; pass one like 512MiB, 2GiB or 1e9"


def test_json_has_no_numbers_that_are_none():
    values = {
        "a": math.nan,
        "b": np.float64("inf"),
        "c": np.array([1.0, np.nan]),
        "d": (Path("x"), np.int64(3)),
    }
    assert plain(values) == {"a": None, "b": None, "c": [1.0, None], "d": ["x", 3]}


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 +- 0.012"),
        (-2.0, 1.5, "-2.0 +- 1.5"),
        (1234.5, 123.0, "1234 +- 123"),
        (1e-9, 1e-13, "1e-09 +- 1.0e-13"),
        (1.0, 0.0, "1"),
        (1.0, None, "1"),
        (None, None, "-"),
        (math.nan, 1.0, "-"),
    ],
)
def test_numbers_with_errors(value, error, text):
    assert with_error(value, error) == text


def test_numbers_for_people():
    assert [size(n) for n in (0, 1023, 1024, 1536, 2**30, 2**52)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 GiB", "4096.0 TiB")
    ]
    assert [duration(t) for t in (0.0123, 5.04, 61.0, 7322.0)] == [
        "0.012 s",
        "5.0 s",
        "1 min 01 s",
        "2 h 02 min",
    ]
    assert [number(v) for v in (1.0, 123456.0, None, math.inf)] == ["1", "1.2346e+05", "-", "-"]


def test_large_numbers_for_people():
    values = (0.4, 950.0, 1234.0, 56_789.0, 1.25e6, 3e10)
    assert [rough_count(v) for v in values] == ["0", "950", "1.2k", "57k", "1.2M", "30G"]


@pytest.mark.parametrize(
    ("count", "noun", "words"),
    [(0, "neuron", "0 neurons"), (1, "neuron", "1 neuron"), (2, "pass", "2 passes"), (30_000, "row", "30,000 rows")],
)
def test_things_are_counted(count, noun, words):
    assert counted(count, noun) == words
