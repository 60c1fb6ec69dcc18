"""One day of one asset, screened: what its contract says of it, and the report and rows that are kept of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from ml.adapters import layout
from ml.adapters.column_types import conform
from ml.adapters.contracts.day_files import ScreenedFile, screen_file
from ml.adapters.contracts.many_tables import RowMetrics
from ml.core.data.contracts import DayProfile
from ml.core.data.schema import Types
from ml.records import Asset, AssetScreening
from ml.steps.ingest.expected_types import expected_of, learned_types
from ml.wiring import Services


def screen_day(
    services: Services,
    asset: Asset,
    day: date,
    path: Path,
    *,
    recent: Sequence[DayProfile],
    known_keys: Path | None,
    learned: Mapping[Asset, Types] | None = None,
    row_metrics: RowMetrics | None = None,
) -> ScreenedFile:
    """Hold one day of one asset against its suite, with limits from its recent past; the rows go beside ``path``.

    ``learned`` are the types that were learned, by asset; None means those of the data registry. ``row_metrics`` is
    what `Contracts.row_metrics` found of this very table.
    """
    types = learned_types(services) if learned is None else learned
    return screen_file(
        services.contracts,
        asset,
        path,
        key=services.settings.task.key,
        parameters={"day": day.isoformat(), **services.contracts.baselines(asset, recent, day=day)},
        folder=path.parent,
        rows_at_once=services.settings.screen.rows_at_once,
        known_keys=known_keys,
        clashes=conform(path, asset, expected_of(services.settings, asset, types)),
        row_metrics=row_metrics,
        engine=services.engine,
    )


def keep(services: Services, asset: Asset, day: date, path: Path, screened_file: ScreenedFile) -> AssetScreening:
    """Keep the report, and whatever was quarantined, and say where they are.

    A refused table is kept as it came, so that nothing is lost.
    """
    screened = screened_file.screened
    stored, quarantine_folder = (
        services.storage_folder(folder(asset, day)) for folder in (layout.ingest.validation, layout.ingest.quarantine)
    )
    report_uri = stored.write_text(layout.ingest.REPORT, screened.html)
    stored.write_json(layout.ingest.RESULT, screened.result)
    if screened.rejected:
        quarantine_folder.write_file(layout.ingest.REJECTED_PARTITION, path)
        report_uri = quarantine_folder.write_text(layout.ingest.REPORT, screened.html)
        quarantine_folder.write_json(layout.ingest.RESULT, screened.result)
    if screened_file.quarantined is not None:
        quarantine_folder.write_file(layout.ingest.QUARANTINED_ROWS, screened_file.quarantined)
    rows, bad = screened.result["rows"], screened.result["quarantined_rows"]
    return AssetScreening(
        asset=asset,
        day=day,
        rows=rows,
        accepted_rows=screened.result["accepted_rows"],
        quarantined_rows=rows if screened.rejected else bad,
        report_uri=report_uri,
        quarantine_uri=quarantine_folder.uri() if screened.rejected or bad else None,
        rejected=screened.rejected,
    )
