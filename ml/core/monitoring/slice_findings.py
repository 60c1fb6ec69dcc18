"""Say whether a part of the data has changed, out of what every labelled day measured of its slices.

Monitoring and the backtest both call these functions; how rows are read is theirs. Nothing is carried over from day
to day: what is said of a day follows from the labelled days up to it, in whatever order they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import pandas as pd

from ml.conditions import columns_of, parse_term
from ml.core.gate.slices import cut
from ml.core.monitoring.slice_changes import MEMORY_DAYS, MIN_TRAILING_DAYS, TRAILING_DAYS, change_on, message
from ml.core.monitoring.slice_streams import DAY, day_streams
from ml.core.predictions import array
from ml.records import Finding, LivePerformance
from ml.settings import Settings

MIN_ROWS, QUARTER = 20, 91
"""A slice of fewer rows on a day says nothing that day; and the days of a quarter."""
DAYS = TRAILING_DAYS + MEMORY_DAYS
"""So many labelled days count."""


def are_watched(settings: Settings) -> bool:
    """Return whether slices are looked at: of probabilities and of means, since a residual of these is 0 on average."""
    wanted = settings.performance.slices != "off"
    return wanted and settings.task.kind in ("classification", "regression") and settings.task.quantile is None


def terms(settings: Settings) -> tuple[str, ...]:
    """List the columns and conditions that the gate's rules cut by, each once."""
    cuts = [cut for rule in settings.gate.rules.values() if (cut := rule.cut()) is not None]
    return tuple(dict.fromkeys(term for cut in cuts for term in cut.by))


def columns(settings: Settings) -> list[str]:
    """Name the columns of inputs that slices need, each once."""
    return list(dict.fromkeys(name for term in terms(settings) for name in columns_of(parse_term(term))))


def scores_of(rows: pd.DataFrame, settings: Settings) -> dict[str, float]:
    """Measure the slices of a labelled day.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target``, ``prediction`` and `columns`, of the rows whose outcome is known; not modified. A slice whose column
        is not there, or cannot be compared as the gate's rule does, is left out.

    Returns
    -------
    dict
        By stream, as `ml.core.monitoring.slice_streams.day_streams`; empty of a day that says nothing.
    """
    known = np.isfinite(array(rows["prediction"])) & np.isfinite(rows["target"].to_numpy(dtype=float))
    complete = rows.loc[known].reset_index(drop=True)
    by = [term for term in terms(settings) if _can_cut(complete, term)]
    streams = day_streams(complete, settings.task.kind, by, {}, min_rows=MIN_ROWS)
    return {str(name): round(float(score), 6) for name, score in zip(streams["stream"], streams["score"], strict=True)}


def _can_cut(rows: pd.DataFrame, term: str) -> bool:
    try:
        return len(list(cut(rows, [term]))) > 0
    except KeyError:
        return False


def with_slices(
    performance: LivePerformance, scores: Mapping[date, Mapping[str, float]], settings: Settings
) -> LivePerformance:
    """Add to what was measured on a day whether a part of the data has changed.

    Parameters
    ----------
    scores
        What `scores_of` gave of the labelled days that were served, by whichever version.

    Returns
    -------
    LivePerformance
        With ``slice_reason``, and a finding of kind ``slice_change`` if a change was called on the newest days.
    """
    if not are_watched(settings) or performance.champion_version is None:
        return performance
    measured = {str(day): dict(streams) for day, streams in sorted(scores.items()) if streams}
    table = pd.DataFrame.from_dict(measured, orient="index", dtype=float).tail(DAYS)
    limit = QUARTER / settings.performance.slice_false_alarms_per_quarter
    change = change_on(table, limit=limit) if len(table) > MIN_TRAILING_DAYS else None
    if change is None:
        return performance.model_copy(update={"slice_reason": _calm(len(set(table.columns) - {DAY}), len(table))})
    severity = "alarm" if settings.performance.slices == "alarm" else "warning"
    sentence = message(change, limit=limit)
    finding = Finding(
        kind="slice_change",
        severity=severity,
        message=sentence,
        at_once=severity == "alarm",
        score=round(change.shift, 6),
    )
    return performance.model_copy(update={"slice_reason": sentence, "findings": (*performance.findings, finding)})


def _calm(parts: int, days: int) -> str:
    if days <= MIN_TRAILING_DAYS:
        return (
            f"changes in a part of the data are looked for from {MIN_TRAILING_DAYS + 1} labelled days of served "
            f"predictions on; so far there are {days}"
        )
    return f"no part of the data has changed: {parts} parts, {days} labelled days"
