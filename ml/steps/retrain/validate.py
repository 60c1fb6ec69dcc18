"""Validate the training window as a whole before anything is fitted on it."""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ml.adapters.window_rows import copy_days
from ml.adapters.workspace import Workspace
from ml.core.data.days import days_between
from ml.records import Window, WindowReport
from ml.settings import Settings
from ml.steps.retrain.stage import stage_main
from ml.wiring import Services

if TYPE_CHECKING:
    from ml.adapters.contracts import Screened

logger = logging.getLogger(__name__)


def run(window: Window, *, settings: Settings, services: Services) -> WindowReport:
    """Hold the joined rows against ``expectations/window.json``.

    Raises
    ------
    DataRejected
        If the window breaks its contract; the report is kept in the workspace.
    """
    logger.info("validate: window %s to %s", window.first_day, window.last_day)
    run_dir = services.workspace(window.workspace)
    facts = run_dir.read_json("data/window.json")
    days = [day.isoformat() for day in days_between(window.first_day, window.last_day)]
    parameters = {"days": days, "min_days": settings.pull.min_days}
    if facts["rows"] > settings.screen.rows_at_once:
        screened = _in_parts(run_dir, facts["days"], parameters, settings, services)
    else:
        rows = run_dir.read_table("data/rows.parquet")
        rows = rows.loc[rows["day"].isin(facts["days"])]
        screened = services.contracts.screen("window", rows, parameters=parameters)
    run_dir.write_json("validation/result.json", screened.result)
    report_uri = run_dir.write_text("validation/report.html", screened.html)
    screened.raise_if_rejected(report_uri, f"the window of {window.first_day} to {window.last_day}")
    logger.info("validate: %d rows accepted", facts["rows"])
    return WindowReport(fingerprint=window.fingerprint, report_uri=report_uri, rows=facts["rows"])


def _in_parts(
    run_dir: Workspace,
    days: Sequence[str],
    parameters: Mapping[str, object],
    settings: Settings,
    services: Services,
) -> Screened:
    """Validate a window of many rows in bounded memory, as a large day is: with the same verdict."""
    from ml.adapters.contracts.day_files import screen_file

    with run_dir.local("data/rows.parquet") as path, tempfile.TemporaryDirectory() as folder:
        of_window = Path(folder) / "window.parquet"
        copy_days(path, of_window, days)
        return screen_file(
            services.contracts,
            "window",
            of_window,
            key=settings.task.key,
            parameters=parameters,
            folder=Path(folder),
            rows_at_once=settings.screen.rows_at_once,
        ).screened


def main(argv: list[str] | None = None) -> int:
    """Validate a local workspace; the ``validate`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
