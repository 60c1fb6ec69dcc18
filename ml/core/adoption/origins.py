"""Write the section ``source``: how the days of a model come out of the place where the data are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from ml.core.adoption.facts import Facts
from ml.errors import SettingsError
from ml.settings import Task, connection_variable, is_url

Section = dict[str, tuple[Any, str]]
"""The keys of a section of ``params.yaml`` in order: the value, and why it was chosen (empty for nothing to say)."""

KINDS = {
    "table": "one table of all days; a day's rows are those whose time falls into it",
    "files": "a file a day, whose name carries the day",
    "sql": "a database; a day's rows are those whose time falls into it",
}


@dataclass(frozen=True)
class Location:
    """Where the tables are, as ``params.yaml`` names them; ``labels`` None for the same table.

    Attributes
    ----------
    inputs, labels
        A path or ``s3://`` address; of ``files`` with ``{day}`` in it; of ``sql`` a table or a query of all rows.
    day_from_name
        Of ``files``: whether the day is in the names of the files only.
    database
        Of ``sql``: the name of its connection, or its URL without secrets.
    dialect, quotes
        Of ``sql``: its kind, such as ``sqlite``, and what stands around the name of a column.
    """

    inputs: str
    labels: str | None = None
    kind: Literal["table", "files", "sql"] = "table"
    day_from_name: bool = False
    database: str = ""
    dialect: str = ""
    quotes: tuple[str, str] = ('"', '"')


def is_query(text: str) -> bool:
    """Return whether a text is a query, and not the name of a table.

    Examples
    --------
    >>> is_query("select * from sales"), is_query("sales.orders")
    (True, False)
    """
    return re.match(r"\s*(select|with)\b", text, re.IGNORECASE) is not None


def source_of(seen: Facts, task: Task, location: Location, columns: Sequence[str], parts: Sequence[str]) -> Section:
    """Return the section but for ``replay``.

    Parameters
    ----------
    columns
        Those of inputs that are there, without the parts of the time, whose names are ``parts``.
    """
    section: Section = {"kind": (location.kind, KINDS[location.kind])}
    others = f"not {', '.join(seen.time.others)}" if seen.time.others else ""
    known = "known when a day is scored; what is left out is named at the end"
    if location.kind == "sql":
        named = "" if is_url(location.database) else f"its URL is in {connection_variable(location.database)}"
        section["database"] = (location.database, f"{named}, or in Airflow's connections" if named else "")
        section |= _of_database(seen, task, location, columns)
    else:
        copied = "a copy, since the source cannot read the data as they are"
        section["inputs"] = (location.inputs, copied if seen.changed else "")
        if location.labels:
            section["labels"] = (location.labels, "")
        if location.day_from_name:
            section["day_from_name"] = (True, "the tables have no column day")
        if location.kind == "table" or seen.parts:
            section["time"] = (seen.time.name, others)
    if seen.parts:
        section["time_parts"] = (list(seen.parts), f"become the columns {', '.join(parts)}")
    if location.kind != "sql":
        section["inputs_columns"] = (list(columns), known)
    if location.kind == "files":
        section["labels_columns"] = ([*task.key, task.target], "the key and the target")
    return section


def _of_database(seen: Facts, task: Task, location: Location, columns: Sequence[str]) -> Section:
    known = "known when a day is scored; what is left out is named at the end"
    has_day = "day" in seen.own_columns
    of_inputs = [column for column in columns if column != "day" or has_day]
    of_labels = [column for column in task.key if column != "day" or has_day] + [task.target]
    if is_query(location.inputs):
        rows: dict[str, Any] = {"query": _query(location, location.inputs, of_inputs, seen)}
        if seen.parts:
            rows["time"] = seen.time.name
    else:
        rows = {"table": location.inputs, "time": seen.time.name, "columns": ["day", *_but(columns, "day")]}
    section: Section = {"inputs": (rows, known)}
    labels = location.labels or (location.inputs if is_query(location.inputs) else None)
    if labels is not None and is_query(labels):
        section["labels"] = ({"query": _query(location, labels, of_labels, seen)}, "the key and the target")
    elif labels is not None:
        section["labels"] = ({"table": labels, "time": seen.time.name}, "the key and the target")
    return section


def _but(columns: Sequence[str], name: str) -> list[str]:
    return [column for column in columns if column != name]


def _query(location: Location, query: str, columns: Sequence[str], seen: Facts) -> str:
    """Return a query for the rows of a day out of one of all rows."""
    time = _quoted(location, seen.time.name)
    is_text = seen.types.get(seen.time.name) == "string"
    if seen.time.has_offset and is_text:
        raise SettingsError(
            f"--query: {seen.time.name} holds texts with offsets, which a database compares letter by letter; make an "
            "instant of it in the query, or name a table or view with --table"
        )
    if seen.time.has_offset:
        first, last = ":day_start", ":day_end"
    elif is_text and location.dialect != "sqlite":
        first, last = "CAST(:day AS VARCHAR(10))", "CAST(:next_day AS VARCHAR(10))"
    else:
        first, last = ":day", ":next_day"
    lines = [f"  {line}" for line in query.strip().removesuffix(";").rstrip().splitlines()]
    named = ", ".join(_quoted(location, column) for column in columns)
    return "\n".join(
        [f"SELECT {named}", "FROM (", *lines, ") AS all_rows", f"WHERE {time} >= {first} AND {time} < {last}"]
    )


def _quoted(location: Location, name: str) -> str:
    begin, end = location.quotes
    return f"{begin}{name.replace(end, end + end)}{end}".replace(":", "\\:")


def with_iso_time(seen: Facts, table: pd.DataFrame) -> pd.DataFrame:
    """Return rows of the sample as a copy holds them: with their instants in ISO 8601."""
    time = seen.time
    if time.name == "day" or time.name not in table:
        return table
    instants = time.instants.loc[table.index]
    if time.has_clock:
        shown = instants.map(lambda instant: instant.isoformat(), na_action="ignore")  # with all digits of a second
    else:
        shown = instants.dt.strftime("%Y-%m-%d")
    return table.assign(**{time.name: shown})


def types_of(seen: Facts, task: Task, location: Location, columns: Sequence[str]) -> Section | None:
    """Return the section ``types`` of tables of text; None where the source knows types by itself."""
    if seen.has_types or seen.changed or location.kind == "sql":
        return None
    inputs = _types_in(seen.types, columns)
    labels = {column: inputs[column] for column in task.key if column in inputs}
    target = seen.types.get(task.target, "string")
    labels[task.target] = "float64" if target == "int64" else target
    reason = "text has no types: these are what all values ask for, so that 007 stays 007"
    return {"inputs": (inputs, reason), "labels": (labels, "")}


def _types_in(types: Mapping[str, str], columns: Sequence[str]) -> dict[str, str]:
    return {column: str(types[column]) for column in columns if column in types and column != "day"}
