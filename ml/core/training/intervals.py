"""Prediction intervals by split conformal prediction: as wide as a model's errors were on days it was not fitted on.

The interval of a row is its prediction plus and minus one number, the half width: a quantile of the absolute errors on
the holdout (Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29; Lei et al. 2018,
doi:10.1080/01621459.2017.1307116).
What that guarantees depends on what is alike:

- ``unit: rows``: if the rows of the holdout and a later row are exchangeable, the outcome is inside with at least the
  declared probability. Rows of a day share its luck and days follow each other, so that on data by day it holds on
  average over many days, and not on each of them.
- ``unit: days``: if whole days are exchangeable, it holds for a row of a new day, whatever rows of a day share (Lee,
  Barber & Willett 2023, arXiv:2306.06342). Each day counts alike. With few days the intervals are wider.

Neither holds once the relation between features and outcome moves: live coverage is measured, see
`ml.core.monitoring.interval_coverage`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pandas as pd

from ml.core.predictions import array
from ml.errors import SettingsError
from ml.records import IntervalWidth
from ml.settings import Intervals

ROUNDING = 1e-12
"""Sums of weights are the same number within so much."""


@dataclass(frozen=True)
class Calibrated:
    """A width, and the smallest and the largest share of a day's rows that it covers where it was calibrated."""

    width: IntervalWidth
    lowest_day: float
    highest_day: float


def calibrated_by_day(scored: pd.DataFrame, declared: Intervals) -> Calibrated:
    """Return what `calibrate` does, with the days on which most and least is covered; raises as that does."""
    width = calibrate(scored, declared)
    errors = np.abs(scored["target"].to_numpy(dtype=float) - array(scored["challenger"]))
    by_day = pd.Series(errors <= width.half_width, index=scored["day"]).groupby(level=0).mean()
    return Calibrated(width, float(by_day.min()), float(by_day.max()))


def calibrate(scored: pd.DataFrame, declared: Intervals) -> IntervalWidth:
    """Return how wide the intervals of a model are, by its errors on rows that it was not fitted on.

    Parameters
    ----------
    scored : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``challenger``, what the model predicts; not modified.

    Raises
    ------
    SettingsError
        If there are too few rows, or days, for the declared coverage, or too few of finite error.
    """
    errors = np.abs(scored["target"].to_numpy(dtype=float) - array(scored["challenger"]))
    errors = np.where(np.isfinite(errors), errors, np.inf)
    days = scored["day"].astype(str)
    of_rows = declared.unit == "rows"
    half_width = _by_rows(errors, declared.coverage) if of_rows else _by_days(errors, days, declared.coverage)
    if not math.isfinite(half_width):
        raise SettingsError(
            f"fit.intervals: a coverage of {declared.coverage:g} by {declared.unit} needs a holdout of at least "
            f"{declared.fewest()} {declared.unit} with finite predictions, and there are {len(errors)} rows of "
            f"{days.nunique()} days, {int(np.isinf(errors).sum())} of the rows without one; lower "
            "fit.intervals.coverage, or raise split.holdout_days"
        )
    return IntervalWidth(
        coverage=declared.coverage,
        unit=declared.unit,
        half_width=half_width,
        rows=len(errors),
        days=int(days.nunique()),
        first_day=days.min(),
        last_day=days.max(),
    )


def _by_rows(errors: np.ndarray, coverage: float) -> float:
    """Return the smallest error that the share ``coverage`` of n + 1 errors, one of them unknown, do not exceed."""
    rank = math.ceil((len(errors) + 1) * Fraction(repr(coverage)))
    return float(np.sort(errors)[rank - 1]) if rank <= len(errors) else math.inf


def _by_days(errors: np.ndarray, days: pd.Series, coverage: float) -> float:
    """Return the same of n + 1 days, one of them unknown, of which each counts alike whatever its rows."""
    if not len(errors):
        return math.inf
    rows = days.groupby(days).transform("size").to_numpy(dtype=float)
    order = np.argsort(errors, kind="stable")
    within = np.cumsum(1 / ((days.nunique() + 1) * rows[order]))
    at = int(np.searchsorted(within, coverage - ROUNDING))
    return float(errors[order][at]) if at < len(errors) else math.inf
