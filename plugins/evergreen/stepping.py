"""Call a step of ``ml`` from a task: wire it, translate its errors, hand on its record."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from evergreen import links, notes
from evergreen.forms import A_PERSON

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ml.errors import EvergreenError
    from ml.wiring import Services

log = logging.getLogger(__name__)
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

    Links to what it produced, and a note in words, are left for people who look at the run.

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
    AirflowSkipException
        For a day on which no data are expected.
    AirflowFailException
        For what a retry cannot mend.
    AirflowException
        For what a retry may: a remote that did not answer.
    """
    from ml import disk
    from ml.errors import DataRejected, EvergreenError, NoDataExpected
    from ml.wiring import open_services

    services: Services | None = None
    try:
        services = open_services(run=workspace)
        hide_secrets(services)
        with disk.naming_full_disk(tempfile.gettempdir()):
            record = run(*records, settings=services.settings, services=services, **options)
    except EvergreenError as err:
        _leave(notes.leave_failure, err)
        if services is not None and isinstance(err, DataRejected):
            _leave(links.leave_report, err.report_uri, services)
        if isinstance(err, NoDataExpected):
            raise AirflowSkipException(str(err)) from None
        if err.retryable:
            raise AirflowException(str(err)) from err
        raise AirflowFailException(str(err)) from _plain(err)
    _leave(links.leave, record, services, workspace)
    _leave(notes.leave, record, services, workspace)
    return record.model_dump(mode="json")


SECRET_NAMES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables of the environment that vendors read by themselves, and that no log may show."""
PASSWORD = re.compile(r"\w[\w+.-]*://[^/?#:]*:([^/?#]*)@")


def hide_secrets(services: Services) -> None:
    """Let Airflow put stars in the place of each password that a step can know, whoever logs it.

    Those are the variables of `SECRET_NAMES`, and what stands before the ``@`` of a URL in the environment or in
    the settings of the source.
    """
    from airflow.sdk.log import mask_secret

    from ml.urls import secrets_of

    places = (services.environment.model_dump(), services.settings.source.model_dump())
    found = [os.environ.get(name) for name in SECRET_NAMES]
    for value in (value for place in places for value in place.values()):
        if isinstance(value, str) and (kept := PASSWORD.match(value)):
            found += [kept[1], unquote(kept[1])]
        if isinstance(value, str) and "://" in value:
            found += secrets_of(value)
    for secret in dict.fromkeys(found):
        if secret:
            mask_secret(secret)


def _plain(err: EvergreenError) -> EvergreenError:
    """Take from a refusal where in the code it was made: its sentence says what to do, and a log is read by people."""
    log.debug("refused here:", exc_info=err)
    err.__cause__ = None
    err.__suppress_context__ = True
    return err.with_traceback(None)


def _leave(put: Callable[..., None], *facts: Any) -> None:
    """Let something be left for people who look at this run; that it cannot be left stops no task."""
    try:
        put(get_current_context()["ti"], *facts)
    except Exception:
        log.exception("what people see of this task is incomplete")
