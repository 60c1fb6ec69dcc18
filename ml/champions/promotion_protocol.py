"""Decide who serves next: each tenure has one successor, whoever asks at once and whoever is killed.

``claim → open_decision → previous_champion → (tags) → champion (the commit point) → challenger → close_decision``

MLflow moves an alias without asking what it pointed at before. So whoever wants to end the present
tenure first claims to be its successor, by an object of the storage that exactly one caller can
create and that holds all that the change needs. From then on the change is decided: if its owner is
killed, whoever comes by next carries it out. All the others look again at who serves.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from datetime import UTC, datetime

from ml.adapters.champion_changes import DOCTOR, ChampionChange
from ml.champions import promotion_record, recorded_models
from ml.champions.serving_state import (
    LOOK_AGAIN_SECONDS,
    LOOKS,
    ServingState,
    after,
    is_gone,
    moved_by_hand,
    read_serving,
)
from ml.errors import EvergreenError, MissingArtifact
from ml.records import Logged
from ml.wiring import Services

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0
"""So long a claim's owner is left to carry it out; then it counts as killed, and others do."""


TRIES = 5
"""So often one and the same change is carried out before a person is called: once is enough unless records are lost."""


def claim(change: ChampionChange, serving: ServingState, services: Services) -> bool:
    """Claim to succeed the tenure of ``serving``; of several callers exactly one gets True, and no second ever."""
    return services.journal.claim(services.tracking.book(), after(serving), change)


def claimed(serving: ServingState, services: Services) -> ChampionChange | None:
    """Read who claims to succeed the tenure of ``serving``; None if nobody does.

    Raises
    ------
    EvergreenError
        If the claim cannot be read.
    """
    return services.journal.claimed(services.tracking.book(), after(serving))


def reconcile(services: Services, *, won: str | None = None, strict: bool = True) -> ServingState:
    """Carry out what was claimed and is not done yet, then say who serves.

    Parameters
    ----------
    won
        The key of the change that this caller has just claimed and carries out at once. That of
        anybody else is left to its owner for ``PATIENCE_SECONDS``.
    strict
        Whether to refuse if the alias then points where no decision has put it.

    Raises
    ------
    EvergreenError
        If a claimed change cannot be carried out, or somebody moved the alias by hand.
    """
    started, strange = time.monotonic(), 0
    tries: Counter[str] = Counter()
    while True:
        serving = read_serving(services)
        if serving.last is not None and not serving.last.finished:
            _count(serving.last.key, tries)
            _check_recorded(serving.last, services)
            _finish(agree(serving.last, services), services)
            continue
        change = claimed(serving, services)
        if change is not None:
            if change.key == won or _is_left_alone(change, started):
                _count(change.key, tries)
                _carry_out(change, serving, services, own=change.key == won)
            else:
                time.sleep(LOOK_AGAIN_SECONDS)
            continue
        if not strict or serving.alias == serving.version:
            return serving
        strange += 1
        if strange >= LOOKS:
            raise EvergreenError(moved_by_hand(serving, gone=is_gone(serving.version, services)))
        time.sleep(LOOK_AGAIN_SECONDS)


def _check_recorded(decision: Logged, services: Services) -> None:
    """Check that the storage records a decision; one that only the storage's journal holds is recorded by that."""
    if not decision.decision_id:
        recorded_models.write_decision(decision.key, decision.effective_day, decision.payload, services)
    recorded_models.check_decision(decision, services)


def _count(key: str, tries: Counter[str]) -> None:
    """Raise an error if the same change is begun again and again: then its record is lost each time."""
    tries[key] += 1
    if tries[key] > TRIES:
        raise EvergreenError(
            f"'{key}' was carried out {TRIES} times, and MLflow's decisions still do not show it; run '{DOCTOR}'"
        )


def _is_left_alone(change: ChampionChange, started: float) -> bool:
    """Return whether a claim's owner has had its time, by the claim's own clock or by ours."""
    age = (datetime.now(UTC) - change.claimed_at).total_seconds()
    return max(age, time.monotonic() - started) >= PATIENCE_SECONDS


def _carry_out(change: ChampionChange, serving: ServingState, services: Services, *, own: bool) -> None:
    """Do a claimed change; of somebody else's the model is looked at first: a registry may have been set up anew."""
    logger.info("promotion protocol: %s", change.key)
    try:
        if not own:
            check_model(change, services)
        recorded_models.write_change(change, services)
        opened = services.tracking.open_decision(
            change.kind,
            change.key,
            fingerprint=change.fingerprint,
            effective_day=change.effective_day,
            payload=change.payload,
            not_before=serving.last.decided_at if serving.last else None,
        )
        _finish(agree(opened, services), services)
    except EvergreenError as err:
        if err.retryable:
            raise
        where = services.storage.uri(services.journal.slot(services.tracking.book(), after(serving)))
        raise EvergreenError(
            f"'{change.key}' was decided but cannot be carried out: {err}; put that right, or give the change up: "
            f"run '{DOCTOR}', or remove {where}"
        ) from err


def check_model(change: ChampionChange, services: Services) -> None:
    """Refuse to let another model serve than a change names; nothing is asked of a withdrawal.

    Raises
    ------
    MissingArtifact
        If the version, its run or its model file is gone.
    EvergreenError
        If it is another model.
    """
    if change.version is None:
        return
    model = services.tracking.servable(change.version)
    if change.model is None or (model.run_id, model.model_sha256) != (change.model.run_id, change.model.model_sha256):
        raise EvergreenError(f"version {change.version} is not the model that was claimed for")


def agree(decision: Logged, services: Services) -> Logged:
    """Agree on one entry among those that several callers may have written for the same change.

    One that was deleted since is restored; one that MLflow no longer has is passed over for the next.
    """
    tracking, number = services.tracking, 0
    if not decision.decision_id:  # only the journal holds it
        for agreed in services.journal.mirrors(tracking.book(), decision.key):
            entry = tracking.recover_decision(agreed)
            if entry is not None and entry.key == decision.key:
                return entry
        decision = tracking.open_decision(
            decision.kind,
            decision.key,
            fingerprint=decision.fingerprint,
            effective_day=decision.effective_day,
            payload=decision.payload,
            decided_at=decision.decided_at,
        )
    while True:
        agreed = services.journal.agreed(tracking.book(), decision.key, number, decision.decision_id)
        entry = tracking.recover_decision(agreed)
        if entry is not None and entry.key == decision.key:
            if agreed != decision.decision_id:
                tracking.drop_other_decisions(entry)
            return entry
        number += 1


def _finish(decision: Logged, services: Services) -> None:
    """Do what is left of a change; each part may have been done before, or be done by others at once."""
    if not decision.finished:
        tracking, facts = services.tracking, decision.payload
        version = None if facts.get("version") is None else int(facts["version"])
        if decision.kind == "promotion":
            if facts.get("previous_version") is not None:
                _point("previous_champion", int(facts["previous_version"]), services)
        else:
            tracking.drop_alias("previous_champion")  # the bad one: nobody needs to go on watching it
            if facts.get("from_version") is not None:
                _tag(int(facts["from_version"]), f"{decision.effective_day}: {facts['reason']}", services)
            if version is not None:
                tracking.tag_version(version, "rolled_back", None)
        if not tracking.decision(decision.decision_id).finished:  # else by somebody quicker: another may serve by now
            if version is None:
                tracking.drop_alias("champion")
            else:
                tracking.move_alias("champion", version)
            if version is not None and tracking.alias("challenger") == version:
                tracking.drop_alias("challenger")
            tracking.drop_other_decisions(decision)
            tracking.close_decision(decision)
    fix_aliases(services)


def _point(alias: str, version: int, services: Services) -> None:
    """Point an alias at a version of the past; one that MLflow has lost leaves the alias empty."""
    try:
        services.tracking.move_alias(alias, version)
    except MissingArtifact as err:
        logger.warning("promotion protocol: %s points nowhere: %s", alias, err)
        services.tracking.drop_alias(alias)


def _tag(version: int, reason: str, services: Services) -> None:
    try:
        services.tracking.tag_version(version, "rolled_back", reason)
    except MissingArtifact as err:
        logger.warning("promotion protocol: %s", err)


def fix_aliases(services: Services) -> None:
    """Put the aliases where the decisions say, if this change came after a later one that overtook it."""
    tracking = services.tracking
    for _ in range(TRIES):
        serving = read_serving(services)
        if serving.last is None or not serving.last.finished:  # who carries that one out fixes them
            return
        wrong = misplaced_aliases(serving, services)
        if not wrong:
            return
        for alias, version in wrong.items():
            if version is None:
                tracking.drop_alias(alias)
            else:
                _point(alias, version, services)


def misplaced_aliases(serving: ServingState, services: Services) -> dict[str, int | None]:
    """Name the aliases that are not where the decisions say, and where they belong; a lost version belongs nowhere."""
    tenure = serving.tenure
    before = tenure.payload.get("previous_version") if tenure is not None and tenure.kind == "promotion" else None
    if before is not None and not promotion_record.is_known(int(before), services):
        before = None  # its decision was left out: it may not be scored in shadow
    wanted = {"champion": serving.version, "previous_champion": None if before is None else int(before)}
    wrong = {alias: version for alias, version in wanted.items() if services.tracking.alias(alias) != version}
    lost = [alias for alias, version in wrong.items() if is_gone(version, services)]
    return {
        alias: None if alias in lost else version
        for alias, version in wrong.items()
        if alias not in lost or services.tracking.alias(alias) is not None
    }


def digest_of(decision: Logged) -> str:
    """Shorten a decision's key to what tells it from others in a sentence."""
    return hashlib.sha256(decision.key.encode()).hexdigest()[:12]
