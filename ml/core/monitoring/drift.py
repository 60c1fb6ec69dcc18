"""How far columns have moved from what the champion knew, and what that means for a day.

Distances are those of Evidently's named methods, or of methods that Evidently is given, so that limits computed here
and scores computed there are in one unit. Nulls and infinite numbers are dropped before any distance; null shares are
findings of their own (`ml.core.monitoring.structural_faults`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, Literal, cast

import numpy as np
import pandas as pd

from ml.core.monitoring.drift_method import DriftMethod, is_number
from ml.core.training.lagged_means import history_names
from ml.records import ColumnDrift, Finding, Limit
from ml.settings import DRIFT_METHODS, Drift, Features, Methods

LABEL = "label"
Role = Literal["structural", "environment", "prediction", "label"]
Status = Literal["calm", "drift", "unknown"]
FEWEST_ROWS, ENOUGH_ROWS = 30, 500
"""Bounds of what ``drift.min_rows`` is where it is not given."""
GROSS_MOVE = 2.0
"""An environment column that the champion depends on alarms from so many times its limit on."""
IMPORTANT_FROM = 0.02
"""A column matters from this share of all importance on: under it, permuting the column hardly moves the loss."""


def method(column: pd.Series, methods: Methods = Methods()) -> str:  # noqa: B008  frozen
    """Return the name of the method that compares a column: by its type, never by its number of rows."""
    return methods.numeric if is_number(column) else methods.categorical


def find_method(name: str) -> DriftMethod:
    """Return the drift method of a name; raises a SettingsError that lists all if there is none."""
    loaded: Any = DRIFT_METHODS.load(name)
    return cast("DriftMethod", loaded)


def distance(reference: pd.Series, current: pd.Series, methods: Methods = Methods()) -> float | None:  # noqa: B008
    """Measure how far ``current`` lies from ``reference`` by the method of its type; None if either holds no value."""
    reference, current = _values(reference), _values(current)
    if reference.empty or current.empty:
        return None
    return find_method(method(reference, methods)).distance(reference, current)


def _values(column: pd.Series) -> pd.Series:
    return column.replace([np.inf, -np.inf], np.nan).dropna() if is_number(column) else column.dropna()


def watched(drift: Drift) -> list[str]:
    """Name the columns that are measured: those with a role."""
    return [*drift.structural, *drift.environment]


def fewest_rows(drift: Drift, by_day: Sequence[int]) -> int:
    """Return how many rows a window must have to be measured: ``drift.min_rows``, or what follows from the reference.

    Limits are taken from windows of the reference, which have as many rows as one to come: a distance from half as
    many is still of their kind. 500 rows are enough for any data, and under 30 a share is a guess.

    Parameters
    ----------
    by_day
        The rows of each day of the reference; empty if they are not known.
    """
    if drift.min_rows is not None:
        return drift.min_rows
    return int(np.clip(round(_usual_rows(drift, by_day) / 2), FEWEST_ROWS, ENOUGH_ROWS))


def _usual_rows(drift: Drift, by_day: Sequence[int]) -> float:
    return drift.window_days * float(np.median(by_day)) if len(by_day) else 0.0


def never_measured(drift: Drift, by_day: Sequence[int]) -> tuple[Finding, ...]:
    """Raise an alarm if not even a whole window of usual days has as many rows as are needed."""
    usual, least = _usual_rows(drift, by_day), fewest_rows(drift, by_day)
    if not by_day or usual >= least:
        return ()
    longer = int(np.ceil(least / max(float(np.median(by_day)), 1.0)))
    lower = f"lower drift.min_rows to {round(usual / 2)} or leave it out, or " if usual >= 2 * FEWEST_ROWS else ""
    message = (
        f"drift can never be measured: {drift.window_days} usual days of the champion's reference have "
        f"{round(usual)} rows, and a window needs {least}: {lower}raise drift.window_days to {longer}"
    )
    return (Finding(kind="unmeasured_drift", severity="alarm", message=message),)


def too_few_rows(rows: int, first: date, last: date, drift: Drift, by_day: Sequence[int]) -> str | None:
    """Return why a window cannot be measured; None if it has rows enough."""
    least = fewest_rows(drift, by_day)
    if rows >= least:
        return None
    needed = (
        f"drift.min_rows is {least}"
        if drift.min_rows is not None
        else f"{least} are needed, half of what a usual window of the reference holds"
    )
    return f"only {rows} rows from {first} to {last}, {needed}"


def drawn_rows(length: int, day: date, *, share: float, seed: int) -> np.ndarray:
    """Draw which rows of a day's table are compared: sorted positions, the same for equal arguments."""
    size = length if share >= 1 else round(length * share)
    chance = np.random.default_rng([seed, day.toordinal()])
    return np.sort(chance.choice(length, size=size, replace=False, shuffle=False))


def sample_days(frame: pd.DataFrame, *, rows: int, seed: int) -> pd.DataFrame:
    """Thin a frame to about ``rows`` rows, the same share of every day; all of it if it fits."""
    if len(frame) <= rows:
        return frame
    share = rows / len(frame)
    sampled = frame.groupby("day", group_keys=False).sample(frac=share, random_state=seed)
    return sampled.sort_index()


def read_limits(facts: Mapping[str, Any]) -> dict[str, Limit]:
    """Read what is kept with a version as ``limits.json``."""
    return {column: Limit.model_validate(value) for column, value in facts.items()}


def importance_share(
    columns: Sequence[str], features: Features, importance: Mapping[str, float] | None
) -> dict[str, tuple[float | None, bool | None]]:
    """Find of each column how much the champion's loss grows without it, and whether that matters.

    A column is worth what it is worth as a feature of its own and in the history features that are grouped by
    it. It matters if that is at least `IMPORTANT_FROM` of what all features are worth.

    Parameters
    ----------
    importance
        The growth of the loss by feature, as `ml.core.training.importance` measures it; None if it is not known.

    Returns
    -------
    dict
        Column to importance and whether it matters. What is no feature is worth 0.0 and never matters; of a feature
        whose importance is not known both are None, and of one of which none could be measured the importance is.
    """
    shares: dict[str, tuple[float | None, bool | None]] = {}
    total = sum(max(value, 0.0) for value in (importance or {}).values())
    for column in columns:
        names = _features_of(column, features)
        if not names:
            shares[column] = (0.0, False)
        elif importance is None or total <= 0:
            shares[column] = (None, None)
        else:
            worth = sum(max(importance.get(name, 0.0), 0.0) for name in names)
            shares[column] = (worth or None, worth >= IMPORTANT_FROM * total)
    return shares


def _features_of(column: str, features: Features) -> list[str]:
    own = [column] if column in {*features.categorical, *features.numeric, *features.spline} else []
    by = [feature for feature in features.history if column in feature.by]
    return own + history_names(by)


def judge(
    scores: Mapping[str, float | None],
    methods: Mapping[str, str],
    limits: Mapping[str, Limit],
    drift: Drift,
    *,
    importance_shares: Mapping[str, tuple[float | None, bool | None]] | None = None,
    changed: Mapping[str, str] | None = None,
    also: Mapping[Role, Collection[str]] = MappingProxyType({}),
) -> tuple[ColumnDrift, ...]:
    """Hold each column's score against its limit; a missing score or limit is never drift.

    Parameters
    ----------
    importance_shares
        What `importance_share` says of each column; None if nothing is known.
    changed
        What changed in each column, in words.
    also
        The columns of predictions and of labels, which are judged beside those that have a role.
    """
    roles: dict[Role, Collection[str]] = {"structural": drift.structural, "environment": drift.environment}
    results = []
    for role, columns in (roles | dict(also)).items():
        for column in columns:
            column_limit = limits.get(column)
            score, limit = _finite(scores.get(column)), _finite(column_limit.limit if column_limit else None)
            importance, matters = (importance_shares or {}).get(column, (None, None))
            results.append(
                ColumnDrift(
                    column=column,
                    role=role,
                    method=methods.get(column, "unknown"),
                    score=score,
                    limit=limit,
                    drifted=score is not None and limit is not None and score > limit,
                    baseline_range=_finite(column_limit.baseline_range if column_limit else None),
                    importance=importance,
                    matters=matters,
                    changed=(changed or {}).get(column, ""),
                )
            )
    return tuple(results)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def describe(column: ColumnDrift) -> str:
    """Return how far a column moved, beside its baseline range and its limit."""
    if column.score is None or column.limit is None:
        return f"{column.column} could not be measured"
    usual = "" if column.baseline_range is None else f"baseline range up to {column.baseline_range:.2f}, "
    return f"{column.column} {column.score:.2f} ({usual}limit {column.limit:.2f})"


def verdict(columns: Sequence[ColumnDrift], drift: Drift) -> tuple[Status, str]:
    """Sum up a day: ``calm``, ``drift`` or ``unknown``, and why in one sentence.

    Structural columns raise an alarm, and what `is_gross`; otherwise the weather moves by itself.
    """
    structural = [column for column in columns if column.role == "structural"]
    moved = [column for column in structural if column.drifted]
    unknown = [column.column for column in structural if column.score is None or column.limit is None]
    gross = worst_first([column for column in columns if is_gross(column)])
    far = (
        f"{', '.join(map(describe, gross))} moved {GROSS_MOVE:g} times beyond its limit, and the champion depends on it"
    )
    if len(moved) >= drift.min_drifted_columns:
        listed = ", ".join(describe(column) for column in worst_first(moved))
        reason = f"{len(moved)} of {len(structural)} structural columns moved: {listed}"
        return "drift", f"{reason}; {far}" if gross else reason
    if gross:
        return "drift", far
    if unknown:
        return "unknown", f"could not be measured: {', '.join(unknown)}"
    if not structural:
        return "unknown", "no structural column is declared under drift.structural"
    return "calm", f"none of {len(structural)} structural columns moved beyond its limit"


def is_gross(column: ColumnDrift) -> bool:
    """Return whether an environment column that the champion depends on moved so far that no season explains it."""
    if column.role != "environment" or not column.matters or column.score is None or column.limit is None:
        return False
    return column.drifted and column.score >= GROSS_MOVE * column.limit


def worst_first(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Order columns by how many times their limit they moved."""
    return sorted(columns, key=lambda column: -(column.score or 0.0) / (column.limit or 1.0))


def drift_findings(
    columns: Sequence[ColumnDrift], drift: Drift, *, labels_are_new: bool = False
) -> tuple[Finding, ...]:
    """Turn what moved beyond its limit into findings, the worst first.

    Structural columns alarm if at least ``min_drifted_columns`` of them moved, and those of the environment that
    `is_gross`; the others and predictions only warn, and so do labels unless ``drift.labels`` is ``alarm``.

    Parameters
    ----------
    labels_are_new
        Whether the champion was trained on none of the labels that moved. What it was trained on needs no challenger.
    """
    loud = {"label"} if drift.labels == "alarm" and labels_are_new else set()
    moved = worst_first([column for column in columns if column.drifted])
    alarms = sum(column.role == "structural" for column in moved) >= drift.min_drifted_columns
    kinds: dict[str, Any] = {"prediction": "prediction_drift", "label": "label_drift"}
    return tuple(
        Finding(
            kind=kinds.get(column.role, "drift"),
            severity="alarm" if _is_loud(column, loud, alarms=alarms) else "warning",
            message=_sentence(column),
            column=column.column,
            score=column.score,
            limit=column.limit,
            matters=column.matters,
        )
        for column in moved
    )


def _is_loud(column: ColumnDrift, loud: Collection[str], *, alarms: bool) -> bool:
    return (column.role == "structural" and alarms) or column.role in loud or is_gross(column)


def _sentence(column: ColumnDrift) -> str:
    damage = {True: "the champion depends on it", False: "the champion does not need it", None: ""}
    detail = [words for words in (column.changed, damage[column.matters]) if words]
    return f"{describe(column)}: {'; '.join(detail)}" if detail else describe(column)
