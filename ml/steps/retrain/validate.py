"""Validate the training window as a whole before anything is fitted on it."""

from __future__ import annotations

import logging
import sys

from ml.core.data.days import days_between
from ml.records import Window, WindowReport
from ml.settings import Settings
from ml.steps.retrain.stage import stage_main
from ml.wiring import Services

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
    rows = run_dir.read_table("data/rows.parquet")
    rows = rows.loc[rows["day"].isin(run_dir.read_json("data/window.json")["days"])]
    days = [day.isoformat() for day in days_between(window.first_day, window.last_day)]
    parameters = {"days": days, "min_days": settings.pull.min_days}
    screened = services.contracts.screen("window", rows, parameters=parameters)
    run_dir.write_json("validation/result.json", screened.result)
    report_uri = run_dir.write_text("validation/report.html", screened.html)
    screened.raise_if_rejected(report_uri, f"the window of {window.first_day} to {window.last_day}")
    logger.info("validate: %d rows accepted", len(rows))
    return WindowReport(fingerprint=window.fingerprint, report_uri=report_uri, rows=len(rows))


def main(argv: list[str] | None = None) -> int:
    """Validate a local workspace; the ``validate`` stage of ``dvc.yaml``."""
    return stage_main(__doc__, run, argv)


if __name__ == "__main__":
    sys.exit(main())
