"""The benchmark of false alarms, small: shuffling keeps weekdays, and each rule counts what it should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench import false_alarms
from bench.false_alarms import Line, Stretch, by_block_maximum, by_defaults, by_limits, shuffled, simulate, take
from ml.core.monitoring.day_blocks import count_all
from ml.core.monitoring.limits import QUARTER_DAYS
from ml.settings import Drift
from tests.builders import rows

DRIFT = Drift(structural=("number", "carrier"), environment=("origin",))


@pytest.mark.parametrize("how", ["weeks", "days"])
def test_shuffling_takes_each_day_once_and_leaves_weekdays_where_they_are(how: str) -> None:
    order = shuffled(5, 10, how, np.random.default_rng(1))
    assert sorted(order) == list(range(5, 75))
    assert ((order - 5) % 7 == np.arange(70) % 7).all()
    assert order.tolist() != list(range(5, 75))


def test_every_rule_finds_a_gross_shift_and_the_distances_of_quiet_windows_find_none() -> None:
    frame = rows(days=80, per_day=300)
    late = np.repeat(np.arange(80) >= 70, 300)
    for moved in (False, True):
        counted = count_all(
            frame.assign(number=frame["number"] + 5 * (late & moved)), ["number", "carrier", "origin"], DRIFT.methods
        )
        stretch = Stretch(take(counted, np.arange(60)), take(counted, np.arange(60, 80)), 7, 0)
        for watch in (by_limits, by_block_maximum):
            alarm = watch(stretch, DRIFT)
            assert len(alarm) == 14
            assert alarm.any() == moved
            assert not alarm[:4].any()
        daily = by_defaults(DRIFT.structural, share=None)(stretch, DRIFT)
        assert daily[4:].all() or not moved


def test_each_line_holds_a_rate_within_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(false_alarms, "RATES", (1.0,))
    counted = count_all(rows(days=26 * 7, per_day=30), ["number", "carrier", "origin"], DRIFT.methods)
    lines = list(simulate(counted, DRIFT, how="weeks", reference_days=35, quarters=3, seed=1))
    assert [line.rule for line in lines] == [rule for rule, _, _ in false_alarms.rules(DRIFT)]
    assert all(line.low <= line.episodes <= line.high <= QUARTER_DAYS for line in lines)
    assert all(0 <= line.days_in_alarm <= 1 for line in lines)


def test_a_year_that_is_too_short_says_what_to_lower() -> None:
    counted = count_all(rows(days=70), ["number", "carrier", "origin"], DRIFT.methods)
    with pytest.raises(SystemExit, match="lower --reference-days"):
        next(simulate(counted, DRIFT, how="weeks", reference_days=35, quarters=1, seed=1))


def test_the_table_has_a_row_for_each_rule_and_a_column_for_each_reference() -> None:
    lines = [Line("a rule", "weeks", days, 2, 1.0, 0.5, 1.5, 0.25) for days in (35, 77)]
    assert pd.Series(false_alarms.table(lines).split()).isin(["1.00", "[0.50,", "1.50]", "25"]).sum() == 8
