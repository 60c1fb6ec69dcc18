"""The promise of the gate is held against what came true, with days as the unit of chance."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring.estimate_trial import PastError
from ml.core.monitoring.estimated_performance import Estimate
from ml.core.monitoring.label_coverage import ServedDay, label_findings
from ml.core.monitoring.performance import assess, expected
from ml.core.monitoring.served import ExpectedPerformance
from ml.records import LivePerformance
from ml.settings import Settings
from tests import builders

DAY = builders.FIRST_DAY + timedelta(days=14)
BASE = 0.3


def settings(**performance: Any) -> Settings:
    return builders.settings(
        gate={"bootstrap_rounds": 400},
        performance={"confidence": 0.95, "max_gap": 0.05, "max_lost_skill": 0.02, **performance},
    )


def served(
    *, days: int = 14, per_day: int = 400, off_by: float = 0.0, blind: bool = False, version: int = 1, seed: int = 0
) -> pd.DataFrame:
    """Serve scores that are right on average, ``off_by`` too high, or know nothing of their rows (``blind``)."""
    chance = np.random.default_rng(seed)
    size = days * per_day
    truth = np.where(chance.random(size) < 0.5, 0.1, 0.5)
    return pd.DataFrame(
        {
            "day": np.repeat([builders.day(number) for number in range(days)], per_day),
            "version": version,
            "target": (chance.random(size) < truth).astype(float),
            "prediction": np.full(size, BASE) + off_by if blind else truth + off_by,
        }
    )


def expected_by(given: Settings) -> ExpectedPerformance:
    holdout = served(seed=1).rename(columns={"prediction": "challenger"})
    return expected(holdout.assign(base_rate=BASE), given)


def assessed(rows: pd.DataFrame, given: Settings | None = None, **others: Any) -> LivePerformance:
    given = given or settings()
    others = {"expected": expected_by(given), "days": [], "version": 1} | others
    days, version = others.pop("days"), others.pop("version")
    return assess(DAY, version, rows, days, settings=given, **others)


class TestDecay:
    def test_what_the_gate_saw_goes_on(self) -> None:
        found = assessed(served())
        assert (found.status, found.findings) == ("fine", ())
        assert (found.window_days, found.window_rows) == (14, 5600)
        assert found.window["skill"].value == pytest.approx(found.expected["skill"], abs=0.02)
        assert found.labelled_day == date(2013, 1, 14) and found.rows == 400

    def test_scores_that_are_too_high_beyond_noise(self) -> None:
        found = assessed(served(off_by=0.1))
        assert found.status == "decay"
        (finding,) = found.findings
        assert (finding.kind, finding.severity, finding.at_once) == ("decay", "alarm", False)
        assert finding.score == round(found.window["gap"].value, 6) == pytest.approx(0.1, abs=0.02)
        assert (finding.limit, finding.matters) == (0.05, True)
        assert "version 1 predicts 0.1" in finding.message and "too high on average" in finding.message
        assert "on 14 labelled days and 5600 rows up to 2013-01-14" in finding.message
        assert finding.message in found.reason

    def test_scores_that_are_too_low_are_found_alike(self) -> None:
        assert "too low on average" in assessed(served(off_by=-0.09)).findings[0].message

    def test_the_whole_interval_has_to_be_beyond_the_bound(self) -> None:
        found = assessed(served(off_by=0.065, per_day=60))
        gap = found.window["gap"]
        assert gap.low is not None and gap.low < 0.05 < gap.value
        assert found.status == "fine"

    def test_skill_that_is_lost_is_decay_though_the_mean_is_right(self) -> None:
        found = assessed(served(blind=True))
        (finding,) = found.findings
        assert finding.kind == "decay" and "is lost" in finding.message
        assert finding.score == pytest.approx(found.expected["skill"], abs=1e-6)
        assert (finding.limit, finding.matters) == (settings().performance.max_lost_skill, True)

    def test_a_promise_from_few_noisy_days_is_worth_less(self) -> None:
        given = settings()
        few = served(days=2, per_day=60, seed=3).rename(columns={"prediction": "challenger"}).assign(base_rate=BASE)
        assert assessed(served(blind=True), given, expected=expected(few, given)).status == "fine"

    def test_a_hard_week_is_no_decay(self) -> None:
        """The late rate doubles and the model knows: loss rises far above the promise, skill and gap hold."""
        rows = served()
        chance = np.random.default_rng(5)
        truth = np.where(chance.random(len(rows)) < 0.5, 0.4, 0.6)
        rows = rows.assign(prediction=truth, target=(chance.random(len(rows)) < truth).astype(float))
        found = assessed(rows)
        assert found.window["log_loss"].value > found.expected["log_loss"] + 0.15
        assert found.status == "fine"


class TestWhatIsUnknown:
    def test_days_that_another_version_served_speak_of_the_newest_day_only(self) -> None:
        other = served(days=12, off_by=0.3, version=1)
        own = served(version=2).loc[lambda rows: rows["day"] > builders.day(11)]
        found = assessed(pd.concat([other, own]), version=2)
        assert (found.status, found.window_days, found.findings) == ("unknown", 2, ())
        assert "version 2 has 2 labelled days of the 7 that a live figure needs" in found.reason
        assert found.metrics["log_loss"] > 0

    def test_without_what_the_gate_saw_only_the_gap_is_judged(self) -> None:
        found = assessed(served(), expected=ExpectedPerformance({}))
        assert found.status == "unknown" and "what the gate saw of it is not kept" in found.reason
        assert assessed(served(off_by=0.1), expected=ExpectedPerformance({})).status == "decay"

    def test_nothing_at_all(self) -> None:
        nothing = served().iloc[:0]
        days = [ServedDay(DAY - timedelta(days=1), None, 10)]
        found = assessed(nothing, days=days)
        assert (found.status, found.labelled_day, found.rows, found.metrics) == ("unknown", None, 0, {})
        assert f"no predictions were served for {DAY - timedelta(days=1)}" in found.reason
        assert "no champion serves" in assessed(nothing, version=None).reason

    def test_a_prediction_that_is_no_number(self) -> None:
        rows = served()
        rows.loc[3, "prediction"] = np.nan
        assert assessed(rows).status == "unknown"


class TestInFull:
    def test_each_metric_of_the_window_has_its_interval(self) -> None:
        found = assessed(served())
        for name in ("log_loss", "brier", "roc_auc", "gap", "skill"):
            interval = found.window[name]
            assert interval.low is not None and interval.high is not None, name
            assert interval.low < interval.value < interval.high, name

    def test_a_replay_of_years_gets_the_same_answer_from_less(self) -> None:
        full, quick = (assessed(served(off_by=0.1), in_full=whole) for whole in (True, False))
        assert set(quick.window) == {"gap", "skill"}
        assert (quick.status, quick.findings) == (full.status, full.findings)

    def test_regression_has_its_own_units(self) -> None:
        given = builders.settings(
            task={"kind": "regression"},
            fit={"estimator": "sklearn.linear_model.Ridge", "args": {}},
            gate={"metric": "mae", "bootstrap_rounds": 400, "rules": {}},
            performance={"max_gap": 5.0, "max_lost_skill": 2.0},
        )
        chance = np.random.default_rng(0)
        truth = chance.normal(100, 30, 2800)
        days = np.repeat([builders.day(number) for number in range(14)], 200)
        kept = pd.DataFrame({"day": days, "target": truth + chance.normal(0, 5, 2800), "challenger": truth})
        live = kept.assign(version=1, prediction=truth + 9).drop(columns="challenger")
        found = assess(DAY, 1, live, [], expected=expected(kept.assign(base_rate=100.0), given), settings=given)
        assert found.status == "decay"
        assert found.window["gap"].value == pytest.approx(9, abs=0.5)
        assert found.estimated is None


class TestEstimate:
    PAST = PastError(20, error=0.02, constant_error=0.04, gain=0.02, low=0.01, high=0.03, served_gain=None, reach=0.05)

    def test_what_is_shown_is_of_the_named_day_with_its_error_and_interval(self) -> None:
        shown = Estimate(
            "isotonic; it was tried", "isotonic", date(2013, 1, 14), {"log_loss": 0.5}, {"log_loss": self.PAST}
        )
        found = assessed(served(), estimate=shown)
        assert (found.estimated, found.estimated_day, found.estimate_error) == (0.5, date(2013, 1, 14), 0.02)
        assert (found.estimated_low, found.estimated_high) == (0.45, 0.55)
        assert (found.estimated_metrics, found.estimate_reason) == ({"log_loss": 0.5}, "isotonic; it was tried")

    def test_what_is_not_shown_leaves_a_sentence_and_no_finding(self) -> None:
        plain, found = assessed(served()), assessed(served(), estimate=Estimate("no estimate is shown: why"))
        assert (found.estimated, found.estimated_day, found.estimate_error) == (None, None, None)
        assert found.estimate_reason == "no estimate is shown: why"
        assert (found.findings, found.status, found.reason) == (plain.findings, plain.status, plain.reason)


def days_with(labels: list[int | None], predicted: int | None = 100) -> list[ServedDay]:
    first = DAY - timedelta(days=len(labels))
    return [ServedDay(first + timedelta(days=n), predicted, count) for n, count in enumerate(labels)]


class TestLabels:
    def test_all_there(self) -> None:
        assert label_findings(DAY, days_with([97] * 14), settings()) == ()

    def test_a_day_that_may_still_come_is_not_missed_yet(self) -> None:
        assert label_findings(DAY, days_with([97] * 6 + [None] * 8), settings()) == ()

    def test_a_day_that_nobody_asks_for_any_more(self) -> None:
        days = days_with([97, None, *[97] * 12])
        (found,) = label_findings(DAY, days, settings())
        assert (found.kind, found.severity) == ("missing_labels", "warning")
        assert f"no labels of {days[1].day}, and 7 days of asking" in found.message

    def test_labels_that_have_dried_up_are_an_alarm(self) -> None:
        (found,) = label_findings(DAY, days_with([97] * 4 + [None] * 10), settings())
        assert (found.kind, found.severity) == ("missing_labels", "alarm")

    def test_too_few_predicted_rows_with_an_outcome(self) -> None:
        (found,) = label_findings(DAY, days_with([97] * 4 + [60] * 10), settings())
        assert (found.kind, found.severity, found.limit) == ("label_coverage", "alarm", 0.8)
        assert found.score == pytest.approx((4 * 97 + 600) / 1400)
        assert "only 70.6% of the rows predicted" in found.message

    def test_days_without_predictions_do_not_count_against_labels(self) -> None:
        assert label_findings(DAY, days_with([97] * 14, predicted=None), settings()) == ()
