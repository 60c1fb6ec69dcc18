"""How a decision is kept in the tags of an MLflow run, and which of many such runs count."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ml.core.history import REIGNS, changes
from ml.records import Logged

logger = logging.getLogger(__name__)
PREFIX = "evergreen."
TAG_CHARACTERS = 5000
"""Longer payloads go into several tags: MLflow's databases hold 8,000 characters each, older ones 5,000."""

Run = Any
"""An ``mlflow.entities.Run``; MLflow itself is imported behind its own door only."""


def one_a_key(entries: Iterable[Logged]) -> list[Logged]:
    """Leave out the doubles of a decision that callers at once wrote down: the finished one, or the first, counts."""

    def rank(entry: Logged) -> tuple[bool, bool, datetime, str]:
        return not entry.finished, not entry.decision_id, entry.decided_at, entry.decision_id

    by_key: dict[str, Logged] = {}
    for entry in sorted(entries, key=rank):
        by_key.setdefault(entry.key or entry.decision_id, entry)
    return list(by_key.values())


def in_force(entries: Iterable[Logged], champion: int | None) -> list[Logged]:
    """Keep what counts: the finished, and moves of the champion that were killed after their alias had moved.

    Such a one serves now, or was replaced by a change that names it as the version before. A withdrawal has no version:
    it counts from the moment at which the alias points nowhere.
    """
    counted, served = [], {champion}
    for entry in sorted(entries, key=lambda entry: (entry.decided_at, entry.decision_id), reverse=True):
        half_done = entry.kind in REIGNS and entry.payload.get("version") in served
        if entry.finished or half_done:
            counted.append(entry)
            served |= {entry.payload.get("previous_version")} - {None} if entry.kind in REIGNS else set()
    return counted


def explains(entries: Sequence[Logged], champion: int | None) -> bool:
    """Say whether the newest change of the champion put its alias where it points."""
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
        payload=_payload(run),
        finished=run.info.status == "FINISHED" and run.info.lifecycle_stage == "active",
        key=tags.get(PREFIX + "key", ""),
    )


def payload_tags(payload: Mapping[str, Any]) -> dict[str, str]:
    """Put a decision's payload into tags, named without their prefix; `logged` puts the parts together again."""
    text = json.dumps(payload, sort_keys=True)
    parts = [text[at : at + TAG_CHARACTERS] for at in range(0, len(text), TAG_CHARACTERS)]
    return {"payload" + (f".{number}" if number else ""): part for number, part in enumerate(parts)}


def _payload(run: Run) -> dict[str, Any]:
    """Read a decision's payload; one that cannot be read is evidence of nothing, and is reported."""
    tags = run.data.tags
    parts: list[str] = []
    while (name := PREFIX + "payload" + (f".{len(parts)}" if parts else "")) in tags:
        parts.append(tags[name])
    try:
        found = json.loads("".join(parts) or "{}")
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    logger.warning("decision %s has a payload that is no JSON object: it counts for nothing", run.info.run_id)
    return {}
