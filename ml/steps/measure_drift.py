"""Measure how far the newest days have moved from what the champion knew."""

from __future__ import annotations

import json
import logging
from datetime import date, timedelta
from pathlib import Path

import pandas as pd

from ml.core import drift
from ml.records import Champion, DriftReport
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, *, settings: Settings, services: Services) -> DriftReport:
    """Compare the trailing window with the champion's reference and keep Evidently's report.

    What cannot be measured is ``unknown``, with the reason; it is never drift, and never calm.
    """
    day = champion.day
    logger.info("measure_drift: %s against version %s", day, champion.version)
    if champion.version is None:
        return _unknown(champion, champion.reason)
    first = day - timedelta(days=settings.drift.window_days - 1)
    current = _inputs(first, day, champion, services)
    if len(current) < settings.drift.min_rows:
        said = f"only {len(current)} rows from {first} to {day}, drift.min_rows is {settings.drift.min_rows}"
        return _unknown(champion, said)
    reference, limits = services.tracking.read_file(champion.version, "monitoring", _read_reference)
    from ml.adapters import drift as evidently

    measured = evidently.measure(reference, current, limits)
    columns = drift.judge(measured.scores, measured.methods, limits, settings.drift)
    status, reason = drift.verdict(columns, settings.drift)
    shelf = services.shelf(f"monitor/day={day}/version={champion.version}")
    report = DriftReport(
        day=day,
        status=status,
        champion_version=champion.version,
        reason=reason,
        current_first_day=first,
        current_rows=len(current),
        columns=columns,
        report_uri=shelf.write_text("drift.html", measured.html),
        result_uri=shelf.uri("drift.json"),
    )
    shelf.write_json("drift.json", {**report.model_dump(mode="json"), "evidently": measured.result})
    logger.info("measure_drift: %s: %s", status, reason)
    return report


def _inputs(first: date, last: date, champion: Champion, services: Services) -> pd.DataFrame:
    paths = services.registry.open("inputs", rev=champion.data_version, first_day=first, last_day=last)
    return pd.concat([pd.read_parquet(path) for path in paths.values()], ignore_index=True)


def _read_reference(folder: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    limits = json.loads((folder / "limits.json").read_text(encoding="utf-8"))
    return pd.read_parquet(folder / "reference.parquet"), limits


def _unknown(champion: Champion, reason: str) -> DriftReport:
    logger.info("measure_drift: unknown: %s", reason)
    return DriftReport(day=champion.day, status="unknown", champion_version=champion.version, reason=reason)
