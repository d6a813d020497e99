from __future__ import annotations

import pytest

from relucli.errors import DataError, InputError, UnsupportedError, about


@pytest.mark.parametrize("kind", [DataError, UnsupportedError])
def test_files_are_named_in_an_error_that_names_none_and_its_kind_is_kept(kind):
    with pytest.raises(DataError, match=r"^a\\n\.h5 and 1 more: too few rows$") as caught, about("a\n.h5", "b.h5"):
        raise kind("too few rows")
    assert type(caught.value) is kind


def test_files_are_not_named_twice_nor_where_there_are_none_nor_in_other_errors():
    for error in (DataError("b.h5: bad"), InputError("missing")):
        with pytest.raises(type(error), match=f"^{error}$"), about("a.h5", "b.h5"):
            raise error
    with pytest.raises(DataError, match=r"^bad$"), about():
        raise DataError("bad")
