"""Mean targets of earlier days, point in time: the history features of a row, from what it could see.

`add_history` is the one function that computes them, for training and for scoring alike. A row of day D sees only
labels of days up to D minus the label delay, and of these only what had arrived with the partition of D
(`ml.core.data.arrivals`). Changing any later label changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd

from ml.core.data.schema import CHANGE_TYPE, kind_of_values
from ml.core.training.target_sums import (
    COUNT,
    DAY,
    SEEN_FROM,
    SEEN_UNTIL,
    Grouping,
    aggregate,
    class_numbers,
    group_codes,
    groupings,
    ordinals_of,
    totals,
)
from ml.errors import DataRejected
from ml.names import history_name
from ml.settings import HistoryFeature, Label


def history_names(features: Sequence[HistoryFeature]) -> list[str]:
    """Name the columns that `add_history` adds, in order."""
    return [_name(feature, days) for feature in features for days in feature.days]


def lookback_days(features: Sequence[HistoryFeature], *, label_delay_days: int) -> int:
    """Return how many days before its own a row's history features reach back; 0 without any."""
    longest = max((days for feature in features for days in feature.days), default=None)
    return 0 if longest is None else longest + label_delay_days - (1 if label_delay_days else 0)


def add_history(
    rows: pd.DataFrame,
    labelled: pd.DataFrame,
    features: Sequence[HistoryFeature],
    *,
    target: str,
    label_delay_days: int,
    classes: Sequence[Label] = (),
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
        could see says so in `SEEN_FROM` and `SEEN_UNTIL`, see `ml.core.data.arrivals.as_seen`.
    classes
        ``task.classes``; the target is then the number of a class, and a feature the share of the class that it is of.

    Returns
    -------
    DataFrame of shape (n_rows, n_columns + n_history)
        Null where no label had arrived in the whole window.
    """
    if not features or rows.empty:
        return rows.assign(**dict.fromkeys(history_names(features), np.nan))
    numbers = class_numbers(features, classes)
    aggregates = {by: aggregate(labelled, by, target=target, classes=numbers) for by in groupings(features)}
    return TargetAggregates(aggregates, features, label_delay_days=label_delay_days, classes=numbers).add_to(rows)


class TargetAggregates:
    """Earlier days, summed up, from which the history features of any row follow.

    Parameters
    ----------
    aggregates
        By grouping, what `aggregate` gave, of as many days as there are; each of `groupings` is needed.
    classes
        Those that it was given.
    """

    def __init__(
        self,
        aggregates: Mapping[Grouping, pd.DataFrame],
        features: Sequence[HistoryFeature],
        *,
        label_delay_days: int,
        classes: Mapping[Label, int] = MappingProxyType({}),
    ) -> None:
        self.tallies, self.classes = aggregates, classes
        self.features = features
        self.delay = max(label_delay_days, 1)
        self._means: (
            tuple[tuple[int, int], dict[Grouping, _GroupAggregates], dict[str, tuple[Grouping, np.ndarray]]] | None
        ) = None

    def add_to(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Add the history features to some rows; see `add_history`."""
        if not self.features or rows.empty:
            return rows.assign(**dict.fromkeys(history_names(self.features), np.nan))
        ordinals = ordinals_of(rows["day"])
        oldest = int(ordinals.min())
        aggregates, means = self._means_of(oldest, int(ordinals.max()))
        codes = {by: of.codes(rows) for by, of in aggregates.items()}
        number = ordinals - oldest
        return rows.assign(**{name: table[number, codes[by]] for name, (by, table) in means.items()})

    def _means_of(
        self, oldest: int, newest: int
    ) -> tuple[dict[Grouping, _GroupAggregates], dict[str, tuple[Grouping, np.ndarray]]]:
        """Return what each group's features are on each day; the batches of a day ask for the same again."""
        if self._means is None or self._means[0] != (oldest, newest):
            longest = max(days for feature in self.features for days in feature.days)
            first = oldest - self.delay - longest + 1
            calendar = newest - self.delay - first + 1
            summed = [*totals(self.classes), COUNT]
            aggregates = {
                by: _GroupAggregates.of(tallied, by, first, calendar, summed) for by, tallied in self.tallies.items()
            }
            lengths = {days for feature in self.features for days in feature.days}
            over = {by: of.over(lengths, scored=newest - oldest + 1, delay=self.delay) for by, of in aggregates.items()}
            numbers: dict[object, int] = {label: at for at, label in enumerate(self.classes)}
            tables = {
                _name(feature, days): (feature.by, _means(over, feature, days, numbers.get(feature.of, 0)))
                for feature in self.features
                for days in feature.days
            }
            self._means = (oldest, newest), aggregates, tables
        return self._means[1:]


class _GroupAggregates:
    """Sums and count of the target by day and group; one group more stands for values never seen.

    ``late`` are days that not every scored day saw as they are: number of the day, the scored days that did, sums
    and count by group.
    """

    def __init__(self, index: pd.MultiIndex | None, groups: int, first: int, both: np.ndarray) -> None:
        self.index, self.groups, self.first, self.both = index, groups, first, both
        self.late: list[tuple[int, int, int, np.ndarray]] = []

    @classmethod
    def of(
        cls, tallied: pd.DataFrame, by: Sequence[str], first: int, calendar: int, summed: Sequence[str]
    ) -> _GroupAggregates:
        when = tallied[DAY].to_numpy(dtype=np.int64) - first
        inside = (when >= 0) & (when < calendar)
        part, when = tallied.loc[inside], when[inside]
        distinct, codes = group_codes(part, by)
        index = pd.MultiIndex.from_frame(distinct) if by else None
        aggregates = cls(index, len(distinct), first, np.zeros((len(summed), calendar, len(distinct) + 1)))
        values = part[list(summed)].to_numpy(dtype=float).T
        seen = part.reindex(columns=[SEEN_FROM, SEEN_UNTIL]).fillna(0).astype("int64").reset_index(drop=True)
        late = seen.assign(number=when).loc[seen[SEEN_FROM] > 0]
        plain = np.flatnonzero(seen[SEEN_FROM] == 0)
        for side, value in zip(aggregates.both, values, strict=True):
            np.add.at(side, (when[plain], codes[plain]), value[plain])
        for _, rows in late.groupby(["number", SEEN_FROM, SEEN_UNTIL], sort=True):
            content, at = np.zeros((len(summed), aggregates.groups + 1)), rows.index.to_numpy()
            for side, value in zip(content, values, strict=True):
                np.add.at(side, codes[at], value[at])
            number, start, end = (int(rows[name].iloc[0]) for name in ("number", SEEN_FROM, SEEN_UNTIL))
            aggregates.late.append((number, start, end, content))
        return aggregates

    def codes(self, rows: pd.DataFrame) -> np.ndarray:
        """Return the group of each row."""
        if self.index is None:
            return np.zeros(len(rows), dtype=np.intp)
        columns = [str(name) for name in self.index.names]
        for number, column in enumerate(columns):
            _refuse_other_kind(column, rows[column], pd.Series(self.index.levels[number]))
        if len(columns) > 1:
            codes = self.index.get_indexer(pd.MultiIndex.from_frame(rows[columns]))
        else:
            numbers, values = pd.factorize(rows[columns[0]], use_na_sentinel=False)
            codes = self.index.get_indexer(pd.MultiIndex.from_arrays([values], names=columns))[numbers]
        return np.where(codes < 0, self.groups, codes)

    def over(self, lengths: Collection[int], *, scored: int, delay: int) -> dict[int, np.ndarray]:
        """Return sums and count of each group over the days that each of the last ``scored`` days looks back on.

        Days are added newest first, whatever else is there: a day's sums are the same to the last bit, in training
        among many days and in scoring alone.

        Returns
        -------
        dict
            By length, an array of shape (n_totals + 1, n_scored, n_groups + 1), the count last.
        """
        longest = self.both.shape[1] - scored + 1
        oldest = self.first + longest - 1 + delay
        total, by_length = np.zeros((len(self.both), scored, self.groups + 1)), {}
        for back in range(max(lengths)):
            start = longest - 1 - back
            total += self.both[:, start : start + scored]
            for number, first, until, content in self.late:
                at = number - start
                if 0 <= at < scored and first <= oldest + at < until:
                    total[:, at] += content
            if back + 1 in lengths:
                by_length[back + 1] = total.copy()
        return by_length


def _refuse_other_kind(column: str, values: pd.Series, labelled: pd.Series) -> None:
    """Raise if no value of a group could be among those of earlier days, only because they are of another type."""
    kinds = [kind_of_values(side) for side in (values, labelled)]
    if "null" not in kinds and kinds[0] != kinds[1]:
        raise DataRejected(
            f"column '{column}', by which lagged target means are grouped, is {kinds[0]} in the rows that are asked "
            f"for and {kinds[1]} in the labelled days before them; bring all days to one type: {CHANGE_TYPE}"
        )


def _means(
    over: Mapping[Grouping, Mapping[int, np.ndarray]], feature: HistoryFeature, days: int, number: int
) -> np.ndarray:
    """Return the mean of each group over the ``days`` days that each scored day looks back on.

    Parameters
    ----------
    number
        Which of the totals counts.

    Returns
    -------
    array of shape (n_days, n_groups + 1)
    """
    all_sum, all_count = over[()][days][[number, -1], :, :1]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = all_sum / all_count
        if feature.by:
            group_sum, group_count = over[feature.by][days][[number, -1]]
            prior = feature.prior_rows
            smooth = (group_sum + prior * mean) / (group_count + prior)
            mean = np.where(group_count + prior > 0, smooth, mean)
    return np.where(all_count > 0, mean, np.nan)


def _name(feature: HistoryFeature, days: int) -> str:
    return history_name(feature.by, days, feature.of)
