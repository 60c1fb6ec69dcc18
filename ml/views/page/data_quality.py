"""What the contracts said, day by day, and the rows that they kept out."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import islice
from typing import Any

from ml.adapters import layout, rows
from ml.core.data.quality_history import DayQuality, day_quality, quality_history
from ml.core.monitoring.day_summary import plain
from ml.errors import EvergreenError, MissingArtifact
from ml.next_moves import ingest_past, rerun
from ml.views.page.cache import MEMORY, MISSING
from ml.views.page.data_inventory import ASSETS, quarantined_days
from ml.views.page.sources import held, hint
from ml.wiring import Services

logger = logging.getLogger(__name__)
THREADS, FRESH_DAYS, SECONDS = 16, 14, 300.0
"""Results of the newest days are read each time; others, which a cleared run changes, once in so many seconds."""

FILES = {"rows": layout.ingest.QUARANTINED_ROWS, "partition": layout.ingest.REJECTED_PARTITION}
SHOWN_ROWS, CSV_ROWS, AT_ONCE = 200, 50_000, 1_000
"""So many rows of a day are shown, and handed out as CSV; the Parquet file has them all."""

MOST_TEXT = 200
Facts = dict[str, Any]
Table = tuple[list[str], int, Iterator[tuple[Any, ...]]]


def data_quality(services: Services, *, asset: str = "inputs", days: int = 90) -> Facts:
    """Gather what the contract of an asset said of the newest ``days`` calendar days.

    Returns
    -------
    dict
        `ml.core.data.quality_history.quality_history`, with ``asset``; ``kept_out``: the days of which rows, or all of
        it, are in quarantine; ``unreadable``; ``hint``, what to do if there is nothing.
    """
    _check_asset(asset)
    inventory = held(services)
    present = set(inventory.inputs if asset == "inputs" else inventory.labels)
    quarantined = {day for name, day in quarantined_days(services) if name == asset}
    newest, oldest = max(present | quarantined, default=None), min(present | quarantined, default=date.max)
    span = [] if newest is None else [newest - timedelta(days=back) for back in reversed(range(days))]
    shown = [day for day in span if day >= oldest]
    by_day, unreadable = _results(services, asset, shown)
    facts: Facts = plain(
        {
            "asset": asset,
            **quality_history(shown, by_day),
            "kept_out": sorted(day for day in quarantined if day in set(shown)),
            "unreadable": unreadable,
            "hint": None if shown else hint(services, f"No day was ingested yet: {ingest_past()}."),
        }
    )
    return facts


def quarantined_rows(services: Services, *, asset: str, day: str) -> Facts:
    """Read the first rows of a day that its contract kept out.

    Returns
    -------
    dict
        ``asset`` and ``day``; ``tables``: of ``rows`` (some were quarantined) and ``partition`` (all of it was
        rejected), as far as there are: ``what``, ``columns``, ``rows`` (the first `SHOWN_ROWS`, as text), ``total``,
        ``file``, the name of the whole as `ml.views.page.file` reads it, and ``csv_rows``, how many are in the CSV.
    """
    which = _kept_out(services, asset, day)
    tables = []
    for what in which:
        with _table(services, asset, day, what) as (columns, total, read):
            shown = [[_text(value) for value in row] for row in islice(read, SHOWN_ROWS)]
        name = f"{layout.ingest.quarantine(asset, day)}/{FILES[what]}"
        tables.append(
            {
                "what": what,
                "columns": columns,
                "rows": shown,
                "total": total,
                "file": name,
                "csv_rows": min(total, CSV_ROWS),
            }
        )
    return {"asset": asset, "day": day, "tables": tables}


def quarantined_csv(services: Services, *, asset: str, day: str, what: str) -> str:
    """Write the rows of a day that its contract kept out as CSV, the first `CSV_ROWS`.

    A text that a spreadsheet would run as a formula is kept a text.
    """
    if what not in _kept_out(services, asset, day):
        raise MissingArtifact(f"there are no such rows of {asset} of {day}; go back and choose another day")
    target = io.StringIO()
    writer = csv.writer(target)
    with _table(services, asset, day, what) as (columns, _, read):
        writer.writerow([_harmless(column) for column in columns])
        writer.writerows([_harmless(value) for value in row] for row in islice(read, CSV_ROWS))
    return target.getvalue()


def _check_asset(asset: str) -> None:
    if asset not in ASSETS:
        raise MissingArtifact(f"there is no data asset {asset!r}; there are: {', '.join(ASSETS)}")


def _kept_out(services: Services, asset: str, day: str) -> list[str]:
    """Return what of a day is in quarantine: some ``rows``, the ``partition``, or both, from two deliveries."""
    _check_asset(asset)
    try:
        folder = services.storage_folder(layout.ingest.quarantine(asset, date.fromisoformat(day)))
    except ValueError as err:
        raise EvergreenError(f"{day!r} is not a day: write it as 2026-11-28") from err
    which = [what for what, name in FILES.items() if folder.has(name)]
    if not which:
        raise MissingArtifact(f"no rows of {asset} of {day} are in quarantine; choose another day")
    return which


@contextmanager
def _table(services: Services, asset: str, day: str, what: str) -> Iterator[Table]:
    """Yield the columns of a file in quarantine, how many rows it has, and the rows, read as they are asked for."""
    with services.storage_folder(layout.ingest.quarantine(asset, day)).local(FILES[what]) as path:
        names = list(rows.types_of(path).names)
        read = (
            row
            for batch in rows.batches(path, AT_ONCE)
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        )
        yield names, rows.count_rows(path), read


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _results(services: Services, asset: str, days: list[date]) -> tuple[dict[date, DayQuality], list[dict[str, str]]]:
    """Read what the contract said of some days, several at once; what cannot be read is named."""
    unreadable: list[dict[str, str]] = []
    storage, fresh = services.storage, set(days[-FRESH_DAYS:])

    def read(day: date) -> DayQuality | None:
        key = ("quality", services.environment.storage, asset, day)
        cached: Any = MISSING if day in fresh else MEMORY.recall(key)
        if cached is not MISSING:
            remembered: DayQuality | None = cached
            return remembered
        name = f"{layout.ingest.validation(asset, day)}/{layout.ingest.RESULT}"
        try:
            quality = day_quality(json.loads(storage.get_bytes(name)))
        except MissingArtifact:
            quality = None
        except (ValueError, EvergreenError) as err:
            if isinstance(err, EvergreenError) and err.retryable:
                raise
            logger.warning("data quality: %s cannot be read: %s", name, err)
            message = f"{storage.uri(name)} cannot be read ({err}): {rerun('ingest', day, step='screen')}"
            unreadable.append({"day": day.isoformat(), "message": message})
            return None
        MEMORY.keep(key, quality, SECONDS)
        return quality

    if not days:
        return {}, []
    with ThreadPoolExecutor(min(THREADS, len(days))) as pool:
        results = dict(zip(days, pool.map(read, days), strict=True))
    return {day: quality for day, quality in results.items() if quality is not None}, unreadable
