"""Find the URL of a database that settings name, and open it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from ml.errors import MissingArtifact, SettingsError
from ml.roots import PROJECT_ROOT
from ml.settings import connection_variable, is_url

CONNECT_SECONDS = 15
POSTGRES = ("psycopg", "psycopg2")
"""Drivers of PostgreSQL, in the order in which they are looked for where the URL names none."""
PATIENT = (*POSTGRES, "pymysql", "mysqldb")
"""Drivers that know ``connect_timeout``."""


def url_of(database: str, setting: str, environ: Mapping[str, str] = os.environ) -> URL:
    """Return where a database is: ``database`` is a URL, or the name of a connection in the environment.

    Parameters
    ----------
    setting
        The key in ``params.yaml``, for messages.

    Raises
    ------
    SettingsError
        If the environment has no such connection, or that is not a URL.
    """
    text, where = database, setting
    if not is_url(database):
        where = connection_variable(database)
        text = environ.get(where, "")
        if not text:
            raise SettingsError(
                f"{setting}: there is no connection {database!r}; set {where} to its URL, such as "
                "postgresql://user:password@host/database, or add it to the connections of Airflow"
            )
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(f"{where} is not a URL such as postgresql://host/database; correct it") from None
    return _with_driver(url)


def _with_driver(url: URL) -> URL:
    """Return a URL that says what SQLAlchemy leaves open: which driver is there, where a file lies."""
    if url.drivername in ("postgres", "postgresql"):
        driver = next((name for name in POSTGRES if find_spec(name)), POSTGRES[0])
        return url.set(drivername=f"postgresql+{driver}")
    if url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:"):
        return url.set(database=str(PROJECT_ROOT / str(url.database)))
    return url


def open_engine(url: URL, setting: str, *, new_file: bool = False) -> Engine:
    """Open a database without connecting to it yet; no connection outlives its use.

    Parameters
    ----------
    new_file
        Whether a file of SQLite that is not there is made.

    Raises
    ------
    SettingsError
        If its dialect or driver is not installed.
    MissingArtifact
        If it is a file that is not there.
    """
    options: dict[str, Any] = {}
    if url.drivername.partition("+")[2] in PATIENT and "connect_timeout" not in url.query:
        options = {"connect_timeout": CONNECT_SECONDS}
    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=options)
    except NoSuchModuleError:
        raise SettingsError(
            f"{setting}: no SQLAlchemy dialect {url.drivername!r} is installed; install its package where Evergreen "
            "runs, or correct the URL"
        ) from None
    except ImportError as err:
        raise SettingsError(
            f"{setting}: the driver of {url.drivername!r} is not installed ({err}); install it where Evergreen runs"
        ) from None
    except (ArgumentError, TypeError, ValueError) as err:
        raise SettingsError(f"{setting}: the URL of the database cannot be used ({err}); correct it") from None
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if file is not None and url.database != ":memory:" and not (file.parent if new_file else file).exists():
        raise MissingArtifact(f"{setting}: there is no {file}; correct {setting}, or create it")
    return engine
