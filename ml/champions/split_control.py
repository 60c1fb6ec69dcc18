"""Say whether a challenger may answer requests: what the gate held against it, and whether its split was stopped.

A stop lies in the storage (``serving/stops/``), where every process of the service finds it, until a person lets the
challenger answer again. That is what counts; the decision log says it too, for people.
"""

from __future__ import annotations

import hashlib
import json
import logging
from datetime import UTC, date, datetime
from typing import Any

from ml.adapters import layout
from ml.errors import EvergreenError, MissingArtifact, Unavailable
from ml.records import SplitDay, SplitEvidence
from ml.wiring import Services

logger = logging.getLogger(__name__)
COMPARISON = "champion"
"""The kind of the gate's rule that compares with the champion: the only one that a challenger may have failed."""


def check_eligible(version: int, services: Services) -> None:
    """Check that the gate has judged a challenger, and holds nothing against it but the comparison with the champion.

    Raises
    ------
    EvergreenError
        If it was not judged yet, was rejected by a person, or another rule did not pass.
    """
    decisions = services.tracking.decisions(kinds=("hold", "rejection"))
    judged = [entry for entry in decisions if entry.payload.get("version") == version]
    if not judged:
        raise EvergreenError(f"the gate has not held version {version}: wait for its verdict, or retrain")
    newest = judged[-1]
    if newest.kind == "rejection":
        raise EvergreenError(f"a person rejected version {version}; train another challenger")
    failed = [
        str(ruling.get("rule"))
        for ruling in (newest.payload.get("verdict") or {}).get("rulings", [])
        if ruling.get("kind") != COMPARISON and ruling.get("passed") is not True
    ]
    if failed or not (newest.payload.get("verdict") or {}).get("rulings"):
        raise EvergreenError(
            f"version {version} did not pass {', '.join(failed) or 'rules that are recorded'}: only one that the gate "
            "holds for its comparison with the champion may answer requests; train another challenger"
        )


def read_stop(version: int, services: Services) -> dict[str, Any] | None:
    """Read why the split of a challenger was stopped; None if it was not.

    Raises
    ------
    EvergreenError
        If the record is damaged: a split that may have been stopped does not go on.
    """
    name = layout.serving.split_stop(version)
    try:
        facts: dict[str, Any] = json.loads(services.storage.get_bytes(name))
    except MissingArtifact:
        return None
    except ValueError as err:
        raise EvergreenError(
            f"{services.storage.uri(name)} is damaged: no challenger answers; 'evergreen traffic resume' removes it"
        ) from err
    return facts


def stop(evidence: SplitEvidence, services: Services) -> bool:
    """End a split because its challenger does worse, and write that down; whether it did not end before."""
    facts = {
        "version": evidence.challenger,
        "champion": evidence.champion,
        "reason": evidence.reason,
        "requested_by": "monitor",
        "evidence": evidence.model_dump(mode="json"),
        "at": _now(),
    }
    return _stop(facts, services)


def stop_by_hand(version: int, reason: str, requested_by: str, services: Services) -> bool:
    """End a split as a person wants it, and write that down; whether it did not end before."""
    return _stop({"version": version, "reason": reason, "requested_by": requested_by, "at": _now()}, services)


def _stop(facts: dict[str, Any], services: Services) -> bool:
    """Stop first, and write down whatever stop is there by then: a second call writes what a killed one did not."""
    name = layout.serving.split_stop(facts["version"])
    stopped = services.storage.create_bytes(name, json.dumps(facts, indent=2).encode())
    try:
        there = facts if stopped else read_stop(facts["version"], services)
    except Unavailable:
        raise
    except EvergreenError as err:
        logger.warning("%s", err)
        return stopped
    if there:
        key = f"stop the split of version {facts['version']} at {there.get('at')}"
        _record("split_stop", key, _stop_payload(facts["version"], there), services)
    return stopped


def _stop_payload(version: int, facts: dict[str, Any]) -> dict[str, Any]:
    evidence = facts.get("evidence")
    payload: dict[str, Any] = {
        "version": version,
        "champion_version": facts.get("champion"),
        "reason": facts.get("reason"),
        "requested_by": facts.get("requested_by"),
    }
    if evidence:
        interval = evidence["difference"]
        payload["evidence"] = {
            **{name: evidence[name] for name in ("days", "rows", "challenger_rows")},
            "difference": interval["value"],
            "low": interval["low"],
            "high": interval["high"],
        }
    return payload


def _record(kind: str, key: str, payload: dict[str, Any], services: Services) -> None:
    """Write a stop, or its end, into the decision log, once a key."""
    decision = services.tracking.open_decision(kind, key, fingerprint=None, effective_day=None, payload=payload)
    if not decision.finished:
        services.tracking.close_decision(decision)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def resume(version: int, reason: str, requested_by: str, services: Services, *, today: date) -> None:
    """Let a challenger answer again, and write that down; only days after ``today`` can stop it from now on.

    It answers last: while MLflow cannot write it down, the split stays stopped.

    Raises
    ------
    MissingArtifact
        If its split was not stopped.
    """
    name = layout.serving.split_stop(version)
    if not services.storage.exists(name):
        raise MissingArtifact(f"the split of version {version} was not stopped: 'evergreen traffic show' says what is")
    stopped = hashlib.sha256(services.storage.get_bytes(name)).hexdigest()[:12]
    facts = {"version": version, "after_day": today.isoformat(), "reason": reason, "requested_by": requested_by}
    services.storage.put_bytes(
        layout.serving.split_resumed(version), json.dumps({**facts, "at": _now()}, indent=2).encode()
    )
    _record("split_resumption", f"resume the split of version {version}, stop {stopped}", facts, services)
    services.storage.delete(name)


def counts_after(version: int, services: Services) -> date | None:
    """Return the day after which days of a challenger count: that on which a person resumed its split, or None."""
    try:
        facts = json.loads(services.storage.get_bytes(layout.serving.split_resumed(version)))
        return date.fromisoformat(facts["after_day"])
    except MissingArtifact:
        return None
    except (ValueError, KeyError, TypeError) as err:
        uri = services.storage.uri(layout.serving.split_resumed(version))
        raise EvergreenError(f"{uri} is damaged: remove it, and all days count again") from err


def kept_days(champion: int, challenger: int, services: Services) -> list[SplitDay]:
    """Read all days that are kept of a split of two versions, in their order."""
    folder = services.storage_folder(layout.serving.split_days("randomised", champion, challenger))
    return [SplitDay.model_validate(folder.read_json(name)) for name in sorted(folder.names())]


def stops(services: Services) -> list[dict[str, Any]]:
    """Read all stops, the newest challenger first; a damaged one has only its reason."""
    facts = []
    for name in services.storage.list(layout.serving.SPLIT_STOPS):
        version = int(name.rpartition("version=")[2].removesuffix(".json"))
        try:
            held = read_stop(version, services)
        except Unavailable:
            raise
        except EvergreenError as err:
            held = {"version": version, "reason": str(err), "requested_by": "", "at": ""}
        facts += [held] if held else []
    return sorted(facts, key=lambda stopped: -int(stopped["version"]))
