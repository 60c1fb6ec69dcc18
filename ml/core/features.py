"""What a model sees: the columns of ``inputs``, and mean targets of earlier days, point in time.

`add_history` is the one function that computes history features, for training and for scoring
alike. A row of day D sees only labels of days up to D minus the label delay, and of these only what
had arrived with the partition of D (`ml.core.arrivals`). Changing any later label changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date, timedelta

import numpy as np
import pandas as pd

from ml.core.contracts import counted
from ml.core.keys import merge_exactly
from ml.core.row_checks import TAKE_OUT, too_large
from ml.core.schema import CHANGE_TYPE, kind_of_values
from ml.core.targets import coded
from ml.errors import DataRejected
from ml.names import history_name
from ml.settings import Features, HistoryFeature, Label


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
        If a column is missing, or a numeric one holds text or an infinite number.
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
    other = {column: kind for column, kind in types.items() if rows[column].dtype != kind}
    try:
        found = rows[columns].astype(other)
    except (TypeError, ValueError) as err:
        raise DataRejected(f"a numeric feature holds text: {err}; correct params.yaml or the source") from err
    _refuse_infinite(found[numeric], rows)
    return found


def _refuse_infinite(numbers: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Raise for numbers that no estimator takes, with their days: its own message would name no column."""
    for column in numbers:
        bad = too_large(numbers[column])
        if bad.any():
            where = rows["day"] if "day" in rows else pd.Series("the data", index=rows.index)
            days = {str(day): int(count) for day, count in where.loc[bad].value_counts().sort_index().items()}
            said = ", ".join(f"{counted(count)} of {day}" for day, count in list(days.items())[:3])
            more = f" and {len(days) - 3} more days" if len(days) > 3 else ""
            raise DataRejected(
                f"column '{column}' is infinite or too large in {said}{more} (the first is row "
                f"{int(np.flatnonzero(bad)[0])}); correct the source and ingest the day again, or take it out with "
                f"'{TAKE_OUT}'"
            )


def lookback_days(features: Sequence[HistoryFeature], *, label_delay_days: int) -> int:
    """Say how many days before its own a row's history features reach back; 0 without any."""
    longest = max((days for feature in features for days in feature.days), default=None)
    return 0 if longest is None else longest + label_delay_days - (1 if label_delay_days else 0)


def join_labels(
    inputs: pd.DataFrame, labels: pd.DataFrame, *, key: Sequence[str], target: str, positive: Label | None = None
) -> pd.DataFrame:
    """Keep the rows whose outcome is known, with the outcome beside what was known before.

    Parameters
    ----------
    inputs : DataFrame of shape (n_rows, n_columns)
        Not modified.
    labels : DataFrame of shape (n_labels, n_key + 1)
        A null target is an outcome that never came (a cancelled flight): its row is left out.
    positive
        ``task.positive``: the label that is 1, the others are 0. None means labels are numbers as they are.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns + 1)
        In the order of ``inputs``.

    Raises
    ------
    DataRejected
        If ``inputs`` have a column of the target's name.
    """
    if target in inputs.columns:
        raise DataRejected(f"inputs have a column {target!r}, which is the target; rename it in the source")
    known = labels.loc[labels[target].notna(), [*key, target]]
    known = known.assign(**{target: coded(known[target], positive)})
    return merge_exactly(inputs, known, key, how="inner", validate="one_to_one")


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
        Earlier rows with their ``target``, as `join_labels` gives them; days may be missing. What not every day
        could see says so in `SEEN_FROM` and `SEEN_UNTIL`, see `ml.core.arrivals.as_seen`.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns + n_history)
        Null where no label had arrived in the whole window.
    """
    if not features or rows.empty:
        return rows.assign(**dict.fromkeys(history_names(features), np.nan))
    tallies = {by: tally(labelled, by, target=target) for by in groupings(features)}
    return Past(tallies, features, label_delay_days=label_delay_days).add_to(rows)


Grouping = tuple[str, ...]
DAY, TOTAL, COUNT = "__day", "__total", "__count"
"""Columns of a tally, beside those of its group."""
SEEN_FROM, SEEN_UNTIL = "__seen_from", "__seen_until"
"""The first scored day (an ordinal) that could see these labels, and the first that no more could."""


def groupings(features: Sequence[HistoryFeature]) -> list[Grouping]:
    """Name the groups by which earlier days are summed up; the empty one, of all rows, is always there."""
    return list(dict.fromkeys([(), *(feature.by for feature in features)])) if features else []


def tally(labelled: pd.DataFrame, by: Sequence[str], *, target: str) -> pd.DataFrame:
    """Sum up the targets of labelled rows by day and group: all that history features need of them.

    Tallies of different days may be put one under the other.

    Returns
    -------
    DataFrame of shape (n_days_and_groups, n_by + 3)
        ``by``, and the day (an ordinal), the sum of the target and the number of rows; and what `SEEN_FROM` and
        `SEEN_UNTIL` say of the rows, where these columns are there.
    """
    if SEEN_FROM in labelled:
        parts = []
        for _, rows in labelled.groupby([SEEN_FROM, SEEN_UNTIL], sort=True):
            seen = {name: int(rows[name].iloc[0]) for name in (SEEN_FROM, SEEN_UNTIL)}
            parts.append(tally(rows.drop(columns=list(seen)), by, target=target).assign(**seen))
        return pd.concat(parts, ignore_index=True)
    ordinals, numbers = np.unique(_ordinals(labelled["day"]), return_inverse=True)
    groups, codes = _groups(labelled, by)
    cell = numbers * len(groups) + codes
    counts = np.bincount(cell, minlength=len(ordinals) * len(groups))
    totals = np.bincount(cell, weights=labelled[target].to_numpy(dtype=float), minlength=len(counts))
    found = np.flatnonzero(counts)
    of_group = groups.iloc[found % max(len(groups), 1)].reset_index(drop=True)
    return of_group.assign(
        **{DAY: ordinals[found // max(len(groups), 1)], TOTAL: totals[found], COUNT: counts[found].astype(float)}
    )


class Past:
    """Earlier days, summed up, from which the history features of any row follow.

    Parameters
    ----------
    tallies
        By grouping, what `tally` gave, of as many days as there are; each of `groupings` is needed.
    """

    def __init__(
        self,
        tallies: Mapping[Grouping, pd.DataFrame],
        features: Sequence[HistoryFeature],
        *,
        label_delay_days: int,
    ) -> None:
        self.tallies = tallies
        self.features = features
        self.delay = max(label_delay_days, 1)
        self._means: tuple[tuple[int, int], dict[Grouping, _Sums], dict[str, tuple[Grouping, np.ndarray]]] | None = None

    def add_to(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add the history features to some rows; see `add_history`."""
        if not self.features or rows.empty:
            return rows.assign(**dict.fromkeys(history_names(self.features), np.nan))
        ordinals = _ordinals(rows["day"])
        oldest = int(ordinals.min())
        sums, means = self._means_of(oldest, int(ordinals.max()))
        codes = {by: of.codes(rows) for by, of in sums.items()}
        number = ordinals - oldest
        return rows.assign(**{name: table[number, codes[by]] for name, (by, table) in means.items()})

    def _means_of(
        self, oldest: int, newest: int
    ) -> tuple[dict[Grouping, _Sums], dict[str, tuple[Grouping, np.ndarray]]]:
        """Give what each group's features are on each day; the batches of one day ask for the same again and again."""
        if self._means is None or self._means[0] != (oldest, newest):
            longest = max(days for feature in self.features for days in feature.days)
            first = oldest - self.delay - longest + 1
            calendar = newest - self.delay - first + 1
            sums = {by: _Sums.of(found, by, first, calendar) for by, found in self.tallies.items()}
            lengths = {days for feature in self.features for days in feature.days}
            over = {by: of.over(lengths, scored=newest - oldest + 1, delay=self.delay) for by, of in sums.items()}
            tables = {
                _name(feature, days): (feature.by, _means(over, feature, days))
                for feature in self.features
                for days in feature.days
            }
            self._means = (oldest, newest), sums, tables
        return self._means[1:]


class _Sums:
    """Sum and count of the target by day and group; one group more stands for values never seen.

    ``late`` are days that not every scored day saw as they are: number of the day, the scored days that did, sum
    and count by group.
    """

    def __init__(self, known: pd.MultiIndex | None, groups: int, first: int, both: np.ndarray) -> None:
        self.known, self.groups, self.first, self.both = known, groups, first, both
        self.late: list[tuple[int, int, int, np.ndarray]] = []

    @classmethod
    def of(cls, tallied: pd.DataFrame, by: Sequence[str], first: int, calendar: int) -> _Sums:
        when = tallied[DAY].to_numpy(dtype=np.int64) - first
        inside = (when >= 0) & (when < calendar)
        part, when = tallied.loc[inside], when[inside]
        distinct, codes = _groups(part, by)
        known = pd.MultiIndex.from_frame(distinct) if by else None
        sums = cls(known, len(distinct), first, np.zeros((2, calendar, len(distinct) + 1)))
        values = part[[TOTAL, COUNT]].to_numpy(dtype=float).T
        seen = part.reindex(columns=[SEEN_FROM, SEEN_UNTIL]).fillna(0).astype("int64").reset_index(drop=True)
        late = seen.assign(number=when).loc[seen[SEEN_FROM] > 0]
        plain = np.flatnonzero(seen[SEEN_FROM] == 0)
        for side, value in zip(sums.both, values, strict=True):
            np.add.at(side, (when[plain], codes[plain]), value[plain])
        for _, found in late.groupby(["number", SEEN_FROM, SEEN_UNTIL], sort=True):
            content, at = np.zeros((2, sums.groups + 1)), found.index.to_numpy()
            for side, value in zip(content, values, strict=True):
                np.add.at(side, codes[at], value[at])
            number, start, end = (int(found[name].iloc[0]) for name in ("number", SEEN_FROM, SEEN_UNTIL))
            sums.late.append((number, start, end, content))
        return sums

    def codes(self, rows: pd.DataFrame) -> np.ndarray:
        """Give the group of each row."""
        if self.known is None:
            return np.zeros(len(rows), dtype=np.intp)
        columns = [str(name) for name in self.known.names]
        for number, column in enumerate(columns):
            _refuse_other_kind(column, rows[column], pd.Series(self.known.levels[number]))
        if len(columns) > 1:
            found = self.known.get_indexer(pd.MultiIndex.from_frame(rows[columns]))
        else:
            numbers, values = pd.factorize(rows[columns[0]], use_na_sentinel=False)
            found = self.known.get_indexer(pd.MultiIndex.from_arrays([values], names=columns))[numbers]
        return np.where(found < 0, self.groups, found)

    def over(self, lengths: Collection[int], *, scored: int, delay: int) -> dict[int, np.ndarray]:
        """Give sum and count of each group over the days that each of the last ``scored`` days looks back on.

        Days are added newest first, whatever else is there: a day's sums are the same to the last bit, in training
        among many days and in scoring alone.

        Returns
        -------
        dict
            By length, an array of shape (2, n_scored, n_groups + 1).
        """
        longest = self.both.shape[1] - scored + 1
        oldest = self.first + longest - 1 + delay
        total, found = np.zeros((2, scored, self.groups + 1)), {}
        for back in range(max(lengths)):
            start = longest - 1 - back
            total += self.both[:, start : start + scored]
            for number, first, until, content in self.late:
                at = number - start
                if 0 <= at < scored and first <= oldest + at < until:
                    total[:, at] += content
            if back + 1 in lengths:
                found[back + 1] = total.copy()
        return found


def _refuse_other_kind(column: str, values: pd.Series, known: pd.Series) -> None:
    """Raise if no value of a group could be among those of earlier days, only because they are of another type."""
    kinds = [kind_of_values(side) for side in (values, known)]
    if "null" not in kinds and kinds[0] != kinds[1]:
        raise DataRejected(
            f"column '{column}', by which lagged target means are grouped, is {kinds[0]} in the rows that are asked "
            f"for and {kinds[1]} in the labelled days before them; bring all days to one type: {CHANGE_TYPE}"
        )


def _means(over: Mapping[Grouping, Mapping[int, np.ndarray]], feature: HistoryFeature, days: int) -> np.ndarray:
    """Give the mean of each group over the ``days`` days that each scored day looks back on.

    Returns
    -------
    array of shape (n_days, n_groups + 1)
    """
    all_sum, all_count = over[()][days][:, :, :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = all_sum / all_count
        if feature.by:
            group_sum, group_count = over[feature.by][days]
            prior = feature.prior_rows
            smooth = (group_sum + prior * mean) / (group_count + prior)
            mean = np.where(group_count + prior > 0, smooth, mean)
    return np.where(all_count > 0, mean, np.nan)


def _groups(rows: pd.DataFrame, by: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Give the different values of some columns, and which of them each row has; all rows are one group of none."""
    if not by:
        return pd.DataFrame(index=range(1)), np.zeros(len(rows), dtype=np.intp)
    distinct = rows[list(by)].drop_duplicates().reset_index(drop=True)
    known = pd.MultiIndex.from_frame(distinct)
    return distinct, known.get_indexer(pd.MultiIndex.from_frame(rows[list(by)]))


def _ordinals(days: pd.Series) -> np.ndarray:
    codes, unique = pd.factorize(days)
    ordinals = np.array([date.fromisoformat(str(day)).toordinal() for day in unique], dtype=np.int64)
    return ordinals[codes] if len(ordinals) else np.zeros(0, dtype=np.int64)


def _name(feature: HistoryFeature, days: int) -> str:
    return history_name(feature.by, days)


def days_between(first: date, last: date) -> list[date]:
    """List the days from ``first`` to ``last``, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
