"""Looking at a split every day ends a good challenger's as rarely as declared, and a bad one's soon."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ml.core.monitoring import split_evidence
from ml.core.monitoring.split_evidence import confidence_sequence, day_of, weigh
from ml.records import SplitDay

DAYS, SERIES = 60, 800
Noise = Callable[[np.random.Generator], np.ndarray]


def normal(chance: np.random.Generator) -> np.ndarray:
    return chance.normal(size=DAYS)


def heavy(chance: np.random.Generator) -> np.ndarray:
    return chance.standard_t(3, size=DAYS)


def of_other_sizes(chance: np.random.Generator) -> np.ndarray:
    """Days of 10 to 1,000 rows."""
    return chance.normal(size=DAYS) / np.sqrt(10 ** chance.uniform(1, 3, DAYS))


def log_losses(chance: np.random.Generator) -> np.ndarray:
    """Mean log losses of two arms of 20 to 200 rows, whose predictions are right on average."""
    rates = chance.beta(2, 6, (2, DAYS, 200))
    outcome = chance.random(rates.shape) < rates
    losses = -np.where(outcome, np.log(rates), np.log1p(-rates))
    counted = np.arange(200) < chance.integers(20, 200, (2, DAYS))[..., None]
    means = (losses * counted).sum(axis=2) / counted.sum(axis=2)
    return np.asarray(means[0] - means[1])


def stopped_on(differences: np.ndarray) -> int | None:
    """Return the day on which a split ends that is looked at after each; None if it does not."""
    for day in range(1, len(differences) + 1):
        interval = confidence_sequence(differences[:day], confidence=0.95)
        assert interval is not None
        if interval.low is not None and interval.low > 0:
            return day
    return None


@pytest.mark.parametrize("noise", [normal, heavy, of_other_sizes, log_losses])
def test_looking_every_day_does_not_raise_the_error(noise: Noise) -> None:
    chance = np.random.default_rng(7)
    ended = np.mean([stopped_on(noise(chance)) is not None for _ in range(SERIES)])
    assert ended <= 0.05, f"{ended:.3f} of the challengers that are as good were stopped within {DAYS} days"


def test_looking_every_day_at_an_ordinary_interval_would() -> None:
    """The test above can fail: the t-interval of each day ends far more splits than it says."""
    series = np.random.default_rng(7).normal(size=(SERIES, DAYS))
    tests = [stats.ttest_1samp(series[:, :day], 0, axis=1, alternative="greater").pvalue for day in range(5, DAYS)]
    assert (np.array(tests) < 0.05).any(axis=0).mean() > 0.15


def test_a_challenger_that_does_worse_is_stopped_soon() -> None:
    chance = np.random.default_rng(3)
    days = [stopped_on(normal(chance) + 1.0) for _ in range(200)]
    assert all(days), "each is stopped"
    assert np.median([day for day in days if day]) <= 16


def test_a_challenger_that_does_better_is_not() -> None:
    chance = np.random.default_rng(3)
    assert not any(stopped_on(normal(chance) - 0.5) for _ in range(200))


def test_the_interval_is_where_the_likelihood_ratio_reaches_its_limit() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 12)
    interval = confidence_sequence(values, confidence=0.9)
    assert interval is not None and interval.low is not None
    t, degrees_of_freedom, shrunk = stats.ttest_1samp(values, interval.low).statistic, 11, 13
    ratio = ((1 + t**2 / degrees_of_freedom) / (1 + t**2 / (degrees_of_freedom * shrunk))) ** 6 / np.sqrt(shrunk)
    assert ratio == pytest.approx(1 / (1 - 0.9))


def test_few_days_have_no_interval() -> None:
    assert confidence_sequence([], confidence=0.95) is None
    for days in range(1, 5):
        interval = confidence_sequence(np.arange(days), confidence=0.95)
        assert interval is not None and interval.low is None
    same = confidence_sequence(np.zeros(20), confidence=0.95)
    assert same is not None and (same.low, same.high) == (0.0, 0.0), "equal models are not worse"


def test_a_day_compares_who_was_to_answer_or_both_answers_of_the_same_rows() -> None:
    rows = pd.DataFrame(
        {"target": [1.0] * 30, "prediction": [0.9] * 20 + [0.5] * 10, "arm": ["champion"] * 20 + ["challenger"] * 10}
    )
    pair = {"champion": 1, "challenger": 2}
    split = day_of(date(2013, 6, 1), rows, kind="randomised", metric="brier", **pair)
    assert split is not None and (split.rows, split.challenger_rows) == (20, 10)
    assert split.difference == pytest.approx(0.25 - 0.01)
    assert day_of(date(2013, 6, 1), rows[:29], kind="randomised", metric="brier", **pair) is None, "too few rows"
    shadow = day_of(date(2013, 6, 1), rows.assign(other=0.9), kind="paired", metric="brier", **pair)
    assert shadow is not None and shadow.difference == pytest.approx(-0.24 / 3)


def test_the_days_together_say_how_much_and_whether_beyond_noise() -> None:
    def days(worse: float) -> list[SplitDay]:
        chance = np.random.default_rng(5)
        return [
            SplitDay(
                day=date(2013, 6, 1) + timedelta(days=number), kind="paired", champion=1, challenger=2, rows=100,
                challenger_rows=100, difference=worse + float(chance.normal(0, 0.01)),
            )
            for number in range(14)
        ]  # fmt: skip

    bad, equal = (weigh(days(worse), metric="log_loss", confidence=0.95) for worse in (0.05, 0.0))
    assert bad is not None and bad.is_worse and "version 2 has a log loss higher by 0.05" in bad.reason
    assert (bad.days, bad.rows, bad.first_day) == (14, 1400, date(2013, 6, 1))
    assert equal is not None and not equal.is_worse
    assert weigh([], metric="log_loss", confidence=0.95) is None
    assert split_evidence.LEAST_ROWS == 10
