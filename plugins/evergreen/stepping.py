"""Call a step of ``ml`` from a task: wire it, translate its errors, hand on its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from evergreen.forms import A_PERSON

if TYPE_CHECKING:
    from pydantic import BaseModel

Facts = dict[str, Any]


def partition_day() -> date:
    """Give the day that this run is about: its partition key.

    Raises
    ------
    AirflowFailException
        If the run has none, or one that is not an ISO day.
    """
    key = get_current_context().get("partition_key")
    try:
        return date.fromisoformat(str(key))
    except ValueError as err:
        raise AirflowFailException(
            f"this run's partition key is {key!r}, not a day such as 2013-04-01; trigger the Dag with a partition "
            "key, or run 'airflow backfill create --dag-id ingest --from-date DAY --to-date DAY'"
        ) from err


def now() -> datetime:
    """Give the instant, aware."""
    return datetime.now(UTC)


def asker(form: Mapping[str, Any]) -> str:
    """Name who asks for this run: what the form says, or who triggered it where the form was left as it was."""
    said = str(form["asked_by"])
    user = getattr(get_current_context()["dag_run"], "triggering_user_name", None)
    return user if user and said == A_PERSON else said


def step(run: Callable[..., BaseModel], *records: Any, workspace: str | None = None, **options: Any) -> Facts:
    """Run a step with services built from the environment and give its record as plain facts.

    Parameters
    ----------
    run
        A step's ``run``.
    records
        Its records, typed.
    workspace
        URI of a run's workspace, whose pinned settings are used; None reads ``params.yaml``.

    Raises
    ------
    AirflowFailException
        For what a retry cannot mend.
    AirflowException
        For what a retry may: a remote that did not answer.
    """
    from ml.errors import EvergreenError
    from ml.wiring import open_services

    try:
        services = open_services(run=workspace)
        record = run(*records, settings=services.settings, services=services, **options)
    except EvergreenError as err:
        raise (AirflowException if err.retryable else AirflowFailException)(str(err)) from err
    return record.model_dump(mode="json")
