"""Values far outside of all that the champion knew are found on their first day, and a season that goes on is not."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring.value_ranges import out_of_range
from ml.records import Finding
from ml.settings import Drift

DAY = date(2024, 5, 1)
DRIFT = Drift(structural=("distance",), environment=("visib",))
MILES = pd.Series(np.random.default_rng(0).choice([2.0, 5.0, 10.0], 5000))


def found(
    today: Any, *, before: pd.Series = MILES, column: str = "visib", importance: float | None = 0.1
) -> tuple[Finding, ...]:
    values = pd.DataFrame({column: today})
    return out_of_range(DAY, values, {column: before}, DRIFT, {column: (importance, True)})


def test_another_unit_is_named_with_the_range_on_its_first_day() -> None:
    (finding,) = found(MILES.head(300) * 1.609344)
    assert (finding.kind, finding.severity, finding.column) == ("out_of_range", "alarm", "visib")
    assert finding.at_once
    assert "2 to 10" in finding.message and "as high as 16.09" in finding.message and "2024-05-01" in finding.message


@pytest.mark.parametrize(
    ("column", "importance", "severity"),
    [("visib", 1e-6, "alarm"), ("visib", None, "alarm"), ("visib", 0.0, "warning"), ("distance", 0.0, "alarm")],
)
def test_it_alarms_in_a_structural_column_and_wherever_the_champion_uses_it(
    column: str, importance: float | None, severity: str
) -> None:
    (finding,) = found(MILES.head(300) * 3, column=column, importance=importance)
    assert finding.severity == severity


@pytest.mark.parametrize(
    ("what", "today"),
    [
        ("a season that goes on", MILES.head(300) + 3.9),
        ("few rows of many", pd.Series([99.0] * 25 + [5.0] * 275)),
        ("few values at all", pd.Series([99.0] * 9)),
        ("nothing", pd.Series([np.nan] * 50)),
        ("text", pd.Series(["99"] * 50)),
        ("infinite numbers", pd.Series([np.inf] * 200 + [5.0] * 100)),
    ],
)
def test_what_proves_nothing_finds_nothing(what: str, today: pd.Series) -> None:
    assert found(today) == (), what


def test_values_below_the_range_count_as_those_above() -> None:
    (finding,) = found(-MILES.head(300))
    assert "as low as -10" in finding.message


def test_a_column_of_one_value_or_of_categories_has_no_range() -> None:
    assert found(pd.Series([9.0] * 50), before=pd.Series([1.0] * 500)) == ()
    assert found(pd.Series([9.0] * 50), before=pd.Series(["a"] * 500)) == ()


def test_one_wrong_value_in_the_reference_makes_no_range() -> None:
    (finding,) = found(MILES.head(300) * 3, before=pd.concat([MILES, pd.Series([1048.0])]))
    assert "2 to 10" in finding.message
