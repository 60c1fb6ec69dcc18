"""Say whether a part of the data, or all of it, has changed, out of what every labelled day measured.

Monitoring and the backtest both call these functions; how rows are read is theirs. Nothing is carried over from day
to day: what is said of a day follows from the labelled days up to it, in whatever order they were measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from ml.conditions import columns_of, parse_term
from ml.core.counting import counted
from ml.core.gate.slices import cut
from ml.core.monitoring.outcome_shifts import STREAMS, day_shift, limit_of, shift_on
from ml.core.monitoring.outcome_shifts import message as shift_message
from ml.core.monitoring.slice_changes import MEMORY_DAYS, MIN_TRAILING_DAYS, TRAILING_DAYS, Change, change_on, message
from ml.core.monitoring.slice_streams import day_streams, parts
from ml.core.predictions import array
from ml.records import Finding, FindingKind, LivePerformance
from ml.settings import Settings

MIN_ROWS, QUARTER = 20, 91
"""A slice of fewer rows on a day says nothing that day; and the days of a quarter."""
MEASURE = 4
"""Which measure a day's scores are of: those of another are measured anew."""
DAYS = TRAILING_DAYS + MEMORY_DAYS
"""So many labelled days count."""


def are_measured(settings: Settings) -> bool:
    """Return whether days are looked at: of probabilities and of means, since a residual of these is 0 on average."""
    wanted = (settings.performance.slices, settings.performance.shifts) != ("off", "off")
    return wanted and settings.task.kind in ("classification", "regression") and settings.task.quantile is None


def terms(settings: Settings) -> tuple[str, ...]:
    """List the columns and conditions that the gate's rules cut by, each once."""
    cuts = [cut for rule in settings.gate.rules.values() if (cut := rule.cut()) is not None]
    return tuple(dict.fromkeys(term for cut in cuts for term in cut.by))


def columns(settings: Settings) -> list[str]:
    """Name the columns of inputs that slices need, each once."""
    return list(dict.fromkeys(name for term in terms(settings) for name in columns_of(parse_term(term))))


def scores_of(rows: pd.DataFrame, settings: Settings) -> dict[str, float]:
    """Measure a labelled day: its slices, and how outcomes as a whole follow the predictions.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``target``, ``prediction`` and `columns`, of the rows whose outcome is known; not modified. A slice whose column
        is not there, or cannot be compared as the gate's rule does, is left out.

    Returns
    -------
    dict
        By stream, as `ml.core.monitoring.slice_streams.day_streams` and `ml.core.monitoring.outcome_shifts.day_shift`;
        empty of a day that says nothing.
    """
    complete = complete_rows(rows)
    by = cuttable_terms(complete, settings)
    slices = day_streams(complete, settings.task.kind, by, {}, min_rows=MIN_ROWS)
    scores = {**day_shift(complete, settings.task.kind, min_rows=MIN_ROWS), **slices}
    return {name: float(f"{score:.8g}") for name, score in scores.items()}


def complete_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of which both prediction and outcome are numbers, in the same order."""
    known = np.isfinite(array(rows["prediction"])) & np.isfinite(rows["target"].to_numpy(dtype=float))
    complete: pd.DataFrame = rows.loc[known].reset_index(drop=True)
    return complete


def cuttable_terms(rows: pd.DataFrame, settings: Settings) -> list[str]:
    """List the `terms` by which these rows can be cut."""
    return [term for term in terms(settings) if _can_cut(rows, term)]


def _can_cut(rows: pd.DataFrame, term: str) -> bool:
    try:
        return len(list(cut(rows, [term]))) > 0
    except KeyError:
        return False


def with_changes(
    performance: LivePerformance, scores: Mapping[date, Mapping[str, float]], settings: Settings
) -> LivePerformance:
    """Add to what was measured on a day whether outcomes have left the predictions, as a whole or in a part.

    Parameters
    ----------
    scores
        What `scores_of` gave of the labelled days that were served, by whichever version.

    Returns
    -------
    LivePerformance
        With ``slice_reason`` and ``shift_reason``, and a finding of kind ``slice_change`` or ``outcome_shift`` if a
        change was called on the newest days.
    """
    if not are_measured(settings) or performance.champion_version is None:
        return performance
    measured = {str(day): dict(streams) for day, streams in sorted(scores.items()) if streams}
    table = pd.DataFrame.from_dict(measured, orient="index", dtype=float).tail(DAYS)
    return _with_shift(_with_slices(performance, table, settings), table, settings)


def _with_slices(performance: LivePerformance, table: pd.DataFrame, settings: Settings) -> LivePerformance:
    if settings.performance.slices == "off":
        return performance
    table = table.drop(columns=list(STREAMS), errors="ignore")
    limit = QUARTER / settings.performance.slice_false_alarms_per_quarter
    change = change_on(table, limit=limit) if len(table) > MIN_TRAILING_DAYS else None
    if change is None:
        return performance.model_copy(update={"slice_reason": _calm(len(parts(table.columns)), len(table))})
    sentence = message(change, limit=limit)
    finding = _finding("slice_change", settings.performance.slices, sentence, change)
    return performance.model_copy(update={"slice_reason": sentence, "findings": (*performance.findings, finding)})


def _with_shift(performance: LivePerformance, table: pd.DataFrame, settings: Settings) -> LivePerformance:
    declared = settings.performance
    if declared.shifts == "off":
        return performance
    table = table.reindex(columns=list(STREAMS)).dropna(how="all")
    change = shift_on(table, settings.task.kind, limit=limit_of(declared.shift_false_alarms_per_quarter))
    if change is None:
        reason = (
            _few("shifts of all outcomes", len(table))
            or f"outcomes have not shifted: {counted(len(table), 'labelled day')}"
        )
        return performance.model_copy(update={"shift_reason": reason})
    sentence = shift_message(change, false_alarms_per_quarter=declared.shift_false_alarms_per_quarter)
    finding = _finding("outcome_shift", declared.shifts, sentence, change)
    return performance.model_copy(update={"shift_reason": sentence, "findings": (*performance.findings, finding)})


def _finding(kind: FindingKind, wanted: str, sentence: str, change: Change) -> Finding:
    alarm = wanted == "alarm"
    severity: Literal["alarm", "warning"] = "alarm" if alarm else "warning"
    return Finding(kind=kind, severity=severity, message=sentence, at_once=alarm, score=round(change.shift, 6))


def _calm(parts: int, days: int) -> str:
    return _few("changes in a part of the data", days) or (
        f"no part of the data has changed: {counted(parts, 'part')}, {counted(days, 'labelled day')}"
    )


def _few(what: str, days: int) -> str:
    """Say that too few labelled days are there; empty if there are enough."""
    if days > MIN_TRAILING_DAYS:
        return ""
    return (
        f"{what} are looked for from {MIN_TRAILING_DAYS + 1} labelled days of served predictions on; so far there are "
        f"{days}"
    )
