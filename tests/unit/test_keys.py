"""Keys are joined by their exact values, whatever types hold them."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.data.keys import merge_exactly
from ml.core.training.features import join_labels
from ml.errors import DataRejected

LARGE = [2**53 + n for n in range(8)] + [2**60 + n for n in range(8)]
SMALL = list(range(16))
HOLDERS: dict[str, Any] = {
    "int64": lambda values: np.array(values, dtype="int64"),
    "uint64": lambda values: np.array(values, dtype="uint64"),
    "Int64": lambda values: pd.array(values, dtype="Int64"),
    "UInt64": lambda values: pd.array(values, dtype="UInt64"),
    "object": lambda values: np.array(values, dtype=object),
    "decimal": lambda values: np.array([Decimal(value) for value in values], dtype=object),
}
WIDE_ENOUGH_FOR_SMALL = {
    **HOLDERS,
    "int8": lambda values: np.array(values, dtype="int8"),
    "float64": lambda values: np.array(values, dtype="float64"),
}


def joined(ours: Any, theirs: Any) -> pd.DataFrame:
    left = pd.DataFrame({"id": ours, "x": range(len(ours))})
    right = pd.DataFrame({"id": theirs[::-1], "y": range(len(theirs))[::-1]})
    return merge_exactly(left, right, ["id"], how="inner", validate="one_to_one")


@pytest.mark.parametrize(("ours", "theirs"), list(product(HOLDERS, HOLDERS)))
def test_neighbours_beyond_2_53_stay_apart(ours: str, theirs: str) -> None:
    found = joined(HOLDERS[ours](LARGE), HOLDERS[theirs](LARGE))
    assert found["x"].tolist() == found["y"].tolist() == list(range(len(LARGE)))
    assert found["id"].dtype == pd.DataFrame({"id": HOLDERS[ours](LARGE)})["id"].dtype


@pytest.mark.parametrize(("ours", "theirs"), list(product(WIDE_ENOUGH_FOR_SMALL, WIDE_ENOUGH_FOR_SMALL)))
def test_equal_numbers_meet_whatever_holds_them(ours: str, theirs: str) -> None:
    found = joined(WIDE_ENOUGH_FOR_SMALL[ours](SMALL), WIDE_ENOUGH_FOR_SMALL[theirs](SMALL))
    assert found["x"].tolist() == found["y"].tolist() == SMALL


def test_numbers_beyond_int64_are_numbers_too() -> None:
    ids = [2**63 + n for n in range(5)]
    assert len(joined(np.array(ids, dtype="uint64"), HOLDERS["decimal"](ids))) == 5


def test_as_many_rows_come_of_a_join_as_there_are_customers() -> None:
    ids = 2**60 + np.arange(200)
    inputs = pd.DataFrame({"day": "2025-01-01", "id": ids.astype("int64")})
    labels = pd.DataFrame({"day": "2025-01-01", "id": ids.astype("uint64"), "y": range(200)})
    assert join_labels(inputs, labels, key=["day", "id"], target="y")["y"].tolist() == list(range(200))


@pytest.mark.parametrize(("ours", "theirs"), [([1, 2], ["1", "2"]), (["1"], [1.0])])
def test_text_against_a_number_is_named(ours: list[Any], theirs: list[Any]) -> None:
    with pytest.raises(DataRejected, match=r"key column 'id' is .* on one side and .* on the other, such as"):
        joined(np.array(ours), np.array(theirs))


def test_keys_that_cannot_be_joined_name_the_day_and_a_command_that_can_be_typed() -> None:
    sides = (pd.DataFrame({"day": ["2013-06-11"], "id": ids}) for ids in ([1], ["EWR"]))
    with pytest.raises(
        DataRejected, match=r"on the other on 2013-06-11, such as '1' and 'EWR'; .*evergreen schema --ac"
    ):
        merge_exactly(*sides, ["day", "id"], how="inner")
