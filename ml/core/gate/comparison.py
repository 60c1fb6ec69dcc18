"""Compare two models on the same rows, with days as the unit of chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.metrics import row_loss

POWER = 0.8


@dataclass(frozen=True)
class PairedGain:
    """How much lower the challenger's mean loss is, over the days on which both can be judged.

    ``gain`` is champion's minus challenger's mean row loss (positive is better), ``low`` and
    ``high`` its confidence interval, ``standard_error`` its standard error with days as clusters, of as many
    degrees of ``degrees_of_freedom`` (None: one less than days). ``resolution`` is the smallest true gain that
    a comparison like this one finds in about four cases of five. All in the unit of the loss.
    """

    gain: float
    low: float
    high: float
    days: int
    rows: int
    standard_error: float
    resolution: float
    degrees_of_freedom: int | None = None


def paired_gain(
    holdout: pd.DataFrame,
    *,
    metric: str,
    confidence: float,
    n_resamples: int,
    seed: int,
    challenger: str = "challenger",
    champion: str = "champion",
) -> PairedGain | None:
    """Compare two models on the same rows, with an interval that knows what days share.

    Rows of a day share its weather and its luck, so the day is the independent unit: a bootstrap
    of rows would be far too sure of itself. The interval is the wider, at either end, of two:

    - a bootstrap that resamples whole days (Cameron, Gelbach & Miller 2008,
      doi:10.1162/rest.90.3.414), which sees that luck is lopsided. The ratio of resampled sums lets
      busy days count by their rows. Its percentiles are `expanded_tails`;
    - Student's t with the ``standard_error``, which sees that luck lasts: a bad day is followed by a bad day.

    ``bench/gate_errors.py`` shows what either alone would let through.

    Parameters
    ----------
    holdout : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and the predictions of both models; not modified.
    challenger, champion
        The columns of the predictions.

    Returns
    -------
    PairedGain or None
        None for fewer than two days (one cluster carries no interval), and if any row has no
        finite loss: a row that one of the two did not predict is no tie.
    """
    difference = row_loss(holdout["target"], holdout[champion], metric) - row_loss(
        holdout["target"], holdout[challenger], metric
    )
    if not np.isfinite(difference).all():
        return None
    daily_mean = mean_by_day(holdout["day"], difference, confidence=confidence, n_resamples=n_resamples, seed=seed)
    if daily_mean is None:
        return None
    reach = stats.t.isf((1 - confidence) / 2, daily_mean.degrees_of_freedom) * daily_mean.standard_error
    return PairedGain(
        gain=daily_mean.value,
        low=daily_mean.low,
        high=daily_mean.high,
        days=daily_mean.days,
        rows=daily_mean.rows,
        standard_error=daily_mean.standard_error,
        resolution=float(reach + stats.t.ppf(POWER, daily_mean.degrees_of_freedom) * daily_mean.standard_error),
        degrees_of_freedom=daily_mean.degrees_of_freedom,
    )


@dataclass(frozen=True)
class DailyMean:
    """A mean over rows with its interval, days being the resampling units.

    ``standard_error`` is its standard error with days as clusters, of ``degrees_of_freedom`` degrees.
    """

    value: float
    low: float
    high: float
    standard_error: float
    degrees_of_freedom: int
    days: int
    rows: int


def mean_by_day(
    days: pd.Series, values: np.ndarray, *, confidence: float, n_resamples: int, seed: int
) -> DailyMean | None:
    """Return the mean of ``values`` over all rows, with the interval that `paired_gain` describes.

    Parameters
    ----------
    days : Series of length n_rows
        The day of each row, such that sorting puts them in order.
    values : array of shape (n_rows,)
        Finite numbers, in the order of ``days``.

    Returns
    -------
    DailyMean or None
        None for fewer than two days.
    """
    by_day = pd.DataFrame({"day": days.to_numpy(), "value": values}).groupby("day")["value"]
    totals, rows = by_day.sum().to_numpy(), by_day.size().to_numpy()
    return mean_of_days(totals, rows, confidence=confidence, n_resamples=n_resamples, seed=seed)


def mean_of_days(
    totals: np.ndarray, rows: np.ndarray, *, confidence: float, n_resamples: int, seed: int
) -> DailyMean | None:
    """Return what `mean_by_day` does, from the sum and the number of rows of each day, in the order of the days."""
    count = len(totals)
    if count < 2:
        return None
    mean = float(totals.sum() / rows.sum())
    draws = np.random.default_rng(seed).integers(0, count, size=(n_resamples, count))
    means = totals[draws].sum(axis=1) / rows[draws].sum(axis=1)
    low, high = np.quantile(means, expanded_tails(count, confidence))
    error, degrees_of_freedom = _error((totals - mean * rows) / rows.sum(), confidence)
    reach = stats.t.isf((1 - confidence) / 2, degrees_of_freedom) * error
    return DailyMean(
        value=mean,
        low=float(min(low, mean - reach)),
        high=float(max(high, mean + reach)),
        standard_error=error,
        degrees_of_freedom=degrees_of_freedom,
        days=count,
        rows=int(rows.sum()),
    )


def new_to_both(scored: pd.DataFrame) -> pd.DataFrame:
    """Leave out the days that the champion was trained on: they flatter it.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``champion_had_seen`` says which; all rows are kept without that column. Not modified.

    Returns
    -------
    DataFrame of shape (n_kept, n_columns)
        In the same order and with the same index; possibly empty.
    """
    return scored.loc[~scored["champion_had_seen"].astype(bool)] if "champion_had_seen" in scored else scored


def expanded_tails(days: int, confidence: float) -> tuple[float, float]:
    """Return which percentiles of a bootstrap of ``days`` days bound an interval of this ``confidence``.

    Those of few days are too narrow and are taken further out, as Student's t asks (expanded percentiles;
    Hesterberg 2015, doi:10.1080/00031305.2015.1089789).

    Parameters
    ----------
    days
        At least two: one day has no interval.

    Returns
    -------
    tuple of float
        Lower and upper, as shares from 0 to 1 that add up to 1.

    Examples
    --------
    >>> low, high = expanded_tails(7, confidence=0.95)
    >>> round(low, 4), round(high, 4)
    (0.0041, 0.9959)
    """
    beyond = stats.t.isf((1 - confidence) / 2, days - 1)
    tail = float(stats.norm.sf(np.sqrt(days / (days - 1)) * beyond))
    return tail, 1 - tail


def _error(parts: np.ndarray, confidence: float) -> tuple[float, int]:
    """Return the standard error of a sum of daily parts in day order, and its degrees of freedom.

    The less certain of two: from the scatter of the days, right if they are independent; and from
    their slow waves alone, cosines of eight days and longer, right also if luck lasts for days
    (equal-weighted cosine estimator; Lazarus, Lewis, Stock & Watson 2018,
    doi:10.1080/07350015.2018.1506926).
    """
    days = len(parts)
    waves = min(max(3, round(days / 4)), days - 1)
    shapes = np.cos(np.pi / days * np.outer(np.arange(1, waves + 1), np.arange(days) + 0.5))
    scatter = float(np.sqrt(days / (days - 1) * np.square(parts).sum()))
    slow = float(np.sqrt(2 * np.square(shapes @ parts).mean()))
    estimates = [(scatter, days - 1), (slow, waves)]
    return max(estimates, key=lambda pair: stats.t.isf((1 - confidence) / 2, pair[1]) * pair[0])


def loss_p_value(paired: PairedGain, max_loss: float) -> float:
    """Return how surprising the comparison would be if the challenger lost no more than ``max_loss``.

    One-sided: small means that the true gain is below ``-max_loss``. Student's t with the error and
    the degrees of freedom of the comparison, whose resampling units are days (Cameron & Miller 2015,
    doi:10.3368/jhr.50.2.317).

    Parameters
    ----------
    max_loss
        In the unit of the loss; 0 asks for any loss at all.

    Returns
    -------
    float
        From 0 to 1. Days that do not differ (an error of 0) leave no doubt: 0 or 1.
    """
    excess = paired.gain + max_loss
    if paired.standard_error == 0:
        return 0.0 if excess < 0 else 1.0
    degrees_of_freedom = paired.days - 1 if paired.degrees_of_freedom is None else paired.degrees_of_freedom
    return float(stats.t.cdf(excess / paired.standard_error, degrees_of_freedom))


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return which hypotheses fall if none may fall wrongly with more than ``alpha`` probability.

    Holm's step-down procedure (1979, Scandinavian Journal of Statistics 6, 65–70): it holds however
    the tests depend on each other, as slices of the same days do.

    Returns
    -------
    list of bool
        One a p value, in their order: whether it is rejected.

    Raises
    ------
    ValueError
        If a p value is not a number from 0 to 1: a test that was not made rejects nothing and clears nothing.

    Examples
    --------
    >>> holm([0.04, 0.001, 0.02], alpha=0.05)
    [True, True, True]
    >>> holm([0.04, 0.03, 0.001], alpha=0.05)
    [False, False, True]
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"{list(p_values)} are no p values from 0 to 1; leave out the tests that were not made")
    order = np.argsort(p, kind="stable")
    fell = np.logical_and.accumulate(p[order] <= alpha / np.arange(len(p), 0, -1))
    rejected = np.empty(len(p), dtype=bool)
    rejected[order] = fell
    return [bool(fallen) for fallen in rejected]
