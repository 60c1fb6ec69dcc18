"""Name a database in settings: by a connection, or by a URL that holds no secret."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator

from ml.settings.section import Name

SECRET = re.compile(r"pass|pwd|secret|token|key|credential|sig", re.IGNORECASE)


def connection_variable(name: str) -> str:
    """Return the variable of the environment that holds the URL of a connection.

    Examples
    --------
    >>> connection_variable("data-warehouse")
    'EVERGREEN_CONNECTION_DATA_WAREHOUSE'
    """
    return "EVERGREEN_CONNECTION_" + re.sub(r"\W", "_", name).upper()


def is_url(database: str) -> bool:
    """Return whether a database is named by its URL, and not by a connection."""
    return "://" in database


def _without_secrets(database: str) -> str:
    if not is_url(database):
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", database):
            raise ValueError("is neither a URL such as postgresql://host/database nor the name of a connection")
        return database
    try:
        parts = urlsplit(database)
        has_password = parts.password is not None
    except ValueError:
        raise ValueError("is not a URL such as postgresql://host/database; correct it") from None
    secret = sorted({name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if SECRET.search(name)})
    if has_password or secret:
        what = "a password" if has_password else ", ".join(secret)
        raise ValueError(
            f"the URL holds {what}; name a connection here, such as warehouse, and put the URL into the environment as "
            f"{connection_variable('warehouse')}, or add a connection of that name to Airflow"
        )
    return database


Database = Annotated[Name, AfterValidator(_without_secrets)]
"""A database: a SQLAlchemy URL without secrets, or the name of a connection."""
