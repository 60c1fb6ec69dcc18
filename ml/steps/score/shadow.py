"""Score a day in shadow: with versions that do not serve it, kept apart from what is served."""

from __future__ import annotations

import logging
import os
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

from ml.adapters import layout
from ml.champions import serving_state
from ml.core.champions import previous_champion, tenures
from ml.errors import UntrustedModel
from ml.records import Champion, Shadows
from ml.settings import Settings
from ml.steps.score.scorer import score_to, whole_day
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, *, settings: Settings, services: Services) -> Shadows:
    """Write what the version that served before, and a held challenger, would have predicted.

    The version before scores along for ``rollback.watch_days`` days after a promotion, a held
    challenger while ``score.shadow_challenger`` says so. Neither scores a day that it was trained
    on. Equal data and version give equal bytes.

    Raises
    ------
    UntrustedModel
        At the end, if somebody moved the alias ``champion``: what serves follows the decisions, and a mail reports it.
    """
    logger.info("shadow: %s", champion.day)
    wanted, reasons = _wanted(champion, settings, services)
    versions, uris = [], []
    for version, reason in wanted.items():
        seen = _had_seen(version, champion.day, services)
        if seen is not None:
            reasons.append(seen)
            continue
        versions.append(version)
        uris.append(_score(champion, version, reason, settings, services))
        reasons.append(reason)
    reason = "; ".join(reasons)
    logger.info("shadow: %s", reason)
    _refuse_moved_alias(services)
    return Shadows(day=champion.day, versions=tuple(versions), uris=tuple(uris), reason=reason)


def _refuse_moved_alias(services: Services) -> None:
    """Fail, so that a mail goes out, if the champion's alias is where no decision has put it."""
    serving = serving_state.await_alias(services)
    if serving.alias != serving.version:
        raise UntrustedModel(
            f"the day was scored with the version that the decisions name, but {serving_state.moved_by_hand(serving)}"
        )


def _wanted(champion: Champion, settings: Settings, services: Services) -> tuple[dict[int, str], list[str]]:
    """Name the versions to score with and why, and say of the others why not."""
    wanted: dict[int, str] = {}
    reasons: list[str] = []
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    watched_days = settings.land.calendar_days(settings.rollback.watch_days)
    watch, reason = previous_champion.watch_of(champion.day, champion.version, decisions, days=watched_days)
    if watch is not None and champion.day <= watch.last_day:
        wanted[watch.previous] = reason
    else:
        reasons.append(reason)
    challenger = services.tracking.alias("challenger") if settings.score.shadow_challenger else None
    if challenger is not None and challenger not in {champion.version, *wanted}:
        wanted[challenger] = f"version {challenger} is a challenger that does not serve"
    return wanted, reasons


def _had_seen(version: int, day: date, services: Services) -> str | None:
    """Explain that a version was trained on the day, or that nobody knows; None if it is new to it."""
    tags = services.tracking.version_tags(version)
    last_days = [tags[name] for name in ("window_last_day", "train_last_day") if name in tags]
    if not last_days:
        return f"version {version} is left out: its tags do not say what it was trained on"
    last = max(last_days)
    return f"version {version} is left out: it was trained on days up to {last}" if last >= day.isoformat() else None


def _score(champion: Champion, version: int, reason: str, settings: Settings, services: Services) -> str:
    stored = services.storage_folder(layout.scoring.shadow(champion.day))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shadow.parquet"
        shard = whole_day(champion, settings, services)
        scored = score_to(path, shard, version, settings=settings, services=services)
        uri = stored.write_file(layout.scoring.version_table(version), path)
    stored.write_json(
        layout.scoring.version_facts(version),
        {
            "sha256": scored.sha256,
            "rows": scored.rows,
            "data_version": champion.data_version,
            "beside": champion.version,
            "chosen_because": reason,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"),
            **({"adaptation": scored.adaptation.model_dump(mode="json")} if scored.adaptation else {}),
        },
    )
    return uri
