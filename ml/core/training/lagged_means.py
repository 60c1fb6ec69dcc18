"""Mean targets of earlier days, point in time: the history features of a row, from what it could see.

`add_history` is the one function that computes them, for training and for scoring alike. A row of day D sees only
labels of days up to D minus the label delay, and of these only what had arrived with the partition of D
(`ml.core.data.arrivals`). Changing any later label changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from types import MappingProxyType

import numpy as np
import pandas as pd

from ml.core.training.coded_columns import Columns
from ml.core.training.group_aggregates import GroupAggregates
from ml.core.training.target_sums import COUNT, Grouping, aggregate, class_numbers, groupings, ordinals_of, totals
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
            tuple[tuple[int, int], dict[Grouping, GroupAggregates], dict[str, tuple[Grouping, np.ndarray]]] | None
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

    def of_day(self, day: date, columns: Columns, rows: int) -> dict[str, np.ndarray]:
        """Return the history features of rows of one day by their names, as `add_to` adds them.

        Parameters
        ----------
        columns
            Those named in ``by``, coded.
        """
        if not self.features or not rows:
            return dict.fromkeys(history_names(self.features), np.full(rows, np.nan))
        aggregates, means = self._means_of(day.toordinal(), day.toordinal())
        codes = {by: of.codes_of(columns, rows) for by, of in aggregates.items()}
        return {name: table[0, codes[by]] for name, (by, table) in means.items()}

    def _means_of(
        self, oldest: int, newest: int
    ) -> tuple[dict[Grouping, GroupAggregates], dict[str, tuple[Grouping, np.ndarray]]]:
        """Return what each group's features are on each day; the batches of a day ask for the same again."""
        if self._means is None or self._means[0] != (oldest, newest):
            longest = max(days for feature in self.features for days in feature.days)
            first = oldest - self.delay - longest + 1
            calendar = newest - self.delay - first + 1
            summed = [*totals(self.classes), COUNT]
            aggregates = {
                by: GroupAggregates.of(tallied, by, first, calendar, summed) for by, tallied in self.tallies.items()
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
