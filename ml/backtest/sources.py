"""Where a replay's days come from: the source as it is, or the data registry; and what goes wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import pandas as pd

from ml.adapters.sources import Source, TypedSource
from ml.backtest import faults
from ml.backtest.fault import Fault
from ml.backtest.landing import KnowsArrivals
from ml.errors import MissingArtifact
from ml.records import Asset
from ml.wiring import Services

LAST_SEEN_DAYS = 7


@dataclass(eq=False)
class FromRegistry:
    """The accepted days of the registry's newest data version."""

    services: Services
    rev: str | None = None
    _paths: dict[tuple[str, date], Path] = field(default_factory=dict, init=False)

    @cached_property
    def _days(self) -> Mapping[str, set[date]]:
        self.rev = self.rev or self.services.registry.head()
        return {asset: set(self.services.registry.days(asset, self.rev)) for asset in ("inputs", "labels")}

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the inputs of a day."""
        return self._read("inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the labels of a day."""
        return self._read("labels", day)

    @cached_property
    def _arrivals(self) -> Mapping[date, date]:
        """Return with which partition the labels of each day came first; days of which nobody knows are left out."""
        days = self._days["labels"]
        contents = self.services.registry.arrivals(min(days), max(days), rev=self.rev) if days else {}
        return {day: arrivals[0].partition for day, arrivals in contents.items()}

    def arrived(self, day: date) -> date | None:
        """Return with which partition the labels of a day came; None means when they were due."""
        return self._arrivals.get(day)

    def _read(self, asset: str, day: date) -> pd.DataFrame:
        if day not in self._days[asset]:
            raise MissingArtifact(f"the data registry holds no {asset} of {day}")
        registry = self.services.registry
        return pd.read_parquet(registry.open(asset, rev=self.rev, first_day=day, last_day=day)[day])  # type: ignore[arg-type]


@dataclass(eq=False)
class FaultInjectingSource:
    """A source with injected faults, those of the outcome among them."""

    source: Source
    faults: Sequence[Fault]
    key: tuple[str, ...]
    target: str
    _before: dict[date, pd.DataFrame] = field(default_factory=dict, init=False)

    def inputs(self, day: date) -> pd.DataFrame:
        """Return the inputs of a day as they arrive."""
        frame = self.source.inputs(day)
        for fault in self.faults:
            if fault.first_day <= day <= (fault.last_day or day):
                frame = faults.on_inputs(fault, frame, before=self._before_of(fault))
        return frame

    def labels(self, day: date) -> pd.DataFrame:
        """Return the labels of a day as they come true."""
        frame = self.source.labels(day)
        for fault in self.faults:
            if fault.on_labels and fault.first_day <= day <= (fault.last_day or day):
                frame = faults.on_labels(fault, frame, self.source.inputs(day), key=self.key, target=self.target)
        return frame

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> FaultInjectingSource:
        """Return the same source, whose text columns are read by these types."""
        inner = self.source.with_types(types) if isinstance(self.source, TypedSource) else self.source
        return replace(self, source=inner)

    def arrived(self, day: date) -> date | None:
        """Return with which partition the labels of a day came; None means when they were due."""
        return self.source.arrived(day) if isinstance(self.source, KnowsArrivals) else None

    def _before_of(self, fault: Fault) -> pd.DataFrame | None:
        """Return the newest day before a fault that the source has: what a feed is stuck at."""
        if fault.first_day not in self._before:
            for back in range(1, LAST_SEEN_DAYS + 1):
                try:
                    self._before[fault.first_day] = self.source.inputs(fault.first_day - timedelta(days=back))
                    break
                except MissingArtifact:
                    continue
        return self._before.get(fault.first_day)


def open_source(kind: str, services: Services, texts: Sequence[str] = ()) -> Source:
    """Open the source that ``params.yaml`` names (the demo's by its own days), or the registry, with its faults.

    Parameters
    ----------
    kind
        ``source`` or ``registry``.
    texts
        Faults as `ml.backtest.faults.parse` reads them.
    """
    source: Source = FromRegistry(services) if kind == "registry" else services.source
    section = services.settings.source.of_history()
    if kind == "source" and section != services.settings.source:
        own = services.settings.model_copy(update={"source": section})
        source = Services(own, services.environment).source
    if not texts:
        return source
    task = services.settings.task
    return FaultInjectingSource(source, [faults.parse(text) for text in texts], task.key, task.target)
