"""Build the query for the rows of a day; what changes from day to day is bound, and never part of the text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    Date,
    DateTime,
    Executable,
    LargeBinary,
    Select,
    String,
    bindparam,
    column,
    literal_column,
    select,
    table,
    text,
)
from sqlalchemy.types import TypeEngine

from ml.adapters.sources.local_day import LocalDay
from ml.adapters.sql.database import split_name
from ml.errors import SettingsError

AROUND = timedelta(days=1)
"""An instant as text, whatever its offset, begins with the date of its local day, or of one of those next to it."""


def of_query(query: str, day: LocalDay, *, as_of: datetime, backend: str) -> Executable:
    """Return a query with its day bound: dates, and instants in UTC.

    SQLite has no instants: there they are texts such as ``2024-03-30 23:00:00``.
    """
    values: Mapping[str, tuple[Any, TypeEngine[Any]]] = {
        "day": (day.day, Date()),
        "next_day": (day.day + timedelta(days=1), Date()),
        **{
            name: _instant(value, backend)
            for name, value in (("day_start", day.start), ("day_end", day.end), ("as_of", as_of))
        },
    }
    statement = text(query.strip().removesuffix(";"))
    used = [name for name in values if name in statement.compile().params]
    return statement.bindparams(*[bindparam(name, value=values[name][0], type_=values[name][1]) for name in used])


def _instant(value: datetime, backend: str) -> tuple[Any, TypeEngine[Any]]:
    utc = value.astimezone(UTC)
    if backend == "sqlite":
        return utc.strftime("%Y-%m-%d %H:%M:%S"), String()
    return utc, DateTime(timezone=True)


def of_table(
    name: str, columns: Sequence[str], time: str, kind: TypeEngine[Any], day: LocalDay, *, backend: str, setting: str
) -> Executable:
    """Return the query for a table's rows of a day, and perhaps some of the days next to it where ``time`` is text.

    Raises
    ------
    SettingsError
        If ``time`` is a column of neither instants, nor dates, nor texts.
    """
    schema, bare = split_name(name)
    first, last, bound = _range(kind, day, backend)
    if bound is None:
        raise SettingsError(
            f"{setting}: column {time!r} of {name} is {kind}, which is neither an instant nor a date; name another "
            "one, or write a query in place of the table"
        )
    selected = table(bare, *[column(own) for own in columns], schema=schema)
    moment = column(time, bound, _selectable=selected)
    return (
        select(*[selected.c[own] for own in columns])
        .where(moment >= bindparam("first", value=first, type_=bound))
        .where(moment < bindparam("last", value=last, type_=bound))
    )


def newest_rows(rows: str, time: str | None, most: int, columns: Sequence[str] | None) -> Executable:
    """Return the query for the newest rows of a table, or of a query for all rows.

    Parameters
    ----------
    time
        The column that they are ordered by; None for any rows.
    columns
        Those of a table; None for a query, which says it by itself.
    """
    asked: Select[Any]
    if columns is None:
        inner = rows.strip().removesuffix(";").rstrip()
        asked = select(literal_column("*")).select_from(text(f"(\n{inner}\n) AS all_rows"))
    else:
        schema, bare = split_name(rows)
        selected = table(bare, *[column(own) for own in columns], schema=schema)
        asked = select(*[selected.c[own] for own in columns])
    return asked.limit(most) if time is None else asked.order_by(column(time).desc()).limit(most)


def is_nested(kind: TypeEngine[Any]) -> bool:
    """Return whether a column of a type holds bytes, JSON or arrays, and no plain values."""
    return isinstance(kind, (LargeBinary, JSON, ARRAY))


def _range(kind: TypeEngine[Any], day: LocalDay, backend: str) -> tuple[Any, Any, TypeEngine[Any] | None]:
    """Return from which value on, and up to which one, rows are asked for; no type if a column tells no day."""
    next_day = day.day + timedelta(days=1)
    if backend == "sqlite" or isinstance(kind, String):  # the dates and instants of SQLite are texts
        if isinstance(kind, (String, Date, DateTime)):
            return (day.day - AROUND).isoformat(), (next_day + AROUND).isoformat(), String()
        return None, None, None
    if isinstance(kind, DateTime):
        if kind.timezone:
            return day.start, day.end, DateTime(timezone=True)
        return _midnight(day.day), _midnight(next_day), DateTime()
    return (day.day, next_day, Date()) if isinstance(kind, Date) else (None, None, None)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day)  # noqa: DTZ001  # a column without a zone is in that of the task
