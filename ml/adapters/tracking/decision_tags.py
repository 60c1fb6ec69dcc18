"""How a decision is kept in the tags of an MLflow run, and which of many such runs count."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ml.core.champions.tenures import CHAMPION_CHANGES, changes
from ml.records import Logged

logger = logging.getLogger(__name__)
PREFIX = "evergreen."
UNTAGGED = f"tags.`{PREFIX}days` IS NULL"
"""MLflow's filter for decisions that an older release, or somebody by hand, wrote without `search_tags`."""

TAG_CHARACTERS = 5000
"""Longer payloads go into several tags: MLflow's databases hold 8,000 characters each, older ones 5,000."""

Run = Any
"""An ``mlflow.entities.Run``; only its client imports MLflow itself."""


def prefixed(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags as MLflow holds them, under our prefix."""
    return {PREFIX + name: value for name, value in tags.items()}


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return those of MLflow's tags that are ours, without their prefix."""
    return {name.removeprefix(PREFIX): value for name, value in tags.items() if name.startswith(PREFIX)}


def drop_doubles(entries: Iterable[Logged]) -> list[Logged]:
    """Drop the doubles of a decision that callers at once wrote down: the finished one, or the first, counts."""

    def rank(entry: Logged) -> tuple[bool, bool, datetime, str]:
        return not entry.finished, not entry.decision_id, entry.decided_at, entry.decision_id

    by_key: dict[str, Logged] = {}
    for entry in sorted(entries, key=rank):
        by_key.setdefault(entry.key or entry.decision_id, entry)
    return list(by_key.values())


def in_force(entries: Iterable[Logged], champion: int | None) -> list[Logged]:
    """Return what counts: the finished, and changes of the champion that were killed after their alias had moved.

    Such a one serves now, or was replaced by a change that names it as the version before. A withdrawal has no version:
    it counts from the moment at which the alias points nowhere.
    """
    counted, served = [], {champion}
    for entry in sorted(entries, key=lambda entry: (entry.decided_at, entry.decision_id), reverse=True):
        half_done = entry.kind in CHAMPION_CHANGES and entry.payload.get("version") in served
        if entry.finished or half_done:
            counted.append(entry)
            served |= {entry.payload.get("previous_version")} - {None} if entry.kind in CHAMPION_CHANGES else set()
    return counted


def explains(entries: Sequence[Logged], champion: int | None) -> bool:
    """Return whether the newest change of the champion put its alias where it points."""
    newest = max(changes(entries), key=lambda entry: (entry.decided_at, entry.decision_id), default=None)
    return (newest.payload.get("version") if newest else None) == champion


def logged(run: Run) -> Logged:
    """Read a decision out of its run; what a tag does not say is None, and the kind then ``unknown``.

    One whose run was deleted is not finished: it counts only while its alias stands.
    """
    tags = run.data.tags
    effective = tags.get(PREFIX + "effective_day")
    return Logged(
        decision_id=run.info.run_id,
        kind=tags.get(PREFIX + "kind", "unknown"),
        decided_at=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        fingerprint=tags.get(PREFIX + "fingerprint"),
        effective_day=date.fromisoformat(effective) if effective else None,
        payload=_read_payload(run),
        finished=run.info.status == "FINISHED" and run.info.lifecycle_stage == "active",
        key=tags.get(PREFIX + "key", ""),
    )


def search_tags(effective_day: date | None, decided_at: datetime, payload: Mapping[str, Any]) -> dict[str, str]:
    """Build the tags by which `ml.adapters.tracking.decision_log` finds a decision, named without their prefix.

    Returns
    -------
    dict
        ``days``: from which it is in force and on which it judged, else on which it was decided, as ``2013-04-01
        2013-04-02``; ``versions`` that it is about, as ``|3|5|``, absent if there are none.
    """
    days = {day.isoformat() for day in days_of(effective_day, decided_at, payload)}
    versions = versions_of(payload)
    tags = {"days": " ".join(sorted(days))}
    return tags | ({"versions": f"|{'|'.join(map(str, sorted(versions)))}|"} if versions else {})


def days_of(effective_day: date | None, decided_at: datetime, payload: Mapping[str, Any]) -> set[date]:
    """Return the days that a decision names; the day on which it was decided, if it names none."""
    try:
        judged_on = date.fromisoformat(str(payload.get("judged_on")))
    except ValueError:
        judged_on = None
    return {day for day in (effective_day, judged_on) if day is not None} or {decided_at.date()}


def versions_of(payload: Mapping[str, Any]) -> set[int]:
    """Return the versions that a decision is about: its own, and the one that was weighed in its place."""
    numbers = [payload.get(name) for name in ("version", "judged_version")]
    return {version for version in numbers if isinstance(version, int)}


def payload_tags(payload: Mapping[str, Any]) -> dict[str, str]:
    """Build tags of a decision's payload, named without their prefix; `logged` puts the parts together again."""
    text = json.dumps(payload, sort_keys=True)
    parts = [text[at : at + TAG_CHARACTERS] for at in range(0, len(text), TAG_CHARACTERS)]
    return {"payload" + (f".{number}" if number else ""): part for number, part in enumerate(parts)}


def _read_payload(run: Run) -> dict[str, Any]:
    """Read a decision's payload; one that cannot be read is evidence of nothing, and is reported."""
    tags = run.data.tags
    parts: list[str] = []
    while (name := PREFIX + "payload" + (f".{len(parts)}" if parts else "")) in tags:
        parts.append(tags[name])
    try:
        payload = json.loads("".join(parts) or "{}")
    except ValueError:
        payload = None
    if isinstance(payload, dict):
        return payload
    logger.warning("decision %s has a payload that is no JSON object: it counts for nothing", run.info.run_id)
    return {}
