"""Prediction intervals hold what they promise on made data, and are refused where nothing can be promised."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.monitoring import day_summary, interval_coverage
from ml.core.monitoring.alarm_conditions import alarm_conditions_of
from ml.core.monitoring.performance import assess, expected
from ml.core.monitoring.served import ExpectedPerformance, Serving
from ml.core.predictions import bounds
from ml.core.training.intervals import calibrate
from ml.core.training.lineage import fingerprint, same_recipe
from ml.errors import SettingsError
from ml.names import LOWER, UPPER
from ml.records import IntervalWidth, LivePerformance
from ml.settings import Intervals, Settings
from ml.views import charts
from tests import builders


def given(**intervals: Any) -> Settings:
    return builders.settings(
        task={"kind": "regression"},
        fit={"estimator": "sklearn.linear_model.Ridge", "intervals": intervals or None},
        gate={"metric": "rmse", "bootstrap_rounds": 400},
    )


def said(**sections: Any) -> str:
    regression: dict[str, Any] = {"task": {"kind": "regression"}, "gate": {"metric": "rmse"}}
    fit = {"estimator": "sklearn.linear_model.Ridge", "intervals": {"coverage": 0.9}}
    with pytest.raises(SettingsError) as caught:
        builders.settings(**{**regression, "fit": fit, **sections})
    return str(caught.value)


def holdout(*errors: float, days: int = 1) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "day": np.repeat([builders.day(at) for at in range(days)], len(errors) // days),
            "target": np.array(errors, dtype=float),
            "challenger": 0.0,
        }
    )


def made(random: np.random.Generator, *, days: int, per_day: int, day_sd: float = 0.0) -> pd.DataFrame:
    """Build rows with skewed errors, and luck that the rows of a day share."""
    shared = np.repeat(random.normal(0, day_sd, days), per_day)
    return pd.DataFrame(
        {
            "day": np.repeat([builders.day(at) for at in range(days)], per_day),
            "target": random.gamma(1.5, 2.0, days * per_day) + shared,
            "challenger": 3.0,
        }
    )


def covered(rows: pd.DataFrame, half_width: float) -> np.ndarray:
    ends = bounds(rows["challenger"].to_numpy(), half_width)
    return ((ends[LOWER] <= rows["target"]) & (rows["target"] <= ends[UPPER])).to_numpy()


class TestHalfWidth:
    @pytest.mark.parametrize(("coverage", "expected"), [(0.5, 5.0), (0.8, 8.0), (0.9, 9.0), (0.55, 6.0)])
    def test_it_is_the_error_of_the_finite_sample_rank(self, coverage: float, expected: float) -> None:
        """Of nine errors the rank is ceil(10 × coverage), whatever floats make of that product."""
        interval = calibrate(holdout(3, -1, 2, -4, 9, 5, 7, -6, 8), Intervals(coverage=coverage))
        assert interval.half_width == expected
        assert (interval.rows, interval.days, interval.first_day) == (9, 1, date(2013, 1, 1))

    def test_by_days_a_busy_day_counts_no_more_than_a_quiet_one(self) -> None:
        busy = pd.DataFrame({"day": "2013-01-01", "target": np.full(900, 1.0), "challenger": 0.0})
        quiet = [
            pd.DataFrame({"day": builders.day(at), "target": np.full(10, 5.0), "challenger": 0.0})
            for at in range(1, 10)
        ]
        rows = pd.concat([busy, *quiet], ignore_index=True)
        assert calibrate(rows, Intervals(coverage=0.5)).half_width == 1.0
        assert calibrate(rows, Intervals(coverage=0.5, unit="days")).half_width == 5.0

    def test_by_days_one_day_is_unknown(self) -> None:
        """Ten days of one error each: the share is had of eleven, so that 0.9 asks for the largest."""
        rows = holdout(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, days=10)
        assert calibrate(rows, Intervals(coverage=0.9, unit="days")).half_width == 10.0
        assert calibrate(rows, Intervals(coverage=0.8, unit="days")).half_width == 9.0
        assert calibrate(rows, Intervals(coverage=8 / 11, unit="days")).half_width == 8.0

    @pytest.mark.parametrize("unit", ["rows", "days"])
    def test_too_little_to_promise_anything_is_refused(self, unit: Any) -> None:
        few = holdout(1, 2, 3, 4, 5, 6, 7, 8, days=8)
        with pytest.raises(SettingsError, match=rf"needs a holdout of at least 9 {unit}.*there are 8 rows of 8 days"):
            calibrate(few, Intervals(coverage=0.9, unit=unit))
        assert calibrate(holdout(*range(1, 10), days=9), Intervals(coverage=0.9, unit=unit)).half_width == 9.0

    def test_a_row_without_a_prediction_is_outside_of_every_interval(self) -> None:
        rows = holdout(*range(1, 20)).astype({"challenger": float})
        rows.loc[0, "challenger"] = np.nan
        assert calibrate(rows, Intervals(coverage=0.9)).half_width == 19.0
        rows.loc[:5, "challenger"] = np.nan
        with pytest.raises(SettingsError, match="6 of the rows without one"):
            calibrate(rows, Intervals(coverage=0.9))


class TestCoverage:
    @pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
    def test_exchangeable_rows_are_covered_as_declared_and_hardly_more(self, coverage: float) -> None:
        """Over 400 small holdouts, as the theorem says: at least ``coverage``, at most 1 / (n + 1) above it."""
        random = np.random.default_rng(1)
        shares = []
        for _ in range(400):
            half_width = calibrate(made(random, days=4, per_day=10), Intervals(coverage=coverage)).half_width
            shares.append(covered(made(random, days=1, per_day=500), half_width).mean())
        noise = 4 * np.std(shares) / np.sqrt(len(shares))
        assert coverage - noise <= np.mean(shares) <= coverage + 1 / 41 + noise

    def test_by_days_a_new_day_is_covered_though_its_rows_share_their_luck(self) -> None:
        """With luck of the day above the noise, a fortnight's rows promise too much; its days do not."""
        random = np.random.default_rng(3)
        shares: dict[str, list[float]] = {"rows": [], "days": []}
        for _ in range(600):
            seen, new = (made(random, days=days, per_day=30, day_sd=8.0) for days in (14, 1))
            for unit, of_unit in shares.items():
                half_width = calibrate(seen, Intervals(coverage=0.9, unit=unit)).half_width  # type: ignore[arg-type]
                of_unit.append(covered(new, half_width).mean())
        assert np.mean(shares["rows"]) < 0.9 <= np.mean(shares["days"]) < 0.96


class TestSettings:
    def test_only_numbers_have_intervals(self) -> None:
        fit = {"estimator": "sklearn.linear_model.LogisticRegression", "intervals": {"coverage": 0.9}}
        message = said(task={"kind": "classification"}, gate={"metric": "log_loss"}, fit=fit)
        assert "fit.intervals are of numbers, and the task is a classification" in message

    def test_a_quantile_has_none(self) -> None:
        message = said(task={"kind": "regression", "quantile": 0.9}, gate={"metric": "pinball_0.9"})
        assert "task.quantile predicts one end of an interval" in message

    @pytest.mark.parametrize("coverage", [0.0, 1.0, 90])
    def test_the_coverage_is_a_share(self, coverage: float) -> None:
        fit = {"estimator": "sklearn.linear_model.Ridge", "intervals": {"coverage": coverage}}
        assert "fit.intervals.coverage" in said(fit=fit)

    def test_days_that_can_never_be_enough_are_refused_at_once(self) -> None:
        fit = {"estimator": "sklearn.linear_model.Ridge", "intervals": {"coverage": 0.95, "unit": "days"}}
        assert "needs split.holdout_days of at least 19, and it is 14" in said(fit=fit)
        assert Intervals(coverage=0.9).fewest() == 9 and Intervals(coverage=0.99).fewest() == 99

    def test_what_is_published_cannot_be_a_key(self) -> None:
        assert "prediction_lower" in said(task={"kind": "regression", "key": ["day", "prediction_lower"]})


def test_intervals_are_another_training_and_the_same_recipe() -> None:
    def digest(settings: Settings) -> str:
        return fingerprint([], settings, first_day=date(2013, 1, 1), code_sha256="c", lock_sha256="l")

    none, narrow, wide = given(), given(coverage=0.5), given(coverage=0.9)
    assert same_recipe(none, wide) and same_recipe(narrow, wide)
    assert len({digest(none), digest(narrow), digest(wide)}) == 3


def test_a_version_without_intervals_publishes_none() -> None:
    assert bounds(np.array([1.0, 2.0]), None) == {}
    ends = bounds(np.array([1.0, 2.5]), 0.5)
    assert (ends[LOWER].tolist(), ends[UPPER].tolist()) == ([0.5, 2.0], [1.5, 3.0])


DAY = date(2013, 1, 15)


class TestLiveCoverage:
    def calibrated(self, settings: Settings, *, seed: int = 0, day_sd: float = 0.0) -> tuple[Any, IntervalWidth]:
        seen = made(np.random.default_rng(seed), days=14, per_day=200, day_sd=day_sd)
        assert settings.fit.intervals is not None
        width = calibrate(seen, settings.fit.intervals)
        return expected(seen.assign(base_rate=3.0), settings, interval=width), width

    def served(
        self,
        width: IntervalWidth,
        *,
        seed: int = 1,
        days: int = 14,
        scale: float = 1.0,
        day_sd: float = 0.0,
        version: int = 1,
    ) -> pd.DataFrame:
        rows = made(np.random.default_rng(seed), days=days, per_day=200, day_sd=day_sd)
        rows = rows.assign(target=3.0 + scale * (rows["target"] - 3.0), version=version)
        rows = rows.rename(columns={"challenger": "prediction"})
        ends = bounds(rows["prediction"].to_numpy(), width.half_width)
        return interval_coverage.with_covered(rows.assign(**ends))

    def assessed(
        self, settings: Settings, rows: pd.DataFrame, seen: ExpectedPerformance, **others: Any
    ) -> LivePerformance:
        return assess(DAY, 1, rows, [], expected=seen, settings=settings, **others)

    def test_intervals_that_hold_are_shown_and_raise_nothing(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        report = self.assessed(settings, self.served(width), seen)
        live = report.window["interval_coverage"]
        assert live.low is not None and live.high is not None and live.low < 0.9 < live.high <= 1.0
        assert report.expected["interval_coverage"] == 0.9
        assert [finding.kind for finding in report.findings] == []

    def test_outcomes_that_scatter_more_are_found_though_nothing_else_has_decayed(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        lenient = settings.model_copy(
            update={"performance": settings.performance.model_copy(update={"max_lost_skill": 100.0, "max_gap": 100.0})}
        )
        report = self.assessed(lenient, self.served(width, scale=1.7), seen)
        (finding,) = report.findings
        assert (report.status, finding.kind, finding.severity) == ("fine", "interval_coverage", "alarm")
        assert finding.score == report.window["interval_coverage"].value < 0.85
        assert "and 90.0% are declared, on 14 labelled days and 2800 rows up to 2013-01-14" in finding.message
        assert "of version 1" in finding.message and "retrain" in finding.message
        (condition,) = alarm_conditions_of([report], [], alarm_days=(1, 1))
        assert condition.name == "interval coverage" and condition.alarm

    def test_less_than_the_bound_is_no_finding(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        rows = self.served(width, scale=1.7)
        performance = settings.performance.model_copy(
            update={"max_lost_coverage": 0.4, "max_lost_skill": 100.0, "max_gap": 100.0}
        )
        assert self.assessed(settings.model_copy(update={"performance": performance}), rows, seen).findings == ()

    def test_days_that_share_their_luck_seldom_raise_a_false_alarm(self) -> None:
        """Healthy intervals under strong luck of the day: a test of rows would be wrong most of the time."""
        settings = given(coverage=0.9)
        false, below = 0, 0
        for seed in range(30):
            seen, width = self.calibrated(settings, seed=seed, day_sd=2.0)
            rows = self.served(width, seed=seed + 1000, day_sd=2.0)
            mean = rows["covered"].mean()
            below += mean + 1.96 * np.sqrt(mean * (1 - mean) / len(rows)) < 0.88
            findings = self.assessed(settings, rows, seen, in_full=False).findings
            false += any(finding.kind == "interval_coverage" for finding in findings)
        assert false <= 2 < below

    def test_too_few_days_are_shown_and_not_judged(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        report = self.assessed(settings, self.served(width, days=3, scale=3.0), seen)
        assert report.window["interval_coverage"].value < 0.7
        assert not any(finding.kind == "interval_coverage" for finding in report.findings)

    def test_days_that_the_champion_was_trained_on_say_nothing_of_its_intervals(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        before = self.served(width, scale=1.7, version=2)
        report = self.assessed(
            settings, before, seen, others={2: seen}, serving=Serving(date(2013, 1, 1), DAY, date(2013, 1, 14))
        )
        assert not any(finding.kind == "interval_coverage" for finding in report.findings)

    def test_each_version_is_held_to_what_it_declares(self) -> None:
        wide, narrow = given(coverage=0.9), given(coverage=0.5)
        (seen, width), (other, thin) = self.calibrated(wide), self.calibrated(narrow)
        rows = pd.concat([self.served(width, days=4), self.served(thin, seed=5, version=2)], ignore_index=True)
        rows = rows.loc[(rows["version"] == 1) | (rows["day"] > builders.day(3))]
        report = self.assessed(
            wide, rows, seen, others={2: other}, serving=Serving(date(2013, 1, 1), DAY, date(2012, 12, 31))
        )
        assert report.versions == (1, 2)
        assert report.expected["interval_coverage"] == pytest.approx(0.9 * 4 / 14 + 0.5 * 10 / 14)
        assert report.window["interval_coverage"].value == pytest.approx(report.expected["interval_coverage"], abs=0.04)
        assert not any(finding.kind == "interval_coverage" for finding in report.findings)

    def test_rows_without_an_interval_are_left_out(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        rows = self.served(width)
        plain = self.served(width, seed=9).drop(columns="covered").assign(version=7)
        both = pd.concat([rows, plain.assign(day=builders.day(20))], ignore_index=True)
        report = self.assessed(settings, both, seen, others={7: ExpectedPerformance({})})
        assert report.window["interval_coverage"] == self.assessed(settings, rows, seen).window["interval_coverage"]
        without = self.assessed(settings, rows.drop(columns="covered"), seen)
        assert "interval_coverage" not in without.window and "interval_coverage" not in without.expected

    def test_the_page_and_the_summary_of_the_day_show_it(self) -> None:
        settings = given(coverage=0.9)
        seen, width = self.calibrated(settings)
        report = self.assessed(settings, self.served(width), seen)
        facts = day_summary.plain(report.model_dump(mode="json", include=set(day_summary.PERFORMANCE)))
        figures = {figure["name"]: figure for figure in charts.figures(facts, metric="rmse")}
        shown = figures["interval_coverage"]
        assert list(figures)[:4] == ["rmse", "gap", "skill", "interval_coverage"]
        assert (shown["label"], shown["expected"]) == ("share of outcomes inside of their prediction interval", 0.9)
        assert shown["low"] < shown["value"] < shown["high"]
