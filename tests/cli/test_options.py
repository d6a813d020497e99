from __future__ import annotations

import pytest

from relucli.cli.options import parse_neurons, parse_orders
from relucli.errors import UsageError


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
