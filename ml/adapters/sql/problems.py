"""Turn what a database answers into our errors: who must act, and whether to try again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from ml.errors import AccessDenied, DataRejected, EvergreenError, SettingsError, Unavailable

Kind = type[EvergreenError]

STATES: tuple[tuple[str, Kind], ...] = (
    ("42501", AccessDenied),
    ("28", AccessDenied),
    ("3D", SettingsError),
    ("3F", SettingsError),
    ("42", SettingsError),
    ("22", DataRejected),
    ("08", Unavailable),
    ("40", Unavailable),
    ("53", Unavailable),
    ("55", Unavailable),
    ("57", Unavailable),
)
"""The classes of SQLSTATE that say who must act (ISO 9075, PostgreSQL's appendix A)."""

SENTENCES: tuple[tuple[str, Kind], ...] = (
    (
        (
            "password authentication failed|no password supplied|access denied|permission denied|no pg_hba|login failed"
            "|not authorized|incorrect username or password|role .* does not exist|attempt to write a readonly database"
        ),
        AccessDenied,
    ),
    (r"database is locked|timed? ?out|could not connect|connection refused|is starting up|too many", Unavailable),
    (
        (
            "no such (table|column|function)|does not exist|syntax error|unknown (table|column|database)"
            "|invalid (column|object|identifier)|not recognized|not found|ambiguous column|file is not a database"
        ),
        SettingsError,
    ),
)
"""What drivers say that give no state, or none before they are connected."""


def kind_of(err: exc.SQLAlchemyError) -> Kind:
    """Return which of our errors an error of a database is."""
    origin = getattr(err, "orig", None)
    state = str(getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "")
    for prefix, kind in STATES:
        if state.startswith(prefix):
            return kind
    for pattern, kind in SENTENCES:
        if re.search(pattern, str(origin or err), re.IGNORECASE):
            return kind
    if isinstance(err, exc.ProgrammingError):
        return SettingsError
    if isinstance(err, exc.DataError):
        return DataRejected
    transient = isinstance(err, (exc.OperationalError, exc.InterfaceError, exc.TimeoutError))
    lost = isinstance(err, exc.DBAPIError) and err.connection_invalidated
    return Unavailable if transient or lost else EvergreenError


@contextmanager
def naming_problems(shown: str, setting: str) -> Iterator[None]:
    """Turn the errors of a database, which messages call ``shown``, into ours; ``setting`` is what to correct."""
    try:
        yield
    except exc.NoSuchTableError as err:
        raise SettingsError(f"{shown} has no table {err}; correct {setting}") from err
    except (exc.SQLAlchemyError, UnicodeError) as err:
        kind = kind_of(err) if isinstance(err, exc.SQLAlchemyError) else DataRejected
        moves = {
            AccessDenied: "does not let us in; correct its user, password or grants, then run this again",
            SettingsError: f"does not know what it is asked for; correct {setting}",
            DataRejected: f"cannot give or take a value; correct the rows, or {setting}",
            Unavailable: "does not answer; see whether it is up, then run this again",
            EvergreenError: f"failed; see what it logged, or correct {setting}",
        }
        raise kind(f"{shown} {moves[kind]} ({first_line(err)})") from err


def first_line(err: Exception) -> str:
    """Return the first line of what the driver says, without the statement and its values."""
    origin = getattr(err, "orig", None) or err
    lines = str(origin).strip().splitlines()
    return lines[0].strip() if lines else type(origin).__name__
