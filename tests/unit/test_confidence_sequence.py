"""An interval of a daily mean that is looked at every day excludes the truth as rarely as it says, over all looks."""

from __future__ import annotations

import numpy as np
import pytest

from ml.core.monitoring.confidence_sequence import mean_of_days, neighbours


def misses(days: np.ndarray, *, confidence: float = 0.9) -> bool:
    """Return whether the interval of the first n days excludes 0, for any n."""
    ends = [mean_of_days(days[:count], confidence=confidence)[1:] for count in range(2, len(days) + 1)]
    return any((low is not None and low > 0) or (high is not None and high < 0) for low, high in ends)


@pytest.mark.parametrize("lag", [0.0, 0.3])
def test_all_looks_together_miss_the_true_mean_as_rarely_as_declared(lag: float) -> None:
    chance, missed = np.random.default_rng(1), 0
    for _ in range(200):
        days = chance.normal(size=30)
        for day in range(1, 30):
            days[day] += lag * days[day - 1]
        missed += misses(days)
    assert missed / 200 <= 0.14  # 0.1 is declared; 200 repeats are off by 0.04 in one of forty


def test_a_plain_interval_of_each_day_would_miss_it_far_more_often() -> None:
    chance, missed = np.random.default_rng(1), 0
    for _ in range(200):
        days = chance.normal(size=30)
        count = np.arange(1, 31)
        means = np.cumsum(days) / count
        missed += bool((abs(means[4:]) > 1.7 / np.sqrt(count[4:])).any())
    assert missed / 200 > 0.2


def test_a_gain_beyond_the_scatter_of_days_is_found_within_a_week() -> None:
    days = 0.02 + np.random.default_rng(2).normal(0, 0.006, size=7)
    mean, low, high = mean_of_days(days, confidence=0.9)
    assert low is not None
    assert high is not None
    assert 0 < low < mean < high


def test_it_does_not_depend_on_the_unit() -> None:
    days = np.random.default_rng(3).normal(1, 2, size=12)
    ends = np.array(mean_of_days(days, confidence=0.95), dtype=float)
    np.testing.assert_allclose(np.array(mean_of_days(days * 1000, confidence=0.95), dtype=float), ends * 1000)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_days_have_no_interval_however_alike_they_are(count: int) -> None:
    assert mean_of_days([0.5] * count, confidence=0.9) == (0.5, None, None)


def test_days_that_do_not_differ_leave_no_doubt() -> None:
    assert mean_of_days([0.5] * 8, confidence=0.9) == (0.5, 0.5, 0.5)
    assert neighbours(np.full(8, 0.5)) == 1.0
