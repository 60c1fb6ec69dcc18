"""Prediction intervals hold what they promise on made data, and are refused where nothing can be promised."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.core.predictions import bounds
from ml.core.training.intervals import calibrate
from ml.core.training.lineage import fingerprint, same_recipe
from ml.errors import SettingsError
from ml.names import LOWER, UPPER
from ml.settings import Intervals, Settings
from tests import builders


def given(**intervals: Any) -> Settings:
    return builders.settings(
        task={"kind": "regression"},
        fit={"estimator": "sklearn.linear_model.Ridge", "intervals": intervals or None},
        gate={"metric": "rmse"},
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
