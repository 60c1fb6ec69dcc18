"""Changes of slices and of all outcomes become findings: as loud as declared, the same in any order, said once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring.outcome_shifts import LEVEL, RELATION
from ml.core.monitoring.policy import ChampionFacts, Facts, decide
from ml.core.monitoring.slice_changes import MIN_TRAILING_DAYS
from ml.core.monitoring.slice_findings import columns, scores_of, terms, with_changes
from ml.core.monitoring.slice_streams import ALIKE, REST, parts
from ml.records import DriftReport, Finding, LivePerformance
from ml.settings import Settings
from tests import builders

FIRST = date(2024, 1, 1)
LAST = FIRST + timedelta(days=99)
RULES = {
    "champion": {"kind": "champion", "min_gain": 0.0},
    "slices": {"kind": "slices", "by": ["carrier", "number >= 0"], "max_loss": 0.1},
    "fair": {"kind": "slice_gap", "by": "carrier", "metric": "log_loss", "max_gap": 1.0},
}


def settings(**performance: Any) -> Settings:
    return builders.settings(gate={"rules": RULES}, performance=performance)


def days(
    *, change: float = 3.0, count: int = 100, changed: int = 10, stream: str = "carrier = A"
) -> dict[date, dict[str, float]]:
    """Make scores of days that are white, with a stream off by ``change`` on the newest."""
    chance = np.random.default_rng(3)
    slices = ["number >= 0", "carrier = A"]
    names = [*slices, *(name + what for name in slices for what in (REST, ALIKE)), LEVEL, RELATION]
    table = chance.normal(size=(count, len(names)))
    if changed:
        table[-changed:, names.index(stream)] += change
    return {FIRST + timedelta(days=n): dict(zip(names, map(float, row), strict=True)) for n, row in enumerate(table)}


def live(version: int | None = 3) -> LivePerformance:
    day = LAST + timedelta(days=1)
    return LivePerformance(
        day=day, labelled_day=LAST, rows=9, metrics={}, reason="", champion_version=version, status="fine"
    )


def finding(scores: dict[date, dict[str, float]], **performance: Any) -> Finding:
    (one,) = with_changes(live(), scores, settings(**performance)).findings
    return one


class TestFinding:
    def test_a_changed_part_warns_unless_more_is_asked_for(self) -> None:
        warned, alarmed = finding(days()), finding(days(), slices="alarm")
        assert (warned.kind, warned.severity, warned.at_once) == ("slice_change", "warning", False)
        assert (alarmed.severity, alarmed.at_once) == ("alarm", True)
        assert "where carrier = A" in warned.message and "at most once in 91 days" in warned.message

    def test_the_declared_rate_of_false_alarms_is_the_limit(self) -> None:
        assert "at most once in 182 days" in finding(days(), slice_false_alarms_per_quarter=0.5).message

    def test_nothing_is_said_where_nothing_changed(self) -> None:
        report = with_changes(live(), days(changed=0), settings())
        assert report.findings == ()
        assert report.slice_reason == "no part of the data has changed: 2 parts, 100 labelled days"
        assert report.shift_reason == "outcomes have not shifted: 100 labelled days"

    def test_too_few_days_are_counted_and_nothing_is_found(self) -> None:
        few = dict(list(days(change=40.0).items())[-MIN_TRAILING_DAYS:])
        report = with_changes(live(), few, settings())
        assert report.findings == () and "from 36 labelled days" in report.slice_reason
        assert f"so far there are {MIN_TRAILING_DAYS}" in report.slice_reason
        assert "so far there are 0" in with_changes(live(), {}, settings()).slice_reason

    def test_the_order_in_which_days_were_measured_makes_no_difference(self) -> None:
        scores = days()
        backwards = dict(reversed(scores.items()))
        assert with_changes(live(), backwards, settings()) == with_changes(live(), scores, settings())

    @pytest.mark.parametrize("stream", [LEVEL, RELATION])
    def test_a_shift_of_all_outcomes_is_a_finding_of_its_own(self, stream: str) -> None:
        shifted = days(change=-3.0, stream=stream)
        warned, alarmed = finding(shifted), finding(shifted, shifts="alarm")
        assert (warned.kind, warned.severity, warned.at_once) == ("outcome_shift", "warning", False)
        assert (alarmed.severity, alarmed.at_once) == ("alarm", True)
        words = "lower than predicted" if stream == LEVEL else "follow the predictions less than before"
        assert words in warned.message and "called at most once in 91 days while nothing changes" in warned.message

    def test_each_of_slices_and_shifts_can_be_switched_off_alone(self) -> None:
        shifted = days(change=-2.0, stream=LEVEL)
        off = with_changes(live(), shifted, settings(shifts="off"))
        assert (off.findings, off.shift_reason) == ((), "") and off.slice_reason
        alone = with_changes(live(), shifted, settings(slices="off"))
        assert [one.kind for one in alone.findings] == ["outcome_shift"] and alone.slice_reason == ""

    @pytest.mark.parametrize("changed", [{"slices": "off", "shifts": "off"}, {}], ids=["off", "nobody serves"])
    def test_nobody_looks_where_it_is_off_or_nobody_serves(self, changed: dict[str, Any]) -> None:
        report = live() if changed else live(None)
        assert with_changes(report, days(), settings(**changed)) == report


class TestDecision:
    def decided(self, report: LivePerformance) -> Any:
        drift = DriftReport(day=report.day, status="calm", champion_version=3, reason="no column moved")
        champion = ChampionFacts(version=3, promoted_on=report.day - timedelta(days=1))
        facts = Facts(drift, report.day, champion, performance=report, anyone_serves=True)
        return decide(facts, settings=settings())

    def test_a_warning_is_shown_and_alarms_nobody(self) -> None:
        decision = self.decided(with_changes(live(), days(), settings()))
        assert (decision.state, decision.action) == ("calm", "nothing")
        assert [finding.kind for finding in decision.findings] == ["slice_change"]

    def test_an_alarm_asks_people_on_its_first_day_and_no_challenger(self) -> None:
        decision = self.decided(with_changes(live(), days(), settings(slices="alarm")))
        assert (decision.state, decision.action) == ("alarm", "nothing")
        assert "where carrier = A" in "; ".join(decision.reasons)


class TestScores:
    def rows(self) -> pd.DataFrame:
        rows = builders.rows(days=1, per_day=300).rename(columns={"late": "target"})
        return rows.assign(prediction=np.linspace(0.2, 0.8, len(rows)))

    def test_the_slices_are_those_of_the_gates_rules_each_once(self) -> None:
        assert terms(settings()) == ("carrier", "number >= 0")
        assert columns(settings()) == ["carrier", "number"]
        scores = scores_of(self.rows(), settings())
        slices = {"carrier = A", "carrier = B", "carrier = C", "number >= 0"}
        assert set(parts(scores)) == {LEVEL, RELATION, *slices}
        assert set(scores) - set(parts(scores)) == {name + what for name in slices for what in (REST, ALIKE)}

    def test_a_column_that_is_gone_or_retyped_leaves_the_other_slices(self) -> None:
        gone = scores_of(self.rows().drop(columns="carrier"), settings())
        retyped = scores_of(self.rows().assign(number="text"), settings())
        assert set(parts(gone)) == {LEVEL, RELATION, "number >= 0"}
        assert "number >= 0" not in retyped and "carrier = A" in retyped

    def test_rows_without_an_outcome_or_a_prediction_count_for_nothing(self) -> None:
        rows, more = self.rows(), self.rows().head(50)
        unknown = [more.assign(target=np.nan), more.assign(prediction=np.nan)]
        assert scores_of(pd.concat([rows, *unknown]), settings()) == scores_of(rows, settings())

    def test_a_day_of_few_rows_says_nothing(self) -> None:
        assert scores_of(self.rows().head(10), settings()) == {}
