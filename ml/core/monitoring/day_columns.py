"""What a column holds on one day, counted, and how its days were in the reference of a champion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd

from ml.core.monitoring.drift_method import is_number
from ml.records import Record
from ml.settings import Drift

MOST_CATEGORIES = 10_000
"""So many categories of a day are counted; of more, the rarest are forgotten."""
MOST_NUMBERS = 1_000
"""Distinct numbers are counted up to here: more of them are simply many."""


@dataclass(frozen=True)
class DayColumn:
    """What the rows of one day hold in one column, counted.

    ``counts`` are rows by category (empty for numbers), ``numbers`` the distinct numbers, up to `MOST_NUMBERS`.
    """

    rows: int
    nulls: int
    counts: Mapping[str, int] = field(default_factory=dict)
    numbers: frozenset[float] = frozenset()

    @property
    def distinct(self) -> int:
        """Return how many different values there are."""
        return len(self.counts) or len(self.numbers)

    @property
    def null_share(self) -> float:
        """Return the share of rows without a value; 0 without any row."""
        return self.nulls / self.rows if self.rows else 0.0

    def and_also(self, more: DayColumn) -> DayColumn:
        """Count further rows of the same day and column."""
        counts = dict(self.counts)
        for category, rows in more.counts.items():
            counts[category] = counts.get(category, 0) + rows
        numbers = sorted(self.numbers | more.numbers)[:MOST_NUMBERS]
        return DayColumn(self.rows + more.rows, self.nulls + more.nulls, _commonest(counts), frozenset(numbers))


class ColumnProfile(Record):
    """How a column's days were in the champion's reference; the lists are by day, in the order of ``days``.

    ``shares`` holds each category's share of all rows; ``usual`` the rows by day of those that have at least
    ``drift.min_category_share``. Of ``pairs`` of successive days, ``repeats`` had the very same distinct numbers.
    """

    categorical: bool
    days: tuple[date, ...]
    rows: tuple[int, ...]
    nulls: tuple[int, ...]
    distinct: tuple[int, ...]
    shares: dict[str, float]
    usual: dict[str, tuple[int, ...]]
    pairs: int
    repeats: int


def count(values: pd.Series, *, categorical: bool) -> DayColumn:
    """Count the values of a day, or of a part of it.

    What is no number in a column of numbers counts as null: the champion cannot read it either.
    """
    if categorical:
        counts = values.dropna().astype(str).value_counts()
        return DayColumn(len(values), int(values.isna().sum()), _commonest({str(k): int(n) for k, n in counts.items()}))
    return _of_numbers(_as_numbers(values))


def _commonest(counts: Mapping[str, int]) -> dict[str, int]:
    if len(counts) <= MOST_CATEGORIES:
        return dict(counts)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_CATEGORIES])


def profile(
    reference: pd.DataFrame, columns: Sequence[str], drift: Drift, *, every_days: int = 1
) -> dict[str, ColumnProfile]:
    """Count each day of the reference, column by column.

    Parameters
    ----------
    reference : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` (ISO string) and ``columns``; not modified.
    """
    days, numbers = np.unique(reference["day"].dropna().to_numpy(dtype=str), return_inverse=True)
    dated = reference if reference["day"].notna().all() else reference.loc[reference["day"].notna()]
    starts = np.searchsorted(np.sort(numbers), np.arange(len(days) + 1))
    order = np.argsort(numbers, kind="stable")
    profiles = {}
    for column in columns:
        categorical = not is_number(reference[column])
        by_day = (_categories_by_day if categorical else _numbers_by_day)(dated[column].iloc[order], starts)
        counted = {date.fromisoformat(day): content for day, content in zip(days, by_day, strict=True)}
        profiles[column] = profile_of(counted, categorical=categorical, drift=drift, every_days=every_days)
    return profiles


def _categories_by_day(values: pd.Series, starts: np.ndarray) -> Iterator[DayColumn]:
    """Count as `count` does the days that begin at ``starts``, all at once: each call has its price."""
    present = values.notna().to_numpy()
    codes, categories = pd.factorize(values[present].astype(str))
    of_day = (np.searchsorted(starts, np.flatnonzero(present), side="right") - 1) * max(len(categories), 1)
    cells, rows = np.unique(of_day + codes, return_counts=True)
    texts = [str(category) for category in categories]
    first = np.searchsorted(cells, np.arange(len(starts)) * max(len(categories), 1))
    for number, (start, end) in enumerate(pairwise(starts)):
        cut = slice(first[number], first[number + 1])
        shown = zip(cells[cut] % max(len(categories), 1), rows[cut], strict=True)
        counts = {texts[code]: int(count) for code, count in shown}
        yield DayColumn(int(end - start), int(end - start - rows[cut].sum()), _commonest(counts))


def _numbers_by_day(values: pd.Series, starts: np.ndarray) -> Iterator[DayColumn]:
    """Count as `count` does the days that begin at ``starts``; the whole column is made numbers at once."""
    numbers = _as_numbers(values)
    for start, end in pairwise(starts):
        yield _of_numbers(numbers[start:end])


def _as_numbers(values: pd.Series) -> np.ndarray:
    return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _of_numbers(numbers: np.ndarray) -> DayColumn:
    finite = numbers[np.isfinite(numbers)]
    return DayColumn(
        len(numbers), len(numbers) - len(finite), numbers=frozenset(np.unique(finite)[:MOST_NUMBERS].tolist())
    )


def profile_of(
    counted: Mapping[date, DayColumn], *, categorical: bool, drift: Drift, every_days: int = 1
) -> ColumnProfile:
    """Put the counted days of one column together; successive ones are ``every_days`` apart."""
    days = tuple(sorted(counted))
    total = sum(counted[day].rows for day in days)
    totals: dict[str, int] = {}
    for day in days:
        for category, rows in counted[day].counts.items():
            totals[category] = totals.get(category, 0) + rows
    shares = {category: rows / total for category, rows in sorted(_commonest(totals).items())} if total else {}
    usual = [category for category, share in shares.items() if share >= drift.min_category_share]
    pairs = [(counted[a].numbers, counted[b].numbers) for a, b in pairwise(days) if (b - a).days == every_days]
    pairs = [(current, next_) for current, next_ in pairs if current and next_]
    return ColumnProfile(
        categorical=categorical,
        days=days,
        rows=tuple(counted[day].rows for day in days),
        nulls=tuple(counted[day].nulls for day in days),
        distinct=tuple(counted[day].distinct for day in days),
        shares=shares,
        usual={category: tuple(counted[day].counts.get(category, 0) for day in days) for category in usual},
        pairs=len(pairs),
        repeats=sum(current == next_ for current, next_ in pairs),
    )
