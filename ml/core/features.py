"""What a model sees: the columns of ``inputs``, and mean targets of earlier days, point in time.

`add_history` is the one function that computes history features, for training and for scoring
alike. A row of day D sees only labels of days up to D minus the label delay: those that had
arrived when its day began. Changing any later label changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ml.errors import DataRejected
from ml.settings import Features, HistoryFeature


def history_names(features: Sequence[HistoryFeature]) -> list[str]:
    """Name the columns that `add_history` adds, in order."""
    return [_name(feature, days) for feature in features for days in feature.days]


def feature_columns(features: Features) -> list[str]:
    """Name every column that the pipeline is fitted on, in order."""
    plain = [*features.categorical, *features.numeric, *features.spline]
    return plain + history_names(features.history)


def matrix(rows: pd.DataFrame, features: Features) -> pd.DataFrame:
    """Take the columns that the pipeline sees, numbers as float64, so that a null changes no type.

    A categorical column without any value is of type object: read from a file it may have come as
    numbers, which no encoder compares with text.

    Raises
    ------
    DataRejected
        If a column is missing or a numeric one holds text.
    """
    columns = feature_columns(features)
    missing = [column for column in columns if column not in rows.columns]
    if missing:
        raise DataRejected(
            f"columns {', '.join(missing)} are declared under features but are not in inputs; "
            "correct params.yaml or the source"
        )
    numeric = [column for column in columns if column not in features.categorical]
    empty = [column for column in features.categorical if rows[column].isna().all()]
    types = dict.fromkeys(numeric, "float64") | dict.fromkeys(empty, "object")
    try:
        return rows[columns].astype(types)
    except (TypeError, ValueError) as err:
        raise DataRejected(f"a numeric feature holds text: {err}; correct params.yaml or the source") from err


def lookback_days(features: Sequence[HistoryFeature], *, label_delay_days: int) -> int:
    """Say how many days before its own a row's history features reach back; 0 without any."""
    longest = max((days for feature in features for days in feature.days), default=None)
    return 0 if longest is None else longest + label_delay_days - (1 if label_delay_days else 0)


def join_labels(inputs: pd.DataFrame, labels: pd.DataFrame, *, key: Sequence[str], target: str) -> pd.DataFrame:
    """Keep the rows whose outcome is known, with the outcome beside what was known before.

    Parameters
    ----------
    inputs : DataFrame of shape (n_rows, n_columns)
        Not modified.
    labels : DataFrame of shape (n_labels, n_key + 1)
        A null target is an outcome that never came (a cancelled flight): its row is left out.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns + 1)
        In the order of ``inputs``.
    """
    known = labels.loc[labels[target].notna(), [*key, target]]
    return inputs.merge(known, on=list(key), how="inner", validate="one_to_one")


def add_history(
    rows: pd.DataFrame,
    labelled: pd.DataFrame,
    features: Sequence[HistoryFeature],
    *,
    target: str,
    label_delay_days: int,
) -> pd.DataFrame:
    """Add to each row the mean target of earlier days, overall and by group.

    A group's mean is drawn towards the overall mean of the same days with the weight of
    ``prior_rows`` rows, so that a group with few rows does not shout (additive smoothing;
    Micci-Barreca 2001, doi:10.1145/507533.507538). With a delay of 0 a row still sees only days
    before its own.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        Carries ``day`` (ISO string) and every column named in ``by``; not modified.
    labelled : DataFrame of shape (n_labelled, n_columns)
        Earlier rows with their ``target``, as `join_labels` gives them; days may be missing.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns + n_history)
        Null where no label had arrived in the whole window.
    """
    if not features or rows.empty:
        return rows.assign(**dict.fromkeys(history_names(features), np.nan))
    delay = max(label_delay_days, 1)
    ordinals = _ordinals(rows["day"])
    longest = max(days for feature in features for days in feature.days)
    first = int(ordinals.min()) - delay - longest + 1
    calendar = int(ordinals.max()) - delay - first + 1
    when = _ordinals(labelled["day"]) - first
    inside = (when >= 0) & (when < calendar)
    past, when = labelled.loc[inside], when[inside]
    values = past[target].to_numpy(dtype=float)
    ends = ordinals - delay - first + 1
    total = _Sums.of(when, np.zeros(len(past), dtype=np.intp), values, calendar, 1)
    new: dict[str, np.ndarray] = {}
    for feature in features:
        past_codes, row_codes, groups = _codes(past, rows, feature.by)
        sums = _Sums.of(when, past_codes, values, calendar, groups) if feature.by else total
        for days in feature.days:
            all_sum, all_count = total.between(ends - days, ends, np.zeros(len(rows), dtype=np.intp))
            with np.errstate(invalid="ignore", divide="ignore"):
                overall = all_sum / all_count
                if feature.by:
                    group_sum, group_count = sums.between(ends - days, ends, row_codes)
                    prior = feature.prior_rows
                    smooth = (group_sum + prior * overall) / (group_count + prior)
                    mean = np.where(group_count + prior > 0, smooth, overall)
                else:
                    mean = overall
            new[_name(feature, days)] = np.where(all_count > 0, mean, np.nan)
    return rows.assign(**new)


class _Sums:
    """Cumulative sum and count of the target by day and group."""

    def __init__(self, total: np.ndarray, count: np.ndarray) -> None:
        self.total, self.count = total, count

    @classmethod
    def of(cls, when: np.ndarray, codes: np.ndarray, values: np.ndarray, days: int, groups: int) -> _Sums:
        """Sum up; one group more than there are stands for values never seen."""
        shape = (days + 1, groups + 1)
        total, count = np.zeros(shape), np.zeros(shape)
        np.add.at(total, (when + 1, codes), values)
        np.add.at(count, (when + 1, codes), 1.0)
        return cls(total.cumsum(axis=0), count.cumsum(axis=0))

    def between(self, start: np.ndarray, end: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give sum and count over the days [start, end) of each row's group."""
        total = self.total[end, codes] - self.total[start, codes]
        return total, self.count[end, codes] - self.count[start, codes]


def _codes(past: pd.DataFrame, rows: pd.DataFrame, by: Sequence[str]) -> tuple[np.ndarray, np.ndarray, int]:
    if not by:
        return np.zeros(len(past), dtype=np.intp), np.zeros(len(rows), dtype=np.intp), 1
    known = pd.MultiIndex.from_frame(past[list(by)].drop_duplicates())
    past_codes = known.get_indexer(pd.MultiIndex.from_frame(past[list(by)]))
    row_codes = known.get_indexer(pd.MultiIndex.from_frame(rows[list(by)]))
    return past_codes, np.where(row_codes < 0, len(known), row_codes), len(known)


def _ordinals(days: pd.Series) -> np.ndarray:
    codes, unique = pd.factorize(days)
    ordinals = np.array([date.fromisoformat(str(day)).toordinal() for day in unique], dtype=np.int64)
    return ordinals[codes] if len(ordinals) else np.zeros(0, dtype=np.int64)


def _name(feature: HistoryFeature, days: int) -> str:
    return f"history_{'_'.join(feature.by) or 'all'}_{days}d"


def days_between(first: date, last: date) -> list[date]:
    """List the days from ``first`` to ``last``, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
