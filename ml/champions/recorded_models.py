"""Load only what the storage records: of each version its run, and the hashes of its model file and its lineage.

*register* records every challenger (``registered/version=N/run=ID.json``), a promotion what may serve
(`ml.champions.promotion_record`). Each record is created once. Whoever can write to MLflow only cannot change one.
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

from ml import own_code
from ml.adapters import layout, rows
from ml.adapters.champion_changes import DOCTOR, ChampionChange
from ml.champions import promotion_record
from ml.core.champions import tenures
from ml.errors import MissingArtifact, UntrustedModel
from ml.next_moves import retrain, roll_back
from ml.records import Candidate, IntervalWidth, JudgedModel, Logged, Window
from ml.settings import Intervals
from ml.wiring import Services

logger = logging.getLogger(__name__)
LINEAGE = "lineage/lineage.json"
"""Where a version's run keeps what it was made of."""

OWN_CODE = "own_code"
"""The tag of a version that was trained with modules of an adopter's: their names."""

NEXT = f"{roll_back()}, or {retrain()}; docs/security.md says what is checked"

OUT = (
    f"'{DOCTOR}' lets the newest promotion that the storage records serve again, as a rollback would, or nobody until "
    "a challenger is promoted; 'evergreen doctor' names what a person who vouches for it may adopt"
)


def write(
    version: int,
    window: Window,
    candidate: Candidate,
    lineage: Mapping[str, Any],
    services: Services,
    *,
    interval: IntervalWidth | None = None,
) -> None:
    """Record a version that was just registered, with its prediction intervals; one that is recorded stays as it is.

    Raises
    ------
    UntrustedModel
        If its model file, or its run, is not that of the fit.
    """
    model = promotion_record.with_origin(services.tracking.servable(version), window, lineage)
    if (model.run_id, model.model_sha256) != (candidate.run_id, candidate.model_sha256):
        raise UntrustedModel(
            f"version {version} in MLflow (model file {model.model_sha256[:12]} of run {model.run_id}) is not the one "
            f"that was fitted ({candidate.model_sha256[:12]} of run {candidate.run_id}): somebody replaced it; "
            f"{retrain(force=True)}"
        )
    promotion_record.write(model.model_copy(update={"interval": interval}), services, kind="registered")


def recorded(version: int, services: Services) -> JudgedModel:
    """Read what the storage records of a version: of its promotion, else of its registration.

    Raises
    ------
    UntrustedModel
        If it records nothing of the version with the run that MLflow names now.
    """
    run_id = services.tracking.version_tags(version)["run_id"]
    registered = promotion_record.read(version, run_id, services, kind="registered")
    promoted = promotion_record.read(version, run_id, services)
    if promoted is not None:
        if registered is None:
            return promoted
        at_first = {
            "lineage_sha256": promoted.lineage_sha256 or registered.lineage_sha256,
            "interval": promoted.interval or registered.interval,
        }
        return promoted.model_copy(update=at_first)
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
    with own_code.as_recorded(code_of(version, services)):
        return services.tracking.load_model(version, sha256=model.model_sha256)


def half_width_of(version: int, declared: Intervals | None, services: Services) -> float | None:
    """Return by how much the intervals of a version reach above and below its predictions; None without intervals.

    Parameters
    ----------
    declared
        ``fit.intervals`` of the version's own settings.

    Raises
    ------
    MissingArtifact
        If its settings declare intervals, and the storage records none.
    """
    if declared is None:
        return None
    interval = recorded(version, services).interval
    if interval is None:
        raise MissingArtifact(
            f"version {version} is to give prediction intervals (fit.intervals), and the storage records no width of "
            f"them; bring its records back from a backup, {roll_back()}, or {retrain(force=True)}"
        )
    return interval.half_width


def code_of(version: int, services: Services) -> dict[str, Any]:
    """Return the modules that a version was trained with beside Evergreen's, as its lineage holds them; mostly none.

    Raises
    ------
    UntrustedModel
        If the lineage is another one, or nothing is recorded of it.
    """
    if OWN_CODE not in services.tracking.version_tags(version):
        return {}
    modules: dict[str, Any] = lineage_of(version, services).get("own_code", {})
    return modules


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


def write_change(change: ChampionChange, services: Services) -> None:
    """Record a claimed change of the champion: the model that then serves, if it names one, and the decision."""
    if change.model is not None:
        promotion_record.write(change.model, services)
    write_decision(change.key, change.effective_day, change.payload, services)


def write_decision(key: str, effective_day: date | None, payload: Mapping[str, Any], services: Services) -> None:
    """Record a change of the champion that was claimed, to distinguish it from one that was forged in MLflow."""
    facts = _facts(key, effective_day, payload)
    services.storage.create_bytes(_decision_name(facts), json.dumps(facts, indent=2, sort_keys=True).encode())


def is_recorded(decision: Logged, services: Services) -> bool:
    """Return whether the storage records a change of the champion with the same key, version and day."""
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
    for decision in reversed(tenures.promotions_and_returns(decisions)):
        if (decision.payload["version"], decision.effective_day) == (version, effective_day):
            check_decision(decision, services)
            break
    return promoted(version, services)


def damaged(services: Services) -> list[str]:
    """Name the records of models, registered or promoted, that cannot be read."""
    names = []
    for name in _records(services):
        try:
            JudgedModel.model_validate_json(services.storage.get_bytes(name))
        except ValidationError:
            names.append(name)
        except MissingArtifact:  # quarantined by another doctor just now
            continue
    return names


def _facts(key: str, effective_day: date | None, payload: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "key": key,
        "version": payload.get("version"),
        "effective_day": effective_day.isoformat() if effective_day else None,
        "window_last_day": payload.get("window_last_day"),
    }


def _decision_name(facts: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return layout.champions.promoted_decision(digest)


def _records(services: Services, version: int | None = None) -> list[str]:
    """List the records of models, registered or promoted, of a version; None means of all."""
    return [
        name
        for kind in layout.champions.MODEL_RECORDS
        for name in services.storage.list(layout.champions.model_records(kind, version))
    ]


def _other_runs(version: int, services: Services) -> str:
    """Name the runs with which the storage records this version; nothing if there are none."""
    runs = sorted({layout.champions.run_of(name) for name in _records(services, version) if name.endswith(".json")})
    return f" (it was with run {', '.join(runs)})" if runs else ""
