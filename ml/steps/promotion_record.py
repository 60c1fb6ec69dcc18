"""Record which model file a promotion judged, in the storage: what may serve is exactly that.

``promoted/version=N/run=ID.json`` is created once and never replaced. MLflow's decision names the same facts; whoever
can write to MLflow only cannot change these.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ml.adapters.journal import DOCTOR
from ml.adapters.workspace import Workspace
from ml.core.lineage import fingerprint_of_refit
from ml.errors import EvergreenError
from ml.records import JudgedModel, Judgement, Window
from ml.wiring import Services

logger = logging.getLogger(__name__)


def judged_model(judgement: Judgement, window: Window, services: Services) -> JudgedModel:
    """Check that the judged version can serve, and name the very files that were judged.

    Raises
    ------
    MissingArtifact
        If the version, its run or its model file is gone.
    EvergreenError
        If the model file is not the one that *check* tried.
    """
    version = judgement.version
    assert version is not None
    found = services.tracking.servable(version)
    place = _workspace(judgement, window, services)
    checked = _json(place, "check/check.json").get("model_sha256")
    if checked is not None and checked != found.model_sha256:
        raise EvergreenError(
            f"the model file of version {version} in MLflow (SHA-256 {found.model_sha256[:12]}) is not the one that "
            f"was checked ({checked[:12]}): somebody replaced it; trigger Retrain with force"
        )
    lineage = _json(place, "model/lineage.json")
    facts = {
        "data_version": window.data_version,
        "code_version": lineage.get("code_version"),
        "lineage_sha256": hash_lineage(lineage) if lineage else None,
    }
    return found.model_copy(update=facts)


def write(model: JudgedModel, services: Services) -> None:
    """Record a promoted model; one that is recorded already stays as it is."""
    services.storage.create_bytes(_name(model.version, model.run_id), model.model_dump_json(indent=2).encode())


def read(version: int, run_id: str, services: Services) -> JudgedModel | None:
    """Read what was promoted as ``version`` of ``run_id``; None if no promotion of ours recorded it.

    Raises
    ------
    EvergreenError
        If the record is damaged.
    """
    name = _name(version, run_id)
    if not services.storage.exists(name):
        return None
    try:
        return JudgedModel.model_validate_json(services.storage.get_bytes(name))
    except ValidationError as err:
        raise EvergreenError(
            f"{services.storage.uri(name)} is damaged ({err.error_count()} errors); bring it back from a backup, or "
            f"remove it and run '{DOCTOR}'"
        ) from err


def is_known(version: int | None, services: Services) -> bool:
    """Say whether the storage records any promoted model of a version, of any run; None is no version, and known."""
    return version is None or any(services.storage.list(f"promoted/version={version}/"))


def fingerprint_agrees(found: JudgedModel, fingerprint: str | None, services: Services) -> bool:
    """Say whether a version is the one of a claim that an older release made, which names a fingerprint only.

    That of a refit is the fingerprint of the judged version, from which its own follows.
    """
    recorded = read(found.version, found.run_id, services)
    if recorded is not None:
        return recorded.model_sha256 == found.model_sha256
    return found.fingerprint is not None and found.fingerprint in {
        fingerprint,
        fingerprint_of_refit(fingerprint) if fingerprint else None,
    }


def _name(version: int, run_id: str) -> str:
    return f"promoted/version={version}/run={run_id}.json"


def _workspace(judgement: Judgement, window: Window, services: Services) -> Workspace:
    """Open the workspace of the version itself: of a refit its own, inside that of the judged one."""
    place = services.workspace(window.workspace)
    if judgement.judged_version in (None, judgement.version):
        return place
    return services.workspace(place.uri("refit"))


def _json(place: Workspace, name: str) -> dict[str, Any]:
    found: dict[str, Any] = place.read_json(name) if place.has(name) else {}
    return found


def hash_lineage(lineage: Mapping[str, Any]) -> str:
    """Hash the lineage as the run's file holds it: see `ml.steps.fit`."""
    return hashlib.sha256(json.dumps(dict(lineage), indent=2, sort_keys=True).encode()).hexdigest()
