"""Say which lagged target means may help: by the time of day, and by the categories that come often enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml.core.adoption.facts import Facts
from ml.core.data.time_parts import part_name
from ml.settings import Label

MOST_GROUPS, MOST_VALUES, LEAST_ROWS = 4, 5_000, 20
LONG, MIDDLE = 28, 7
MOST_PRIOR = 50.0


def groups_of(seen: Facts) -> list[Mapping[str, Any]]:
    """Return what ``features.history`` may hold: all rows, the time of day, and the categories with most rows a value.

    The more rows a value has in a week, the more of the overall mean is mixed in (``prior_rows``): of one row a day a
    mean is all that there is, and is left nearly as it is.
    """
    if seen.target.kind == "multiclass":
        return [{"by": [], "days": [MIDDLE, LONG], "of": label} for label in _commonest_classes(seen)]
    groups: list[Mapping[str, Any]] = [{"by": [], "days": [1, MIDDLE, LONG]}]
    clock = clock_column(seen)
    if clock is not None:
        groups.append(_group(seen, [clock], [1, MIDDLE, LONG]))
        if (weekday := _weekday(seen)) is not None:
            groups.append(_group(seen, [clock, weekday], [LONG]))
    counts = {
        column: len(seen.table) / max(seen.table[column].nunique(), 1)
        for column in (*seen.columns.categories, *seen.columns.few)
        if column != clock and seen.table[column].nunique() <= MOST_VALUES and not _is_of_day(seen, column)
    }
    often = sorted((column for column in counts if counts[column] >= LEAST_ROWS), key=lambda column: counts[column])
    groups += [_group(seen, [column], [MIDDLE, LONG]) for column in often[:MOST_GROUPS]]
    return groups


def _commonest_classes(seen: Facts) -> list[Label]:
    """Return the classes whose shares are lagged: all but the rarest, which follows from them, and at most four."""
    counts = seen.labelled[seen.answers.target].value_counts()
    return [seen.target.classes[int(number)] for number in counts.index[: min(len(counts) - 1, MOST_GROUPS)]]


def clock_column(seen: Facts) -> str | None:
    """Return the column that tells the time of day: a part of the time, or a whole number that is part of the key."""
    for part in ("hour", "minute_of_day"):
        if part in seen.parts and seen.grain.times_of_day <= 96:
            return part_name(seen.time.name, part)
    for column in seen.key.columns:
        if column in seen.columns.numeric and seen.table[column].nunique() <= 96:
            return column
    return None


def _weekday(seen: Facts) -> str | None:
    return part_name(seen.time.name, "weekday") if "weekday" in seen.parts else None


def _is_of_day(seen: Facts, column: str) -> bool:
    """Return whether a column has one value on nearly each day: its means are those of single days."""
    return float((seen.table.groupby("day")[column].nunique() <= 1).mean()) > 0.9


def _group(seen: Facts, by: list[str], days: list[int]) -> Mapping[str, Any]:
    values = max(len(seen.table[by].drop_duplicates()), 1)
    rows_a_week = MIDDLE * seen.grain.rows_per_day / values
    return {"by": by, "days": days, "prior_rows": round(min(MOST_PRIOR, max(1.0, rows_a_week / 7)), 1)}
