"""Resolve, once per run, which champion and which data version a day is scored with."""

from __future__ import annotations

import logging
from datetime import date

from ml.adapters.journal import DOCTOR
from ml.core import history
from ml.core.rest_days import rest_reason
from ml.errors import MissingArtifact, NoDataExpected
from ml.records import Champion
from ml.settings import Settings
from ml.steps import recorded_models, succession
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(day: date, *, settings: Settings, services: Services) -> Champion:
    """Read the decision history for the champion of ``day``; ``version`` is None if none may serve.

    Raises
    ------
    NoDataExpected
        If the registry does not hold the inputs of ``day``, and none are expected.
    MissingArtifact
        If it does not hold them though they are, or MLflow has lost the version.
    UntrustedModel
        If the storage does not record the decision and the promotion by which that version serves.
    """
    logger.info("resolve: %s", day)
    data_version = services.registry.head()
    held = services.registry.days("inputs", data_version)
    if day not in held:
        if rest := rest_reason(day, held, settings.land):
            raise NoDataExpected(f"{rest}, so there is nothing to score or to monitor")
        raise MissingArtifact(f"the data registry holds no inputs of {day}; run the ingest Dag for that day first")
    decisions = services.tracking.decisions(kinds=history.REIGNS)
    reign, reason = history.champion_of(day, decisions, allow_future=settings.score.force_future_model)
    logger.info("resolve: %s", reason)
    if reign is not None and succession.is_gone(reign.version, services):
        raise MissingArtifact(
            f"{reason}, but MLflow has lost that version, so it cannot score {day}; run '{DOCTOR}': the champion "
            "before it then serves again, or nobody until a challenger is promoted; then clear this run"
        )
    if reign is not None:
        recorded_models.check_champion(reign.version, reign.effective_day, decisions, services)
    return Champion(day=day, version=reign.version if reign else None, reason=reason, data_version=data_version)
