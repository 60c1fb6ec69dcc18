"""Slices cover what they say, and nothing is cut by what is not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.gate.slices import cut, gains
from tests.builders import rows


def test_a_column_gives_a_slice_for_each_value_and_one_for_nulls() -> None:
    frame = pd.DataFrame({"carrier": ["B", "A", None, "B"]})
    found = {name: inside.tolist() for name, inside in cut(frame, ["carrier"])}
    assert found == {
        "carrier = A": [False, True, False, False],
        "carrier = B": [True, False, False, True],
        "carrier is null": [False, False, True, False],
    }


def test_an_expression_gives_two_slices() -> None:
    frame = pd.DataFrame({"hour": [5, 18, 23], "origin": ["X", "Y", "Y"]})
    found = {name: inside.tolist() for name, inside in cut(frame, ["hour >= 18 and origin == 'Y'"])}
    assert list(found.values()) == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize("term", ["nobody", "nobody > 3", "hour +", "hour + 1", "3 > 2"])
def test_what_is_not_there_or_says_neither_yes_nor_no_is_refused(term: str) -> None:
    with pytest.raises(KeyError, match="column|expression|yes or no"):
        list(cut(pd.DataFrame({"hour": [1, 2]}), [term]))


def test_small_slices_are_left_out_and_the_others_compared() -> None:
    frame = rows(days=10, per_day=40, origins="X")
    frame.loc[frame.index[:5], "origin"] = "Z"
    scored = pd.DataFrame(
        {"day": frame["day"], "target": frame["late"], "challenger": np.where(frame["late"] > 0, 0.7, 0.3)}
    ).assign(champion=0.5)
    found = gains(
        scored, frame, ["origin"], kind="classification", metric="log_loss", confidence=0.95, min_rows=50, min_days=5
    )
    assert [part.name for part in found] == ["origin = X"]
    assert found[0].gain is not None
    assert found[0].gain.gain == pytest.approx(np.log(0.7 / 0.5))
    assert found[0].metrics["log_loss"] == pytest.approx(-np.log(0.7))


@pytest.mark.parametrize(
    ("term", "held"),
    [
        ("hour >= 18", [False, True, False]),
        ("hour != 18", [True, False, True]),
        ("hour in [5, 18]", [True, True, False]),
        ("hour not in [5]", [False, True, True]),
        ("not hour < 18", [False, True, True]),
        ("`late flag` == True", [True, False, False]),
        ("kind == 'a'", [True, False, False]),
        ("when >= '2026-01-02'", [False, True, False]),
    ],
)
def test_a_null_meets_only_what_says_not(term: str, held: list[bool]) -> None:
    frame = pd.DataFrame(
        {
            "hour": pd.array([5, 18, None], dtype="Int64"),
            "late flag": pd.array([True, False, None], dtype="boolean"),
            "kind": pd.Categorical(["a", "b", None]),
            "when": pd.to_datetime(["2026-01-01", "2026-01-02", None]),
        }
    )
    found = dict(cut(frame, [term]))
    assert found[term].tolist() == held
    assert found[f"not ({term})"].tolist() == [not one for one in held]


@pytest.mark.parametrize("term", ["origin == 5", "origin > 5", "hour == '5'", "kind == 5", "origin in ['X', 5]"])
def test_a_literal_of_another_type_is_refused_and_no_empty_slice_is_made(term: str) -> None:
    frame = pd.DataFrame({"hour": [1, 2], "origin": ["X", "Y"], "kind": pd.Categorical(["a", "b"])})
    with pytest.raises(KeyError, match=r"holds .* and cannot be compared with"):
        list(cut(frame, [term]))


def test_a_column_may_be_called_anything_and_stands_in_backticks() -> None:
    frame = pd.DataFrame({"price (EUR)": [1, 2], "class": [3, 4]})
    assert [name for name, _ in cut(frame, ["`price (EUR)`", "class"])] == [
        "price (EUR) = 1", "price (EUR) = 2", "class = 3", "class = 4",
    ]  # fmt: skip
    assert dict(cut(frame, ["`class` > 3"]))["`class` > 3"].tolist() == [False, True]
