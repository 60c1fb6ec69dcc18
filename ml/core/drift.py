"""How far columns wander by themselves, and when they have moved.

Distances follow Evidently's definitions, so that limits computed here and scores computed there
are in one unit: Wasserstein distance divided by the reference's standard deviation for numbers,
Jensen–Shannon distance (natural logarithm) for categories. Nulls are dropped before any distance: null shares
are contracts, checked before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from ml.records import ColumnDrift
from ml.settings import Drift

WASSERSTEIN = "wasserstein"
JENSEN_SHANNON = "jensenshannon"


def method(column: pd.Series) -> str:
    """Choose the distance of a column: by its type, never by its number of rows."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return WASSERSTEIN if numeric else JENSEN_SHANNON


def distance(reference: pd.Series, current: pd.Series) -> float | None:
    """Measure how far ``current`` lies from ``reference``; None if either holds no value."""
    reference, current = reference.dropna(), current.dropna()
    if reference.empty or current.empty:
        return None
    if method(reference) == WASSERSTEIN:
        scale = max(float(np.std(reference)), 0.001)
        return float(wasserstein_distance(reference, current)) / scale
    shares = [part.astype(str).value_counts(normalize=True) for part in (reference, current)]
    aligned = pd.concat(shares, axis=1).fillna(0.0).to_numpy()
    return float(jensenshannon(aligned[:, 0], aligned[:, 1]))


def limits(reference: pd.DataFrame, drift: Drift) -> dict[str, float]:
    """Give each watched column its own limit, from how much it wandered in the reference.

    The reference is cut into blocks of ``window_days`` days, as long as what monitoring will see.
    A column's limit is the largest distance of a block from the rest, times ``limit_factor``, and
    never under ``min_distance``.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` (ISO string); not modified.

    Returns
    -------
    dict
        Column to limit. A column without any value has none and will read as unknown.
    """
    days = np.sort(reference["day"].unique())
    blocks = [days[i : i + drift.window_days] for i in range(0, len(days), drift.window_days)]
    blocks = [block for block in blocks if len(block) == drift.window_days]
    found = {}
    for column in watched(drift):
        wandered = []
        for block in blocks if len(blocks) > 1 else []:
            inside = reference["day"].isin(block)
            moved = distance(reference.loc[~inside, column], reference.loc[inside, column])
            if moved is not None:
                wandered.append(moved)
        if reference[column].notna().any():
            found[column] = max(drift.min_distance, drift.limit_factor * max(wandered, default=0.0))
    return found


def watched(drift: Drift) -> list[str]:
    """Name the columns that are measured: those with a role."""
    return [*drift.structural, *drift.environment]


def sample_days(frame: pd.DataFrame, *, rows: int, seed: int) -> pd.DataFrame:
    """Thin a frame to about ``rows`` rows, the same share of every day; all of it if it fits."""
    if len(frame) <= rows:
        return frame
    share = rows / len(frame)
    thinned = frame.groupby("day", group_keys=False).sample(frac=share, random_state=seed)
    return thinned.sort_index()


def judge(
    scores: dict[str, float | None], methods: dict[str, str], known: dict[str, float], drift: Drift
) -> tuple[ColumnDrift, ...]:
    """Hold each column's score against its limit; a missing score or limit is never drift."""
    found = []
    roles: Sequence[tuple[str, tuple[str, ...]]] = (
        ("structural", drift.structural),
        ("environment", drift.environment),
    )
    for role, columns in roles:
        for column in columns:
            score, limit = _finite(scores.get(column)), _finite(known.get(column))
            found.append(
                ColumnDrift(
                    column=column,
                    role=role,
                    method=methods.get(column, "unknown"),
                    score=score,
                    limit=limit,
                    drifted=score is not None and limit is not None and score > limit,
                )
            )
    return tuple(found)


def _finite(value: float | None) -> float | None:
    return value if value is not None and np.isfinite(value) else None


def verdict(columns: Sequence[ColumnDrift], drift: Drift) -> tuple[str, str]:
    """Sum up a day: ``calm``, ``drift`` or ``unknown``, and why in one sentence.

    Only structural columns raise an alarm; the weather moves by itself.
    """
    structural = [column for column in columns if column.role == "structural"]
    moved = [column for column in structural if column.drifted]
    unknown = [column.column for column in structural if column.score is None or column.limit is None]
    if len(moved) >= drift.min_drifted_columns:
        worst = sorted(moved, key=lambda column: -(column.score or 0) / (column.limit or 1))
        said = ", ".join(f"{c.column} {c.score:.2f} (limit {c.limit:.2f})" for c in worst)
        return "drift", f"{len(moved)} of {len(structural)} structural columns moved: {said}"
    if unknown:
        return "unknown", f"could not be measured: {', '.join(unknown)}"
    if not structural:
        return "unknown", "no structural column is declared under drift.structural"
    return "calm", f"none of {len(structural)} structural columns moved beyond its limit"
