"""The one client of MLflow: training runs, the model registry, and the decisions experiment."""

from __future__ import annotations

import os
from dataclasses import dataclass

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for a step's record
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # a dead server is named in seconds, not minutes;
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")  # Airflow retries the task

from ml.adapters.tracking.decisions import Decisions
from ml.adapters.tracking.runs import Runs


@dataclass(frozen=True)
class Tracking(Runs, Decisions):
    """All that one task keeps in MLflow."""
