"""Expectations that Great Expectations lacks: relations between columns, steps of numbers, days without values.

They are subclasses as Great Expectations asks for, so that a suite names them like its own. Importing this module
registers them. A row with a null in one of the columns meets those of single rows.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from great_expectations.compatibility import pydantic
from great_expectations.core.suite_parameters import SuiteParameterDict
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.core import ExpectColumnProportionOfNonNullValuesToBeBetween
from great_expectations.expectations.expectation import ColumnMapExpectation, MulticolumnMapExpectation
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    MulticolumnMapMetricProvider,
    column_condition_partial,
    multicolumn_condition_partial,
)

STEP, SUM, FOLLOWS = (
    "expect_column_values_to_be_multiples_of",
    "expect_weighted_sum_to_be_between",
    "expect_last_column_to_follow_from_others",
)
OWN = frozenset({STEP, SUM, FOLLOWS})
"""What this module adds that looks at one row at a time."""
EMPTY_OR_SHARE = "expect_column_to_be_empty_or_proportion_of_non_null_values_to_be_between"
"""What it adds that looks at a whole column."""
RELATIVE = 1e-9
"""Numbers are compared to so much of their size."""


class MultiplesOf(ColumnMapMetricProvider):
    """Whether each value is a whole multiple of ``step``."""

    condition_metric_name = "column_values.multiples_of"
    condition_value_keys = ("step",)

    @column_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column: pd.Series, step: float, **_: Any) -> pd.Series:  # noqa: N805
        multiples = column.astype(float) / step
        return (multiples - multiples.round()).abs() <= np.maximum(1e-6, RELATIVE * multiples.abs())


class ExpectColumnValuesToBeMultiplesOf(ColumnMapExpectation):
    """Expect each value of a column of numbers to be a whole multiple of ``step``: 0.01 for cents, 1 for counts."""

    step: float = pydantic.Field(gt=0)
    map_metric = "column_values.multiples_of"
    success_keys: ClassVar[tuple[str, ...]] = ("step", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column", "step")


class WeightedSum(MulticolumnMapMetricProvider):
    """Whether the weighted sum of several columns lies between limits, modulo ``modulus`` if there is one."""

    condition_metric_name = "multicolumn_values.weighted_sum_between"
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
    condition_value_keys = ("weights", "min_value", "max_value", "modulus")

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, **kwargs: Any) -> pd.Series:  # noqa: N805
        values, weights = column_list.to_numpy(dtype=float), np.asarray(kwargs["weights"], dtype=float)
        products = list((values * weights).T)  # added one after the other, as BLAS need not: the same in any table
        total = sum(products)
        tolerance = RELATIVE * sum(map(np.abs, products)) + 1e-9
        modulus = kwargs.get("modulus")
        if modulus:
            middle = (kwargs["min_value"] + kwargs["max_value"]) / 2
            total = (total - middle + modulus / 2) % modulus + middle - modulus / 2
        inside = (total >= kwargs["min_value"] - tolerance) & (total <= kwargs["max_value"] + tolerance)
        return pd.Series(inside, index=column_list.index)


class ExpectWeightedSumToBeBetween(MulticolumnMapExpectation):
    """Expect the sum of columns, each times its weight, to lie between limits in each row.

    ``gross - net - tax`` is 0 with weights ``[1, -1, -1]`` and both limits 0. ``modulus`` is for clocks and angles:
    the sum may be off by multiples of it.
    """

    weights: list[float]
    min_value: float
    max_value: float
    modulus: float | None = pydantic.Field(default=None, gt=0)
    ignore_row_if: Literal["all_values_are_missing", "any_value_is_missing", "never"] = "any_value_is_missing"
    map_metric = "multicolumn_values.weighted_sum_between"
    success_keys: ClassVar[tuple[str, ...]] = ("weights", "min_value", "max_value", "modulus", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "weights", "min_value", "max_value", "modulus")

    @pydantic.root_validator(skip_on_failure=True)
    def _goes_together(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        if len(values["weights"]) != len(values["column_list"]):
            raise ValueError("weights must hold one number for each column of column_list")
        if values["min_value"] > values["max_value"]:
            raise ValueError("min_value must not be above max_value")
        return values


class FollowsFromOthers(MulticolumnMapMetricProvider):
    """Whether the last column has a value that is known for the values of the others."""

    condition_metric_name = "multicolumn_values.follows_from_others"
    condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
    condition_value_keys = ("known",)

    @multicolumn_condition_partial(engine=PandasExecutionEngine)
    def _pandas(cls, column_list: pd.DataFrame, known: list[list[Any]], **_: Any) -> pd.Series:  # noqa: N805
        columns = list(column_list.columns)
        table = pd.DataFrame(known, columns=columns).drop_duplicates()
        others = pd.MultiIndex.from_frame(table[columns[:-1]])
        is_listed = pd.MultiIndex.from_frame(column_list[columns[:-1]]).isin(others)
        is_known = pd.MultiIndex.from_frame(column_list).isin(pd.MultiIndex.from_frame(table))
        return pd.Series(is_known | ~is_listed, index=column_list.index)


class ExpectLastColumnToFollowFromOthers(MulticolumnMapExpectation):
    """Expect the last column of ``column_list`` to have a value that is known for the values of the others.

    ``known`` holds a list for each combination: the values of the others, then that of the last. A row whose others
    are not listed meets it.
    """

    known: list[list[Any]]
    ignore_row_if: Literal["all_values_are_missing", "any_value_is_missing", "never"] = "any_value_is_missing"
    map_metric = "multicolumn_values.follows_from_others"
    success_keys: ClassVar[tuple[str, ...]] = ("known", "mostly")
    args_keys: ClassVar[tuple[str, ...]] = ("column_list", "known")

    @pydantic.root_validator(skip_on_failure=True)
    def _goes_together(cls, values: dict[str, Any]) -> dict[str, Any]:  # noqa: N805
        if not values["known"] or any(len(row) != len(values["column_list"]) for row in values["known"]):
            raise ValueError("known must hold lists, each with a value for each column of column_list")
        return values


class ExpectColumnToBeEmptyOrProportionOfNonNullValuesToBeBetween(ExpectColumnProportionOfNonNullValuesToBeBetween):
    """Expect a column to be null in each row, or else the share of its values that are not null to lie between limits.

    For what does not come on some days, such as prices on a holiday: half of a day is an error then, and none is not,
    unless the column was empty on ``max_empty_days`` days directly before (``empty_days_before`` counts them).
    """

    max_empty_days: int | None = pydantic.Field(default=None, ge=1)
    empty_days_before: int | SuiteParameterDict = 0
    success_keys: ClassVar[tuple[str, ...]] = (
        *ExpectColumnProportionOfNonNullValuesToBeBetween.success_keys,
        "max_empty_days",
        "empty_days_before",
    )

    def _validate(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        result = super()._validate(metrics, *args, **kwargs)
        if metrics["column.non_null_proportion"] != 0:
            return result
        asked = self._get_success_kwargs()
        most, before = asked["max_empty_days"], asked["empty_days_before"]
        return {**result, "success": most is None or before < most}
