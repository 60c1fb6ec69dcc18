"""Load a model version to serve: from MLflow, with a copy of one's own for starts without it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from sklearn.pipeline import Pipeline

from ml import own_code
from ml.adapters import layout, models, rows
from ml.champions import promotion_record, recorded_models
from ml.champions.recorded_settings import training_of
from ml.core.data.schema import NULL, kind_of
from ml.core.training.estimators import of_sample, predict, refuse_other_kinds, trained_kinds
from ml.core.training.lagged_means import TargetAggregates, history_names
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable, UntrustedModel
from ml.records import JudgedModel
from ml.serving.explanations import Explanations
from ml.settings import Settings, parse
from ml.steps.score.row_scoring import Scorer, input_columns
from ml.wiring import Services

logger = logging.getLogger(__name__)
SAMPLE = "lineage/sample.parquet"
"""Where a version's run keeps rows with what it predicted for them when it was fitted."""
FACTS, SAMPLE_FILE = "facts.json", "sample.parquet"
TOLERANCE = 1e-9


@dataclass(frozen=True)
class ServedVersion:
    """A version that was loaded and tried.

    Attributes
    ----------
    types
        The types of the columns that a request may give: those that it reads, and those of the key.
    example
        A row as a request gives it.
    known_until
        The last day that it was trained on.
    explanations
        Divides predictions among columns.
    half_width
        See `ml.records.IntervalWidth`; None if its predictions have no intervals.
    """

    version: int
    run_id: str
    pipeline: Pipeline = field(repr=False)
    own: Settings = field(repr=False)
    types: Mapping[str, str] = field(repr=False)
    example: Mapping[str, Any] = field(repr=False)
    known_until: date
    explanations: Explanations = field(repr=False)
    half_width: float | None = None

    @property
    def needed(self) -> list[str]:
        """Name the columns that each row of a request must have."""
        return input_columns(self.own)

    @property
    def computed(self) -> set[str]:
        """Name the columns that the service looks up."""
        return set(history_names(self.own.features.history))

    def scorer(self, aggregates: TargetAggregates | None) -> Scorer:
        """Return what the batch scores with; None stands for no aggregates at all."""
        features, delay = self.own.features.history, self.own.task.label_delay_days
        empty = TargetAggregates({}, features, label_delay_days=delay)
        held = empty if aggregates is None else aggregates
        return Scorer(self.version, self.pipeline, self.own, held, half_width=self.half_width)


def from_registry(
    version: int,
    services: Services,
    folder: Path,
    *,
    record: Callable[[int, Services], JudgedModel] = recorded_models.promoted,
) -> ServedVersion:
    """Load a version from MLflow, try it on its own sample, and keep a copy in ``folder``.

    Parameters
    ----------
    record
        Reads what the storage records of the version: of its promotion, which a champion must have.

    Raises
    ------
    UntrustedModel
        If it may not serve, or predicts its own sample otherwise than when it was fitted.
    """
    model = record(version, services)
    own, known_until = training_of(version, services)
    if own.features.python is not None:
        raise SettingsError(
            f"version {version} cannot be served on request: features.python computes its columns from all rows of a "
            "day, which a request does not have. Serve a model without it, or score by the batch"
        )
    with _alone(folder):
        return _copied(model, own, known_until, services, folder)


def _copied(model: JudgedModel, own: Settings, known_until: date, services: Services, folder: Path) -> ServedVersion:
    """Copy a version to this machine, try the copy, and keep it instead of those before."""
    version = model.version
    part = folder / f".{layout.serving.served_copy(version)}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with services.tracking.packaged(model.run_id, version) as packaged:
        shutil.copy2(packaged / models.MODEL_FILE, part / models.MODEL_FILE)
    sample = services.tracking.read_file(version, SAMPLE, pd.read_parquet)
    sample.to_parquet(part / SAMPLE_FILE)
    types, example = _inputs_of(own, services)
    facts = {
        "version": version,
        "run_id": model.run_id,
        "model_sha256": model.model_sha256,
        "settings": own.model_dump(mode="json"),
        "own_code": recorded_models.code_of(version, services),
        "known_until": known_until.isoformat(),
        "half_width": recorded_models.half_width_of(version, own.fit.intervals, services),
        "types": types,
        "example": example,
    }
    (part / FACTS).write_text(json.dumps(facts, default=str), encoding="utf-8")
    served = _open(part, services)
    target = folder / layout.serving.served_copy(version)
    shutil.rmtree(target, ignore_errors=True)
    part.replace(target)
    for other in folder.glob(layout.serving.SERVED_COPIES):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return served


def from_copy(services: Services, folder: Path) -> ServedVersion | None:
    """Load the version that was served last from one's own copy; None if there is none.

    Raises
    ------
    UntrustedModel
        If the storage answers, and does not record a promotion of this very file.
    """
    with _alone(folder):
        return _from_copy(services, folder)


def _from_copy(services: Services, folder: Path) -> ServedVersion | None:
    copies = sorted(folder.glob(layout.serving.SERVED_COPIES), key=lambda path: path.stat().st_mtime)
    if not copies:
        return None
    facts = json.loads((copies[-1] / FACTS).read_text(encoding="utf-8"))
    try:
        recorded = promotion_record.read(facts["version"], facts["run_id"], services)
    except Unavailable as err:
        logger.warning("the storage did not answer (%s): the copy of version %s is taken", err, facts["version"])
    else:
        if recorded is None or recorded.model_sha256 != facts["model_sha256"]:
            raise UntrustedModel(
                f"the copy of version {facts['version']} in {copies[-1]} is not what a promotion recorded; remove it"
            )
    return _open(copies[-1], services)


def _alone(folder: Path) -> FileLock:
    """Keep other workers of this machine out of the folder of copies."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".lock")


def _open(folder: Path, services: Services) -> ServedVersion:
    """Load a copy, hold its file against its hash, and try it."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    path = folder / models.MODEL_FILE
    if not path.is_file() or (actual := rows.sha256(path)) != facts["model_sha256"]:
        raise UntrustedModel(
            f"the model file of version {facts['version']} "
            + (f"has SHA-256 {actual[:12]}, and not {facts['model_sha256'][:12]}" if path.is_file() else "is missing")
            + ": it is not loaded; restore it from a backup, or roll back"
        )
    own = parse(facts["settings"], origin=f"the settings of version {facts['version']}")
    with own_code.as_recorded(facts["own_code"]):
        pipeline = models.load(path, trusted=services.settings.fit.trusted_types)
    refuse_other_kinds(trained_kinds(pipeline, own.features), facts["types"], f"inputs, for version {facts['version']}")
    seen, expected = of_sample(pd.read_parquet(folder / SAMPLE_FILE))
    seen = seen.astype(
        {name: "object" for name in seen if seen[name].isna().all() and name in own.features.categorical}
    )
    predicted = predict(pipeline, seen, own.task.kind, len(own.task.classes))
    if predicted.shape != expected.shape or not np.allclose(predicted, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise UntrustedModel(
            f"version {facts['version']} predicts its own sample otherwise than when it was fitted; it is not served. "
            "Next: 'evergreen reproduce', or roll back"
        )
    return ServedVersion(
        version=facts["version"],
        run_id=facts["run_id"],
        pipeline=pipeline,
        own=own,
        types=facts["types"],
        example=facts["example"],
        known_until=date.fromisoformat(facts["known_until"]),
        explanations=Explanations(pipeline, seen, f"version {facts['version']} ({own.fit.estimator})"),
        half_width=facts.get("half_width"),
    )


def _inputs_of(own: Settings, services: Services) -> tuple[dict[str, str], dict[str, Any]]:
    """Return the types of the columns that a model reads and of its key, and a row of the newest day as an example."""
    schema = services.registry.schema()["inputs"]
    columns = list(dict.fromkeys([*own.task.key, *input_columns(own)]))
    missing = [name for name in columns if name not in schema]
    if missing:
        raise MissingArtifact(
            f"the data registry has no inputs with {', '.join(missing)}, which the model reads; ingest a day that has"
        )
    types = {name: schema[name] for name in columns}
    days = services.registry.days("inputs")
    newest = max(days)
    source = services.registry.open("inputs", first_day=newest, last_day=newest)[newest]
    first = next(iter(rows.batches(source, 1, columns=columns)), None)
    if first is None:
        raise EvergreenError(f"inputs of {newest} have no rows; ingest a day that has")
    held = {name: values[0] for name, values in first.to_pydict().items()}
    return types, {name: _as_json(held.get(name), types[name]) for name in columns}


def _as_json(value: Any, kind: str) -> Any:
    if value is None or kind == NULL:
        return None
    return value.isoformat() if kind_of(kind) == "time" else value
