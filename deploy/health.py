"""Check whether the service in this container does its work, for compose, which reads the exit code every few seconds.

    python -m deploy.health http://127.0.0.1:8080/api/v2/monitor/health    a server answers
    python -m deploy.health TriggererJob                                   a job of Airflow on this host beats
    python -m deploy.health celery                                         the worker on this host answers

Imports neither Airflow nor this project: ``airflow jobs check`` says the same, for seconds of processor time each.
"""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

BEAT_SECONDS = 60
"""A job that has not said that it lives for so long does not; Airflow's jobs say so every 5 seconds."""


def check(what: str) -> str:
    """Return what is wrong with ``what``; empty if nothing is."""
    if what.startswith("http://"):
        with urllib.request.urlopen(what, timeout=12) as answer:  # noqa: S310  its scheme was looked at
            return "" if answer.status == 200 else f"{what} answered {answer.status}"
    return _worker() if what == "celery" else _job(what)


def _connect(url: str) -> Any:
    import psycopg2

    return psycopg2.connect(url.replace("postgresql+psycopg2://", "postgresql://"), connect_timeout=5)


def database_refusal(url: str) -> str:
    """Return why PostgreSQL does not let anybody in with this URL of SQLAlchemy; empty if it does."""
    from psycopg2 import OperationalError

    try:
        _connect(url).close()
    except OperationalError as err:
        return str(err).strip()
    return ""


def _job(kind: str) -> str:
    connection = _connect(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    try:
        with connection.cursor() as cursor:
            cursor.execute(
                "select count(*) from job where job_type = %s and hostname = %s and state = 'running' "
                "and latest_heartbeat > now() - make_interval(secs => %s)",
                (kind, socket.gethostname(), BEAT_SECONDS),
            )
            (beating,) = cursor.fetchone() or (0,)
    finally:
        connection.close()
    return "" if beating else f"no {kind} on this host has beaten for {BEAT_SECONDS} seconds"


def _worker() -> str:
    """Ask the worker through the broker, so that one that lost it is not taken for healthy."""
    from celery import Celery

    name = f"celery@{socket.gethostname()}"
    app = Celery(broker=os.environ["AIRFLOW__CELERY__BROKER_URL"])
    app.conf.broker_connection_retry = False
    return "" if app.control.ping(destination=[name], timeout=8) else f"{name} did not answer"


def main() -> int:
    """Check what the first argument names."""
    if len(sys.argv) != 2:
        sys.stderr.write(f"usage: python -m deploy.health URL | JOB | celery ({Path(__file__).name})\n")
        return 2
    try:
        wrong = check(sys.argv[1])
    except Exception as err:  # noqa: BLE001  whatever it is, this service cannot be called healthy
        wrong = f"{type(err).__name__}: {err}"
    if wrong:
        sys.stderr.write(wrong + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
