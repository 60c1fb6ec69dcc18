"""Read a sample of a database: the newest rows of a table, or of a query that gives all rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from ml.adapters.sources.kinds.sql import BIND
from ml.adapters.sources.sampling import MAX_ROWS, Read, read_one
from ml.adapters.sources.table_files import TableFile
from ml.adapters.sql.database import Database
from ml.adapters.sql.spool import Spool
from ml.adapters.sql.statements import is_nested, newest_rows
from ml.core.adoption.origins import Location, is_query
from ml.core.adoption.times import find_time
from ml.errors import SettingsError
from ml.settings import Database as DatabaseName

PEEKED_ROWS, BATCH_ROWS = 20_000, 65_536
"""By so many rows of any days it is seen which column tells the time, if nobody says it."""


@dataclass(frozen=True)
class Rows:
    """A table or a query of a database, and the option that named it."""

    database: Database
    name: str
    option: str

    def newest(self, time: str | None, rows: int, columns: Sequence[str] | None) -> pd.DataFrame:
        """Read so many rows, the newest by ``time``, any where that is None."""
        statement = newest_rows(self.name, time, rows, columns)
        with TemporaryDirectory() as folder:
            spool = Spool(Path(folder), f"{self.database.shown}: {self.option}", lambda batch: batch)
            spool.fill(self.database.stream(statement, rows_at_once=BATCH_ROWS, setting=self.option))
            path = Path(folder) / "rows.parquet"
            spool.write(path, key=(), rows_at_once=MAX_ROWS)
            table, _ = read_one(TableFile(self.option, "parquet", None), path)
        return table


def read_database(address: str, rows: str, option: str, *, time: str | None, leave_out: Sequence[str] = ()) -> Read:
    """Read the newest rows of a table or a query.

    Parameters
    ----------
    address
        The name of a connection, whose URL is in the environment, or a URL without secrets.
    rows
        The name of a table or view, or a query of all rows.
    option
        What ``rows`` are called in messages, such as ``--table``.
    time
        The column that tells when a row happened; None finds it, as in a file.
    leave_out
        Columns that are no times, such as the target.

    Raises
    ------
    SettingsError
        If there is no such connection or table, the URL holds a secret, or the query names a day.
    """
    source = Rows(Database(_checked(address), "DATA"), rows, option)
    _refuse_days(source)
    names, skipped = _columns(source)
    if time is not None and names is not None and time not in names:
        raise SettingsError(f"--time {time}: there is no such column; there are: {', '.join(names)}")
    sample = source.newest(None, PEEKED_ROWS, names)
    if sample.empty:
        raise SettingsError(f"{option}: {source.database.shown} has no row of it; give a table with some weeks of data")
    if len(sample) == PEEKED_ROWS:
        at = time or find_time(sample, name=None, leave_out=leave_out).name
        sample = source.newest(at, MAX_ROWS, names)
    quotes = source.database.engine.dialect.identifier_preparer
    location = Location(
        rows, kind="sql", database=address, dialect=source.database.backend,
        quotes=(quotes.initial_quote, quotes.final_quote),
    )  # fmt: skip
    return Read(sample, False, True, (), location, notes=skipped)


def _checked(address: str) -> str:
    try:
        checked: str = TypeAdapter(DatabaseName).validate_python(address)
    except ValidationError as err:
        raise SettingsError(f"DATA: {err.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return checked


def _refuse_days(source: Rows) -> None:
    if is_query(source.name):
        if bound := BIND.search(source.name):
            raise SettingsError(
                f"{source.option}: the query has :{bound[1]}; give one for the rows of all days, and the condition on "
                "the day is written by the column of times (write \\: where a colon is meant)"
            )
    elif source.option == "--query":
        raise SettingsError("--query: it begins with neither SELECT nor WITH; name a table with --table")


def _columns(source: Rows) -> tuple[list[str] | None, tuple[str, ...]]:
    """Return the columns of a table that hold plain values, and what is said of others; None for those of a query."""
    if is_query(source.name):
        return None, ()
    kinds = source.database.columns(source.name, source.option)
    plain = [name for name, kind in kinds.items() if not is_nested(kind)]
    others = [name for name in kinds if name not in plain]
    notes = (f"{', '.join(others)}: bytes, arrays and JSON cannot be learned from",) if others else ()
    return plain, notes
