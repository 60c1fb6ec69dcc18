"""Publish a day's predictions: validated first, then written whole or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
from datetime import UTC, datetime

import pandas as pd

from ml.adapters.workspace import Workspace
from ml.errors import MissingArtifact
from ml.records import Champion, Scoring
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, scoring: Scoring, *, settings: Settings, services: Services) -> Scoring:
    """Hold the staged predictions against their contract and move them to where they are served.

    The file holds only what follows from data and model. When, where and from what it was made
    goes into a sidecar beside it.

    Raises
    ------
    DataRejected
        If the predictions break their contract; what was served before stays.
    MissingArtifact
        If the staged file is not the one that ``scoring`` tells of.
    """
    logger.info("publish: %s by version %d", scoring.day, scoring.version)
    staged = services.shelf(f"staging/day={scoring.day}")
    name = f"version={scoring.version}.parquet"
    _refuse_other(staged, name, scoring)
    frame = staged.read_table(name)
    inputs = services.registry.open("inputs", rev=champion.data_version, first_day=scoring.day, last_day=scoring.day)[
        scoring.day
    ]
    parameters = {
        "days": [scoring.day.isoformat()],
        "expected_rows": len(pd.read_parquet(inputs, columns=[settings.task.key[0]])),
    }
    served_columns = frame.drop(columns="raw_prediction", errors="ignore")  # what adapting moved: lineage, not served
    screened = services.contracts.screen("predictions", served_columns, parameters=parameters)
    shelf = services.shelf(f"validation/predictions/day={scoring.day}")
    report_uri = shelf.write_text(f"version={scoring.version}.html", screened.html)
    screened.raise_if_refused(report_uri, f"predictions of {scoring.day} by version {scoring.version}")
    served = services.shelf(f"predictions/day={scoring.day}")
    with staged.local(name) as path:
        uri = served.write_file(name, path)
    served.write_json(
        f"version={scoring.version}.json",
        {
            "sha256": scoring.sha256,
            "rows": scoring.rows,
            "data_version": champion.data_version,
            "chosen_because": champion.reason,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "airflow_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID"),
            "report": report_uri,
            **({"adaptation": scoring.adaptation.model_dump(mode="json")} if scoring.adaptation else {}),
        },
    )
    logger.info("publish: %s", uri)
    return scoring.model_copy(update={"uri": uri, "report_uri": report_uri, "published": True})


def _refuse_other(staged: Workspace, name: str, scoring: Scoring) -> None:
    """Refuse a file that another run has staged since, or that was only half written."""
    if hashlib.sha256(staged.objects.get_bytes(staged.name(name))).hexdigest() != scoring.sha256:
        raise MissingArtifact(
            f"{staged.uri(name)} is not what was predicted: another run of {scoring.day} has staged it since; "
            "clear 'predict' and what follows"
        )
