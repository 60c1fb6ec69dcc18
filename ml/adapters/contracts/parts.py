"""Find which expectations can be asked of a part of a table, and ask the others of whole columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from ml.adapters import rows
from ml.adapters.contracts.judge import TYPE_EXPECTATIONS, KeyMatch, evaluate, judge
from ml.adapters.contracts.outcomes import UNIQUE_EXPECTATIONS, Outcome, outcome_of
from ml.adapters.contracts.own_expectations import EMPTY_OR_SHARE, OWN
from ml.adapters.contracts.suite import Entry
from ml.adapters.engine import Part
from ml.core.data.contracts import Failure

OF_THE_SCHEMA = frozenset(
    {
        "expect_column_to_exist",
        "expect_table_column_count_to_be_between",
        "expect_table_column_count_to_equal",
        "expect_table_columns_to_match_ordered_list",
        "expect_table_columns_to_match_set",
        *TYPE_EXPECTATIONS,
    }
)
OF_EACH_ROW = frozenset(
    {
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
        "expect_column_pair_values_to_be_in_set",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_dateutil_parseable",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_be_json_parseable",
        "expect_column_values_to_be_null",
        "expect_column_values_to_match_json_schema",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_match_regex_list",
        "expect_column_values_to_match_strftime_format",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_not_match_regex",
        "expect_column_values_to_not_match_regex_list",
        "expect_multicolumn_sum_to_equal",
        "expect_select_column_values_to_be_unique_within_record",
        *OWN,
    }
)
"""What Great Expectations can say of a row without looking at another one."""

OF_ALL_ROWS = frozenset({"expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"})
"""Of the expectations that name no column, those that any one column of the whole day answers."""

OF_NULLS = frozenset({"expect_column_proportion_of_non_null_values_to_be_between", EMPTY_OR_SHARE})
"""What depends on how many values are null, and on nothing else of a column."""


def obstacle_to_parts(suite: Sequence[Entry], key: Sequence[str]) -> str | None:
    """Return which expectation of a suite can be asked only of a whole table in memory; None if there is none."""
    for entry in suite:
        of_whole_columns = entry.level == "table" and (entry.columns or entry.type in OF_ALL_ROWS)
        if not (can_be_parted(entry, key) or (of_whole_columns and set(entry.columns) != {"key_known"})):
            return f"{entry.type} on {entry.column or 'the table'}"
    return None


def can_be_parted(entry: Entry, key: Sequence[str]) -> bool:
    """Return whether an expectation says the same of parts that share rows out by ``key`` as of the whole table."""
    if "input_coverage" in entry.columns or entry.kwargs.get("mostly", 1) != 1:
        return False
    unique = entry.type in UNIQUE_EXPECTATIONS and set(key) <= set(entry.columns)
    return unique or entry.type in OF_EACH_ROW or entry.type in OF_THE_SCHEMA


def not_evaluated(entry: Entry) -> Outcome:
    """Return what becomes of an expectation that no part could be asked: no row has a whole key."""
    return Outcome(entry, "not evaluated", entry.describe(entry.kwargs))


def judge_coverage(entry: Entry, keys: KeyMatch | None, parameters: Mapping[str, object]) -> Outcome:
    """Ask an expectation of the share of the inputs' keys that have a row."""
    if keys is None or keys.is_known is None:
        return not_evaluated(entry)
    derived = replace(keys, is_known=np.ones(1, dtype=bool)).derived()
    return outcome_of(entry, evaluate([entry], derived, parameters).get(entry.number), derived)


def judged_columns(entry: Entry, names: Sequence[str]) -> tuple[str, ...]:
    """Return which columns of a table an expectation of the whole day is asked of: its own, or any one."""
    return tuple(column for column in entry.columns if column in names) or tuple(names[:1])


def judge_whole_columns(
    asked: tuple[Sequence[Entry], Mapping[str, object]], part: Part
) -> Iterator[tuple[list[Outcome], list[Failure]]]:
    """Ask an expectation of its columns of the whole day, and whether they are of their types."""
    suite, parameters = asked
    entry, (file,) = part.facts, part.files
    columns = list(judged_columns(entry, pq.read_schema(file.path).names))
    types = [
        type_entry
        for type_entry in suite
        if type_entry.type in TYPE_EXPECTATIONS and set(type_entry.columns) <= set(columns)
    ]
    if entry.type in OF_ALL_ROWS or (entry.type in OF_NULLS and set(entry.columns) <= set(columns)):
        frame, types = _copy_nulls(file.path, columns[0]), []
    else:
        frame = pd.read_parquet(file.path, columns=columns)
    outcomes, obstacles = judge([*types, entry], frame, parameters, None)
    yield outcomes[-1:], obstacles


def _copy_nulls(path: Path, column: str) -> pd.DataFrame:
    """Return two bytes for each row, with as many nulls as a column has: all that some expectations look at."""
    values = np.zeros(rows.count_rows(path), dtype=np.float16)
    values[: rows.null_counts(path)[column]] = np.nan
    return pd.DataFrame({column: values})
