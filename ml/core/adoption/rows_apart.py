"""Set rows apart that a model never sees: of days far from all others, and with numbers that no estimator takes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd

from ml.core.adoption.amounts import amount
from ml.core.data.row_checks import too_large

FAR_DAYS, FEW_ROWS = 180, 0.01
"""So many days without a row lie between the days of the data and few rows whose time was a placeholder or an error."""
MOST_AHEAD = 0.5
"""Where more of the rows lie ahead, nothing is known of today: all of them are looked at."""
MOST_INFINITE = 0.01
"""A column that is infinite more often would have too many rows quarantined: it is left out, and not its rows."""
INFINITE = "is infinite or beyond 3.4e38"


def far_days(local: pd.Series) -> np.ndarray:
    """Return which rows are of days far before or after nearly all others, such as 1900-01-01 or 9999-12-31.

    Parameters
    ----------
    local : Series of shape (n_rows,)
        The instants by the model's clocks; a null is of no day.

    Returns
    -------
    bool array of shape (n_rows,)
    """
    days = local.dt.normalize().to_numpy().astype("datetime64[D]").astype("int64")
    known = local.notna().to_numpy()
    values, counts = np.unique(days[known], return_counts=True)
    if len(values) < 2:
        return np.zeros(len(local), dtype=bool)
    few = FEW_ROWS * counts.sum()
    gaps = np.flatnonzero(np.diff(values) > FAR_DAYS)
    before, total = np.cumsum(counts), counts.sum()
    first = max((values[gap + 1] for gap in gaps if before[gap] <= few), default=values[0])
    last = min((values[gap] for gap in gaps if total - before[gap] <= few), default=values[-1])
    return np.asarray(known & ((days < first) | (days > last)), dtype=bool)


def far_words(local: pd.Series, name: str) -> str:
    """Say of the rows of far days which these are; ``local`` are their instants."""
    days = local.dt.normalize().value_counts().sort_index()
    shown = ", ".join(f"{day.year:04}-{day:%m-%d}" for day in days.index[:3]) + (", …" if len(days) > 3 else "")
    return (
        f"{amount(len(local), 'row')} of {shown} lie more than {FAR_DAYS} days from all others by {name}, and are not "
        "looked at: no day of the loop is theirs; correct them at the source if they are no placeholder"
    )


def days_ahead(local: pd.Series, today: date) -> np.ndarray:
    """Return which rows are of days that have not begun anywhere, unless these are most of the rows.

    Returns
    -------
    bool array of shape (n_rows,)
    """
    ahead = (local.dt.normalize() > pd.Timestamp(today) + pd.Timedelta(days=1)).to_numpy(dtype=bool)
    return ahead if ahead.mean() <= MOST_AHEAD else np.zeros(len(local), dtype=bool)


def ahead_words(local: pd.Series, name: str) -> str:
    """Say of the rows of days ahead which these are; ``local`` are their instants."""
    return (
        f"{amount(len(local), 'row')} of {local.min():%Y-%m-%d} to {local.max():%Y-%m-%d} lie ahead by {name}, and are "
        "not looked at: a day is landed when it has come; correct them at the source if their time is an error"
    )


def rows_of_no_day(local: pd.Series, name: str, today: date | None) -> tuple[np.ndarray, list[str]]:
    """Return which rows are of days that the loop never has, `far_days` and `days_ahead`, and what is said of them.

    Parameters
    ----------
    today
        None for rows of which nobody knows whether they lie ahead.
    """
    apart = far_days(local)
    notes = [far_words(local[apart], name)] if apart.any() else []
    if today is not None and (ahead := days_ahead(local.where(~apart), today)).any():
        notes.append(ahead_words(local[ahead], name))
        apart = apart | ahead
    return apart, notes


def infinite_columns(table: pd.DataFrame, columns: Sequence[str]) -> dict[str, str]:
    """Return the columns that are infinite in too many rows to be learned from, and why."""
    shares = {column: float(too_large(table[column]).mean()) for column in columns}
    return {
        column: f"{INFINITE} in {share:.0%} of the rows, each of which would be quarantined: leave it empty there"
        for column, share in shares.items()
        if share > MOST_INFINITE
    }


def infinite_rows(table: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Return which rows hold a number that no estimator takes, as the loop quarantines them, and say in which columns.

    Returns
    -------
    bool array of shape (n_rows,) and list of str
    """
    bad = {column: too_large(table[column]) for column in columns}
    notes = [
        f"{column} {INFINITE} in {amount(int(rows.sum()), 'row')}, which the loop quarantines: they are not looked at"
        for column, rows in bad.items()
        if rows.any()
    ]
    return np.logical_or.reduce([np.zeros(len(table), dtype=bool), *bad.values()]), notes
