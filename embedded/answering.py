"""See which servers of the stack answer, and list those that do not yet."""

from __future__ import annotations

import smtplib
from datetime import datetime

import requests

from embedded.airflow_api import AirflowApi
from embedded.config import LOOPBACK, Stack
from embedded.servers import AIRFLOW
from ml.errors import Unavailable

API_SECONDS = 10.0


def awaited_servers(stack: Stack, api: AirflowApi, began: datetime) -> list[str]:
    """List the servers that do not work yet; Airflow's have to have a heartbeat that is younger than ``began``."""
    awaited = [] if _greets(stack.smtp_port) else ["mail"]
    awaited += [] if _answers(stack.mlflow_url + "/health") else ["mlflow"]
    # The first to ask waits while Airflow builds its task API: better we than a task.
    if not _answers(stack.airflow_url + "/execution/health", seconds=API_SECONDS):
        return [*awaited, *AIRFLOW]
    try:
        beats = api.health()
    except (Unavailable, requests.RequestException):
        return [*awaited, *AIRFLOW]
    late = [name for name in AIRFLOW[1:] if (beat := beats.get(name.replace("-", "_"))) is None or beat < began]
    return [*awaited, *late]


def _answers(url: str, *, seconds: float = 5.0) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=seconds).ok
        except requests.RequestException:
            return False


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP(LOOPBACK, port, local_hostname="localhost", timeout=5) as server:
            return server.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False
