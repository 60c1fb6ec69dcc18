"""An estimate without labels is shown where it beat the constant on past days, and nowhere else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from ml.core.monitoring import estimated_performance
from ml.core.monitoring.calibrations import fit_platt
from ml.core.monitoring.estimate_trial import WEIGHTED, Trial
from ml.core.monitoring.estimated_performance import Estimate, by_day, estimate, estimated_fields
from ml.records import LivePerformance
from ml.settings import Settings
from tests import builders

SETTINGS = builders.settings(gate={"bootstrap_rounds": 400})
REGRESSION = builders.settings(
    task={"kind": "regression"},
    fit={"estimator": "sklearn.linear_model.Ridge", "args": {}},
    gate={"metric": "mae", "bootstrap_rounds": 400, "rules": {}},
)


def scored(
    days: int = 40, *, per_day: int = 400, seed: int = 0, mix: float = 0.0, luck: float = 0.0, first: int = 0
) -> pd.DataFrame:
    """Draw days of too sure scores; ``mix`` moves the inputs of a day, ``luck`` its outcomes, which no score knows."""
    chance = np.random.default_rng(seed)
    parts = []
    for number in range(first, first + days):
        true = chance.normal(-1 + mix * chance.normal(), 1, per_day)
        came = chance.random(per_day) < expit(true + luck * chance.normal())
        parts.append(pd.DataFrame({"day": builders.day(number), "prediction": expit(2 * true), "target": came * 1.0}))
    return pd.concat(parts, ignore_index=True)


def measured(days: int = 25, *, grows: bool, seed: int = 0) -> pd.DataFrame:
    """Draw days of a regression whose errors grow with the prediction, or do not."""
    chance = np.random.default_rng(seed)
    parts = []
    for number in range(days):
        p = chance.uniform(1, 3, 300) * np.exp(chance.normal(0, 0.7))
        error = chance.normal(0, 0.4 * p if grows else 1.0, 300)
        parts.append(pd.DataFrame({"day": builders.day(number), "prediction": p, "target": p + error}))
    return pd.concat(parts, ignore_index=True)


def of(
    reference: pd.DataFrame,
    served: pd.DataFrame | None = None,
    given: Settings = SETTINGS,
    newest: pd.DataFrame | None = None,
) -> Estimate:
    if newest is None:
        newest = reference.loc[reference["day"] == reference["day"].max()]
    return estimate(reference, reference.iloc[:0] if served is None else served, newest, given)


def test_where_the_mix_of_a_day_says_how_hard_it_is_an_estimate_is_shown() -> None:
    newest = scored(1, per_day=4000, seed=5, mix=1.5, first=41)
    found = of(scored(mix=1.0), newest=newest)
    past = found.past["log_loss"]
    assert past.shown and past.error < 0.6 * past.constant_error
    came = by_day(newest, {}, SETTINGS)["loss"].iloc[0]
    assert found.metrics["log_loss"] == pytest.approx(came, abs=past.reach)
    assert found.day is not None and found.day.isoformat() == newest["day"].iloc[0]
    assert f"on {past.days} past labelled days" in found.reason and "the same as before" in found.reason


def test_where_a_day_is_luck_nothing_is_shown_and_the_reason_says_what_was_measured() -> None:
    found = of(scored(luck=0.8))
    assert found.past["log_loss"].constant_error > 0.1
    assert (found.metrics, found.by_day) == ({}, {})
    assert "no estimate without labels is shown" in found.reason and "no gain beyond noise" in found.reason


def test_luck_alone_seldom_shows_an_estimate() -> None:
    """An estimate that knows nothing may pass by chance: one-sided, of one in forty."""
    assert sum(bool(of(scored(25, per_day=100, luck=0.8, seed=seed)).metrics) for seed in range(20)) <= 2


def test_an_estimate_that_fails_on_the_days_of_the_champion_itself_is_not_shown() -> None:
    reference = scored(mix=1.0)
    served = scored(10, mix=1.0, seed=3, first=40)
    assert of(reference, served).metrics
    turned = served.assign(target=(served["prediction"] < 0.05).astype(float))
    found = of(reference, turned)
    assert not found.metrics and found.past["log_loss"].served_gain is not None


def test_what_was_served_counts_once() -> None:
    """Days that the reference holds already are no new evidence."""
    reference = scored(mix=1.0)
    again = reference.loc[reference["day"] >= builders.day(30)]
    assert of(reference, again).past == of(reference).past


def saturated(days: int, *, seed: int, share: float | None = None) -> pd.DataFrame:
    """Draw days of scores that are far too sure at both ends; the ``share`` of sure rows is drawn for each day."""
    chance = np.random.default_rng(seed)
    rates, scores = np.array([0.08, 0.3, 0.6, 0.75]), np.array([1e-7, 0.3, 0.6, 0.9999])
    parts = []
    for number in range(days):
        sure = chance.uniform(0.1, 0.9) if share is None else share
        level = chance.choice(4, 400, p=[sure / 2, (1 - sure) / 2, (1 - sure) / 2, sure / 2])
        came = chance.random(400) < rates[level]
        parts.append(pd.DataFrame({"day": builders.day(number), "prediction": scores[level], "target": came * 1.0}))
    return pd.concat(parts, ignore_index=True)


def test_saturating_scores_are_followed_where_platt_cannot() -> None:
    reference, later = saturated(40, seed=0), saturated(40, seed=1, share=0.02)
    trial = Trial.of(reference, reference.iloc[:0], SETTINGS)
    assert trial is not None and trial.best.removesuffix(WEIGHTED) == "isotonic"
    assert trial.errors()["log_loss"].shown
    platt = fit_platt(reference["prediction"].to_numpy(), reference["target"].to_numpy())
    came = by_day(later, {}, SETTINGS)["loss"].mean()
    ours, theirs = trial.estimated(later["prediction"])["log_loss"], platt.expected(later["prediction"])["log_loss"]
    assert 3 * abs(ours - came) < abs(theirs - came)


@pytest.mark.parametrize("days", [1, 4, 8])
def test_few_days_show_nothing_and_name_what_is_missing(days: int) -> None:
    found = of(scored(days, mix=1.0))
    assert not found.metrics
    assert "too few labelled days" in found.reason or "needs 10" in found.reason


@pytest.mark.parametrize("reference", [None, scored(1).iloc[:0]])
def test_without_predictions_out_of_fold_there_is_none(reference: pd.DataFrame | None) -> None:
    found = estimate(reference, scored(1).iloc[:0], scored(1), SETTINGS)
    assert (found.metrics, found.reason) == ({}, estimated_performance.NOT_STORED)


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_errors_of_a_regression_that_grow_with_the_prediction_are_estimated(metric: str) -> None:
    given = REGRESSION.model_copy(update={"gate": REGRESSION.gate.model_copy(update={"metric": metric})})
    newest = measured(1, grows=True, seed=9)
    found = of(measured(grows=True), newest=newest, given=given)
    came = (newest["target"] - newest["prediction"]).abs().mean() if metric == "mae" else None
    came = came or ((newest["target"] - newest["prediction"]) ** 2).mean() ** 0.5
    assert found.metrics[metric] == pytest.approx(came, rel=0.15)
    assert found.past[metric].error < 0.5 * found.past[metric].constant_error


def test_errors_of_a_regression_that_follow_nothing_are_not() -> None:
    found = of(measured(grows=False), given=REGRESSION)
    assert not found.metrics and "no gain beyond noise" in found.reason


def test_what_is_recorded_has_its_interval_or_only_a_reason() -> None:
    found = of(scored(mix=1.0))
    fields = estimated_fields(found, "log_loss")
    assert set(fields) <= set(LivePerformance.model_fields)
    assert fields["estimated_low"] < fields["estimated"] < fields["estimated_high"]
    assert fields["estimate_error"] < fields["estimated_high"] - fields["estimated"]
    assert estimated_fields(of(scored(luck=0.8)), "log_loss").keys() == {"estimate_reason"}
    assert estimated_fields(None, "log_loss") == {}


def test_past_days_are_within_the_interval_nine_times_of_ten() -> None:
    reference = scored(mix=1.0, luck=0.2)
    trial = Trial.of(reference, reference.iloc[:0], SETTINGS)
    assert trial is not None
    reach, within = trial.errors()["log_loss"].reach, []
    for seed in range(100, 140):
        newest = scored(1, mix=1.0, luck=0.2, seed=seed, first=41)
        expected = trial.estimated(newest["prediction"])["log_loss"]
        within.append(abs(expected - by_day(newest, {}, SETTINGS)["loss"].iloc[0]) <= reach)
    assert 0.75 <= np.mean(within) <= 1


def test_predictions_that_are_no_numbers_teach_nothing_and_are_not_estimated() -> None:
    reference, served = scored(mix=1.0), scored(10, mix=1.0, seed=3, first=40)
    broken = served.assign(prediction=served["prediction"].mask(served.index % 50 == 0))
    assert of(reference, broken, newest=served).metrics
    assert not of(reference, served, newest=broken).metrics


def test_the_loss_of_a_quantile_is_estimated() -> None:
    given = REGRESSION.model_copy(update={"task": REGRESSION.task.model_copy(update={"quantile": 0.9})})
    given = given.model_copy(update={"gate": given.gate.model_copy(update={"metric": "pinball_0.9"})})
    assert of(measured(grows=True), given=given).metrics["pinball_0.9"] > 0


def test_the_same_again() -> None:
    assert of(scored(mix=1.0)) == of(scored(mix=1.0))
