"""What came of a simulation: of each day, of the records of monitoring, and in all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from ml.records import Decision, DriftReport, LivePerformance, PreviousChampionComparison


@dataclass
class DayOf:
    """What happened on one day of one policy."""

    day: date
    version: int | None = None
    rows: int = 0
    shift: float = 0.0
    drift: str = ""
    performance: str = ""
    state: str = ""
    alarm: bool = False
    action: str = ""
    event: str = ""
    reason: str = ""
    rejected: str = ""
    quarantined: int = 0
    alarm_conditions: str = ""
    fit_seconds: float = 0.0


@dataclass(frozen=True)
class DayRecords:
    """The records of one monitored day; ``comparison`` is None where nobody could be rolled back."""

    drift: DriftReport
    performance: LivePerformance
    comparison: PreviousChampionComparison | None
    decision: Decision


@dataclass(frozen=True, eq=False)
class Outcome:
    """A policy's whole course.

    Attributes
    ----------
    scored : DataFrame of shape (n_rows, 4)
        ``day``, ``row`` (a hash of the key), ``target`` (NaN where no outcome came) and ``prediction``, as served.
    days : DataFrame of shape (n_days, n_columns)
        What happened on each day, see `DayOf`.
    """

    scored: pd.DataFrame
    days: pd.DataFrame
