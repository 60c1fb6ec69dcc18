"""Ask what is asked of each row of many small tables in one pass of Great Expectations.

What an expectation says of a row by itself is the same in any table of the same types. By that a large day is cut
(`ml.adapters.contracts.day_files`), and here small days are put together. Great Expectations computes the condition of
each such expectation over the rows of all tables; each table gets its part of it as metrics that are known already,
and is then judged for itself like any other. What speaks of a table as a whole is asked of each table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.adapters.contracts.outcomes import UNIQUE_EXPECTATIONS
from ml.adapters.contracts.parts import OF_EACH_ROW
from ml.adapters.contracts.prepared import CONDITION, OF_NO_BAD_ROW, Metrics, engine_for, prepare, resolve
from ml.adapters.contracts.suite import DERIVED, Entry, parameter_names

FLOATING_SUM = "expect_multicolumn_sum_to_equal"
"""The order in which pandas adds the columns up may depend on how a table lies in memory."""


@dataclass(frozen=True, eq=False)
class RowMetrics:
    """What is known of one table before it is judged: metrics of its rows, without those that have no whole key."""

    asset: str
    rows: int
    metrics: Metrics

    def of(self, asset: str, table: pd.DataFrame) -> Metrics:
        """Return the metrics for the judging of a table; raises ValueError if they are of another one."""
        if (self.asset, self.rows) != (asset, len(table)):
            raise ValueError(f"metrics of {self.rows} rows of {self.asset} do not belong to {len(table)} of {asset}")
        return self.metrics


def metrics_by_table(suite: Sequence[Entry], tables: Sequence[pd.DataFrame]) -> list[Metrics]:
    """Return for each table the metrics that one pass over all of them gives; none where there is no other like it.

    Parameters
    ----------
    tables : DataFrames of shape (n_rows, n_columns)
        As each will be judged, with indices from 0 on. Not modified.
    """
    metrics: list[Metrics] = [{} for _ in tables]
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for number, table in enumerate(tables):
        if len(table):
            groups[_types(table)].append(number)
    for numbers in groups.values():
        if len(numbers) > 1:
            group = [tables[number] for number in numbers]
            for number, table_metrics in zip(numbers, _metrics_of_group(suite, group), strict=True):
                metrics[number] = table_metrics
    return metrics


def _types(table: pd.DataFrame) -> Hashable:
    """Return what tables must have in common to be judged as one: columns, in order, and types down to the objects'."""
    return tuple(
        (name, str(column.dtype), pd.api.types.infer_dtype(column, skipna=True) if column.dtype == object else "")
        for name, column in table.items()
    )


def _metrics_of_group(suite: Sequence[Entry], tables: Sequence[pd.DataFrame]) -> list[Metrics]:
    metrics: list[Metrics] = [{} for _ in tables]
    whole = pd.concat(tables, ignore_index=True)
    if not whole.dtypes.equals(tables[0].dtypes):
        return metrics
    starts = np.cumsum([0, *(len(table) for table in tables)])
    engine, known = engine_for(whole), Metrics()
    for expectation in prepare([entry for entry in suite if _asks_each_row(entry, whole)], whole, {}, engine):
        with suppress(Exception):  # of some table, or of all: each is then asked for itself, and says what is wrong
            for metric in expectation.metrics.values():
                condition = metric.metric_dependencies.get(CONDITION)
                if condition is not None:
                    resolve(condition, engine, known)
                    for table_metrics, part in zip(metrics, _parts(known[condition.id], starts), strict=True):
                        if not part.bad_rows or expectation.entry.type not in UNIQUE_EXPECTATIONS:
                            _add(table_metrics, metric, condition, part)
    return metrics


def _asks_each_row(entry: Entry, table: pd.DataFrame) -> bool:
    """Return whether what an expectation says of a row of one table can be read off a pass over many.

    It must depend on that row alone, and not on the day's parameters. Or it asks for different rows: those of which no
    other one is equal in all tables have no equal one in their own; of tables with others nothing is known.
    """
    plain = not parameter_names(entry.kwargs) and entry.kwargs.get("row_condition") is None
    columns = set(entry.columns)
    kinds = (OF_EACH_ROW - {FLOATING_SUM}) | set(UNIQUE_EXPECTATIONS)
    return plain and entry.type in kinds and columns <= set(table.columns) and not columns & set(DERIVED)


@dataclass(frozen=True, eq=False)
class _Part:
    """A condition as it would be of one table alone; it holds of ``bad_rows`` of its rows."""

    bad_rows: int
    rows: np.ndarray
    values: np.ndarray
    domain: Sequence[Any]

    def condition(self) -> Any:
        """Return it as Great Expectations' engine computes it: a truth value for each row, and what it is of."""
        return (pd.Series(self.values, index=self.rows), *self.domain)


def _parts(condition: Any, starts: np.ndarray) -> Iterator[_Part]:
    """Yield the condition of each table; raises TypeError if it is not a truth value for each row."""
    holds, *domain = condition
    if not isinstance(holds, pd.Series) or holds.dtype != bool:
        raise TypeError(f"a condition is {type(holds).__name__}, not a truth value for each row")
    rows, values = holds.index.to_numpy(), holds.to_numpy()
    ends = np.searchsorted(rows, starts)
    counts = np.diff(np.concatenate([[0], np.cumsum(values)])[ends])
    for start, first, last, count in zip(starts, ends, ends[1:], counts, strict=False):
        yield _Part(int(count), rows[first:last] - start, values[first:last], domain)


def _add(table_metrics: Metrics, metric: Any, condition: Any, part: _Part) -> None:
    """Add a metric of a condition where its value is plain, and else the condition, by which the engine computes it."""
    measure = metric.metric_name.rpartition(".")[2]
    if measure == "unexpected_count":
        table_metrics[metric.id] = part.bad_rows
    elif not part.bad_rows and measure in OF_NO_BAD_ROW:
        table_metrics[metric.id] = copy(OF_NO_BAD_ROW[measure])
    else:
        table_metrics[condition.id] = part.condition()
