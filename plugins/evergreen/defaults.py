"""What every Dag has: owner, retries with back-off, a time limit, and mail when a task fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import TaskGroup

from evergreen.notifications import mail_failure

TAGS = ["evergreen"]
TIMEZONE = "America/New_York"
INGEST_CRON = "0 5 * * *"
"""Agrees with ``task.timezone`` and ``land.due_hour`` of ``params.yaml``; a test holds them together."""

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "evergreen",
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(minutes=30),
    "on_failure_callback": [mail_failure],
}


def stage(group_id: str, name: str) -> TaskGroup:
    """Put tasks into one box of the graph; their ids stay as they are."""
    return TaskGroup(group_id, prefix_group_id=False, group_display_name=name)
