"""Withdraw a champion whose model MLflow has lost: the last good version serves again, or nobody does.

A withdrawal is a move like any other (`ml.steps.succession`): claimed once, safe to kill, a decision in the end.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ml.adapters.journal import Move
from ml.core import history
from ml.errors import EvergreenError
from ml.records import JudgedModel, Logged
from ml.steps import promotion_record, succession
from ml.wiring import Services

logger = logging.getLogger(__name__)


def champion(seat: succession.Seat, why: str, services: Services, *, asked_by: str) -> succession.Seat:
    """Withdraw the champion of ``seat``, and return who serves then.

    The training of the version that is withdrawn is not blocked: it was not worse, its model is lost.
    """
    reign = seat.reign
    if reign is None:
        return seat
    good, _ = last_good(seat, services)
    newest = max(services.registry.days("inputs"))
    to = good.payload["version"] if good else None
    facts: dict[str, Any] = {
        "version": to,
        "from_version": seat.version,
        "previous_version": seat.version,
        "withdrawn_version": seat.version,
        "window_last_day": good.payload["window_last_day"] if good else None,
        "barred_fingerprint": None,
        "why": why,
        "asked_by": asked_by,
        "evidence": {},
    }
    move = Move.after(
        newest,
        kind="rollback" if good else "withdrawal",
        key=f"withdraw version {seat.version}, reign {succession.digest_of(reign)}",
        fingerprint=good.fingerprint if good else None,
        payload=facts,
        model=recorded_model(good) if good else None,
    )
    won = move.key if succession.claim(move, seat, services) else None
    return succession.settle(services, won=won, strict=False)


def last_good(seat: succession.Seat, services: Services) -> tuple[Logged | None, tuple[str, ...]]:
    """Find the newest earlier champion that can serve; say of those that were passed over why they cannot."""
    lost: dict[int, str] = {}
    while True:
        found = history.champion_before(seat.decisions, without=lost)
        if found is None:
            return None, tuple(lost.values())
        problem = cannot_serve(found, services)
        if problem is None:
            return found, tuple(lost.values())
        logger.warning("withdraw_champion: passed over: %s", problem)
        lost[int(found.payload["version"])] = problem


def cannot_serve(reign: Logged, services: Services) -> str | None:
    """Say why the version of a decision cannot serve; None if its very model is there, whole."""
    version = int(reign.payload["version"])
    try:
        found = services.tracking.servable(version)
        recorded = promotion_record.read(version, found.run_id, services) or recorded_model(reign)
    except EvergreenError as err:
        if err.retryable:
            raise
        return str(err)
    if recorded is None:
        same = reign.fingerprint is None or promotion_record.fingerprint_agrees(found, reign.fingerprint, services)
    else:
        same = (recorded.run_id, recorded.model_sha256) == (found.run_id, found.model_sha256)
    return None if same else f"version {version} cannot serve: its model is not the one that was promoted"


def recorded_model(reign: Logged) -> JudgedModel | None:
    """Read the model that a decision names; None in decisions of older releases."""
    facts = reign.payload.get("model")
    return JudgedModel.model_validate(facts) if isinstance(facts, dict) else None


def served_by(decisions: Sequence[Logged], version: int) -> Logged | None:
    """Find the newest decision by which a version came to serve; None if there is none."""
    found = [entry for entry in history.crownings(decisions) if entry.payload["version"] == version]
    return found[-1] if found else None
