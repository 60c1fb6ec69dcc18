"""A guided first look at the demo: break its newest day, watch the alarm, undo it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ml.adapters import layout
from ml.adapters.sources.demo_fault import COLUMN, SENTENCE, DemoFault, FaultSwitch
from ml.core.monitoring.day_summary import plain
from ml.errors import MissingArtifact
from ml.views.page import days as monitored
from ml.views.page.sources import held
from ml.wiring import Services


def offered(services: Services) -> bool:
    """Return whether there is a first look: on the demo's data, shown as today's."""
    source = services.settings.source
    return source.kind == "demo" and bool(getattr(source, "replay", False))


def first_look(services: Services) -> dict[str, Any]:
    """Return how far somebody has come in the first look.

    Returns
    -------
    dict
        ``day``, the newest one, which can be broken (None before there is one); ``sentence``, what breaks;
        ``fault``: ``column``, ``day``, ``set_at``, ``set_by`` and ``undone_at`` of the newest one (None if there never
        was one);
        ``monitored``: what monitoring says of the day of the fault (``state``, ``reasons``, and whether a finding
        ``names_column``; None until it was monitored).

    Raises
    ------
    MissingArtifact
        If the data are not the demo's.
    """
    _check(services)
    fault = _switch(services).read()
    facts: dict[str, Any] = plain(
        {
            "day": held(services).newest,
            "sentence": SENTENCE,
            "fault": {"column": COLUMN, **fault.model_dump()} if fault else None,
            "monitored": _monitored(fault, services) if fault else None,
        }
    )
    return facts


def break_day(services: Services, *, by: str, now: datetime) -> dict[str, Any]:
    """Let the demo hand out its newest day with a fault from now on.

    Raises
    ------
    MissingArtifact
        If the data are not the demo's, or no day is there yet.
    """
    _check(services)
    newest = held(services).newest
    if newest is None:
        raise MissingArtifact("there is no day yet that could be broken: wait until Ingest has brought one")
    fault = _switch(services).read()
    if fault is None or fault.undone_at is not None:
        _switch(services).write(DemoFault(day=newest, set_at=now, set_by=by))
    return first_look(services)


def undo(services: Services, *, now: datetime) -> dict[str, Any]:
    """Let the demo hand out the true day again.

    Raises
    ------
    MissingArtifact
        If the data are not the demo's, or no day was broken.
    """
    _check(services)
    fault = _switch(services).read()
    if fault is None:
        raise MissingArtifact("no day was broken: there is nothing to undo")
    if fault.undone_at is None:
        _switch(services).write(fault.model_copy(update={"undone_at": now}))
    return first_look(services)


def _check(services: Services) -> None:
    if not offered(services):
        raise MissingArtifact("the first look is for the demo's data, and this model reads other data")


def _switch(services: Services) -> FaultSwitch:
    return FaultSwitch(services.storage_folder(layout.ingest.DEMO))


def _monitored(fault: DemoFault, services: Services) -> dict[str, Any] | None:
    """Return what monitoring says of the day; the fault is found once the day was monitored with it."""
    stored = services.storage_folder(layout.monitoring.day_dir(fault.day))
    if not stored.has(layout.monitoring.SUMMARY):
        return None
    (day,) = monitored.read(services, [fault.day])
    if day.facts is None:
        return None
    names_column = any(finding.get("column") == COLUMN for finding in day.facts["findings"])
    return {"state": day.facts["state"], "reasons": day.facts["reasons"], "names_column": names_column}
