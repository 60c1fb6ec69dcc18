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
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, Self

from pydantic import ValidationError

from ml.core import history
from ml.errors import EvergreenError
from ml.records import JudgedModel, Logged, Record
from ml.steps import promotion_record, recorded_models
from ml.wiring import Services

logger = logging.getLogger(__name__)
PATIENCE_SECONDS = 10.0
"""So long a claim's owner is left to carry it out; then it counts as killed, and others do."""

LOOK_AGAIN_SECONDS = 0.2
LOOKS = 5
"""So often an alias must be found where no decision has put it, before a person is called."""


class Move(Record):
    """A change of the champion that was decided; ``payload`` is what the decision log keeps of it.

    ``payload`` names ``version`` and ``previous_version``; of a rollback also ``why``. ``model`` is what was judged;
    None in claims of older releases, and of a rollback to a version that they promoted.
    """

    kind: Literal["promotion", "rollback"]
    key: str
    fingerprint: str | None
    effective_day: date
    payload: dict[str, Any]
    claimed_at: datetime
    model: JudgedModel | None = None

    @classmethod
    def after(
        cls,
        newest: date,
        *,
        kind: Literal["promotion", "rollback"],
        key: str,
        fingerprint: str | None,
        payload: dict[str, Any],
        model: JudgedModel | None = None,
    ) -> Self:
        """Make a move, now, that takes effect on the day after ``newest``, the registry's newest day.

        Days that had arrived before it belong to the champion before it.
        """
        return cls(
            kind=kind,
            key=key,
            fingerprint=fingerprint,
            effective_day=newest + timedelta(days=1),
            payload=payload,
            claimed_at=datetime.now(UTC),
            model=model,
        )


@dataclass(frozen=True)
class Seat:
    """Who serves by the decisions, and by the alias; the two differ only in the midst of a move.

    Attributes
    ----------
    reign
        The decision by which the champion serves; None before the first promotion.
    decisions
        All promotions and rollbacks that count, oldest first.
    """

    reign: Logged | None
    alias: int | None
    decisions: tuple[Logged, ...]

    @property
    def version(self) -> int | None:
        """Give the version that serves by the decisions."""
        return int(self.reign.payload["version"]) if self.reign else None


def look(services: Services) -> Seat:
    """Read who serves, and touch nothing."""
    decisions = services.tracking.decisions(kinds=history.REIGNS)
    crowned = history.crownings(decisions)
    return Seat(crowned[-1] if crowned else None, services.tracking.alias("champion"), tuple(decisions))


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
    return services.storage.create_bytes(_claim_name(seat, services), move.model_dump_json(indent=2).encode())


def claimed(seat: Seat, services: Services) -> Move | None:
    """Read who claims to succeed the reign of ``seat``; None if nobody does.

    Raises
    ------
    EvergreenError
        If the claim cannot be read.
    """
    name = _claim_name(seat, services)
    if not services.storage.exists(name):
        return None
    try:
        return Move.model_validate_json(services.storage.get_bytes(name))
    except ValidationError as err:
        raise EvergreenError(
            f"{services.storage.uri(name)} is no readable claim ({err.error_count()} errors); "
            "remove it: what it was about is judged again"
        ) from err


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
    while True:
        seat = look(services)
        if seat.reign is not None and not seat.reign.finished:
            recorded_models.check_decision(seat.reign, services)
            _finish(_the_one(seat.reign, services), services)
            continue
        move = claimed(seat, services)
        if move is not None:
            if move.key == won or _is_left_alone(move, started):
                _carry_out(move, seat, services, own=move.key == won)
            else:
                time.sleep(LOOK_AGAIN_SECONDS)
            continue
        if not strict or seat.alias == seat.version:
            return seat
        strange += 1
        if strange >= LOOKS:
            raise EvergreenError(moved_by_hand(seat))
        time.sleep(LOOK_AGAIN_SECONDS)


def moved_by_hand(seat: Seat) -> str:
    """Say that the alias and the decisions disagree, and what to do about it."""
    points = f"points at version {seat.alias}" if seat.alias is not None else "points nowhere"
    if seat.version is None:
        return (
            f"the alias 'champion' {points}, but no decision has made a version champion; "
            "remove the alias in MLflow, and promote that version through the gate"
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
            _check_model(move, services)
        if move.model is not None:
            promotion_record.write(move.model, services)
        recorded_models.write_decision(move.key, move.effective_day, move.payload, services)
        opened = services.tracking.open_decision(
            move.kind,
            move.key,
            fingerprint=move.fingerprint,
            effective_day=move.effective_day,
            payload=move.payload,
            not_before=seat.reign.decided_at if seat.reign else None,
        )
        _finish(_the_one(opened, services), services)
    except EvergreenError as err:
        if err.retryable:
            raise
        where = services.storage.uri(_claim_name(seat, services))
        raise EvergreenError(
            f"'{move.key}' was decided but cannot be carried out: {err}; put that right, or give the move up: "
            f"remove {where}"
        ) from err


def _check_model(move: Move, services: Services) -> None:
    """Refuse to let another model serve than the claim names: a registry may have been set up anew."""
    version = int(move.payload["version"])
    if move.model is not None:
        found = services.tracking.servable(version)
        same = (found.run_id, found.model_sha256) == (move.model.run_id, move.model.model_sha256)
    else:
        same = services.tracking.version_tags(version).get("fingerprint") == move.fingerprint
    if not same:
        raise EvergreenError(f"version {version} is not the model that was claimed for")


def _the_one(decision: Logged, services: Services) -> Logged:
    """Agree on one entry among those that several callers may have written for the same move."""
    name = f"claims/{services.tracking.book()}/decision={_digest(decision.key)}"
    if services.storage.create_bytes(name, decision.decision_id.encode()):
        return decision
    agreed = services.storage.get_bytes(name).decode()
    if agreed == decision.decision_id:
        return decision
    found = services.tracking.decision(agreed)
    services.tracking.drop_other_decisions(found)
    return found


def _finish(decision: Logged, services: Services) -> None:
    """Do what is left of a move; each part may have been done before, or be done by others at once."""
    if decision.finished:
        return
    tracking, facts = services.tracking, decision.payload
    version, before = int(facts["version"]), facts.get("previous_version")
    if decision.kind == "promotion":
        if before is not None:
            tracking.move_alias("previous_champion", int(before))
    else:
        tracking.drop_alias("previous_champion")  # the bad one: nobody needs to go on watching it
        tracking.tag_version(int(facts["from_version"]), "rolled_back", f"{decision.effective_day}: {facts['why']}")
        tracking.tag_version(version, "rolled_back", None)
    if not tracking.decision(decision.decision_id).finished:  # else by somebody quicker: another may serve by now
        tracking.move_alias("champion", version)
        if tracking.alias("challenger") == version:
            tracking.drop_alias("challenger")
        tracking.drop_other_decisions(decision)
        tracking.close_decision(decision)
    _mend(services)


def _mend(services: Services) -> None:
    """Put the aliases where the decisions say, if this move came after a later one that overtook it."""
    tracking = services.tracking
    while True:
        reign = look(services).reign
        if reign is None or not reign.finished:  # who carries that one out will mend
            return
        before = reign.payload.get("previous_version") if reign.kind == "promotion" else None
        wanted = {"champion": int(reign.payload["version"]), "previous_champion": before}
        amiss = {alias: version for alias, version in wanted.items() if tracking.alias(alias) != version}
        if not amiss:
            return
        for alias, version in amiss.items():
            if version is None:
                tracking.drop_alias(alias)
            else:
                tracking.move_alias(alias, int(version))


def _claim_name(seat: Seat, services: Services) -> str:
    after = _digest(seat.reign.key or seat.reign.decision_id) if seat.reign else "none"
    return f"claims/{services.tracking.book()}/after={after}.json"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]
