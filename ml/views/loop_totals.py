"""Count what the loop did of late and what it holds, for a monitoring system: decisions, retrains, rows, sizes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from ml.adapters.tracking.decision_log import KINDS
from ml.views.loop_metrics import Sample
from ml.views.page.data_inventory import quarantined_shares
from ml.views.page.sources import decided, registered
from ml.views.page.status_sources import StatusSources

QUARANTINE_DAYS = 14
RECENT = timedelta(days=30)
UNRECORDED = "unrecorded"
Figure = tuple[str, dict[str, str], Any]


def samples(sources: StatusSources, now: datetime) -> list[Sample]:
    """Return a model's totals; a part that cannot be read has none, and is a problem of ``sources``.

    Parameters
    ----------
    now
        The present instant (aware): the end of the 30 days.
    """
    parts: dict[str, Callable[[], list[Figure]]] = {
        "quarantine": lambda: list(_quarantine(sources)),
        "decisions": lambda: list(_decisions(sources, now)),
        "versions": lambda: list(_versions(sources, now)),
        "data": lambda: list(_registry(sources)),
    }
    model = sources.services.settings.task.name
    return [
        Sample(name, {"model": model, **labels}, float(value))
        for part, compute in parts.items()
        for name, labels, value in sources.part(part, compute) or ()
        if value is not None
    ]


def _quarantine(sources: StatusSources) -> Iterator[Figure]:
    for asset, share in quarantined_shares(sources.services, days=QUARANTINE_DAYS).items():
        yield "evergreen_quarantined_ratio", {"of": asset}, share


def _decisions(sources: StatusSources, now: datetime) -> Iterator[Figure]:
    start = now - RECENT
    entries = decided(sources.services).since(start, kinds=KINDS)
    counts = Counter(entry.kind for entry in entries if entry.decided_at >= start)
    for kind in KINDS:
        if kind != UNRECORDED:  # those that count no more
            yield "evergreen_recent_decisions", {"kind": kind}, counts[kind]


def _versions(sources: StatusSources, now: datetime) -> Iterator[Figure]:
    versions = registered(sources.services)
    yield "evergreen_model_versions", {}, len(versions)
    yield "evergreen_recent_retrains", {}, sum(version.created_at >= now - RECENT for version in versions)
    if versions:
        yield "evergreen_fit_seconds", {}, versions[0].metrics.get("fit_seconds")


def _registry(sources: StatusSources) -> Iterator[Figure]:
    inventory = sources.inventory
    for asset, days in (("inputs", inventory.inputs), ("labels", inventory.labels)):
        yield "evergreen_registry_days", {"of": asset}, len(days)
        yield "evergreen_registry_bytes", {"of": asset}, sum(file.bytes for file in days.values())
