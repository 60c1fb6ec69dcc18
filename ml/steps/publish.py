"""Publish a day's predictions: the whole set validated first, then written as one file or not at all."""

from __future__ import annotations

import logging
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from ml.adapters import rows
from ml.adapters.contract_parts import screen_parts
from ml.core import shards
from ml.core.shards import Rows
from ml.errors import DataRejected, MissingArtifact
from ml.records import Plan, Scoring
from ml.settings import Settings
from ml.steps.predict import staged_name
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
    served = services.shelf(f"predictions/day={day}")
    with tempfile.TemporaryDirectory() as folder:
        paths = [_fetch(piece, Path(folder), services) for piece in pieces]
        report_uri = _hold_to_contract(plan, paths, settings, services)
        whole = paths[0] if len(paths) == 1 else Path(folder) / "whole.parquet"
        if len(paths) > 1:
            rows.join_files(paths, whole)
        sha256, mean = rows.sha256(whole), _mean_prediction(whole, plan)
        uri = served.write_file(f"version={version}.parquet", whole)
    adaptation = pieces[0].adaptation
    served.write_json(
        f"version={version}.json",
        {
            "sha256": sha256,
            "rows": plan.shards[0].day_rows,
            "data_version": champion.data_version,
            "chosen_because": champion.reason,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"),
            "report": report_uri,
            "shards": [{"first_row": each.first_row, "rows": each.rows, "sha256": each.sha256} for each in pieces],
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
    said = shards.amiss(wanted, [Rows(each.first_row, each.rows) for each in scorings])
    others = sorted(
        {f"{each.day} by version {each.version}" for each in scorings}
        - {f"{champion.day} by version {champion.version}"}
    )
    if others:
        said = "; ".join([*([said] if said else []), f"there are predictions of {', '.join(others)}"])
    if not said and len({each.adaptation for each in scorings}) > 1:
        said = "its shards are not adapted alike"
    if said:
        raise MissingArtifact(
            f"predictions of {champion.day} by version {champion.version} are not whole: {said}; "
            "clear 'predict' and what follows"
        )
    return sorted(scorings, key=lambda each: each.first_row)


def _fetch(piece: Scoring, folder: Path, services: Services) -> Path:
    """Copy a staged shard here; refuse one that was lost, changed or only half written."""
    part = Rows(piece.first_row, piece.rows)
    place = services.shelf(f"staging/day={piece.day}/version={piece.version}")
    name = staged_name(part, piece.sha256)
    try:
        path = place.objects.get_file(place.name(name), folder / name)
    except MissingArtifact as err:
        raise MissingArtifact(f"{part} of {piece.day}: {err}; clear 'predict' and what follows") from err
    if rows.sha256(path) != piece.sha256:
        raise MissingArtifact(f"{place.uri(name)} is not what was predicted; clear 'predict' and what follows")
    return path


def _hold_to_contract(plan: Plan, paths: Sequence[Path], settings: Settings, services: Services) -> str:
    """Screen shard by shard, in the memory of one, and keep one report of the whole day."""
    champion = plan.shards[0].champion
    what = f"predictions of {champion.day} by version {champion.version}"

    def parts() -> Iterator[tuple[pd.DataFrame, Mapping[str, object]]]:
        for shard, path in zip(plan.shards, paths, strict=True):
            frame = pd.read_parquet(path)
            served = frame.drop(columns="raw_prediction", errors="ignore")  # what adapting moved: lineage, not served
            yield served, {"days": [champion.day.isoformat()], "expected_rows": shard.rows}

    screened = screen_parts(services.contracts, "predictions", parts())
    shelf = services.shelf(f"validation/predictions/day={champion.day}")
    report_uri = shelf.write_text(f"version={champion.version}.html", screened.html)
    screened.raise_if_refused(report_uri, what)
    _hold_to_inputs(plan, paths, settings, services)
    return report_uri


def _hold_to_inputs(plan: Plan, paths: Sequence[Path], settings: Settings, services: Services) -> None:
    """Refuse predictions that are not of the day's own rows, in their order, or of a key that comes twice."""
    champion, key = plan.shards[0].champion, list(settings.task.key)
    day = champion.day
    source = services.registry.open("inputs", rev=champion.data_version, first_day=day, last_day=day)[day]
    seen = []
    for shard, path in zip(plan.shards, paths, strict=True):
        part = Rows(shard.first_row, shard.rows)
        if not rows.same_values(path, source, key, part=part):
            raise MissingArtifact(
                f"predictions of {day} by version {champion.version}: those of {part} are not of the day's own rows; "
                "clear 'predict' and what follows"
            )
        seen += [rows.hashes(batch.to_pandas(), key) for batch in rows.batches(path, rows.BATCH_ROWS, columns=key)]
    if len(paths) > 1 and (twice := _twice(paths, key, np.concatenate(seen))):
        raise DataRejected(
            f"predictions of {day} by version {champion.version} refused: {', '.join(key)} must be unique together, "
            f"and {twice} is in several shards; mend the inputs of {day}, ingest it again and clear this run"
        )


def _twice(paths: Sequence[Path], key: list[str], seen: np.ndarray) -> str:
    """Find a key that comes twice, if 64 bits of them say that there may be one."""
    ordered = np.sort(seen)
    doubtful = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    if not len(doubtful):
        return ""
    found = [
        frame.loc[np.isin(rows.hashes(frame, key), doubtful)]
        for path in paths
        for batch in rows.batches(path, rows.BATCH_ROWS, columns=key)
        for frame in [batch.to_pandas()]
    ]
    together = pd.concat(found, ignore_index=True)
    again = together.loc[together.duplicated()]
    return " ".join(map(str, again.iloc[0])) if len(again) else ""


def _mean_prediction(path: Path, plan: Plan) -> float:
    """Add up batch by batch, so that the sum is the same whatever the shards."""
    sums = [
        float(batch["prediction"].to_numpy().sum())
        for batch in rows.batches(path, plan.shards[0].batch_rows, columns=["prediction"])
    ]
    return math.fsum(sums) / max(plan.shards[0].day_rows, 1)
