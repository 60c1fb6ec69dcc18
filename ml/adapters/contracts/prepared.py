"""Prepare an expectation once for all tables that it is asked of, and evaluate it by Great Expectations' own parts.

`batch.validate` builds, for each table anew, every expectation's configuration and the graph of metrics that it needs:
seven parts in eight of what a small table costs. Both depend on the expectation, its parameters and the types of its
columns, not on the rows. Here they are built once, by Great Expectations; for each table its engine computes the
metrics, and each expectation judges them (``_validate``, what an expectation of anybody's own defines). Where all
metrics of two tables are equal, an expectation of Great Expectations' own or of ours judges them once.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.validator.validation_graph import ValidationGraph

from ml.adapters.contracts.metric_graphs import Graph, GraphTemplate
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

FROM_METRICS_ALONE = ("great_expectations.expectations.core.", "ml.adapters.contracts.own_expectations")
"""Where expectations are defined of which it is known that they judge by their metrics, and look at nothing else."""
MOST_PREPARED = 4096
MOST_JUDGED = 64
"""So many results are kept of one expectation."""
LONGEST = 64
"""Metrics with more parts are not compared: so a table of many columns, or a list of bad rows."""
CONDITION = "unexpected_condition"
"""What Great Expectations calls a condition among the dependencies of a metric: a value for each row that it is of."""
OF_NO_BAD_ROW: dict[str, Any] = {"unexpected_values": [], "unexpected_index_list": [], "unexpected_index_query": None}
"""What metrics of a condition are where it holds of no row; the last is not asked for, whatever the rows."""
Kept = TypeVar("Kept")
Metrics = dict[Any, Any]
"""Values of metrics by Great Expectations' ids of them."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """An expectation with its parameters in place; ``metrics`` are what it asks for, by its own names of them."""

    entry: Entry
    expectation: Any
    configuration: Any
    metrics: Graph
    result_format: Mapping[str, Any]
    judged: dict[Any, ExpectationValidationResult] = field(default_factory=dict)

    def judge(self, known: Metrics, engine: PandasExecutionEngine) -> ExpectationValidationResult:
        """Return Great Expectations' result, not to be modified; ``known`` has each metric that is asked for."""
        metrics = {name: known[metric.id] for name, metric in self.metrics.items()}
        identity = identity_of(metrics) if judges_metrics_alone(self.expectation) else None
        if identity is None:
            return self._judge(metrics, engine)
        result = self.judged.get(identity)
        if result is None:
            result = self._judge(metrics, engine)
            if len(self.judged) >= MOST_JUDGED:
                self.judged.clear()
            self.judged[identity] = result
        return result

    def _judge(self, metrics: dict[str, Any], engine: PandasExecutionEngine) -> ExpectationValidationResult:
        raw = self.expectation._validate(
            metrics=metrics,
            runtime_configuration={"result_format": deepcopy(dict(self.result_format))},
            execution_engine=engine,
        )
        result = raw if isinstance(raw, ExpectationValidationResult) else ExpectationValidationResult(**raw)
        result.expectation_config = self.configuration
        return result


def judges_metrics_alone(expectation: Any) -> bool:
    """Return whether an expectation is one of Great Expectations' own or of ours, which judge by their metrics."""
    return type(expectation).__module__.startswith(FROM_METRICS_ALONE)


def identity_of(value: Any) -> Any:
    """Return what is equal for equal metrics alone, down to their types; None if that would be long, or is not known.

    Examples
    --------
    >>> identity_of({"a": [1]}) == identity_of({"a": [True]}), identity_of({"a": range(3)})
    (False, None)
    """
    if value is None or type(value) in (bool, int, float, str) or isinstance(value, np.generic):
        return (type(value), repr(value))
    if type(value) not in (list, tuple, dict) or len(value) > LONGEST:
        return None
    parts = [part for item in value.items() for part in item] if type(value) is dict else list(value)
    identities = tuple(identity_of(part) for part in parts)
    return None if None in identities else (type(value), identities)


def can_be_prepared(entry: Entry) -> bool:
    """Return whether what an expectation asks for depends on its parameters and types alone, not on the rows."""
    compares_with_data = entry.type == DIVERGENCE and entry.kwargs.get("partition_object") is None
    return entry.type not in LOOKS_AT_ROWS and not compares_with_data


class _Cache(Generic[Kept]):
    """What was prepared, the least recently used of it dropped; safe for threads."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = Lock()

    def find(self, key: str) -> Kept | None:
        """Return what is kept under ``key``; None where there is nothing."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def keep(self, key: str, made: Kept) -> Kept:
        """Keep and return what was made."""
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
        return made


_cache: _Cache[Prepared] = _Cache(MOST_PREPARED)
_templates: _Cache[GraphTemplate] = _Cache(MOST_PREPARED)


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
        names = parameter_names(entry.kwargs)
        values = {name: parameters[name] for name in names if name in parameters}
        columns = entry.identity + json.dumps({column: types.get(column) for column in entry.columns})
        key = columns + json.dumps(values, default=repr)
        template = columns + json.dumps({name: type(value).__name__ for name, value in values.items()})
        known = _cache.find(key)
        prepared.append(known or _cache.keep(key, _prepare(entry, parameters, engine, template if names else None)))
    return prepared


def _prepare(
    entry: Entry, parameters: Mapping[str, object], engine: PandasExecutionEngine, template_key: str | None
) -> Prepared:
    """Let Great Expectations prepare an expectation; ``template_key`` is of those whose parameters alone differ."""
    configuration = entry.expectation.configuration
    configuration.process_suite_parameters(
        suite_parameters=dict(parameters), interactive_evaluation=True, data_context=None
    )
    configuration.kwargs.update({"batch_id": BATCH_ID})
    expectation = configuration.to_domain_obj()
    values = {name: configuration.kwargs.get(name) for name, raw in entry.kwargs.items() if isinstance(raw, dict)}
    template = None if template_key is None else _templates.find(template_key)
    if template is not None and template.holds and judges_metrics_alone(expectation):
        graph, result_format = template.graph_for(values), template.result_format
        return Prepared(entry, expectation, expectation.configuration, graph, result_format)
    asked = expectation.get_validation_dependencies(
        execution_engine=engine, runtime_configuration={"result_format": dict(RESULT_FORMAT)}
    )
    built = ValidationGraph(execution_engine=engine)
    for metric in asked.get_metric_configurations():
        built.build_metric_dependency_graph(metric, runtime_configuration={"result_format": dict(RESULT_FORMAT)})
    graph, result_format = asked.metric_configurations, asked.result_format
    if template is not None and values != template.built_for:
        template.compare(graph, values)
    elif template is None and template_key is not None:
        _templates.keep(template_key, GraphTemplate(graph, values, result_format))
    return Prepared(entry, expectation, expectation.configuration, graph, result_format)


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
    condition = metric.metric_dependencies.get(CONDITION)
    measure = metric.metric_name.rpartition(".")[2]
    if condition is not None and measure in OF_NO_BAD_ROW and holds_of_none(known[condition.id]):
        known[metric.id] = copy(OF_NO_BAD_ROW[measure])
        return
    known.update(
        engine.resolve_metrics([metric], metrics=known, runtime_configuration={"result_format": dict(RESULT_FORMAT)})
    )


def holds_of_none(condition: Any) -> bool:
    """Return whether a condition, as the engine computes it, is a truth value for each row, and holds of none."""
    holds = condition[0] if isinstance(condition, tuple) and condition else None
    return isinstance(holds, pd.Series) and holds.dtype == bool and not holds.to_numpy().any()
