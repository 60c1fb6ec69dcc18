"""Publish a day's predictions: the whole set validated first, then written as one file or not at all."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ml.adapters import layout, rows
from ml.adapters.contracts.day_files import screen_file
from ml.champions.recorded_settings import settings_of
from ml.core.predictions import PREDICTION, RAW, names, representative
from ml.core.scoring import shards
from ml.core.scoring.shards import Rows
from ml.errors import MissingArtifact
from ml.names import LOWER, UPPER
from ml.next_moves import rerun
from ml.records import Plan, Scoring
from ml.settings import Settings
from ml.steps.score.scorer import predicted_in
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(plan: Plan, scorings: Sequence[Scoring], *, settings: Settings, services: Services) -> Scoring:
    """Hold the staged shards against their contract, and put them to where they are served as one file.

    The file holds only what follows from data and model, whoever scored it in however many shards: it is there
    whole, from one moment to the next. When, where and from what it was made goes into a sidecar beside it.

    Raises
    ------
    DataRejected
        If the predictions break their contract; what was served before stays.
    MissingArtifact
        If a shard is missing, or its file is not the one that its scoring tells of, or not of the day's rows.
    """
    champion = plan.shards[0].champion
    day, version = champion.day, champion.version
    logger.info("publish: %s by version %s, from %d shards", day, version, len(plan.shards))
    pieces = _in_order(plan, scorings)
    served = services.storage_folder(layout.scoring.predictions(day))
    with tempfile.TemporaryDirectory() as folder:
        paths = [_fetch(piece, Path(folder), services) for piece in pieces]
        whole = paths[0] if len(paths) == 1 else Path(folder) / "whole.parquet"
        if len(paths) > 1:
            rows.join_files(paths, whole)
        report_uri = _hold_to_contract(plan, whole, settings, services)
        _hold_to_inputs(plan, paths, settings, services)
        sha256, mean = rows.sha256(whole), _mean_prediction(whole, plan, services)
        uri = served.write_file(layout.scoring.version_table(version), whole)
    adaptation = pieces[0].adaptation
    served.write_json(
        layout.scoring.version_facts(version),
        {
            "sha256": sha256,
            "rows": plan.shards[0].day_rows,
            "data_version": champion.data_version,
            "chosen_because": champion.reason,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"),
            "report": report_uri,
            "shards": [{"first_row": piece.first_row, "rows": piece.rows, "sha256": piece.sha256} for piece in pieces],
            **({"adaptation": adaptation.model_dump(mode="json")} if adaptation else {}),
        },
    )
    logger.info("publish: %s", uri)
    return Scoring(
        day=day,
        version=pieces[0].version,
        rows=plan.shards[0].day_rows,
        mean_prediction=round(mean, 6),
        uri=uri,
        sha256=sha256,
        report_uri=report_uri,
        published=True,
        adaptation=adaptation,
    )


def _in_order(plan: Plan, scorings: Sequence[Scoring]) -> list[Scoring]:
    """Put what was scored in the order of its rows; refuse a set that is not the plan's."""
    champion = plan.shards[0].champion
    wanted = [Rows(shard.first_row, shard.rows) for shard in plan.shards]
    problem = shards.inconsistency(wanted, [Rows(scoring.first_row, scoring.rows) for scoring in scorings])
    others = sorted(
        {f"{scoring.day} by version {scoring.version}" for scoring in scorings}
        - {f"{champion.day} by version {champion.version}"}
    )
    if others:
        problem = "; ".join([*([problem] if problem else []), f"there are predictions of {', '.join(others)}"])
    if not problem and len({scoring.adaptation for scoring in scorings}) > 1:
        problem = "its shards are not adapted alike"
    if problem:
        raise MissingArtifact(
            f"predictions of {champion.day} by version {champion.version} are not whole: {problem}; "
            f"{rerun(step='predict')}"
        )
    return sorted(scorings, key=lambda scoring: scoring.first_row)


def _fetch(piece: Scoring, folder: Path, services: Services) -> Path:
    """Copy a staged shard here; refuse one that was lost, changed or only half written."""
    part = Rows(piece.first_row, piece.rows)
    stored = services.storage_folder(layout.scoring.staging(piece.day, piece.version))
    name = layout.scoring.staged_shard(part.first, part.end, piece.sha256)
    try:
        path = stored.objects.get_file(stored.name(name), folder / name)
    except MissingArtifact as err:
        raise MissingArtifact(f"{part} of {piece.day}: {err}; {rerun(step='predict')}") from err
    if rows.sha256(path) != piece.sha256:
        raise MissingArtifact(f"{stored.uri(name)} is not what was predicted; {rerun(step='predict')}")
    return path


def _hold_to_contract(plan: Plan, whole: Path, settings: Settings, services: Services) -> str:
    """Screen the whole day in bounded memory, and keep the report."""
    champion, key = plan.shards[0].champion, settings.task.key
    with tempfile.TemporaryDirectory() as folder:
        screened_file = screen_file(
            services.contracts,
            "predictions",
            _served(whole, Path(folder) / "served.parquet"),
            key=key,
            parameters={"days": [champion.day.isoformat()], "expected_rows": plan.shards[0].day_rows},
            folder=Path(folder),
            rows_at_once=settings.screen.rows_at_once,
            engine=services.engine,
        ).screened
    stored = services.storage_folder(layout.ingest.validation("predictions", champion.day))
    report_uri = stored.write_text(layout.scoring.version_report(champion.version), screened_file.html)
    screened_file.raise_if_rejected(report_uri, f"predictions of {champion.day} by version {champion.version}")
    return report_uri


def _served(whole: Path, target: Path) -> Path:
    """Leave out what no contract has to list: a copy, if there is such a column.

    What adapting moved is lineage and not served. The ends of an interval are the prediction plus and minus one number
    of the version: what holds for the prediction holds for them, and one suite suits versions with and without them.
    """
    types = rows.types_of(whole)
    unlisted = [name for name in (RAW, LOWER, UPPER) if name in types.names]
    if not unlisted:
        return whole
    for name in unlisted:
        types = types.remove(types.get_field_index(name))
    with rows.RowGroups(target, types) as served:
        for batch in rows.batches(whole, rows.BATCH_ROWS):
            served.write(batch)
    return target


def _hold_to_inputs(plan: Plan, paths: Sequence[Path], settings: Settings, services: Services) -> None:
    """Refuse predictions that are not of the day's own rows, in their order."""
    champion = plan.shards[0].champion
    day = champion.day
    source = services.registry.open("inputs", rev=champion.data_version, first_day=day, last_day=day)[day]
    for shard, path in zip(plan.shards, paths, strict=True):
        part = Rows(shard.first_row, shard.rows)
        if not rows.same_values(path, source, list(settings.task.key), part=part):
            raise MissingArtifact(
                f"predictions of {day} by version {champion.version}: those of {part} are not of the day's own rows; "
                f"{rerun(step='predict')}"
            )


def _mean_prediction(path: Path, plan: Plan, services: Services) -> float:
    """Add up batch by batch, so that the sum is the same whatever the shards; see `representative`."""
    columns, version = [PREDICTION], plan.shards[0].champion.version
    if version is not None and PREDICTION not in rows.types_of(path).names:
        columns = list(names(settings_of(version, services).task))
    batch_sums = [
        float(representative(predicted_in(batch, columns)).sum())
        for batch in rows.batches(path, plan.shards[0].batch_rows, columns=columns)
    ]
    return math.fsum(batch_sums) / max(plan.shards[0].day_rows, 1)
