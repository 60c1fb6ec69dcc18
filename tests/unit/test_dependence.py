"""The partial dependence of the strongest features is that of the function that predicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ml.core.gate.dependence import MOST_ROWS, MOST_VALUES, OtherModel, dependence, sample

RNG = np.random.default_rng(7)
ROWS = pd.DataFrame(
    {
        "hour": RNG.integers(0, 24, 2000),
        "carrier": pd.Categorical(RNG.choice(["AA", "UA", "WN"], 2000, p=[0.2, 0.5, 0.3])),
        "wind": np.where(np.arange(2000) % 9 == 0, np.nan, RNG.normal(10, 3, 2000)),
        "constant": 1.0,
        "holiday": np.arange(2000) % 7 == 0,
    }
)  # fmt: skip
WORTH = {"AA": 0.0, "UA": 5.0, "WN": -1.0}


def linear(rows: pd.DataFrame) -> np.ndarray:
    return 2.0 * rows["hour"].to_numpy(float) + rows["carrier"].astype(str).map(WORTH).to_numpy(float)


def test_of_a_sum_each_feature_has_its_own_part_whatever_the_others_are() -> None:
    before = ROWS.copy()
    hour, carrier, wind = dependence(linear, ROWS, ["hour", "constant", "carrier", "wind", "holiday"], seed=1)
    assert [hour["feature"], carrier["feature"], wind["feature"]] == ["hour", "carrier", "wind"], (
        "one value says nothing"
    )
    assert hour["rows"] == MOST_ROWS and 2 <= len(hour["values"]) <= MOST_VALUES
    assert hour["values"] == sorted(hour["values"]) and set(hour["values"]) <= set(ROWS["hour"])
    assert np.diff(hour["lines"][0]["mean"]) == pytest.approx(2 * np.diff(hour["values"]))
    assert carrier["values"] == ["UA", "WN", "AA"], "the most frequent first"
    assert np.diff(carrier["lines"][0]["mean"]) == pytest.approx([-6.0, 1.0])
    assert np.ptp(wind["lines"][0]["mean"]) == pytest.approx(0) and not np.isnan(wind["values"]).any()
    pd.testing.assert_frame_equal(ROWS, before)


def test_the_rows_that_are_predicted_keep_their_types_and_a_switch_is_no_number() -> None:
    def checked(rows: pd.DataFrame) -> np.ndarray:
        assert rows.dtypes.to_dict() == ROWS.dtypes.to_dict()
        return rows["holiday"].to_numpy(float)

    (holiday, _, _) = dependence(checked, ROWS, ["holiday", "hour", "carrier"], seed=1)
    assert (holiday["numeric"], holiday["values"], holiday["lines"][0]["mean"]) == (
        False,
        ["False", "True"],
        [0.0, 1.0],
    )


def test_several_classes_have_a_line_each() -> None:
    def both(rows: pd.DataFrame) -> np.ndarray:
        late = rows["hour"].to_numpy(float) / 24
        return np.column_stack([1 - late, late])

    (hour,) = dependence(both, ROWS.head(50), ["hour"], classes=("early", "late"), seed=1)
    assert [line["name"] for line in hour["lines"]] == ["early", "late"]
    assert np.add(*(line["mean"] for line in hour["lines"])) == pytest.approx(np.ones(len(hour["values"])))
    assert dependence(both, ROWS.head(0), ["hour"], classes=("early", "late"), seed=1) == []


def test_the_champion_is_shown_at_the_same_values_and_rows_where_it_knows_the_feature() -> None:
    seen: list[pd.DataFrame] = []

    def other(rows: pd.DataFrame) -> np.ndarray:
        seen.append(rows)
        return linear(rows) + 1.0

    known = sample(ROWS, seed=1).drop(columns=["wind"]).assign(own_column=3)
    hour, carrier, wind = dependence(
        linear, ROWS, ["hour", "carrier", "wind"], champion=OtherModel(other, known), seed=1
    )
    for curve in (hour, carrier):
        (own,), (champion,) = curve["lines"], curve["champion_lines"]
        assert np.array(champion["mean"]) - np.array(own["mean"]) == pytest.approx(np.ones(len(curve["values"])))
    assert wind["champion_lines"] == []
    assert all("own_column" in rows for rows in seen) and len(seen) == 2
    assert [curve["champion_lines"] for curve in dependence(linear, ROWS, ["hour"], seed=1)] == [[]]
