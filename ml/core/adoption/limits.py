"""Set the limits of screening, monitoring and decisions from what validation and the data's own past show."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ml.core.adoption.amounts import amount
from ml.core.adoption.holdouts import Holdout
from ml.core.adoption.recipes import Validated
from ml.core.adoption.rounding import digits, round_down, round_up
from ml.core.adoption.spread import Spread
from ml.core.monitoring.drift import FEWEST_ROWS

DRIFT_ROWS, MOST_DRIFT_WEEKS = 45, 13
LEAST_RATIO = 0.01


def drift_window(rows_per_day: float) -> tuple[int, str]:
    """Return ``drift.window_days``: whole weeks that hold more rows than the fewest that drift is measured on.

    A window of fewer rows than `ml.core.monitoring.drift.FEWEST_ROWS` is never measured.
    """
    weeks = min(max(1, int(np.ceil(DRIFT_ROWS / rows_per_day / 7))), MOST_DRIFT_WEEKS)
    rows = 7 * weeks * rows_per_day
    if rows < FEWEST_ROWS:
        return 7 * weeks, f"about {amount(round(rows), 'row')}, too few: drift of the inputs will not be measured"
    return 7 * weeks, f"about {amount(round(rows), 'row')}; drift is not measured on fewer than {FEWEST_ROWS}"


def performance_limits(best: Validated, spread: Spread, holdout: Holdout) -> dict[str, tuple[object, str]]:
    """Return the section ``performance`` with reasons."""
    bias = "calibration_gap" if best.kind != "regression" else "bias"
    gap = max(2 * abs(spread.worst(bias)), 3 * spread.daily_gap / np.sqrt(holdout.days))
    skill = max(best.base_score - best.score, 0.0)
    lost = max(min(0.3 * skill, 0.5 * best.score), 0.01 * best.base_score)
    return {
        "window_days": (min(max(holdout.days, 14), 28), "as many as the holdout has, at least 14 and at most 28"),
        "min_days": (min(7, holdout.days), ""),
        "max_gap": (digits(gap, up=True), f"twice the worst mean error of validation ({spread.worst(bias):+.3g})"),
        "max_lost_skill": (
            digits(lost),
            f"{lost / skill:.0%} of the {skill:.3g} gained over the base rate" if skill else "",
        ),
    }


def row_count_ratio(days: pd.Series, *, recent: int = 28) -> tuple[tuple[float, float], str]:
    """Return how far a day's number of rows may lie from the median of the same weekday, from how far it did."""
    counts = days.value_counts().sort_index()
    counts.index = pd.to_datetime(counts.index)
    ratios = []
    for _, of_weekday in counts.groupby(counts.index.dayofweek):
        before = of_weekday.rolling(f"{recent}D", closed="left").median()
        ratios.append((of_weekday / before).dropna())
    seen = pd.concat(ratios) if ratios else pd.Series(dtype=float)
    if len(seen) < 14:
        return (0.5, 2.0), "too few days to tell: the usual bounds"
    low, high = float(seen.quantile(0.005)), float(seen.quantile(0.995))
    bounds = (max(LEAST_RATIO, min(0.8, round_down(0.75 * low, 2))), max(1.25, round_up(1.33 * high, 2)))
    return bounds, f"days had {low:.2f} to {high:.2f} times the median of their weekday"


def decision_threshold(best: Validated) -> tuple[float, str]:
    """Return the score from which on as many rows are decided to be positive as are."""
    share = float(best.rows["truth"].mean())
    value = float(np.quantile(best.rows["predicted"], 1 - share))
    return min(max(round(value, 2), 0.01), 0.99), f"as many rows lie above it as are positive ({share:.0%})"
