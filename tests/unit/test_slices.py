"""Slices cover what they say, and nothing is cut by what is not there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.slices import cut, gains
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
