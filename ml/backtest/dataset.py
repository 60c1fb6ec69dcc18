"""What any policy may see of inputs and labels, and from which day on: point in time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from ml.adapters.column_types import types_of_frame
from ml.adapters.rows import hashes
from ml.backtest import days_together
from ml.core.data.arrivals import as_seen, contents_of, due_day, not_as_present
from ml.core.data.days import days_between
from ml.core.data.schema import Types
from ml.core.monitoring.day_columns import DayColumn, count
from ml.core.training import own_features
from ml.core.training.lagged_means import TargetAggregates, add_history, lookback_days
from ml.core.training.many_days import are_alike
from ml.core.training.target_sums import Grouping, aggregate, class_numbers, groupings
from ml.records import Arrival, Asset, Content
from ml.settings import HistoryFeature, Label, PythonFeature

RowsByDay = tuple[pd.DataFrame, dict[date, tuple[int, int]]]
"""Rows of many days, and from where to where those of each are."""


@dataclass(frozen=True, eq=False)
class PointInTimeDataset:
    """All that any policy may see, and from which day on.

    Attributes
    ----------
    inputs, labels
        What was accepted, by the day that it speaks of.
    arrived
        With which partition the labels of a day came; they are known from that day on.
    rejected
        Why a partition did not get in, by its day: nothing is scored or monitored then.
    kept_out
        Which days of an asset a contract kept out, and with which partition first; some came in later.
    digests
        SHA-256 of each accepted table, by asset and day.
    classes
        ``task.classes``; labels are their numbers.
    excluded
        Days that a person marked as not to be learned from: nothing is fitted, judged or monitored on them.
    """

    inputs: Mapping[date, pd.DataFrame]
    labels: Mapping[date, pd.DataFrame]
    arrived: Mapping[date, date]
    rejected: Mapping[date, str]
    digests: Mapping[tuple[str, date], str]
    key: tuple[str, ...]
    target: str
    delay: int
    classes: tuple[Label, ...] = ()
    excluded: frozenset[date] = frozenset()
    quarantined: Mapping[date, int] = field(default_factory=dict)
    kept_out: Mapping[Asset, Mapping[date, date]] = field(default_factory=lambda: {"inputs": {}, "labels": {}})
    _outcomes: dict[date, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _types: dict[date, Types] = field(default_factory=dict, init=False, repr=False)
    _counts: dict[tuple[date, str, bool], DayColumn] = field(default_factory=dict, init=False, repr=False)
    _seen: dict[tuple[date, str], pd.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _rows: dict[str, RowsByDay | None] = field(default_factory=dict, init=False, repr=False)
    _sums: dict[str, dict[date, dict[Grouping, pd.DataFrame]]] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def _joined(self) -> dict[date, pd.DataFrame]:
        days = sorted(self.arrived)
        return dict(days_together.joined(self.inputs, self.labels, days, key=self.key, target=self.target))

    @cached_property
    def digest(self) -> str:
        """Name all of it: the content, when it came, and what was refused."""
        facts = [
            sorted((asset, day.isoformat(), digest) for (asset, day), digest in self.digests.items()),
            sorted((day.isoformat(), came.isoformat()) for day, came in self.arrived.items()),
            sorted(day.isoformat() for day in self.rejected),
            sorted((asset, *map(str, pair)) for asset, days in self.kept_out.items() for pair in days.items()),
        ]
        facts += [sorted(map(str, self.excluded))] if self.excluded else []
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def labelled_days(self, known_on: date) -> list[date]:
        """List the days whose labels had arrived by ``known_on``, that day's own partition included."""
        return sorted(day for day, came in self.arrived.items() if came <= known_on)

    def measured_days(self, known_on: date) -> list[date]:
        """List the `labelled_days` that are measured: those that nobody has excluded."""
        return [day for day in self.labelled_days(known_on) if day not in self.excluded]

    def labelled_rows(self, day: date) -> int:
        """Count the rows of a day whose outcome is known."""
        return len(self._joined[day])

    def labelled(self, days: Sequence[date], columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the labelled rows of days, in day order."""
        parts = [self._joined[day] if columns is None else self._joined[day][list(columns)] for day in days]
        if not parts:
            return pd.DataFrame(columns=list(columns or [*self.key, self.target]))
        return pd.concat(parts, ignore_index=True)

    def seen_on(self, day: date, features: Sequence[HistoryFeature]) -> pd.DataFrame:
        """Return the inputs of ``day`` with their history features, as they could be computed on that day.

        Asked again, the same frame is given: it is not to be modified.
        """
        name = day, str(features)
        if name not in self._seen:
            self._seen[name] = self._aggregates_on(day, features).add_to(self.inputs[day])
        return self._seen[name]

    def labelled_with_history(self, days: Sequence[date], features: Sequence[HistoryFeature]) -> pd.DataFrame:
        """Return the labelled rows of days, each with its history features as they could be computed on its own day."""
        if not days:
            return self.labelled(days)
        whole = self._with_history(features)
        if whole is not None and whole[1].keys() >= set(days):
            rows, places = whole
            return rows.iloc[np.concatenate([np.arange(*places[day]) for day in days])].reset_index(drop=True)
        return pd.concat(
            [self._aggregates_on(day, features).add_to(self._joined[day]) for day in days], ignore_index=True
        )

    def _with_history(self, features: Sequence[HistoryFeature]) -> RowsByDay | None:
        """Return all labelled rows with history features, and where each day's are; None if days are not alike."""
        name = str(features)
        if name not in self._rows:
            self._rows[name] = self._all_with_history(features)
        return self._rows[name]

    def _all_with_history(self, features: Sequence[HistoryFeature]) -> RowsByDay | None:
        days = sorted(self.arrived)
        if not days or not are_alike(self._joined[day] for day in days):
            return None
        labelled = self.labelled(days)
        contents = self.not_as_present(days, features, first=days[0], last=days[-1])
        rows = add_history(
            labelled,
            as_seen(labelled, {}, contents),
            features,
            target=self.target,
            label_delay_days=self.delay,
            classes=self.classes,
        )
        ends = np.cumsum([len(self._joined[day]) for day in days]).tolist()
        return rows, dict(zip(days, pairwise([0, *ends]), strict=True))

    def _aggregates_on(self, day: date, features: Sequence[HistoryFeature]) -> TargetAggregates:
        """Put together what `day` may know of the labels of earlier days; the sums of each are made once."""
        reach, numbers = lookback_days(features, label_delay_days=self.delay), class_numbers(features, self.classes)
        oldest, newest = day - timedelta(days=reach), day - timedelta(days=max(self.delay, 1))
        sums = [self._sums_of(past_day, features) for past_day in self._labelled_between(oldest, newest, known_on=day)]
        aggregates = {
            by: pd.concat([day_sums[by] for day_sums in sums], ignore_index=True)
            if sums
            else aggregate(self.labelled([], [*by, "day", self.target]), by, target=self.target, classes=numbers)
            for by in groupings(features)
        }
        return TargetAggregates(aggregates, features, label_delay_days=self.delay, classes=numbers)

    def _labelled_between(self, oldest: date, newest: date, *, known_on: date) -> list[date]:
        days = days_between(oldest, newest)
        return [day for day in days if (came := self.arrived.get(day)) is not None and came <= known_on]

    def _sums_of(self, day: date, features: Sequence[HistoryFeature]) -> dict[Grouping, pd.DataFrame]:
        name = str(features)
        if name not in self._sums:
            numbers = class_numbers(features, self.classes)
            by_day = days_together.sums(self._joined, groupings(features), target=self.target, classes=numbers)
            self._sums[name] = by_day
        return self._sums[name][day]

    def own_features(self, day: date, wanted: PythonFeature) -> pd.DataFrame:
        """Return what ``features.python`` computes of a day, as it could be computed on that day."""
        name = day, str(wanted)
        if name not in self._seen:
            newest = day - timedelta(days=max(self.delay, 1))
            oldest = newest - timedelta(days=wanted.days - 1)
            past = self.labelled([past_day for past_day in self.labelled_days(day) if oldest <= past_day <= newest])
            function = own_features.load(wanted)
            self._seen[name] = own_features.compute(function, wanted, day, self.inputs[day], past)
        return self._seen[name]

    def not_as_present(
        self, days: Sequence[date], features: Sequence[HistoryFeature], *, first: date, last: date
    ) -> tuple[Content, ...]:
        """List the label days among ``days`` that not every day from ``first`` to ``last`` could see.

        Labels that came when they were due, each day saw as they are.
        """
        late = [day for day in days if day in self.arrived and self.arrived[day] > due_day(day, self.delay)]
        present = {day: self.digests["labels", day] for day in late}
        arrivals = {day: (Arrival(day=day, md5=md5, partition=self.arrived[day]),) for day, md5 in present.items()}
        contents = contents_of(present, arrivals, label_delay_days=self.delay)
        return not_as_present(contents, present, features, label_delay_days=self.delay, first_day=first, last_day=last)

    def kept_out_by(self, asset: Asset, day: date) -> set[date]:
        """Return the days of an asset that had been rejected by ``day``, that day's own partition included."""
        return {kept_out_day for kept_out_day, partition in self.kept_out[asset].items() if partition <= day}

    def types(self, day: date) -> Types:
        """Return the types of the columns of a day's inputs."""
        if day not in self._types:
            self._types[day] = types_of_frame(self.inputs[day])
        return self._types[day]

    def counted(self, day: date, categorical: Mapping[str, bool]) -> dict[str, DayColumn]:
        """Count every row of a day's inputs, column by column."""
        frame = self.inputs[day]
        for name in ((day, column, kind) for column, kind in categorical.items() if column in frame):
            if name not in self._counts:
                self._counts[name] = count(frame[name[1]], categorical=name[2])
        absent = DayColumn(len(frame), len(frame))
        return {column: self._counts.get((day, column, kind), absent) for column, kind in categorical.items()}

    def share_of(self, days: Collection[date], rows: int) -> float:
        """Return the share of keys with which about ``rows`` labels of some days are looked at; 1 or more means all."""
        return rows / max(sum(len(self.labels[day]) for day in days), 1)

    def in_sample(self, day: date, share: float) -> np.ndarray:
        """Return which input rows of a day are among a share of all keys."""
        if share >= 1:
            return np.ones(len(self.inputs[day]), dtype=bool)
        return np.asarray(hashes(self.inputs[day], self.key) < np.uint64(share * 2**64))

    def rows_of(self, day: date) -> pd.DataFrame:
        """Name each input row of ``day``: the day, and a hash of its key that is the same in every world."""
        hashed = pd.util.hash_pandas_object(self.inputs[day][list(self.key)], index=False)
        return pd.DataFrame({"day": day.isoformat(), "row": hashed.to_numpy()})

    def outcomes(self, day: date) -> np.ndarray:
        """Return the outcome of each input row of ``day``, NaN where it never came or is not there at all."""
        if day not in self._outcomes:
            days = [other for other in self.inputs if other in self.labels] if day in self.labels else []
            made = days_together.outcomes(self.inputs, self.labels, days, key=self.key, target=self.target)
            self._outcomes.update(made)
            self._outcomes.setdefault(day, np.full(len(self.inputs[day]), np.nan))
        return self._outcomes[day]
