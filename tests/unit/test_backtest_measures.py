"""The arithmetic of a backtest: intervals by week, pairs of rows, episodes, discoveries, costs."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from ml.backtest import fault_measures, measures
from ml.core.metrics import row_loss

MONDAY = date(2024, 1, 1)


def scored(days: int = 28, per_day: int = 50, *, seed: int = 0, noise: float = 1.0) -> pd.DataFrame:
    chance = np.random.default_rng(seed)
    named = np.repeat([(MONDAY + timedelta(days=n)).isoformat() for n in range(days)], per_day)
    lean = chance.normal(size=len(named))
    target = (chance.random(len(named)) < 1 / (1 + np.exp(-lean))).astype(float)
    seen = lean + noise * chance.normal(size=len(named))
    return pd.DataFrame(
        {"day": named, "row": np.arange(len(named)), "target": target, "prediction": 1 / (1 + np.exp(-seen))}
    )


def test_weeks_are_iso_weeks_and_sort_in_time() -> None:
    days = pd.Series(["2024-12-29", "2024-12-30", "2025-01-05", "2025-01-06"])
    assert measures.weeks(days).tolist() == ["2024-W52", "2025-W01", "2025-W01", "2025-W02"]


def test_the_interval_of_the_auc_is_that_of_exact_aucs_of_drawn_weeks() -> None:
    rows = scored()
    found = measures.measured(rows, "classification", n_resamples=300, seed=3)["roc_auc"]
    week = measures.weeks(rows["day"]).to_numpy()
    names = np.unique(week)
    draws = np.random.default_rng(3).multinomial(len(names), np.full(len(names), 1 / len(names)), size=300)
    parts = [rows.loc[week == name] for name in names]
    exact = []
    for counts in draws:
        drawn = pd.concat([part for part, count in zip(parts, counts, strict=True) for _ in range(count)])
        exact.append(roc_auc_score(drawn["target"], drawn["prediction"]))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(exact, [0.025, 0.975])), abs=2e-4)


def test_rows_without_an_outcome_are_not_measured() -> None:
    rows = scored()
    lost = rows.assign(target=rows["target"].where(rows["day"] != rows["day"].iloc[0]))
    kept = rows.loc[rows["day"] != rows["day"].iloc[0]]
    assert measures.measured(lost, "classification") == measures.measured(kept, "classification")


def test_a_single_week_has_no_interval() -> None:
    assert measures.measured(scored(days=5), "classification")["log_loss"].low is None


def test_pairs_are_of_the_same_rows_in_whatever_order_and_of_no_others() -> None:
    better, worse = scored(noise=0.1), scored(noise=2.0).assign(target=scored(noise=0.1)["target"])
    shuffled = worse.sample(frac=1, random_state=1)
    whole = measures.paired(better, shuffled, "log_loss")
    assert whole is not None
    losses = [row_loss(rows["target"], rows["prediction"], "log_loss").mean() for rows in (worse, better)]
    assert whole.gain == pytest.approx(losses[0] - losses[1])
    assert whole.days == 4  # weeks
    part = measures.paired(better.iloc[:1000], shuffled, "log_loss")
    assert part is not None and part.rows == 1000


def numbers(*, wrong_by: float, days: int = 70, seed: int = 0) -> pd.DataFrame:
    """Predict a number with errors of 10, and some weeks with three times as much; ``wrong_by`` is added to all."""
    rows = scored(days=days, per_day=24, seed=seed)
    chance = np.random.default_rng(seed)
    spread = np.where(pd.factorize(measures.weeks(rows["day"]))[0] % 3 == 0, 30.0, 10.0)
    return rows.assign(target=100.0, prediction=100.0 + wrong_by + spread * chance.normal(size=len(rows)))


def test_the_gain_of_a_root_is_the_difference_of_the_roots_and_its_interval_is_in_that_unit() -> None:
    """By the mean of squares the gain would be 40² here, beside roots of 45 and 18."""
    better, worse = numbers(wrong_by=0.0), numbers(wrong_by=40.0)
    found = measures.paired(better, worse, "rmse")
    assert found is not None and found.low is not None and found.high is not None
    roots = [measures.measured(rows, "regression")["rmse"].value for rows in (worse, better)]
    assert found.gain == pytest.approx(roots[0] - roots[1])
    assert roots[0] - roots[1] - 8 < found.low < found.gain < found.high < roots[0] - roots[1] + 8
    assert found.days == 10
    swapped = measures.paired(worse, better, "rmse")
    assert swapped is not None and swapped.gain == pytest.approx(-found.gain)


def test_the_interval_of_the_difference_of_roots_holds_for_equal_models() -> None:
    """Of 60 pairs of equal models, on errors that whole weeks share, about 3 of the 95 % intervals leave zero out."""
    missed = 0
    for seed in range(60):
        one, other = numbers(wrong_by=0.0, seed=seed), numbers(wrong_by=0.0, seed=1000 + seed)
        found = measures.paired(one, other, "rmse", n_resamples=400)
        assert found is not None
        missed += not found.low <= 0 <= found.high
    assert missed <= 8


def test_a_week_or_a_number_that_is_missing_gives_no_interval_of_roots() -> None:
    few = numbers(wrong_by=1.0, days=5)
    assert measures.paired(few, few, "rmse") is None
    rows = numbers(wrong_by=1.0)
    assert measures.paired(rows.assign(prediction=np.inf), rows, "rmse") is None


def test_what_is_shown_of_squared_losses_is_shown_as_roots() -> None:
    rows = numbers(wrong_by=0.0)
    last = rows.loc[rows["day"].isin(sorted(rows["day"].unique())[-14:])]
    rolled = measures.rolling(rows, "rmse", days=14).iloc[-1]
    assert rolled == pytest.approx(measures.measured(last, "regression")["rmse"].value)
    found = fault_measures.cost(numbers(wrong_by=40.0), rows, "rmse")
    assert found is not None and 20 < found.loss.value < 35
    assert found.loss.low is not None and found.loss.low < found.loss.value < (found.loss.high or 0)


def test_alarms_a_week_apart_are_one_episode_and_later_ones_another() -> None:
    days = [MONDAY + timedelta(days=n) for n in (0, 1, 8, 16)]
    assert [(each.first_day, each.last_day) for each in fault_measures.episodes(days)] == [
        (days[0], days[2]),
        (days[3], days[3]),
    ]


def test_an_alarm_is_false_unless_a_fault_is_in_the_data_or_the_window_over_them() -> None:
    fault = fault_measures.Span("x", MONDAY + timedelta(days=10), MONDAY + timedelta(days=12))
    starts = [MONDAY + timedelta(days=n) for n in (9, 10, 19, 20)]
    found = [fault_measures.Episode(day, day) for day in starts]
    false = fault_measures.false_alarms(found, [fault], window_days=7)
    assert [each.first_day for each in false] == [starts[0], starts[3]]


def test_a_fault_is_found_by_the_strongest_that_noticed_it_in_time() -> None:
    fault = fault_measures.Span("x", MONDAY, MONDAY + timedelta(days=3))
    early, late = MONDAY + timedelta(days=1), MONDAY + timedelta(days=5)
    before, after = MONDAY - timedelta(days=1), MONDAY + timedelta(days=30)
    found = fault_measures.discovered(
        fault, {"contract": [], "alarm": [before, late], "warning": [early]}, window_days=7
    )
    assert (found.by, found.day, found.days_to_find) == ("alarm", late, 5)
    missed = fault_measures.discovered(fault, {"contract": [after], "alarm": [before], "warning": []}, window_days=7)
    assert (missed.by, missed.day, missed.days_to_find) == ("nobody", None, None)


def test_a_fault_costs_the_loss_of_the_rows_that_both_worlds_scored() -> None:
    clean = scored()
    faulty = clean.assign(prediction=0.5).iloc[:-100]
    found = fault_measures.cost(faulty, clean, "log_loss")
    assert found is not None
    more = np.log(2) - row_loss(clean["target"], clean["prediction"], "log_loss")[:-100].mean()
    assert found.loss.value == pytest.approx(more)
    assert (found.rows, found.unscored) == (len(clean) - 100, 100)


def test_the_rolling_loss_weighs_rows_and_starts_when_its_window_is_full() -> None:
    rows = scored(days=10)
    found = measures.rolling(rows, "log_loss", days=3)
    assert found.isna().tolist() == [True] * 2 + [False] * 8
    newest = rows.loc[rows["day"] > (MONDAY + timedelta(days=6)).isoformat()]
    assert found.iloc[-1] == pytest.approx(row_loss(newest["target"], newest["prediction"], "log_loss").mean())
