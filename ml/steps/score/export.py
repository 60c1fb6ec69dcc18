"""Write the predictions of a day to the table of a database too (``score.sink``); the file stays what is served."""

from __future__ import annotations

import logging
import sys
from datetime import date
from typing import TYPE_CHECKING

from ml.adapters import layout, rows
from ml.command_line import execute, iso_day, parser
from ml.core.data.days import days_between
from ml.errors import MissingArtifact, SettingsError
from ml.next_moves import rerun
from ml.records import Export, Exports
from ml.settings import Settings
from ml.steps.score import resolve
from ml.wiring import Services, open_services

if TYPE_CHECKING:
    from ml.adapters.sql.predictions import PredictionTable

logger = logging.getLogger(__name__)


def run(day: date, version: int, *, settings: Settings, services: Services) -> Export:
    """Put the published predictions of a day in the place of those that the table has of it, in one transaction.

    Done again, or after a death half-way, it leaves the same rows.

    Raises
    ------
    SettingsError
        If there is no ``score.sink``, or its table lacks a column.
    MissingArtifact
        If the version published no predictions of that day, or the file is not the one that was published.
    Unavailable
        If the database does not answer.
    """
    table = _table(settings, services)
    logger.info("export: %s by version %s to %s", day, version, table.name)
    stored = services.storage_folder(layout.scoring.predictions(day))
    if not stored.has(layout.scoring.version_facts(version)):
        raise MissingArtifact(f"version {version} has published no predictions of {day}; {rerun('score', day)}")
    facts = stored.read_json(layout.scoring.version_facts(version))
    with stored.local(layout.scoring.version_table(version)) as path:
        if rows.sha256(path) != facts["sha256"]:
            raise MissingArtifact(
                f"the predictions of {day} by version {version} are not those that were published; "
                f"{rerun('score', day)}"
            )
        size = settings.score.sink.batch_rows if settings.score.sink else rows.BATCH_ROWS
        written = table.replace_day(day, version, rows.types_of(path), rows.batches(path, size))
    logger.info("export: %d rows", written)
    return Export(day=day, version=version, rows=written, table=table.name)


def _table(settings: Settings, services: Services) -> PredictionTable:
    from ml.adapters.sql.database import Database
    from ml.adapters.sql.predictions import PredictionTable

    sink = settings.score.sink
    if sink is None:
        raise SettingsError("params.yaml has no score.sink; name a database and a table there")
    database = Database(sink.database, "score.sink.database", new_file=True)
    return PredictionTable(database, sink.table, services.identity, sink.keep_versions)


def again(first: date, last: date, *, settings: Settings, services: Services) -> Exports:
    """Write each day of a period that was published once more; days without predictions are left out."""
    exports, left_out = [], []
    for day in days_between(first, last):
        try:
            version = resolve.run(day, settings=settings, services=services).version
            published = services.storage_folder(layout.scoring.predictions(day))
            if version is None or not published.has(layout.scoring.version_facts(version)):
                left_out.append(day)
                continue
        except MissingArtifact:
            left_out.append(day)
            continue
        exports.append(run(day, version, settings=settings, services=services))
    if not exports:
        raise MissingArtifact(f"nothing was published from {first} to {last}; {rerun('score', first)}")
    return Exports(exports=tuple(exports), left_out=tuple(left_out))


def main(argv: list[str] | None = None) -> int:
    """Write the published predictions of a day, or of a period, to the database once more."""
    arguments = parser(__doc__)
    arguments.add_argument("day", type=iso_day, help="such as 2013-04-01")
    arguments.add_argument("--to", type=iso_day, help="the last day of a period that begins on that day")
    options = arguments.parse_args(argv)

    def work() -> Exports:
        services = open_services()
        return again(options.day, options.to or options.day, settings=services.settings, services=services)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
