"""An interval of a daily mean that holds at every look, however often it is looked at and whenever one stops.

The confidence sequence of a t-test: the means that a Bayes factor does not speak against by ``1 / (1 - confidence)`` or
more, with a normal prior on the mean in standard deviations of a day and the right Haar prior on the spread. As a test
martingale it crosses that bound with a probability of ``1 - confidence`` at most (Ville's inequality), over all days
together (Wang & Ramdas 2025, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown
variance", arXiv:2310.03722). Days are not normal, nor independent: `neighbours` widens it, and
``bench/refit_gain.py`` measures what is left of that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

PRIOR_VARIANCE = 1.0
"""Of the mean in standard deviations of a day. With 1, four days or fewer say nothing at a confidence of 0.95."""
MOST_CORRELATED = 0.8


def mean_of_days(
    values: ArrayLike, *, confidence: float, correlated: bool = True
) -> tuple[float, float | None, float | None]:
    """Return the mean of daily values with an interval that is valid at every daily look.

    Parameters
    ----------
    values : array of shape (n_days,)
        One of each day, in day order; at least one, all finite.
    confidence
        Of all looks together.
    correlated
        Whether the interval is widened by what neighbouring days have in common (`neighbours`). Without it, it is exact
        for independent normal values.

    Returns
    -------
    tuple of float, and float or None twice
        The mean, and the ends of the interval: None while the days are too few to say anything.

    Examples
    --------
    >>> mean, low, high = mean_of_days([0.01, 0.02, 0.0, 0.015, 0.01, 0.02, 0.005, 0.01], confidence=0.95)
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (0.011, 0.001, 0.022)
    >>> mean_of_days([0.01, 0.02], confidence=0.95)
    (0.015, None, None)
    """
    days = np.asarray(values, dtype=float)
    count, mean = len(days), float(days.mean())
    steps = reach(count, confidence=confidence)
    if steps is None:
        return mean, None, None
    error = float(days.std(ddof=1)) / math.sqrt(count) * (neighbours(days) if correlated else 1.0)
    return mean, mean - steps * error, mean + steps * error


def reach(count: int, *, confidence: float) -> float | None:
    """Return how far the interval of so many days reaches, in standard errors of their mean; None for too few days."""
    if count < 2:
        return None
    shrunk = 1 / (1 + count * PRIOR_VARIANCE)
    factor = math.exp((2 / count) * math.log(1 / ((1 - confidence) * math.sqrt(shrunk))))
    if factor * shrunk >= 1:
        return None
    return math.sqrt((count - 1) * (factor - 1) / (1 - factor * shrunk))


def neighbours(days: np.ndarray) -> float:
    """Return by how much the error of a mean grows because neighbouring days resemble each other; 1 if they do not.

    ``sqrt((1 + r) / (1 - r))`` with the lag-1 autocorrelation ``r``, shrunk towards 0 where days are few.
    """
    residuals = days - days.mean()
    total = float(residuals @ residuals)
    if total <= 0:
        return 1.0
    lag = float(residuals[1:] @ residuals[:-1]) / total
    lag = min(max(lag + 1 / len(days), 0.0), MOST_CORRELATED) * len(days) / (len(days) + 7)
    return math.sqrt((1 + lag) / (1 - lag))
