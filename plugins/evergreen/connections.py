"""Hand Airflow's connections to ``ml``, which reads the URL of a database from its environment and knows no Airflow.

Settings name a connection. Its URL goes into the environment of the task's own process only: never into an XCom, a file
or a log. A variable ``EVERGREEN_CONNECTION_<NAME>`` that is set already goes before Airflow's connection.
"""

from __future__ import annotations

import json
import logging
import os
from typing import TYPE_CHECKING, Any

from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException

if TYPE_CHECKING:
    from ml.settings import Settings

log = logging.getLogger(__name__)
DIALECTS = {"postgres": "postgresql", "redshift": "postgresql"}
"""SQLAlchemy's name of a type of connection, where it is another one."""


def load_connections(settings: Settings) -> list[str]:
    """Load the URLs of the databases that settings name into this process's environment; return these URLs."""
    from ml.settings import connection_variable

    urls = []
    for name in settings.connections():
        variable = connection_variable(name)
        url = os.environ.get(variable) or _url_of(name)
        if url:
            os.environ[variable] = url
            urls.append(url)
    return urls


def _url_of(name: str) -> str:
    """Return the SQLAlchemy URL of a connection; empty if Airflow has none of that name."""
    try:
        connection = Connection.get(name)
    except AirflowException as err:
        log.info("Airflow has no connection %r: %s", name, err)
        return ""
    return _url_of_hook(connection) or _url_of_fields(connection)


def _url_of_hook(connection: Any) -> str:
    """Return what the provider's hook makes of a connection; empty if the provider is not installed, or knows none."""
    try:
        url = connection.get_hook().sqlalchemy_url
    except (AirflowException, ImportError, AttributeError, NotImplementedError) as err:
        log.debug("no hook makes a URL of connection %r: %s", connection.conn_id, err)
        return ""
    return str(url.render_as_string(hide_password=False))


def _url_of_fields(connection: Any) -> str:
    from sqlalchemy import URL

    dialect = DIALECTS.get(connection.conn_type, connection.conn_type)
    if dialect == "sqlite":
        return str(URL.create("sqlite", database=connection.host or connection.schema))
    try:
        extra = json.loads(connection.extra or "{}")
    except ValueError:
        extra = {}
    url = URL.create(
        dialect,
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port or None,
        database=connection.schema or None,
        query={key: str(value) for key, value in extra.items() if isinstance(value, str | int)},
    )
    return url.render_as_string(hide_password=False)
