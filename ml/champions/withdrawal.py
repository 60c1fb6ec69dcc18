"""Withdraw a champion whose model MLflow has lost: the last good version serves again, or nobody does.

A withdrawal is a change of the champion like any other (`ml.champions.promotion_protocol`): claimed once, safe to kill,
a decision in the end.
"""

from __future__ import annotations

import logging
from typing import Any

from ml.adapters.champion_changes import ChampionChange
from ml.champions import promotion_protocol, promotion_record, serving_state
from ml.core.champions import tenures
from ml.errors import EvergreenError
from ml.records import JudgedModel, Logged
from ml.wiring import Services

logger = logging.getLogger(__name__)


def champion(
    serving: serving_state.ServingState, reason: str, services: Services, *, requested_by: str
) -> serving_state.ServingState:
    """Withdraw the champion of ``serving``, and return who serves then.

    The training of the version that is withdrawn is not blocked: it was not worse, its model is lost.
    """
    tenure = serving.tenure
    if tenure is None:
        return serving
    good, _ = last_good(serving, services)
    newest = serving_state.newest_day(serving, services)
    to = good.payload["version"] if good else None
    facts: dict[str, Any] = {
        "version": to,
        "from_version": serving.version,
        "previous_version": serving.version,
        "withdrawn_version": serving.version,
        "window_last_day": good.payload["window_last_day"] if good else None,
        "blocked_fingerprint": None,
        "reason": reason,
        "requested_by": requested_by,
        "evidence": {},
    }
    change = ChampionChange.after(
        newest,
        kind="rollback" if good else "withdrawal",
        key=f"withdraw version {serving.version}, tenure {promotion_protocol.digest_of(tenure)}",
        fingerprint=good.fingerprint if good else None,
        payload=facts,
        model=recorded_model(good, services) if good else None,
    )
    won = change.key if promotion_protocol.claim(change, serving, services) else None
    return promotion_protocol.reconcile(services, won=won, strict=False)


def last_good(serving: serving_state.ServingState, services: Services) -> tuple[Logged | None, tuple[str, ...]]:
    """Find the newest earlier champion that can serve; say of those that were passed over why they cannot."""
    lost: dict[int, str] = {}
    while True:
        tenure = tenures.champion_before(serving.decisions, without=lost)
        if tenure is None:
            return None, tuple(lost.values())
        problem = cannot_serve(tenure, services)
        if problem is None:
            return tenure, tuple(lost.values())
        logger.warning("withdraw_champion: passed over: %s", problem)
        lost[int(tenure.payload["version"])] = problem


def cannot_serve(tenure: Logged, services: Services) -> str | None:
    """Return why the version of a decision cannot serve; None if its very model is there, whole."""
    version = int(tenure.payload["version"])
    try:
        model = services.tracking.servable(version)
        recorded = recorded_model(tenure, services)
    except EvergreenError as err:
        if err.retryable:
            raise
        return str(err)
    same = recorded is not None and (recorded.run_id, recorded.model_sha256) == (model.run_id, model.model_sha256)
    return None if same else f"version {version} cannot serve: its model is not the one that was promoted"


def recorded_model(tenure: Logged, services: Services) -> JudgedModel | None:
    """Read which model was promoted, as the storage or else the decision says; None if neither does."""
    version, facts = int(tenure.payload["version"]), tenure.payload.get("model")
    stored = promotion_record.read(version, services.tracking.version_tags(version)["run_id"], services)
    return stored or (JudgedModel.model_validate(facts) if isinstance(facts, dict) else None)
