"""The count of all findings: an episode ends after a quiet week, and shuffled weeks keep their weekdays."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pandas as pd

from bench.all_findings import Lived, _runs, lines, shuffled
from bench.made_histories import HISTORIES

FIRST = date(2024, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def test_an_episode_goes_on_until_a_quiet_week() -> None:
    assert _runs([]) == 0
    assert _runs([day(0), day(1), day(8)]) == 1
    assert _runs([day(0), day(8), day(20)]) == 3


def test_weeks_change_places_and_days_keep_their_weekday() -> None:
    tables = {}
    for number in range(30):
        key = pd.DataFrame({"day": [str(day(number))]})
        tables[day(number)] = key.assign(x=number), key.assign(y=number)
    history = replace(HISTORIES["prices"], oldest=FIRST, days=lambda _: tables)
    made = shuffled(history, 3)
    assert shuffled(history, 0) == tables
    assert len(made) == 28 and [inputs["x"].iloc[0] for inputs, _ in made.values()] != list(range(28))
    for name, (inputs, labels) in made.items():
        assert inputs["day"].tolist() == labels["day"].tolist() == [str(name)]
        assert inputs["x"].iloc[0] == labels["y"].iloc[0]
        assert (int(inputs["x"].iloc[0]) - (name - FIRST).days) % 7 == 0


def test_all_orders_of_a_history_are_one_line_with_its_upper_bound() -> None:
    lived = [Lived("a", f"shuffled {n}", 182, {"drift": 1}, {"outcome_shift": 1, "drift": 9}, 0) for n in (1, 2)]
    (line,) = lines(lived)
    assert (line["order"], line["quarters"]) == ("shuffled", 4.0)
    assert str(line["alarms"]).startswith("0.50 (< 1.57") and str(line["with warnings"]).startswith("1.00 (<")
    assert line["of them"] == "drift 2, outcome_shift 2"
