"""Which columns say what the business is, and which only follow weather, season and volume: a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ml.core.monitoring.day_blocks import daily_counts, variability
from ml.core.monitoring.drift_method import is_number
from ml.core.monitoring.limits import MIN_BLOCKS
from ml.settings import Drift

IDENTIFIER_SHARE = 0.5
"""A category with more distinct values than so many of a day's rows names rows, and says nothing of them together."""


@dataclass(frozen=True)
class Proposal:
    """What a column should be to monitoring, and why; ``role`` None: do not watch it.

    ``typical`` and ``widest`` are the median and the largest distance of a block of days from the rest of the
    reference; None where they could not be measured.
    """

    column: str
    role: Literal["structural", "environment"] | None
    reason: str
    typical: float | None = None
    widest: float | None = None


def propose(reference: pd.DataFrame, drift: Drift, *, leave_out: Sequence[str] = ()) -> dict[str, Proposal]:
    """Propose a role for each column, from how far it wanders from block to block.

    A column is structural if a typical block lies within ``drift.min_distance`` of the rest: a move that would be an
    alarm is then nothing usual. One that wanders further by itself is environment.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` (ISO string); not modified. The roles that ``drift`` declares are not looked at.
    leave_out
        Columns that are not asked about.
    """
    columns = [column for column in reference if column != "day" and column not in leave_out]
    return {str(column): _proposal(str(column), reference, drift) for column in columns}


def _proposal(column: str, reference: pd.DataFrame, drift: Drift) -> Proposal:
    values, days = reference[column], reference["day"]
    if not values.notna().any():
        return Proposal(column, None, "holds no value")
    if len(values.dropna().unique()) == 1:
        return Proposal(column, None, "has always the same value")
    if not is_number(values) and _names_rows(values, days):
        return Proposal(column, None, "has nearly a value of its own in each row")
    moved = variability(daily_counts(values, days, drift.methods), drift.window_days)
    moved = moved[np.isfinite(moved)]
    if days.nunique() < MIN_BLOCKS * drift.window_days or not len(moved):
        return Proposal(column, None, f"needs {MIN_BLOCKS} blocks of {drift.window_days} days to tell")
    typical, widest = float(np.median(moved)), float(moved.max())
    role: Literal["structural", "environment"] = "structural" if typical <= drift.min_distance else "environment"
    reason = f"blocks of {drift.window_days} days lie {typical:.2f} from the rest, at most {widest:.2f}"
    return Proposal(column, role, reason, typical, widest)


def _names_rows(values: pd.Series, days: pd.Series) -> bool:
    by_day = values.groupby(days.to_numpy()).agg(["nunique", "count"])
    return bool((by_day["nunique"] > IDENTIFIER_SHARE * by_day["count"]).mean() > IDENTIFIER_SHARE)
