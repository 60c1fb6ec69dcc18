"""How far columns have moved from what the champion knew, and what that means for a day.

Distances are those of Evidently's named methods, so that limits computed here and scores computed there are in
one unit. Nulls and infinite numbers are dropped before any distance; null shares are findings of their own
(`ml.core.findings`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from ml.core.features import history_names
from ml.records import ColumnDrift, Finding, Limit
from ml.settings import Drift, Features, Methods

WASSERSTEIN = "wasserstein"
JENSEN_SHANNON = "jensenshannon"
HELLINGER = "hellinger"
PREDICTION, LABEL = "prediction", "label"
Role = Literal["structural", "environment", "prediction", "label"]
Status = Literal["calm", "drift", "unknown"]
SMALLEST_SCALE = 0.001
NAMES_UP_TO = 20
"""Evidently cuts a number into bins for Jensen–Shannon only if its reference has more distinct values."""
FEWEST_ROWS, ENOUGH_ROWS = 30, 500
"""Bounds of what ``drift.min_rows`` is where it is not given."""
LEANS_FROM = 0.02
"""A column matters from this share of all importance on: under it, permuting the column hardly moves the loss."""


def is_number(column: pd.Series) -> bool:
    """Say whether a column is compared as numbers; a bool is two categories."""
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def method(column: pd.Series, methods: Methods = Methods()) -> str:  # noqa: B008  frozen
    """Choose the distance of a column: by its type, never by its number of rows."""
    return methods.numeric if is_number(column) else methods.categorical


def distance(reference: pd.Series, current: pd.Series, methods: Methods = Methods()) -> float | None:  # noqa: B008
    """Measure how far ``current`` lies from ``reference``; None if either holds no value.

    ``wasserstein`` is the first Wasserstein distance in standard deviations of the reference, ``jensenshannon``
    the root of the Jensen–Shannon divergence in nats (0 to 0.83), ``hellinger`` the Hellinger distance (0 to 1).
    """
    reference, current = _values(reference), _values(current)
    if reference.empty or current.empty:
        return None
    chosen = method(reference, methods)
    if chosen == WASSERSTEIN:
        scale = max(float(np.std(reference)), SMALLEST_SCALE)
        return float(wasserstein_distance(reference, current)) / scale
    before, now = _shares(reference, current)
    if chosen == HELLINGER:
        return float(np.sqrt(1 - np.clip(np.sqrt(before * now).sum(), 0, 1)))
    return float(jensenshannon(before, now))


def _values(column: pd.Series) -> pd.Series:
    return column.replace([np.inf, -np.inf], np.nan).dropna() if is_number(column) else column.dropna()


def _shares(reference: pd.Series, current: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Give the shares of each category, or of each of Evidently's bins of equal width, on either side."""
    if is_number(reference) and reference.nunique() > NAMES_UP_TO:
        both = np.concatenate([reference.to_numpy(float), current.to_numpy(float)])
        edges = np.histogram_bin_edges(both, bins="sturges")
        counted = [np.histogram(side, edges)[0] / len(side) for side in (reference, current)]
        return counted[0], counted[1]
    kind = float if is_number(reference) else str
    sides = [side.astype(kind).value_counts(normalize=True) for side in (reference, current)]
    aligned = pd.concat(sides, axis=1).fillna(0.0).to_numpy()
    return aligned[:, 0], aligned[:, 1]


def watched(drift: Drift) -> list[str]:
    """Name the columns that are measured: those with a role."""
    return [*drift.structural, *drift.environment]


def fewest_rows(drift: Drift, by_day: Sequence[int]) -> int:
    """Give how many rows a window must have to be measured: ``drift.min_rows``, or what follows from the reference.

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
    said = (
        f"drift can never be measured: {drift.window_days} usual days of the champion's reference have "
        f"{round(usual)} rows, and a window needs {least}: {lower}raise drift.window_days to {longer}"
    )
    return (Finding(kind="unmeasured_drift", severity="alarm", said=said),)


def too_few_rows(rows: int, first: date, last: date, drift: Drift, by_day: Sequence[int]) -> str | None:
    """Say why a window cannot be measured; None if it has rows enough."""
    least = fewest_rows(drift, by_day)
    if rows >= least:
        return None
    needed = (
        f"drift.min_rows is {least}"
        if drift.min_rows is not None
        else f"{least} are needed, half of what a usual window of the reference holds"
    )
    return f"only {rows} rows from {first} to {last}, {needed}"


def sample_days(frame: pd.DataFrame, *, rows: int, seed: int) -> pd.DataFrame:
    """Thin a frame to about ``rows`` rows, the same share of every day; all of it if it fits."""
    if len(frame) <= rows:
        return frame
    share = rows / len(frame)
    thinned = frame.groupby("day", group_keys=False).sample(frac=share, random_state=seed)
    return thinned.sort_index()


def read_limits(facts: Mapping[str, Any]) -> dict[str, Limit]:
    """Read what is kept with a version as ``limits.json``; a plain number is a limit of an older version."""
    return {
        column: Limit.model_validate(kept)
        if isinstance(kept, Mapping)
        else Limit(limit=float(kept), no_change=None, blocks=0)
        for column, kept in facts.items()
    }


def leaning(
    columns: Sequence[str], features: Features, importance: Mapping[str, float] | None
) -> dict[str, tuple[float | None, bool | None]]:
    """Say of each column how much the champion's loss grows without it, and whether that matters.

    A column is worth what it is worth as a feature of its own and in the history features that are grouped by
    it. It matters if that is at least `LEANS_FROM` of what all features are worth.

    Parameters
    ----------
    importance
        The growth of the loss by feature, as `ml.core.importance` measures it; None if it is not known.

    Returns
    -------
    dict
        Column to importance and whether it matters. What is no feature never matters; of a feature whose
        importance is not known both are None.
    """
    found: dict[str, tuple[float | None, bool | None]] = {}
    total = sum(max(value, 0.0) for value in (importance or {}).values())
    for column in columns:
        names = _features_of(column, features)
        if not names:
            found[column] = (0.0, False)
        elif importance is None or total <= 0:
            found[column] = (None, None)
        else:
            worth = sum(max(importance.get(name, 0.0), 0.0) for name in names)
            found[column] = (worth, worth >= LEANS_FROM * total)
    return found


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
    leans: Mapping[str, tuple[float | None, bool | None]] | None = None,
    changed: Mapping[str, str] | None = None,
    also: Collection[Role] = (),
) -> tuple[ColumnDrift, ...]:
    """Hold each column's score against its limit; a missing score or limit is never drift.

    Parameters
    ----------
    leans
        What `leaning` says of each column; None if nothing is known.
    changed
        What changed in each column, in words.
    also
        ``prediction``, ``label`` or both, to be judged under these names beside the columns that have a role.
    """
    roles: list[tuple[Role, tuple[str, ...]]] = [("structural", drift.structural), ("environment", drift.environment)]
    roles += [(role, (role,)) for role in also]
    found = []
    for role, columns in roles:
        for column in columns:
            known = limits.get(column)
            score, limit = _finite(scores.get(column)), _finite(known.limit if known else None)
            importance, matters = (leans or {}).get(column, (None, None))
            found.append(
                ColumnDrift(
                    column=column,
                    role=role,
                    method=methods.get(column, "unknown"),
                    score=score,
                    limit=limit,
                    drifted=score is not None and limit is not None and score > limit,
                    no_change=_finite(known.no_change if known else None),
                    importance=importance,
                    matters=matters,
                    changed=(changed or {}).get(column, ""),
                )
            )
    return tuple(found)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def said(column: ColumnDrift) -> str:
    """Say how far a column moved, beside its no-change range and its limit."""
    if column.score is None or column.limit is None:
        return f"{column.column} could not be measured"
    usual = "" if column.no_change is None else f"no-change range up to {column.no_change:.2f}, "
    return f"{column.column} {column.score:.2f} ({usual}limit {column.limit:.2f})"


def verdict(columns: Sequence[ColumnDrift], drift: Drift) -> tuple[Status, str]:
    """Sum up a day: ``calm``, ``drift`` or ``unknown``, and why in one sentence.

    Only structural columns raise an alarm; the weather moves by itself.
    """
    structural = [column for column in columns if column.role == "structural"]
    moved = [column for column in structural if column.drifted]
    unknown = [column.column for column in structural if column.score is None or column.limit is None]
    if len(moved) >= drift.min_drifted_columns:
        listed = ", ".join(said(column) for column in worst_first(moved))
        return "drift", f"{len(moved)} of {len(structural)} structural columns moved: {listed}"
    if unknown:
        return "unknown", f"could not be measured: {', '.join(unknown)}"
    if not structural:
        return "unknown", "no structural column is declared under drift.structural"
    return "calm", f"none of {len(structural)} structural columns moved beyond its limit"


def worst_first(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Order columns by how many times their limit they moved."""
    return sorted(columns, key=lambda column: -(column.score or 0.0) / (column.limit or 1.0))


def drift_findings(
    columns: Sequence[ColumnDrift], drift: Drift, *, labels_are_new: bool = False
) -> tuple[Finding, ...]:
    """Turn what moved beyond its limit into findings, the worst first.

    Structural columns alarm if at least ``min_drifted_columns`` of them moved; the environment and predictions only
    warn, and so do labels unless ``drift.labels`` is ``alarm``.

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
            severity="alarm" if (column.role == "structural" and alarms) or column.role in loud else "warning",
            said=_sentence(column),
            column=column.column,
            score=column.score,
            limit=column.limit,
            matters=column.matters,
        )
        for column in moved
    )


def _sentence(column: ColumnDrift) -> str:
    damage = {True: "the champion leans on it", False: "the champion does not need it", None: ""}
    detail = [words for words in (column.changed, damage[column.matters]) if words]
    return f"{said(column)}: {'; '.join(detail)}" if detail else said(column)
