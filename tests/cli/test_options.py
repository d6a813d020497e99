from __future__ import annotations

import pytest

from relucli.cli.options import parse_count, parse_memory, parse_neurons, parse_orders
from relucli.errors import UsageError


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


def test_numbers_of_neurons():
    assert parse_neurons("auto") is None
    assert parse_neurons("8") == 8
    with pytest.raises(UsageError, match=r"^-k must be at least 1, not 0$"):
        parse_neurons("0")


def test_orders():
    assert parse_orders("4,1, 2,2") == (1, 2, 4)
    for text in ("", "1,", "1;2", "-1", "2.5"):
        with pytest.raises(UsageError) as caught:
            parse_orders(text)
        assert str(caught.value) == f"--orders {text}: pass whole numbers with commas between them, like 1,2,4,6"
