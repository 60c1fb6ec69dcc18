"""Propose expectations for a table from several days of it: what has held, with room for what may come.

The use of descriptive statistics of earlier days to judge a new one follows Redyuk, Kaoudi, Markl and Schelter (2021),
"Automating data quality validation for dynamic data ingestion", EDBT.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from ml.core.data.schema import kind_of_values
from ml.core.data.suite_proposals.codes import code_expectations
from ml.core.data.suite_proposals.columns import FREQUENT, column_expectations, type_expectation
from ml.core.data.suite_proposals.limits import NumberLimits
from ml.core.data.suite_proposals.nulls import MIN_ROWS, null_expectations
from ml.core.data.suite_proposals.profiles import category_profile, number_profile
from ml.core.data.suite_proposals.proposed import ProposedExpectation
from ml.core.data.suite_proposals.relations import relation_expectations
from ml.core.predictions import names
from ml.records import Asset
from ml.settings import Task

__all__ = ["ProposedExpectation", "propose_predictions", "propose_suite", "propose_window"]
LEAST_COVERAGE = 0.9


def propose_suite(table: pd.DataFrame, *, asset: Asset, task: Task) -> list[ProposedExpectation]:
    """Propose the suite of ``inputs`` or ``labels`` from several days of it.

    Each carries its reason. `ml.adapters.suite_files.write_suite` writes them as ``expectations/<asset>.json``.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        Several days, each row with its ``day`` (ISO text); not modified. Types are those with which days are read:
        see `ml.core.data.schema.csv_types`. With fewer than ten days there are no profiles.
    asset
        Inputs, or labels: of those only key and target are looked at, and their keys must be among the inputs'.

    Returns
    -------
    list of ProposedExpectation
        Of the table first, then column by column, then of relations between columns.
    """
    columns = [str(column) for column in table.columns]
    own = [column for column in columns if column not in task.key]
    proposals = [_columns_match(columns), *_types(table, columns), _row_count(), _unique(task.key, "row"), _own_day()]
    for column in columns:
        if column == "day":
            proposals += null_expectations(table, column, key=True)
        elif asset == "labels" and column == task.target:
            proposals += _target(table, task)
        else:
            proposals += column_expectations(table, column, key=column in task.key)
    if asset == "labels":
        return [*proposals, *_keys_known()]
    numbers = [column for column in own if _varies(table[column]) and kind_of_values(table[column]) == "number"]
    codes = [column for column in columns if column != "day" and _is_code(table[column])]
    for column in numbers:
        proposals += number_profile(table, column, number_limits(proposals, column))
    for column in codes:
        proposals += category_profile(table, column)
    limits = {column: number_limits(proposals, column) for column in numbers}
    return [*proposals, *relation_expectations(table, numbers, limits), *code_expectations(table, codes, numbers)]


def propose_window(
    inputs: Sequence[ProposedExpectation], labels: Sequence[ProposedExpectation], task: Task
) -> list[ProposedExpectation]:
    """Propose the suite of labelled rows that a model is trained on, from those of inputs and labels.

    What is asked of each row there holds here of the table; what a single day is measured by is left out. A target
    whose labels have names is a number in the window, see `ml.core.data.targets`.
    """
    columns = [str(c) for c in next(p for p in inputs if p.type == MATCH).kwargs["column_set"]]
    columns += [c for c in next(p for p in labels if p.type == MATCH).kwargs["column_set"] if c not in columns]
    asked = [p for p in inputs if (p.level == "row" or p.type == OF_TYPE) and p.type not in (UNIQUE, UNIQUE_TOGETHER)]
    asked += _target_of_window(labels, task)
    days = {"column": "day", "value_set": {"$PARAMETER": "days"}}
    count = {"column": "day", "min_value": {"$PARAMETER": "min_days"}}
    return [
        _columns_match(columns),
        ProposedExpectation(IN_SET, days, "table", "Days outside it are no evidence.", "day must lie in the window"),
        ProposedExpectation("expect_column_unique_value_count_to_be_between", count, "table", "pull.min_days."),
        _unique(task.key, "table"),
        ProposedExpectation(NOT_NULL, {"column": task.target}, "table", "Nothing is learned from a row without it."),
        *(
            ProposedExpectation(p.type, p.kwargs, "table", p.reason, p.rule)
            for p in asked
            if not (p.type == IN_SET and p.columns == ("day",))
        ),
    ]


def _target_of_window(labels: Sequence[ProposedExpectation], task: Task) -> list[ProposedExpectation]:
    numbers = list(range(len(task.classes))) if task.classes else [0, 1]
    if task.classes or task.positive is not None:
        coded = {"column": task.target, "value_set": numbers}
        return [ProposedExpectation(IN_SET, coded, "row", "The number of the class, as a model learns it.")]
    return [p for p in labels if p.columns == (task.target,) and (p.level == "row" or p.type == OF_TYPE)]


def propose_predictions(key_types: Sequence[ProposedExpectation], task: Task) -> list[ProposedExpectation]:
    """Propose the suite of predictions, which follows from the task.

    Parameters
    ----------
    key_types
        Proposals for the inputs: those about types of key columns hold here too.
    """
    decided = ["decision"] if task.kind != "regression" else []
    columns = [*task.key, *names(task), *decided, "model_version"]
    kinds = {**dict.fromkeys(names(task), "float64"), "model_version": "int64"}
    kinds |= {"decision": "bool"} if task.kind == "classification" else {}
    days = {"column": "day", "value_set": {"$PARAMETER": "days"}}
    rows = {"value": {"$PARAMETER": "expected_rows"}}
    proposals = [
        _columns_match(columns),
        *(p for p in key_types if p.type == OF_TYPE and set(p.columns) <= set(task.key)),
        *(
            ProposedExpectation(OF_TYPE, {"column": column, "type_": kinds[column]}, "table", "What scoring writes.")
            for column in columns
            if column in kinds
        ),
        ProposedExpectation("expect_table_row_count_to_equal", rows, "table", "As many as the day has inputs."),
        _unique(task.key, "table"),
        *(
            ProposedExpectation(NOT_NULL, {"column": column}, "table", "Each row has it.")
            for column in (*task.key, *names(task))
        ),
        ProposedExpectation(IN_SET, days, "table", "One day is scored at a time.", "day must be the partition's own"),
        ProposedExpectation(BETWEEN, {"column": "model_version", "min_value": 1}, "table", "Versions count from 1."),
    ]
    if task.kind != "regression":
        proposals += [
            ProposedExpectation(BETWEEN, {"column": column, "min_value": 0, "max_value": 1}, "table", "A probability.")
            for column in names(task)
        ]
    return proposals


MATCH, OF_TYPE = "expect_table_columns_to_match_set", "expect_column_values_to_be_of_type"
UNIQUE, UNIQUE_TOGETHER = "expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique"
IN_SET, NOT_NULL = "expect_column_values_to_be_in_set", "expect_column_values_to_not_be_null"
BETWEEN = "expect_column_values_to_be_between"


def number_limits(proposals: Sequence[ProposedExpectation], column: str) -> NumberLimits:
    """Return what is proposed for single values of a column of numbers, and for their mean."""
    by_type = {p.type: p.kwargs for p in proposals if p.columns == (column,)}
    values, means = by_type.get(BETWEEN, {}), by_type.get("expect_column_mean_to_be_between", {})
    return NumberLimits(
        values.get("min_value", -math.inf),
        values.get("max_value", math.inf),
        by_type.get("expect_column_values_to_be_multiples_of", {}).get("step"),
        means.get("min_value", -math.inf),
        means.get("max_value", math.inf),
    )


def _varies(values: pd.Series) -> bool:
    return len(values.dropna().unique()) > 1


def _is_code(values: pd.Series) -> bool:
    """Return whether a column of text has few values for its rows."""
    return kind_of_values(values) == "text" and 2 <= values.nunique() <= max(2, FREQUENT * max(len(values), MIN_ROWS))


def _columns_match(columns: Sequence[str]) -> ProposedExpectation:
    kwargs = {"column_set": list(columns), "exact_match": True}
    return ProposedExpectation(MATCH, kwargs, "table", "The columns of all days that were looked at.")


def _types(table: pd.DataFrame, columns: Sequence[str]) -> list[ProposedExpectation]:
    proposals = (type_expectation(table[column], column) for column in columns)
    return [proposal for proposal in proposals if proposal is not None]


def _row_count() -> ProposedExpectation:
    bounds = {"min_value": {"$PARAMETER": "row_count_min"}, "max_value": {"$PARAMETER": "row_count_max"}}
    reason = "From the same weekdays of the recent past."
    return ProposedExpectation("expect_table_row_count_to_be_between", bounds, "table", reason)


def _unique(key: Sequence[str], level: str) -> ProposedExpectation:
    kwargs: dict[str, Any] = {"column_list": list(key)} if len(key) > 1 else {"column": key[0]}
    kind = UNIQUE_TOGETHER if len(key) > 1 else UNIQUE
    return ProposedExpectation(kind, kwargs, "row" if level == "row" else "table", "The key of the task.")


def _own_day() -> ProposedExpectation:
    kwargs = {"column": "day", "value_set": {"$PARAMETER": "days"}}
    return ProposedExpectation(IN_SET, kwargs, "row", "One file a day.", "day must be the partition's own")


def _target(table: pd.DataFrame, task: Task) -> list[ProposedExpectation]:
    """Propose which labels there are, and how many rows must have one."""
    values = table[task.target]
    proposals = []
    if task.classes:
        kwargs = {"column": task.target, "value_set": list(task.classes)}
        proposals.append(ProposedExpectation(IN_SET, kwargs, "row", "The classes; null where there is no outcome."))
    elif task.kind == "classification":
        labels = sorted(values.dropna().unique().tolist(), key=str)
        if {*labels} <= {0, 1}:
            labels = [0, 1]
        kwargs = {"column": task.target, "value_set": labels}
        proposals.append(ProposedExpectation(IN_SET, kwargs, "row", "The classes; null where there is no outcome."))
    else:
        proposals += column_expectations(table, task.target, key=False)
        proposals = [p for p in proposals if p.type == BETWEEN]
    shares = values.notna().groupby(table["day"].to_numpy()).mean()
    least = round(float(shares.min()) / 2, 2)
    if least > 0:
        bound = {"column": task.target, "min_value": least}
        reason = f"Half of the least share of a day, {shares.min():.1%}."
        kind = "expect_column_proportion_of_non_null_values_to_be_between"
        proposals.append(ProposedExpectation(kind, bound, "table", reason))
    return proposals


def _keys_known() -> list[ProposedExpectation]:
    known = {"column": "key_known", "value_set": [True]}
    coverage = {"column": "input_coverage", "min_value": LEAST_COVERAGE}
    return [
        ProposedExpectation(IN_SET, known, "row", "Labels speak of inputs.", "the key must be among that day's inputs"),
        ProposedExpectation(
            "expect_column_min_to_be_between",
            coverage,
            "table",
            "Labels of a day come together.",
            f"at least {LEAST_COVERAGE:.0%} of that day's inputs must have a label row",
        ),
    ]
