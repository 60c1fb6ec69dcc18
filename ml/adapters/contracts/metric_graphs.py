"""Take a graph of Great Expectations' metrics over to other values of an expectation's parameters.

Great Expectations builds the graph of an expectation in milliseconds, most of them for metrics that do not depend on
the parameters. Where a suite names the day, each day would pay for all of them. Here a graph that was built for one
set of values gets the next one's: metrics with such a value are made anew, and all others are shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from great_expectations.validator.metric_configuration import MetricConfiguration

Graph = Mapping[str, MetricConfiguration]
"""What an expectation asks for, by its own names of them; each metric knows what it depends on."""


@dataclass
class GraphTemplate:
    """A graph with the values of kwargs that it was built for.

    ``holds`` says whether a graph that was taken over was equal to one that Great Expectations built for the same
    values; None if that was not looked at yet.
    """

    graph: Graph
    built_for: Mapping[str, Any]
    result_format: Mapping[str, Any]
    holds: bool | None = None

    def graph_for(self, values: Mapping[str, Any]) -> Graph:
        """Return the graph for other values of the same kwargs; neither graph is modified by evaluating the other."""
        changes = {name: (self.built_for[name], value) for name, value in values.items()}
        done: dict[Any, MetricConfiguration] = {}
        return {name: _taken_over(metric, changes, done) for name, metric in self.graph.items()}

    def compare(self, graph: Graph, values: Mapping[str, Any]) -> None:
        """Take note whether the graph that Great Expectations built for ``values`` is the one taken over."""
        self.holds = self.holds is not False and _ids(self.graph_for(values)) == _ids(graph)


def _taken_over(
    metric: MetricConfiguration, changes: Mapping[str, tuple[Any, Any]], done: dict[Any, MetricConfiguration]
) -> MetricConfiguration:
    if metric.id in done:
        return done[metric.id]
    dependencies = {
        name: dependency if dependency.id == metric.id else _taken_over(dependency, changes, done)
        for name, dependency in metric.metric_dependencies.items()
    }
    kwargs = metric.metric_value_kwargs
    changed = {name: new for name, (old, new) in changes.items() if name in kwargs and kwargs[name] == old}
    other = metric
    if changed or any(dependencies[name].id != old.id for name, old in metric.metric_dependencies.items()):
        other = MetricConfiguration(metric.metric_name, metric.metric_domain_kwargs, {**kwargs, **changed})
        other.metric_dependencies = dependencies
    done[metric.id] = other
    return other


def _ids(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ids of all metrics of a graph, nested as they depend on each other."""
    return {
        name: (metric.id, _ids({n: d for n, d in metric.metric_dependencies.items() if d.id != metric.id}))
        for name, metric in graph.items()
    }
