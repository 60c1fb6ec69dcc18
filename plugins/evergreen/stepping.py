"""Call a step of ``ml`` from a task: wire it, translate its errors, hand on its record."""

from __future__ import annotations

import logging
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from evergreen import connections, links, notes
from evergreen.forms import A_PERSON
from evergreen.models import current_model, dag_id, model_of
from evergreen.next_moves import worded

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ml.errors import EvergreenError
    from ml.wiring import Services

log = logging.getLogger(__name__)
Facts = dict[str, Any]


def partition_day() -> date:
    """Return the day that this run is about: its partition key.

    Raises
    ------
    AirflowFailException
        If the run has none, or one that is not an ISO day.
    """
    context = get_current_context()
    key = context.get("partition_key")
    try:
        return date.fromisoformat(str(key))
    except ValueError as err:
        raise AirflowFailException(
            f"this run's partition key is {key!r}, not a day such as 2013-04-01; trigger the Dag with a partition "
            f"key, or run 'airflow backfill create --dag-id {dag_id(model_of(context['dag'].dag_id), 'ingest')} "
            "--from-date DAY --to-date DAY'"
        ) from err


def now() -> datetime:
    """Return the instant, aware."""
    return datetime.now(UTC)


def requester(form: Mapping[str, Any]) -> str:
    """Name who asks for this run: what the form says, or who triggered it where the form was left as it was."""
    requested_by = str(form["requested_by"])
    user = getattr(get_current_context()["dag_run"], "triggering_user_name", None)
    return user if user and requested_by == A_PERSON else requested_by


def step(run: Callable[..., BaseModel], *records: Any, workspace: str | None = None, **options: Any) -> Facts:
    """Run a step with the services of the model whose Dag runs, and give its record as plain facts.

    Links to what it produced, and a note in words, are left for people who look at the run.

    Parameters
    ----------
    run
        A step's ``run``.
    records
        Its records, as plain facts or typed: what travelled as JSON is read as the type that ``run`` declares.
    workspace
        URI of a run's workspace, whose pinned settings are used; None reads those of the model.

    Raises
    ------
    AirflowSkipException
        For a day on which no data are expected.
    AirflowFailException
        For what a retry cannot mend.
    AirflowException
        For what a retry may: a remote that did not answer.
    """
    from pydantic import validate_call

    from ml import disk
    from ml.errors import DataRejected, EvergreenError, NoDataExpected
    from ml.wiring import open_services

    services: Services | None = None
    try:
        services = open_services(run=workspace, model=current_model())
        hide_secrets(services, connections.load_connections(services.settings))
        with disk.naming_full_disk(tempfile.gettempdir()):
            typed = validate_call(config={"arbitrary_types_allowed": True})(run)
            record = typed(*records, settings=services.settings, services=services, **options)
    except EvergreenError as err:
        _push_links(notes.write_failure_note, err)
        if services is not None and isinstance(err, DataRejected):
            _push_links(links.push_report_link, err.report_uri, services)
        if isinstance(err, NoDataExpected):
            raise AirflowSkipException(worded(str(err))) from None
        if err.retryable:
            raise AirflowException(worded(str(err))) from err
        raise AirflowFailException(worded(str(err))) from _plain(err)
    _push_links(links.push_links, record, services, workspace)
    _push_links(notes.leave, record, services, workspace)
    return record.model_dump(mode="json")


SECRET_NAMES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
"""Variables of the environment that vendors read by themselves, and that no log may show."""
PASSWORD = re.compile(r"\w[\w+.-]*://[^/?#:]*:([^/?#]*)@")


def hide_secrets(services: Services, urls: Sequence[str] = ()) -> None:
    """Let Airflow put stars in the place of each password that a step can know, whoever logs it.

    Those are the variables of `SECRET_NAMES`, and what stands before the ``@`` of a URL in the environment, in the
    settings of the source, or of a database (``urls``).
    """
    from airflow.sdk.log import mask_secret

    from ml.urls import secrets_of

    mappings = (services.environment.model_dump(), services.settings.source.model_dump())
    secrets = [os.environ.get(name) for name in SECRET_NAMES]
    for value in [*urls, *(value for mapping in mappings for value in mapping.values())]:
        if isinstance(value, str) and (match := PASSWORD.match(value)):
            secrets += [match[1], unquote(match[1])]
        if isinstance(value, str) and "://" in value:
            secrets += secrets_of(value)
    for secret in dict.fromkeys(secrets):
        if secret:
            mask_secret(secret)


def _plain(err: EvergreenError) -> EvergreenError:
    """Take from a refusal where in the code it was made: its sentence says what to do, and a log is read by people."""
    log.debug("refused here:", exc_info=err)
    err.__cause__ = None
    err.__suppress_context__ = True
    return err.with_traceback(None)


def _push_links(put: Callable[..., None], *facts: Any) -> None:
    """Let something be left for people who look at this run; that it cannot be left stops no task."""
    try:
        put(get_current_context()["ti"], *facts)
    except Exception:
        log.exception("what people see of this task is incomplete")
