"""The client of Evidently: per-column drift scores and the HTML report of a day."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("DO_NOT_TRACK", "1")

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.core.metric_types import MetricTest, MetricTestResult, TestStatus
from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift

from ml.adapters.drift_page import compare_shares
from ml.core.monitoring.drift import find_method, method
from ml.core.monitoring.drift_method import DriftMethod, is_number
from ml.errors import EvergreenError
from ml.records import Limit
from ml.settings import Methods

_END_OF_DATA = "\n    </head>\n"
_DATA = re.compile(r"    var \w+ = .*;\Z")
"""A line of Evidently's page that holds JSON, which has no line breaks."""


@dataclass(frozen=True)
class Measured:
    """What Evidently said: scores by column (None if it gave none), methods, and the page."""

    scores: dict[str, float | None]
    methods: dict[str, str]
    html: str
    result: dict[str, Any]


class WithinLimit(MetricTest):
    """Evidently's own kind of test, by our limit: the page shows it with the column's baseline range."""

    class Config:
        """How Evidently names this kind of test where it stores one."""

        type_alias = "evergreen:test_v2:WithinLimit"

    limit: float
    baseline_range: float | None = None
    role: str = ""

    def to_test(self) -> Any:
        """Return the function that compares a score with the limit."""

        def test(_context: Any, metric: Any, value: Any) -> Any:
            usual = "unknown" if self.baseline_range is None else f"up to {self.baseline_range:.2f}"
            return MetricTestResult(
                id="within_limit",
                name=f"{metric.metric.column} ({self.role or 'watched'}) is within its limit {self.limit:.2f}",
                description=f"{value.value:.2f}; baseline range {usual}, limit {self.limit:.2f}",
                status=TestStatus.FAIL if value.value > self.limit else TestStatus.SUCCESS,
                metric_config=metric.to_metric_config(),
                test_config=self.dict(),
            )

        return test


def measure(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    limits: Mapping[str, Limit],
    *,
    methods: Methods = Methods(),  # noqa: B008  frozen
    roles: Mapping[str, str] | None = None,
    loud: Collection[str] = (),
) -> Measured:
    """Measure how far each column of ``limits`` moved, with its own limit as the threshold.

    The method follows from the column's type and is always named: left to itself, Evidently
    switches methods at 1,000 reference rows. A column without a value on either side, or of
    numbers on one side only, is not measured and scores None.

    Parameters
    ----------
    reference, current : DataFrame of shape (n_rows, n_columns)
        Not modified; nulls are dropped by the distances.
    roles
        A word for each column, shown on the page.
    loud
        The columns of which the page says that they fail; of the others it says that they warn.
    """
    columns = [column for column in limits if _comparable(reference, current, column)]
    chosen = {column: method(reference[column], methods) for column in columns}
    numeric = [column for column in columns if is_number(reference[column])]
    categorical = [column for column in columns if column not in numeric]
    for name in set(chosen.values()):
        _register(find_method(name))
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    types = dict.fromkeys(categorical, object) | dict.fromkeys(numeric, "float64")
    sides = [
        Dataset.from_pandas(_typed(frame, types, categorical), data_definition=definition)
        for frame in (reference, current)
    ]
    metrics = [
        ValueDrift(
            column=column,
            method=chosen[column],
            threshold=limits[column].limit,
            tests=[_test(column, limits[column], roles or {}, column in loud)],
        )
        for column in columns
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        snapshot = Report(list(metrics)).run(current_data=sides[1], reference_data=sides[0])
        result = snapshot.dict()
        scores: dict[str, float | None] = dict.fromkeys(limits)
        for entry in result["metrics"]:
            value = float(entry["value"])
            scores[entry["config"]["column"]] = value if np.isfinite(value) else None
        compare_shares(snapshot._widgets, scores, limits, chosen)
        html = escape_data(snapshot.get_html_str(as_iframe=False))
    return Measured(scores, chosen, html, _plain(result))


def _register(drift_method: DriftMethod) -> None:
    """Make a method known to Evidently, unless it is one of its own."""
    if drift_method.in_evidently:
        return
    types = {"numeric": ColumnType.Numerical, "categorical": ColumnType.Categorical}

    def measured(reference: pd.Series, current: pd.Series, _: Any, threshold: float) -> tuple[float, bool]:
        score = drift_method.distance(reference, current)
        return score, score > threshold

    column_types = [types[kind] for kind in drift_method.columns]
    register_stattest(StatTest(drift_method.name, drift_method.name, column_types), measured)


def escape_data(html: str) -> str:
    """Escape markup in the data that Evidently writes into a script of its page, as JSON text.

    Names and values come from the data: as they stand, one with ``</script>`` or ``<!--`` would end that
    script, and the rest of it would be the page's. A browser reads JSON's escape in a script as the same character.

    Raises
    ------
    EvergreenError
        If the page is not built as expected, so that it is not clear what in it is data.
    """
    head, end, rest = html.partition(_END_OF_DATA)
    lines = head.split("\n")
    data = [number for number, line in enumerate(lines) if _DATA.match(line)]
    if not end or len(data) != 2:
        raise EvergreenError("Evidently's report is not built as expected; install the locked version of evidently")
    for number in data:
        for character in "<>&\u2028\u2029":
            lines[number] = lines[number].replace(character, f"\\u{ord(character):04x}")
    return "\n".join(lines) + end + rest


def _comparable(reference: pd.DataFrame, current: pd.DataFrame, column: str) -> bool:
    if column not in reference or column not in current:
        return False
    if is_number(reference[column]) and not is_number(current[column]):
        return False
    return all(side[column].replace([np.inf, -np.inf], np.nan).notna().any() for side in (reference, current))


def _typed(frame: pd.DataFrame, types: Mapping[str, Any], categorical: Collection[str]) -> pd.DataFrame:
    """Write categories as text and drop infinite numbers, as our own distances do."""
    typed = frame[list(types)].astype(dict(types)).reset_index(drop=True).replace([np.inf, -np.inf], np.nan)
    for column in categorical:
        typed[column] = typed[column].map(str, na_action="ignore")
    return typed


def _test(column: str, limit: Limit, roles: Mapping[str, str], loud: bool) -> WithinLimit:
    facts = {"limit": limit.limit, "baseline_range": limit.baseline_range, "role": roles.get(column, "")}
    return WithinLimit(**facts, is_critical=loud, alias=column)


def _plain(value: Any) -> Any:
    """Turn numpy scalars into numbers that JSON knows, and what is not finite into None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)
