"""A database that settings name: its tables, rows of it in batches, and transactions."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Executable, inspect
from sqlalchemy.types import TypeEngine

from ml.adapters.sql.addresses import open_engine, url_of
from ml.adapters.sql.problems import naming_problems
from ml.settings import is_url
from ml.urls import without_secrets


class Batch(NamedTuple):
    """Some rows of an answer, as the driver gives them."""

    names: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Database:
    """A SQL database.

    Parameters
    ----------
    address
        A SQLAlchemy URL, or the name of a connection; see `ml.adapters.sql.addresses.url_of`.
    setting
        The key in ``params.yaml`` that names it, for messages.
    new_file
        Whether a file of SQLite that is not there is made.
    """

    address: str
    setting: str
    new_file: bool = False

    @property
    def shown(self) -> str:
        """Return how messages call it."""
        return without_secrets(self.address) if is_url(self.address) else f"database {self.address}"

    @property
    def backend(self) -> str:
        """Return its kind, such as ``postgresql``."""
        return self.engine.dialect.name

    @cached_property
    def engine(self) -> Engine:
        """Open it, without connecting yet."""
        return open_engine(url_of(self.address, self.setting), self.setting, new_file=self.new_file)

    def columns(self, table: str, setting: str) -> dict[str, TypeEngine[Any]]:
        """Return the columns of a table or a view, ``schema.table`` or ``table``, and their types.

        Raises
        ------
        SettingsError
            If there is none.
        Unavailable, AccessDenied
            If the database does not answer, or does not let us in.
        """
        schema, name = split_name(table)
        with naming_problems(self.shown, setting):
            columns = inspect(self.engine).get_columns(name, schema=schema)
        return {str(column["name"]): column["type"] for column in columns}

    def has_table(self, table: str, setting: str) -> bool:
        """Return whether there is a table; raises as `columns` does where nobody answers."""
        schema, name = split_name(table)
        with naming_problems(self.shown, setting):
            return bool(inspect(self.engine).has_table(name, schema=schema))

    def stream(self, statement: Executable, *, rows_at_once: int, setting: str) -> Generator[Batch]:
        """Yield the answer to a query in batches, the first one possibly empty; the database keeps the rest.

        Nothing is written, whatever the statement says, where the database has such a mode.
        """
        with naming_problems(self.shown, setting), self.engine.connect() as connection:
            if self.backend == "sqlite":
                connection.exec_driver_sql("PRAGMA query_only = ON")
            options: dict[str, Any] = {"postgresql_readonly": True} if self.backend == "postgresql" else {}
            connection.execution_options(stream_results=True, max_row_buffer=rows_at_once, **options)
            with connection.execute(statement) as result:
                names = list(result.keys())
                yield Batch(names, ())
                for rows in result.partitions(rows_at_once):
                    yield Batch(names, rows)

    @contextmanager
    def transaction(self, setting: str, *, isolated: bool = False) -> Iterator[Connection]:
        """Yield a connection whose changes are there all at once at the end, or not at all.

        ``isolated`` transactions are kept apart as if one came after the other; Unavailable if that cannot be.
        """
        level: dict[str, Any] = {"isolation_level": "SERIALIZABLE"} if isolated else {}
        with naming_problems(self.shown, setting), self.engine.connect() as connection:
            connection.execution_options(**level)
            with connection.begin():
                yield connection


def split_name(table: str) -> tuple[str | None, str]:
    """Return schema and name of ``schema.table``; the schema is None where there is none."""
    schema, _, name = table.rpartition(".")
    return schema or None, name
