"""Settle who serves next: each reign has one successor, whoever asks at once and whoever is killed.

``claim → open_decision → previous_champion → (tags) → champion (the commit point) → challenger → close_decision``

MLflow moves an alias without asking what it pointed at before. So whoever wants to end the present
reign first claims to be its successor, by an object of the storage that exactly one caller can
create and that holds all that the move needs. From then on the move is decided: if its owner is
killed, whoever comes by next carries it out. All the others look again at who serves.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from ml.adapters.journal import DOCTOR, Move
from ml.core import history
from ml.errors import EvergreenError, MissingArtifact
from ml.records import Logged
from ml.steps import promotion_record, recorded_models
from ml.wiring import Services

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0
"""So long a claim's owner is left to carry it out; then it counts as killed, and others do."""

LOOK_AGAIN_SECONDS = 0.2
LOOKS = 5
"""So often an alias must be found where no decision has put it, before a person is called."""

TRIES = 5
"""So often one and the same move is carried out, before a person is called: once is enough unless records are lost."""


@dataclass(frozen=True)
class Seat:
    """Who serves by the decisions, and by the alias; the two differ only in the midst of a move.

    Attributes
    ----------
    reign
        The decision by which the champion serves; None before the first promotion, and after a withdrawal.
    decisions
        All changes of the champion that count, oldest first.
    """

    reign: Logged | None
    alias: int | None
    decisions: tuple[Logged, ...]

    @property
    def version(self) -> int | None:
        """Give the version that serves by the decisions."""
        return int(self.reign.payload["version"]) if self.reign else None

    @property
    def last(self) -> Logged | None:
        """Give the newest change of the champion: what a next one succeeds."""
        if self.reign is not None:
            return self.reign
        changes = history.changes(self.decisions)
        return changes[-1] if changes else None


def look(services: Services) -> Seat:
    """Read who serves, and touch nothing."""
    decisions = services.tracking.decisions(kinds=history.REIGNS)
    return Seat(history.crowned_on(None, decisions), services.tracking.alias("champion"), tuple(decisions))


def await_alias(services: Services) -> Seat:
    """Read who serves, and look again for a moment while the alias is not where the decisions say; touch nothing."""
    for _ in range(LOOKS):
        seat = look(services)
        if seat.alias == seat.version:
            break
        time.sleep(LOOK_AGAIN_SECONDS)
    return seat


def claim(move: Move, seat: Seat, services: Services) -> bool:
    """Claim to succeed the reign of ``seat``; of several callers exactly one gets True, and no second ever."""
    return services.journal.claim(services.tracking.book(), after(seat), move)


def claimed(seat: Seat, services: Services) -> Move | None:
    """Read who claims to succeed the reign of ``seat``; None if nobody does.

    Raises
    ------
    EvergreenError
        If the claim cannot be read.
    """
    return services.journal.claimed(services.tracking.book(), after(seat))


def settle(services: Services, *, won: str | None = None, strict: bool = True) -> Seat:
    """Carry out what was claimed and is not done yet, then say who serves.

    Parameters
    ----------
    won
        The key of the move that this caller has just claimed and carries out at once. That of
        anybody else is left to its owner for ``PATIENCE_SECONDS``.
    strict
        Whether to refuse if the alias then points where no decision has put it.

    Raises
    ------
    EvergreenError
        If a claimed move cannot be carried out, or somebody moved the alias by hand.
    """
    started, strange = time.monotonic(), 0
    tries: Counter[str] = Counter()
    while True:
        seat = look(services)
        if seat.last is not None and not seat.last.finished:
            _count(seat.last.key, tries)
            _check_recorded(seat.last, services)
            _finish(_the_one(seat.last, services), services)
            continue
        move = claimed(seat, services)
        if move is not None:
            if move.key == won or _is_left_alone(move, started):
                _count(move.key, tries)
                _carry_out(move, seat, services, own=move.key == won)
            else:
                time.sleep(LOOK_AGAIN_SECONDS)
            continue
        if not strict or seat.alias == seat.version:
            return seat
        strange += 1
        if strange >= LOOKS:
            raise EvergreenError(moved_by_hand(seat, gone=is_gone(seat.version, services)))
        time.sleep(LOOK_AGAIN_SECONDS)


def _check_recorded(decision: Logged, services: Services) -> None:
    """Check that the storage records a decision; one that only the storage's journal holds is recorded by that."""
    if not decision.decision_id:
        recorded_models.write_decision(decision.key, decision.effective_day, decision.payload, services)
    recorded_models.check_decision(decision, services)


def _count(key: str, tries: Counter[str]) -> None:
    """Raise an error if the same move is begun again and again: then its record is lost each time."""
    tries[key] += 1
    if tries[key] > TRIES:
        raise EvergreenError(
            f"'{key}' was carried out {TRIES} times, and MLflow's decisions still do not show it; run '{DOCTOR}'"
        )


def is_gone(version: int | None, services: Services) -> bool:
    """Say whether MLflow has lost a version; None is no version, and not lost."""
    if version is None:
        return False
    try:
        services.tracking.version_tags(version)
    except MissingArtifact:
        return True
    return False


def moved_by_hand(seat: Seat, *, gone: bool = False) -> str:
    """Say that the alias and the decisions disagree, and what to do about it.

    Parameters
    ----------
    gone
        Whether MLflow has lost the version that serves by the decisions.
    """
    if gone:
        return (
            f"version {seat.version} is the champion by the decisions, and MLflow has lost it (deleted, or a database "
            f"that is older than the storage); run '{DOCTOR}': the champion before it then serves again, or nobody "
            "until a challenger is promoted"
        )
    points = f"points at version {seat.alias}" if seat.alias is not None else "points nowhere"
    if seat.version is None:
        return (
            f"the alias 'champion' {points}, but no decision has made a version champion; "
            f"remove the alias in MLflow ('{DOCTOR}' does), and promote that version through the gate"
        )
    return (
        f"the alias 'champion' {points}, but by the decisions version {seat.version} serves; move it back with "
        f"'evergreen rollback --to {seat.version} --why \"moved by hand\"'"
    )


def _is_left_alone(move: Move, started: float) -> bool:
    """Say whether a claim's owner has had its time, by the claim's own clock or by ours."""
    age = (datetime.now(UTC) - move.claimed_at).total_seconds()
    return max(age, time.monotonic() - started) >= PATIENCE_SECONDS


def _carry_out(move: Move, seat: Seat, services: Services, *, own: bool) -> None:
    """Do a claimed move; of somebody else's the model is looked at first: a registry may have been set up anew."""
    logger.info("succession: %s", move.key)
    try:
        if not own:
            check_model(move, services)
        if move.model is not None:
            promotion_record.write(move.model, services)
        recorded_models.write_decision(move.key, move.effective_day, move.payload, services)
        opened = services.tracking.open_decision(
            move.kind,
            move.key,
            fingerprint=move.fingerprint,
            effective_day=move.effective_day,
            payload=move.payload,
            not_before=seat.last.decided_at if seat.last else None,
        )
        _finish(_the_one(opened, services), services)
    except EvergreenError as err:
        if err.retryable:
            raise
        where = services.storage.uri(services.journal.slot(services.tracking.book(), after(seat)))
        raise EvergreenError(
            f"'{move.key}' was decided but cannot be carried out: {err}; put that right, or give the move up: "
            f"run '{DOCTOR}', or remove {where}"
        ) from err


def check_model(move: Move, services: Services) -> None:
    """Refuse to let another model serve than a move names; nothing is asked of a withdrawal.

    Raises
    ------
    MissingArtifact
        If the version, its run or its model file is gone.
    EvergreenError
        If it is another model.
    """
    if move.version is None:
        return
    found = services.tracking.servable(move.version)
    if move.model is not None:
        same = (found.run_id, found.model_sha256) == (move.model.run_id, move.model.model_sha256)
    else:
        same = promotion_record.fingerprint_agrees(found, move.fingerprint, services)
    if not same:
        raise EvergreenError(f"version {move.version} is not the model that was claimed for")


def _the_one(decision: Logged, services: Services) -> Logged:
    """Agree on one entry among those that several callers may have written for the same move.

    One that was deleted since is restored; one that MLflow no longer has is passed over for the next.
    """
    tracking, number = services.tracking, 0
    if not decision.decision_id:  # only the journal holds it
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
        found = tracking.recover_decision(agreed)
        if found is not None and found.key == decision.key:
            if agreed != decision.decision_id:
                tracking.drop_other_decisions(found)
            return found
        number += 1


def _finish(decision: Logged, services: Services) -> None:
    """Do what is left of a move; each part may have been done before, or be done by others at once."""
    if not decision.finished:
        tracking, facts = services.tracking, decision.payload
        version = None if facts.get("version") is None else int(facts["version"])
        if decision.kind == "promotion":
            if facts.get("previous_version") is not None:
                _point("previous_champion", int(facts["previous_version"]), services)
        else:
            tracking.drop_alias("previous_champion")  # the bad one: nobody needs to go on watching it
            if facts.get("from_version") is not None:
                _tag(int(facts["from_version"]), f"{decision.effective_day}: {facts['why']}", services)
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
    mend(services)


def _point(alias: str, version: int, services: Services) -> None:
    """Point an alias at a version of the past; one that MLflow has lost leaves the alias empty."""
    try:
        services.tracking.move_alias(alias, version)
    except MissingArtifact as err:
        logger.warning("succession: %s points nowhere: %s", alias, err)
        services.tracking.drop_alias(alias)


def _tag(version: int, why: str, services: Services) -> None:
    try:
        services.tracking.tag_version(version, "rolled_back", why)
    except MissingArtifact as err:
        logger.warning("succession: %s", err)


def mend(services: Services) -> None:
    """Put the aliases where the decisions say, if this move came after a later one that overtook it."""
    tracking = services.tracking
    for _ in range(TRIES):
        seat = look(services)
        if seat.last is None or not seat.last.finished:  # who carries that one out will mend
            return
        wrong = misplaced(seat, services)
        if not wrong:
            return
        for alias, version in wrong.items():
            if version is None:
                tracking.drop_alias(alias)
            else:
                _point(alias, version, services)


def misplaced(seat: Seat, services: Services) -> dict[str, int | None]:
    """Name the aliases that are not where the decisions say, and where they belong; a lost version belongs nowhere."""
    reign = seat.reign
    before = reign.payload.get("previous_version") if reign is not None and reign.kind == "promotion" else None
    wanted = {"champion": seat.version, "previous_champion": None if before is None else int(before)}
    wrong = {alias: version for alias, version in wanted.items() if services.tracking.alias(alias) != version}
    lost = [alias for alias, version in wrong.items() if is_gone(version, services)]
    return {
        alias: None if alias in lost else version
        for alias, version in wrong.items()
        if alias not in lost or services.tracking.alias(alias) is not None
    }


def after(seat: Seat) -> str | None:
    """Name the decision that a next move succeeds; None before the first."""
    return None if seat.last is None else seat.last.key or seat.last.decision_id


def digest_of(decision: Logged) -> str:
    """Shorten a decision's key to what tells it from others in a sentence."""
    return hashlib.sha256(decision.key.encode()).hexdigest()[:12]
