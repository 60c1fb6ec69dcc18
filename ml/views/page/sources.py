"""What several parts of the page ask for: the decisions, the versions, and which days the registry holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ml.adapters import layout
from ml.adapters.replayed_days import Replayed, ReplayLog
from ml.adapters.tracking.decision_log import DecisionLog
from ml.core.monitoring.health import STARTING_PART
from ml.errors import MissingArtifact
from ml.records import DataVersion, DayFile, DayMark
from ml.views.page.cache import MEMORY
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.tracking.model_registry import Version

SECONDS = 2.0
"""As long as the parts of one page take to load."""

REGISTRY_SECONDS = 5.0
REPLAYED_SECONDS = 10.0
SHOWN_VERSIONS = 50


@dataclass(frozen=True)
class DataInventory:
    """What the data registry holds in its newest version, and its newest versions, newest first.

    ``excluded`` are the days that are not to be learned from.
    """

    inputs: dict[date, DayFile]
    labels: dict[date, DayFile]
    versions: tuple[DataVersion, ...]
    excluded: Mapping[date, DayMark] = field(default_factory=dict)

    @property
    def newest(self) -> date | None:
        """Return the newest day of inputs."""
        return max(self.inputs, default=None)

    @property
    def labelled(self) -> date | None:
        """Return the newest day of labels."""
        return max(self.labels, default=None)

    def newer_than(self, day: date) -> int:
        """Count the days of inputs after a day."""
        return sum(held_day > day for held_day in self.inputs)

    def newest_days(self, count: int | None) -> list[date]:
        """Return the days of inputs among the newest ``count`` calendar days, oldest first; None gives all."""
        if self.newest is None:
            return []
        first = date.min if count is None else self.newest - timedelta(days=max(count, 1) - 1)
        return sorted(day for day in self.inputs if day >= first)


def starting(services: Services) -> bool:
    """Return whether `make up` is bringing about champion and days: its file names a process that lives."""
    file = services.environment.starting
    try:
        os.kill(int(file.read_text(encoding="utf-8")), 0) if file is not None else None
    except (OSError, ValueError):
        return False
    return file is not None


def hint(services: Services, message: str) -> str:
    """Return what to do where there is nothing yet: nothing while `make up` brings it about by itself."""
    return STARTING_PART if starting(services) else message


def decided(services: Services) -> DecisionLog:
    """Open the decision log, with what changed the champion read."""

    def read() -> DecisionLog:
        log = DecisionLog(services.tracking)
        _ = log.changes  # now, and once, not by each part of a page at the same time
        return log

    tracking = services.environment.tracking, services.identity
    return MEMORY.remembered(("decisions", *tracking), SECONDS, read)


def replayed(services: Services) -> Replayed:
    """Return which days were replayed, and when."""
    log = ReplayLog(services.storage_folder(layout.ingest.REPLAYED))
    return MEMORY.remembered(("replayed", services.environment.storage), REPLAYED_SECONDS, log.read)


def registered(services: Services) -> list[Version]:
    """List all registered versions, newest first."""
    tracking = services.environment.tracking, services.identity
    return MEMORY.remembered(("versions", *tracking), SECONDS, services.tracking.versions)


def held(services: Services) -> DataInventory:
    """Read what the data registry holds; nothing, if there is no registry yet."""

    def read() -> DataInventory:
        registry = services.registry
        try:
            head = registry.head()
        except MissingArtifact:  # nothing was ever ingested
            return DataInventory({}, {}, ())
        inputs, labels = registry.days("inputs", head), registry.days("labels", head)
        return DataInventory(inputs, labels, tuple(registry.history(SHOWN_VERSIONS)), registry.excluded_days(head))

    return MEMORY.remembered(("registry", services.environment.registry), REGISTRY_SECONDS, read)
