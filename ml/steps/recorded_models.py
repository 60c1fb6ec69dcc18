"""Load only what the storage records: of each version its run, and the hashes of its model file and its lineage.

*register* records every challenger (``registered/version=N/run=ID.json``), a promotion what may serve
(`ml.steps.promotion_record`). Each record is created once. Whoever can write to MLflow only cannot change one.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sklearn.pipeline import Pipeline

from ml.adapters import rows
from ml.adapters.journal import DOCTOR
from ml.core import history
from ml.errors import MissingArtifact, UntrustedModel
from ml.records import Candidate, JudgedModel, Logged, Window
from ml.steps import promotion_record
from ml.wiring import Services

logger = logging.getLogger(__name__)
LINEAGE = "lineage/lineage.json"
"""Where a version's run keeps what it was made of."""

NEXT = (
    "roll back to another version ('evergreen rollback --to N'), or trigger Retrain; "
    "docs/security.md says what is checked"
)

OUT = (
    f"'{DOCTOR}' lets the newest promotion that the storage records serve again, as a rollback would, or nobody until "
    "a challenger is promoted; 'evergreen doctor' names what a person who vouches for it may adopt"
)


def write(version: int, window: Window, candidate: Candidate, lineage: Mapping[str, Any], services: Services) -> None:
    """Record a version that was just registered; one that is recorded already stays as it is.

    Raises
    ------
    UntrustedModel
        If its model file, or its run, is not that of the fit.
    """
    facts = {
        "lineage_sha256": promotion_record.hash_lineage(lineage),
        "data_version": window.data_version,
        "code_version": lineage["code_version"],
    }
    model = services.tracking.servable(version).model_copy(update=facts)
    if model.run_id != candidate.run_id or candidate.model_sha256 not in (None, model.model_sha256):
        fitted = (candidate.model_sha256 or "")[:12]
        raise UntrustedModel(
            f"version {version} in MLflow (model file {model.model_sha256[:12]} of run {model.run_id}) is not the one "
            f"that was fitted ({fitted} of run {candidate.run_id}): somebody replaced it; trigger Retrain with force"
        )
    services.storage.create_bytes(_name(version, model.run_id), model.model_dump_json(indent=2).encode())


def recorded(version: int, services: Services) -> JudgedModel:
    """Read what the storage records of a version: of its promotion, else of its registration.

    Raises
    ------
    UntrustedModel
        If it records nothing of the version with the run that MLflow names now.
    """
    run_id = services.tracking.version_tags(version)["run_id"]
    registered = _registered(version, run_id, services)
    promoted = promotion_record.read(version, run_id, services)
    if promoted is not None:
        at_first = registered.lineage_sha256 if registered else None
        return promoted.model_copy(update={"lineage_sha256": promoted.lineage_sha256 or at_first})
    if registered is not None:
        return registered
    raise UntrustedModel(
        f"version {version} with run {run_id} was not registered by Evergreen{_other_runs(version, services)}: "
        f"somebody else registered it, or pointed it at another run in MLflow; {NEXT}"
    )


def promoted(version: int, services: Services) -> JudgedModel:
    """Read what a promotion records of a version: only such a version may serve.

    Raises
    ------
    UntrustedModel
        If no promotion of ours names the version with the run that MLflow names now.
    """
    run_id = services.tracking.version_tags(version)["run_id"]
    model = promotion_record.read(version, run_id, services)
    if model is None:
        raise UntrustedModel(
            f"version {version} with run {run_id} may not serve: the storage records no promotion of it"
            f"{_other_runs(version, services)}. A decision was forged in MLflow, the version was pointed at another "
            f"run, or the storage is older than MLflow. {OUT}"
        )
    return model


def load(version: int, services: Services) -> Pipeline:
    """Load a version's model if it is, byte by byte, the one that the storage records.

    Raises
    ------
    UntrustedModel
        If it is another one, or nothing is recorded of it.
    """
    model = recorded(version, services)
    return services.tracking.load_model(version, sha256=model.model_sha256)


def lineage_of(version: int, services: Services) -> dict[str, Any]:
    """Read a version's lineage if it is, byte by byte, the one that the storage records.

    Raises
    ------
    UntrustedModel
        If it is another one, or nothing is recorded of it.
    MissingArtifact
        If it is not there.
    """
    model = recorded(version, services)

    def read(path: Path) -> dict[str, Any]:
        digest = rows.sha256(path)
        if model.lineage_sha256 != digest:
            raise UntrustedModel(
                f"{LINEAGE} of version {version} in MLflow (SHA-256 {digest[:12]}) is not the one that was recorded "
                f"({(model.lineage_sha256 or 'none')[:12]}): somebody changed it; restore it from a backup, or {NEXT}"
            )
        lineage: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return lineage

    return services.tracking.read_file(version, LINEAGE, read)


def write_decision(key: str, effective_day: date | None, payload: Mapping[str, Any], services: Services) -> None:
    """Record a change of the champion that was claimed, to distinguish it from one that was forged in MLflow."""
    facts = _facts(key, effective_day, payload)
    services.storage.create_bytes(_decision_name(facts), json.dumps(facts, indent=2, sort_keys=True).encode())


def is_recorded(decision: Logged, services: Services) -> bool:
    """Say whether the storage records a change of the champion with the same key, version and day."""
    return services.storage.exists(_decision_name(_facts(decision.key, decision.effective_day, decision.payload)))


def check_decision(decision: Logged, services: Services) -> None:
    """Check that a change of the champion is recorded in the storage with the same version and day.

    Raises
    ------
    UntrustedModel
        If it is not: it was forged, or changed, in MLflow.
    """
    facts = _facts(decision.key, decision.effective_day, decision.payload)
    if is_recorded(decision, services):
        return
    raise UntrustedModel(
        f"the decision '{decision.key}' (run {decision.decision_id}) lets version {facts['version']} serve from "
        f"{facts['effective_day']} on, and the storage records no such change of the champion: it was forged or "
        f"changed in MLflow, or the storage is older than MLflow. {OUT}"
    )


def check_champion(version: int, effective_day: date, decisions: Sequence[Logged], services: Services) -> JudgedModel:
    """Check that a version serves from ``effective_day`` on by a decision and a promotion that the storage records.

    Raises
    ------
    UntrustedModel
        If the storage does not record either.
    """
    for decision in reversed(history.crownings(decisions)):
        if (decision.payload["version"], decision.effective_day) == (version, effective_day):
            check_decision(decision, services)
            break
    return promoted(version, services)


def _facts(key: str, effective_day: date | None, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": key,
        "version": payload.get("version"),
        "effective_day": effective_day.isoformat() if effective_day else None,
        "window_last_day": payload.get("window_last_day"),
    }


def _decision_name(facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"promoted/decision={digest[:32]}.json"


def _registered(version: int, run_id: str, services: Services) -> JudgedModel | None:
    name = _name(version, run_id)
    if not services.storage.exists(name):
        return None
    try:
        return JudgedModel.model_validate_json(services.storage.get_bytes(name))
    except ValidationError as err:
        raise MissingArtifact(
            f"{services.storage.uri(name)} is damaged ({err.error_count()} errors); bring it back from a backup"
        ) from err


def _other_runs(version: int, services: Services) -> str:
    """Name the runs with which the storage records this version; nothing if there are none."""
    names = [
        name
        for folder in ("promoted", "registered")
        for name in services.storage.list(f"{folder}/version={version}/")
        if name.endswith(".json")
    ]
    runs = sorted({name.rpartition("run=")[2].removesuffix(".json") for name in names})
    return f" (it was with run {', '.join(runs)})" if runs else ""


def _name(version: int, run_id: str) -> str:
    return f"registered/version={version}/run={run_id}.json"
