"""What was served is measured whoever serves today, and not to know for too long is an alarm."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring.estimated_performance import served_by_day
from ml.core.monitoring.label_coverage import ServedDay
from ml.core.monitoring.performance import assess, expected
from ml.core.monitoring.policy import ChampionFacts, Facts, decide
from ml.core.monitoring.served import ExpectedPerformance, Serving
from ml.records import DriftReport, LivePerformance
from ml.settings import Settings
from tests import builders

FIRST = builders.FIRST_DAY
BASE = 0.3


def settings(**sections: Any) -> Settings:
    performance = {"confidence": 0.95, "max_gap": 0.05, "max_lost_skill": 0.02} | sections.pop("performance", {})
    return builders.settings(gate={"bootstrap_rounds": 400}, performance=performance, **sections)


def served(first: int, last: int, version: int, *, turned: bool = False, seed: int = 0) -> pd.DataFrame:
    """Serve good scores on days number ``first`` to ``last``; with ``turned`` outcomes all outcomes are the others."""
    chance = np.random.default_rng([seed, version])
    size = (last - first + 1) * 300
    truth = np.where(chance.random(size) < 0.5, 0.1, 0.5)
    target = (chance.random(size) < truth).astype(float)
    days = np.repeat([builders.day(number) for number in range(first, last + 1)], 300)
    return pd.DataFrame(
        {"day": days, "version": version, "target": 1 - target if turned else target, "prediction": truth}
    )


def seen(given: Settings, version: int = 9) -> ExpectedPerformance:
    holdout = served(0, 13, version, seed=1).rename(columns={"prediction": "challenger"})
    return expected(holdout.assign(base_rate=BASE), given)


def assessed(
    *parts: pd.DataFrame, version: int, day: int, serving: Serving | None = None, days: Any = (), **sections: Any
) -> LivePerformance:
    given = settings(**sections)
    rows = pd.concat(parts, ignore_index=True) if parts else served(0, 0, 1).iloc[:0]
    others = {int(other): seen(given, int(other)) for other in rows["version"].unique()}
    return assess(
        FIRST + timedelta(days=day),
        version,
        rows,
        list(days),
        expected=seen(given),
        settings=given,
        others=others,
        serving=serving or Serving(FIRST, FIRST + timedelta(days=10), FIRST + timedelta(days=8)),
    )


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


class TestWhoeverServes:
    def test_days_of_the_version_before_say_that_all_is_well(self) -> None:
        found = assessed(served(0, 9, 1), served(10, 12, 2), version=2, day=13)
        assert (found.status, found.versions, found.findings) == ("fine", (1, 2), ())
        assert "versions 1 (10 days) and 2 (3 days) together: mean prediction minus mean outcome" in found.reason
        assert (found.window_days, found.window_first_day) == (13, FIRST)
        assert found.window["skill"].value == pytest.approx(found.expected["skill"], abs=0.02)

    def test_enough_days_of_its_own_speak_for_a_champion_alone(self) -> None:
        found = assessed(served(0, 5, 1, turned=True), served(6, 12, 2), version=2, day=13)
        assert (found.status, found.versions, found.window_days) == ("fine", (2,), 7)
        assert found.reason.startswith("version 2: mean prediction minus mean outcome")

    def test_decay_on_days_that_the_champion_has_not_seen_is_decay(self) -> None:
        """Labels take longer than a champion serves: the days are those of versions 1 and 2, and version 3 serves."""
        rows = served(0, 3, 1), served(4, 6, 1, turned=True), served(7, 10, 2, turned=True)
        found = assessed(*rows, version=3, day=41, serving=Serving(FIRST, on(31), on(3)))
        assert (found.status, found.versions, found.window_days) == ("decay", (1, 2), 7)
        assert {finding.kind for finding in found.findings} == {"decay"}
        assert "versions 1 (3 days) and 2 (4 days) together predict" in found.reason

    def test_decay_that_the_champion_was_trained_on_is_not_held_against_it(self) -> None:
        rows = served(0, 9, 1, turned=True), served(10, 12, 2)
        found = assessed(*rows, version=2, day=13, serving=Serving(on(-30), on(10), on(9)))
        assert (found.status, found.findings, found.versions) == ("unknown", (), (2,))
        assert "version 2 has 3 labelled days of the 7 that a live figure needs; version 1 (10 days)" in found.reason
        assert "decayed, on days that version 2 was trained on since" in found.reason
        assert found.expected_by == on(17)  # seven days after day 9 have their labels then

    def test_each_day_is_compared_with_what_the_gate_saw_of_the_version_that_served_it(self) -> None:
        given = settings()
        rows = pd.concat([served(0, 9, 1), served(10, 11, 2)])
        good, poor = seen(given), ExpectedPerformance({"log_loss": 0.9}, None, BASE)
        both = assess(on(12), 2, rows, [], expected=poor, settings=given, others={1: good}, serving=Serving(FIRST))
        assert both.expected["log_loss"] == pytest.approx((10 * good.metrics["log_loss"] + 2 * 0.9) / 12)
        assert both.status == "unknown" and "is not kept" in both.reason  # of version 2 no skill is known

    def test_the_table_by_day_holds_all_days_in_order(self) -> None:
        rows = pd.concat([served(10, 12, 2), served(0, 9, 1)])
        assert list(served_by_day(rows, 2, {}, settings())["day"]) == [builders.day(number) for number in range(13)]


def days_with(count: int, *, until: int, predicted: int | None = 300, labelled: int | None = None) -> list[ServedDay]:
    return [ServedDay(on(until - n), predicted, labelled) for n in reversed(range(count))]


class TestUnknownForTooLong:
    SERVING = Serving(FIRST, on(20), on(18))

    def unknown(self, day: int, **others: Any) -> LivePerformance:
        return assessed(version=1, day=day, serving=Serving(FIRST, FIRST, on(-2)), **others)

    @pytest.mark.parametrize(("delay", "expected"), [(0, 7), (1, 7), (30, 36)])
    def test_it_is_expected_once_enough_days_can_have_labels(self, delay: int, expected: int) -> None:
        assert self.unknown(5, task={"label_delay_days": delay}).expected_by == on(expected)

    def test_until_label_delay_and_window_have_passed_nothing_is_overdue(self) -> None:
        assert self.unknown(42, task={"label_delay_days": 30}).findings == ()
        (finding,) = self.unknown(43, task={"label_delay_days": 30}).findings
        assert (finding.kind, finding.severity) == ("unknown_performance", "alarm")
        assert finding.message.startswith(f"performance unknown since {FIRST}, because version 1 has 0 labelled days")

    def test_the_next_move_follows_from_what_is_missing(self) -> None:
        def said(days: list[ServedDay]) -> str:
            found = self.unknown(30, days=days).findings
            return next(finding.message for finding in found if finding.kind == "unknown_performance")

        assert "no inputs from 2013-01-17 to 2013-01-30 are in the registry; run ingest" in said([])
        assert "0 of 14 days from 2013-01-17 to 2013-01-30 were scored; run score" in said(
            days_with(14, until=29, predicted=None)
        )
        assert "labels of 14 scored days" in said(days_with(14, until=29))
        assert "raise performance.window_days to 49, or lower performance.min_days to 2" in said(days_with(2, until=29))

    def test_what_the_gate_saw_was_lost(self) -> None:
        given = settings()
        rows, serving = served(10, 23, 1), Serving(FIRST, FIRST, on(-2))
        found = assess(on(24), 1, rows, [], expected=ExpectedPerformance({}), settings=given, serving=serving)
        (finding,) = found.findings
        assert finding.kind == "unknown_performance" and "run Retrain" not in finding.message.split(":")[0]


class TestTheState:
    def decided(self, live: LivePerformance, *, earlier: tuple[LivePerformance, ...] = ()) -> str | None:
        drift = DriftReport(day=live.day, status="calm", champion_version=1, reason="calm")
        champion = ChampionFacts(version=1, promoted_on=live.day - timedelta(days=3), window_last_day=FIRST)
        facts = Facts(drift=drift, newest_day=live.day, champion=champion, performance=live, earlier=earlier)
        return decide(facts, settings=settings(task={"label_delay_days": 30})).state

    def live(self, day: int) -> LivePerformance:
        serving = Serving(FIRST, on(day - 3), on(day - 35))
        return assessed(version=1, day=day, serving=serving, task={"label_delay_days": 30})

    def test_it_is_never_calm_once_the_performance_should_be_known(self) -> None:
        """A champion that serves for three days is no excuse: the days before it were served too."""
        assert [self.decided(self.live(day)) for day in (35, 36, 42)] == ["calm", "unknown", "unknown"]
        assert self.decided(self.live(44), earlier=(self.live(43),)) == "alarm"
