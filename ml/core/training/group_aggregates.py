"""Sums and counts of the target by day and group, and the group of each row that looks back on them."""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Sequence
from functools import cached_property

import numpy as np
import pandas as pd

from ml.core.data.schema import CHANGE_TYPE, kind_of_values
from ml.core.training.coded_columns import Columns, as_coded
from ml.core.training.target_sums import DAY, SEEN_FROM, SEEN_UNTIL, group_codes
from ml.errors import DataRejected

MOST_COMBINED = 2**62
"""Groups are numbered by the numbers of their values while so many numbers are enough."""


class GroupAggregates:
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
    ) -> GroupAggregates:
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

    def codes_of(self, columns: Columns, rows: int) -> np.ndarray:
        """Return the group of each row, of columns that are coded; see `codes`."""
        if self.index is None:
            return np.zeros(rows, dtype=np.intp)
        given = {column: as_coded(columns[column]) for column in map(str, self.index.names)}
        if math.prod(len(places) + 1 for places in self._places) > MOST_COMBINED:
            return self.codes(pd.DataFrame({name: column.rows for name, column in given.items()}))
        combined = np.zeros(rows, dtype=np.int64)
        for number, (name, column) in enumerate(given.items()):
            places = self._places[number]
            of_values = np.array([places.get(key, -1) for key in column.keys], dtype=np.int64)
            if (of_values < 0).any() or bool in map(type, column.keys[:2]):  # true is 1 to a dictionary
                _refuse_other_kind(name, column.different, pd.Series(self.index.levels[number]))
                of_values[of_values < 0] = len(places)
            combined = combined * (len(places) + 1) + of_values[column.codes]
        groups, held = self._groups
        at = np.minimum(np.searchsorted(groups, combined), max(len(groups) - 1, 0))
        return np.where(groups[at] == combined, held[at], self.groups) if len(groups) else np.full(rows, self.groups)

    @cached_property
    def _places(self) -> list[dict[Hashable, int]]:
        """Return the number of each value of each level; that of a null comes last."""
        assert self.index is not None
        places = []
        for level, codes in zip(self.index.levels, self.index.codes, strict=True):
            of_level: dict[Hashable, int] = {value: at for at, value in enumerate(level.tolist())}
            places.append(of_level | ({None: len(of_level)} if (np.asarray(codes) < 0).any() else {}))
        return places

    @cached_property
    def _groups(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the groups by the numbers of their values, in order, and which each of them is."""
        assert self.index is not None
        combined = np.zeros(self.groups, dtype=np.int64)
        for places, codes in zip(self._places, self.index.codes, strict=True):
            numbers = np.asarray(codes, dtype=np.int64)
            combined = combined * (len(places) + 1) + np.where(numbers < 0, places.get(None, 0), numbers)
        order = np.argsort(combined)
        return combined[order], order

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
