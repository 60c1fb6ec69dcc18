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

from ml.adapters import layout
from ml.adapters.champion_changes import DOCTOR
from ml.adapters.workspace import Workspace
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import retrain
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
    model = services.tracking.servable(version)
    run_dir = _workspace(judgement, window, services)
    checked = _json(run_dir, "check/check.json").get("model_sha256")
    if checked is not None and checked != model.model_sha256:
        raise EvergreenError(
            f"the model file of version {version} in MLflow (SHA-256 {model.model_sha256[:12]}) is not the one that "
            f"was checked ({checked[:12]}): somebody replaced it; {retrain(force=True)}"
        )
    return with_origin(model, window, _json(run_dir, "model/lineage.json"))


def with_origin(model: JudgedModel, window: Window, lineage: Mapping[str, Any]) -> JudgedModel:
    """Add what a model was made of: the versions of data and code, and the hash of its lineage (None without one)."""
    facts = {
        "data_version": window.data_version,
        "code_version": lineage.get("code_version"),
        "lineage_sha256": hash_lineage(lineage) if lineage else None,
    }
    return model.model_copy(update=facts)


def write(model: JudgedModel, services: Services, *, kind: layout.champions.ModelRecord = "promoted") -> None:
    """Record a model as promoted, or as registered; one that is recorded already stays as it is."""
    name = layout.champions.model_record(kind, model.version, model.run_id)
    services.storage.create_bytes(name, model.model_dump_json(indent=2).encode())


def read(
    version: int, run_id: str, services: Services, *, kind: layout.champions.ModelRecord = "promoted"
) -> JudgedModel | None:
    """Read what was promoted, or registered, as ``version`` of ``run_id``; None if nothing of ours recorded it.

    Raises
    ------
    EvergreenError
        If the record is damaged; MissingArtifact if it is that of a registration.
    """
    name = layout.champions.model_record(kind, version, run_id)
    if not services.storage.exists(name):
        return None
    try:
        return JudgedModel.model_validate_json(services.storage.get_bytes(name))
    except ValidationError as err:
        damage = f"{services.storage.uri(name)} is damaged ({err.error_count()} errors); bring it back from a backup"
        if kind == "registered":
            raise MissingArtifact(damage) from err
        raise EvergreenError(f"{damage}, or remove it and run '{DOCTOR}'") from err


def is_known(version: int | None, services: Services) -> bool:
    """Return whether the storage records any promoted model of a version, of any run; None is no version, and known."""
    return version is None or any(services.storage.list(layout.champions.model_records("promoted", version)))


def _workspace(judgement: Judgement, window: Window, services: Services) -> Workspace:
    """Open the workspace of the version itself: of a refit its own, inside that of the judged one."""
    run_dir = services.workspace(window.workspace)
    if judgement.judged_version in (None, judgement.version):
        return run_dir
    return services.workspace(run_dir.uri("refit"))


def _json(run_dir: Workspace, name: str) -> dict[str, Any]:
    facts: dict[str, Any] = run_dir.read_json(name) if run_dir.has(name) else {}
    return facts


def hash_lineage(lineage: Mapping[str, Any]) -> str:
    """Hash the lineage as the run's file holds it: see `ml.steps.retrain.fit`."""
    return hashlib.sha256(json.dumps(dict(lineage), indent=2, sort_keys=True).encode()).hexdigest()
