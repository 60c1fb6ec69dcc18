"""Resolve, once per run, which champion and which data version a day is scored with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

from ml.adapters.champion_changes import DOCTOR
from ml.champions import recorded_models, serving_state
from ml.core.champions import tenures
from ml.core.data.rest_days import rest_reason
from ml.errors import MissingArtifact, NoDataExpected
from ml.next_moves import ingest, rerun
from ml.records import Champion, Logged
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(day: date, *, settings: Settings, services: Services) -> Champion:
    """Read the decision history for the champion of ``day``; ``version`` is None if none may serve.

    Raises
    ------
    NoDataExpected
        If the registry does not hold the inputs of ``day``, and none are expected.
    MissingArtifact
        If it does not hold them though they are, or MLflow has lost the champion of now.
    UntrustedModel
        If the storage does not record the decision and the promotion by which that version serves.
    """
    logger.info("resolve: %s", day)
    data_version = services.registry.head()
    held = services.registry.days("inputs", data_version)
    if day not in held:
        if rest := rest_reason(day, held, settings.land):
            raise NoDataExpected(f"{rest}, so there is nothing to score or to monitor")
        raise MissingArtifact(f"the data registry holds no inputs of {day}; {ingest(day)}")
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    tenure, reason = _there(day, decisions, settings, services)
    logger.info("resolve: %s", reason)
    if tenure is not None:
        recorded_models.check_champion(tenure.version, tenure.effective_day, decisions, services)
    return Champion(day=day, version=tenure.version if tenure else None, reason=reason, data_version=data_version)


def _there(
    day: date, decisions: Sequence[Logged], settings: Settings, services: Services
) -> tuple[tenures.Tenure | None, str]:
    """Find the version that may score ``day`` and is there; earlier champions that MLflow has lost are passed over."""
    now = tenures.promoted_on(None, decisions)
    left, lost = list(decisions), ""
    while True:
        tenure, reason = tenures.champion_of(day, left, allow_future=settings.score.force_future_model)
        if tenure is None or not serving_state.is_gone(tenure.version, services):
            return tenure, lost + reason
        if now is not None and now.payload["version"] == tenure.version:
            raise MissingArtifact(
                f"{reason}, but MLflow has lost that version, so it cannot score {day}; run '{DOCTOR}': the champion "
                f"before it then serves again, or nobody until a challenger is promoted; then {rerun()}"
            )
        lost += f"version {tenure.version} is passed over, MLflow has lost it; "
        left = [entry for entry in left if entry.payload.get("version") != tenure.version]
