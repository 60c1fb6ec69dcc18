"""An expectation whose parameters change is prepared like a new one, and judges equal metrics once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml.adapters.contracts import prepared as prepared_module
from ml.adapters.contracts.judge import evaluate, evaluate_anew
from ml.adapters.contracts.metric_graphs import GraphTemplate
from ml.adapters.contracts.prepared import engine_for, identity_of, judges_metrics_alone, prepare
from ml.adapters.contracts.suite import Entry, read_suite
from ml.adapters.suite_files import write_entries
from tests.adapters.test_contract_many_tables import facts

SUITE: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_be_in_set", {"column": "day", "value_set": {"$PARAMETER": "days"}}),
    ("expect_column_values_to_be_between", {"column": "x", "min_value": {"$PARAMETER": "low"}, "max_value": 9}),
    ("expect_table_row_count_to_be_between", {"min_value": {"$PARAMETER": "low"}, "max_value": 50}),
    ("expect_column_mean_to_be_between", {"column": "x", "max_value": {"$PARAMETER": "low"}}),
    ("expect_column_values_to_not_be_null", {"column": "x"}),
    ("expect_column_values_to_be_of_type", {"column": "x", "type_": "float64"}),
]


@pytest.fixture
def suite(tmp_path: Path) -> tuple[Entry, ...]:
    entries = [{"type": kind, "kwargs": kwargs, "meta": {"level": "table"}} for kind, kwargs in SUITE]
    write_entries(tmp_path / "things.json", entries)
    return read_suite(tmp_path / "things.json")


@pytest.fixture(autouse=True)
def _nothing_is_prepared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(prepared_module, "_cache", prepared_module._Cache(100))
    monkeypatch.setattr(prepared_module, "_templates", prepared_module._Cache(100))
    yield


def table(day: str, first: float, rows: int = 4) -> pd.DataFrame:
    """Build a table whose first value is ``first``, and whose others are 1."""
    return pd.DataFrame({"day": pd.Series([day] * rows, dtype="str"), "x": [first, *[1.0] * (rows - 1)]})


def all_of(graph: Any) -> Iterator[Any]:
    """Yield the metrics of a graph, and those that they depend on."""
    for metric in graph.values():
        yield metric
        yield from all_of(metric.metric_dependencies)


def test_each_day_is_judged_as_anew(suite: tuple[Entry, ...]) -> None:
    """The graph is built for two days, and taken over for the others, good or broken.

    Not that of limits for each value: Great Expectations completes its kwargs after it has named the metric.
    """
    days = [("a", 1.0, "a", 1), ("b", 2.0, "b", 2), ("c", np.nan, "c", 1), ("d", -5.0, "other", 0), ("d", 1.0, "d", 3)]
    for day, first, in_table, low in days:
        frame, parameters = table(in_table, first), {"days": [day], "low": low}
        assert facts(evaluate(suite, frame, parameters)) == facts(evaluate_anew(suite, frame, parameters)), day
    assert [template.holds for template in prepared_module._templates._kept.values()] == [True, False, True, True]


def test_the_graph_is_built_for_two_sets_of_values_only(
    suite: tuple[Entry, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    real = prepared_module.ValidationGraph

    def counted(**kwargs: Any) -> Any:
        built.append(1)
        return real(**kwargs)

    monkeypatch.setattr(prepared_module, "ValidationGraph", counted)
    for day in "abcdef":
        frame = table(day, 1.0)
        prepare(suite[:1], frame, {"days": [day]}, engine_for(frame))
    assert len(built) == 2


def test_a_graph_that_depends_on_values_otherwise_is_built_each_time(suite: tuple[Entry, ...]) -> None:
    """A graph is taken over only while what Great Expectations builds agrees with it."""
    frame = table("a", 1.0)
    first, second = (prepare(suite[:1], frame, {"days": [day]}, engine_for(frame))[0] for day in "ab")
    template = GraphTemplate(first.metrics, {"value_set": ["a"]}, {})
    template.compare(second.metrics, {"value_set": ["b"]})
    assert template.holds is True
    template.compare(first.metrics, {"value_set": ["b"]})
    template.compare(second.metrics, {"value_set": ["b"]})
    assert template.holds is False


def test_metrics_that_do_not_depend_on_the_values_are_shared(suite: tuple[Entry, ...]) -> None:
    frame = table("a", 1.0)
    first = prepare(suite[:1], frame, {"days": ["a"]}, engine_for(frame))[0]
    other = GraphTemplate(first.metrics, {"value_set": ["a"]}, {}).graph_for({"value_set": ["b"]})
    count, bad = "column_values.nonnull.unexpected_count", "column_values.in_set.unexpected_count"
    assert any(other[count] is metric for metric in all_of(first.metrics))
    assert other[bad].id != first.metrics[bad].id


def test_equal_metrics_are_judged_once_and_others_again(suite: tuple[Entry, ...]) -> None:
    not_null = suite[4]
    results = []
    for first, rows in ((1.0, 4), (2.0, 4), (np.nan, 4), (1.0, 5)):
        frame = table("a", first, rows)
        results.append(evaluate([not_null], frame, {})[not_null.number])
    assert results[0] is results[1]
    assert [r.result["unexpected_count"] for r in results] == [0, 0, 1, 0]
    assert [r.result["element_count"] for r in results] == [4, 4, 4, 5]


def test_an_expectation_of_anybody_is_asked_each_time() -> None:
    class Anybodys:
        pass

    assert not judges_metrics_alone(Anybodys())


@pytest.mark.parametrize("pair", [(1, True), (1, 1.0), (0.0, -0.0), (np.float64(1), 1.0), ([1], (1,)), ("1", 1)])
def test_values_that_are_equal_but_not_the_same_have_other_identities(pair: tuple[Any, Any]) -> None:
    assert identity_of(pair[0]) != identity_of(pair[1])


@pytest.mark.parametrize("value", [pd.Series([1]), np.ones(2), list(range(100)), {"a": {1}}, [object()]])
def test_what_is_long_or_not_known_has_no_identity(value: Any) -> None:
    assert identity_of(value) is None
