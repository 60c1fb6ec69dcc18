"""How many outcomes were inside of the prediction intervals that were served, beside what was declared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ml.core.gate.comparison import DailyMean, mean_by_day
from ml.core.monitoring.served import Evidence, ExpectedCoverage
from ml.core.predictions import array
from ml.names import LOWER, UPPER
from ml.records import Finding, IntervalWidth
from ml.settings import Settings

COVERED = "covered"
"""The column of labelled rows that is 1 where the outcome was inside of the interval; NaN of a row without one."""

NAME = "interval_coverage"
"""What records call the share of outcomes that were inside."""


def with_covered(labelled: pd.DataFrame) -> pd.DataFrame:
    """Return labelled rows with `COVERED` in place of the ends of their intervals, if they have any.

    Parameters
    ----------
    labelled : DataFrame of shape (n_rows, n_columns)
        ``target`` and perhaps the columns of `ml.core.predictions.bounds`; not modified.
    """
    if LOWER not in labelled or UPPER not in labelled:
        return labelled
    inside = labelled["target"].between(labelled[LOWER], labelled[UPPER]).astype(float)
    complete = labelled[[LOWER, UPPER, "target"]].notna().all(axis=1)
    return labelled.drop(columns=[LOWER, UPPER]).assign(**{COVERED: inside.where(complete)})


def expected(holdout: pd.DataFrame, width: IntervalWidth | None, settings: Settings) -> ExpectedCoverage | None:
    """Return what coverage a version declares, and how uncertain that is; None for one without intervals.

    The width was chosen so that about the declared share of the holdout's rows is inside. Of other days another share
    would be: by as much as the share of the holdout varies with its days.

    Parameters
    ----------
    holdout : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target`` and ``challenger``; not modified.
    """
    if width is None:
        return None
    errors = np.abs(holdout["target"].to_numpy(dtype=float) - array(holdout["challenger"]))
    return ExpectedCoverage(
        width.coverage, _by_day(holdout["day"], (errors <= width.half_width).astype(float), settings)
    )


@dataclass(frozen=True)
class LiveCoverage:
    """The share of outcomes that were inside, what was declared, and a finding if that is less beyond noise."""

    live: DailyMean
    declared: float
    finding: Finding | None


def measure(chosen: Evidence, settings: Settings) -> LiveCoverage | None:
    """Compare the coverage of served intervals with the declared one.

    Two means of different days: what the served days show, and what the days did from which the width follows. Both
    have standard errors with days as clusters that know that luck lasts (`ml.core.gate.comparison.mean_by_day`), and
    the difference is judged by Welch's t, as lost skill is. With fewer than ``performance.min_days`` days, or of days
    that the champion was trained on, it is measured and not judged.

    Returns
    -------
    LiveCoverage or None
        None if no row was served with an interval whose declared coverage is known, or all are of one day.
    """
    if COVERED not in chosen.rows:
        return None
    rows = chosen.rows.loc[chosen.rows[COVERED].notna()]
    declared_by = {
        int(version): expected.coverage
        for version in rows["version"].unique()
        if (expected := chosen.expected_by_version.get(int(version))) and expected.coverage
    }
    rows = rows.loc[rows["version"].isin(list(declared_by))]
    live = _by_day(rows["day"], rows[COVERED].to_numpy(dtype=float), settings) if len(rows) else None
    if live is None:
        return None
    shares = rows["version"].value_counts(normalize=True)
    parts = [(float(shares[version]), coverage) for version, coverage in declared_by.items()]
    declared = sum(share * coverage.declared for share, coverage in parts)
    judged = live.days >= settings.performance.min_days and not chosen.trained_on
    return LiveCoverage(live, declared, _finding(chosen, live, declared, parts, settings) if judged else None)


def _finding(
    chosen: Evidence,
    live: DailyMean,
    declared: float,
    parts: Sequence[tuple[float, ExpectedCoverage]],
    settings: Settings,
) -> Finding | None:
    calibrations = [(share, coverage.calibration) for share, coverage in parts if coverage.calibration is not None]
    error = sum(share * calibration.standard_error for share, calibration in calibrations)
    degrees_of_freedom = min(
        [live.degrees_of_freedom, *(calibration.degrees_of_freedom for _, calibration in calibrations)]
    )
    tail = (1 - settings.performance.confidence) / 2
    reach = float(stats.t.isf(tail, degrees_of_freedom) * np.hypot(error, live.standard_error))
    lost, most = declared - live.value, settings.performance.max_lost_coverage
    if lost - reach <= most:
        return None
    message = (
        f"{live.value:.1%} of the outcomes are inside of the prediction intervals of {chosen.who}, and {declared:.1%} "
        f"are declared, on {live.days} labelled days and {live.rows} rows up to {chosen.rows['day'].max()}: "
        f"{lost:.3f} [{lost - reach:+.3f}, {lost + reach:+.3f}] too few, performance.max_lost_coverage is {most:g}: "
        "retrain, which calibrates them anew, or look for what changed in the outcome"
    )
    score, limit = round(live.value, 6), declared - most
    return Finding(kind="interval_coverage", severity="alarm", message=message, score=score, limit=limit, matters=True)


def _by_day(days: pd.Series, values: np.ndarray, settings: Settings) -> DailyMean | None:
    return mean_by_day(
        days,
        values,
        confidence=settings.performance.confidence,
        n_resamples=settings.gate.bootstrap_rounds,
        seed=settings.fit.seed,
    )
