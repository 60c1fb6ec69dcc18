"""Prepare an expectation once for all tables that it is asked of, and evaluate it by Great Expectations' own parts.

`batch.validate` builds, for each table anew, every expectation's configuration and the graph of metrics that it needs:
seven parts in eight of what a small table costs. Both depend on the expectation, its parameters and the types of its
columns, not on the rows. Here they are built once, by Great Expectations; for each table its engine computes the
metrics, and each expectation judges them (``_validate``, what an expectation of anybody's own defines).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.validator.validation_graph import ValidationGraph

from ml.adapters.contracts.suite import Entry, parameter_names

RESULT_FORMAT = {
    "result_format": "COMPLETE",
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
    "partial_unexpected_count": 0,
}
BATCH_ID = "evergreen-table"
"""The name that Great Expectations gives the only table of our only data source."""

LOOKS_AT_ROWS = frozenset(
    {
        "expect_column_bootstrapped_ks_test_p_value_to_be_greater_than",
        "expect_column_chisquare_test_p_value_to_be_greater_than",
        "expect_column_pair_cramers_phi_value_to_be_less_than",
        "expect_column_parameterized_distribution_ks_test_p_value_to_be_greater_than",
    }
)
"""Expectations that may ask for other metrics of other rows, or that no table with pandas can be asked."""
DIVERGENCE = "expect_column_kl_divergence_to_be_less_than"
"""Asks for other metrics of other rows where it is not given what to compare with."""

MOST_PREPARED = 4096
Metrics = dict[Any, Any]
"""Values of metrics by Great Expectations' ids of them."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """An expectation with its parameters in place; ``metrics`` are what it asks for, by its own names of them."""

    entry: Entry
    expectation: Any
    configuration: Any
    metrics: Mapping[str, Any]
    result_format: Mapping[str, Any]

    def judge(self, known: Metrics, engine: PandasExecutionEngine) -> ExpectationValidationResult:
        """Return Great Expectations' result; ``known`` has the value of each metric that is asked for."""
        raw = self.expectation._validate(
            metrics={name: known[metric.id] for name, metric in self.metrics.items()},
            runtime_configuration={"result_format": deepcopy(dict(self.result_format))},
            execution_engine=engine,
        )
        result = raw if isinstance(raw, ExpectationValidationResult) else ExpectationValidationResult(**raw)
        result.expectation_config = self.configuration
        return result


def can_be_prepared(entry: Entry) -> bool:
    """Return whether what an expectation asks for depends on its parameters and types alone, not on the rows."""
    compares_with_data = entry.type == DIVERGENCE and entry.kwargs.get("partition_object") is None
    return entry.type not in LOOKS_AT_ROWS and not compares_with_data


class _Cache:
    """Prepared expectations, the least recently used ones dropped; safe for threads."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._lock = Lock()

    def get(self, key: str, make: Callable[[], Prepared]) -> Prepared:
        """Return what is kept under ``key``; make it where there is nothing."""
        with self._lock:
            if key in self._prepared:
                self._prepared.move_to_end(key)
                return self._prepared[key]
        prepared = make()
        with self._lock:
            self._prepared[key] = prepared
            while len(self._prepared) > self.most:
                self._prepared.popitem(last=False)
        return prepared


_cache = _Cache(MOST_PREPARED)


def engine_for(frame: pd.DataFrame) -> PandasExecutionEngine:
    """Return an engine of Great Expectations that knows this table, and nothing else."""
    engine = PandasExecutionEngine()
    engine.load_batch_data(BATCH_ID, frame)
    return engine


def prepare(
    entries: Sequence[Entry], frame: pd.DataFrame, parameters: Mapping[str, object], engine: PandasExecutionEngine
) -> list[Prepared]:
    """Prepare expectations for tables with the types of ``frame``; what was prepared before is taken from memory.

    Raises
    ------
    SuiteParameterError
        Of Great Expectations: a parameter that an expectation names is not given.
    """
    types = {str(name): str(dtype) for name, dtype in frame.dtypes.items()}
    prepared = []
    for entry in entries:
        values = {name: parameters[name] for name in parameter_names(entry.kwargs) if name in parameters}
        columns = {column: types.get(column) for column in entry.columns}
        key = entry.identity + json.dumps([values, columns], default=repr)
        prepared.append(_cache.get(key, lambda entry=entry: _prepare(entry, parameters, engine)))  # type: ignore[misc]
    return prepared


def _prepare(entry: Entry, parameters: Mapping[str, object], engine: PandasExecutionEngine) -> Prepared:
    configuration = entry.expectation.configuration
    configuration.process_suite_parameters(
        suite_parameters=dict(parameters), interactive_evaluation=True, data_context=None
    )
    configuration.kwargs.update({"batch_id": BATCH_ID})
    expectation = configuration.to_domain_obj()
    asked = expectation.get_validation_dependencies(
        execution_engine=engine, runtime_configuration={"result_format": dict(RESULT_FORMAT)}
    )
    graph = ValidationGraph(execution_engine=engine)
    for metric in asked.get_metric_configurations():
        graph.build_metric_dependency_graph(metric, runtime_configuration={"result_format": dict(RESULT_FORMAT)})
    return Prepared(entry, expectation, expectation.configuration, asked.metric_configurations, asked.result_format)


def evaluate_prepared(
    prepared: Sequence[Prepared], engine: PandasExecutionEngine, known: Metrics
) -> dict[int, ExpectationValidationResult]:
    """Compute the metrics that are asked for, add them to ``known``, and return the results by entry number.

    Raises whatever a metric or an expectation raises: the caller asks `batch.validate`, which says it in its results.
    """
    for expectation in prepared:
        for metric in expectation.metrics.values():
            resolve(metric, engine, known)
    return {expectation.entry.number: expectation.judge(known, engine) for expectation in prepared}


def resolve(metric: Any, engine: PandasExecutionEngine, known: Metrics) -> None:
    """Let the engine compute a metric, and before it what it depends on; what is known is not computed again."""
    if metric.id in known:
        return
    for dependency in metric.metric_dependencies.values():
        if dependency.id != metric.id:
            resolve(dependency, engine, known)
    known.update(
        engine.resolve_metrics([metric], metrics=known, runtime_configuration={"result_format": dict(RESULT_FORMAT)})
    )
