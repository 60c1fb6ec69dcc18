"""Leave out what tells the time of the year where history is too short to learn from it."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pandas as pd

from ml.core.adoption.columns import says_the_same
from ml.core.adoption.facts import Facts
from ml.core.adoption.grain import YEAR_DAYS
from ml.core.data.time_parts import part_name


def without_season(seen: Facts, days: int) -> Facts:
    """Return what was seen without columns that tell the month or the day of the year, if a model learns from less.

    Parameters
    ----------
    days
        How many days a model can learn from.
    """
    if days >= YEAR_DAYS:
        return seen
    made = part_name(seen.time.name, "month")
    local = seen.time.local(ZoneInfo(seen.zone)).loc[seen.table.index]
    names = [column for column in seen.columns.numeric + seen.columns.categories if column != made]
    own = [column for column in names if _is_season(seen.table[column], local)]
    reason = f"tells the time of the year, of which the {days} days of history say too little"
    parts = tuple(part for part in seen.parts if part != "month")
    table = seen.table if "month" not in seen.parts else seen.table.drop(columns=[made])
    columns = seen.columns.without([made, *own], dict.fromkeys(own, reason))
    return replace(seen, table=table, parts=parts, columns=columns)


def _is_season(own: pd.Series, local: pd.Series) -> bool:
    months = local.dt.month
    if not (months == months.iloc[0]).all() and says_the_same(own, months):
        return True
    counted = (local.dt.dayofyear, local.dt.isocalendar().week.astype("int64"))
    return pd.api.types.is_numeric_dtype(own.dtype) and any(bool((own == values).all()) for values in counted)
