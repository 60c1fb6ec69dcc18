"""A table of a database with the predictions that are served: a day of a model is replaced in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Double,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.types import TypeEngine

from ml.adapters.sql.database import Database, split_name
from ml.errors import EvergreenError, SettingsError

SERIALIZABLE = ("postgresql", "mysql", "mariadb", "mssql", "oracle", "sqlite")
"""Databases that keep two transactions apart as if one came after the other."""
MODEL_LETTERS = 100


@dataclass(frozen=True)
class PredictionTable:
    """A table with a row for each prediction: ``model``, ``day`` and what the file of predictions has.

    It is made when it is first written to. One that is there already has to have these columns; others may be null.

    Parameters
    ----------
    keep_versions
        Whether the predictions of a day by other versions stay.
    """

    database: Database
    name: str
    model: str
    keep_versions: bool = False
    setting: str = "score.sink"

    def replace_day(self, day: date, version: int, schema: pa.Schema, batches: Iterable[pa.Table]) -> int:
        """Put the predictions of a day in the place of those that are there, all at once or not at all.

        Returns
        -------
        int
            How many rows the table has of that day and version.

        Raises
        ------
        SettingsError
            If the table lacks a column.
        Unavailable
            If the database does not answer, or somebody else writes the same day at that moment.
        """
        self._make(schema)
        with self.database.transaction(self.setting, isolated=self.database.backend in SERIALIZABLE) as connection:
            table = self._reflected(connection, schema.names)
            of_day = and_(table.c.model == self.model, table.c.day == _as(day, table.c.day.type))
            of_version = and_(of_day, table.c.model_version == version)
            connection.execute(delete(table).where(of_version if self.keep_versions else of_day))
            written = 0
            for batch in batches:
                rows = _rows(batch, self.model, table)
                if rows:
                    connection.execute(insert(table), rows)
                    written += len(rows)
            return self._checked(connection, table, of_version, written)

    def _checked(self, connection: Connection, table: Table, of_version: ColumnElement[bool], written: int) -> int:
        rows = int(connection.execute(select(func.count()).select_from(table).where(of_version)).scalar_one())
        if rows != written:
            raise EvergreenError(
                f"{self.database.shown}: {self.name} has {rows} rows, and {written} were written; nothing was changed. "
                "See whether a rule of the table drops or adds rows"
            )
        return rows

    def _make(self, schema: pa.Schema) -> None:
        """Make the table if it is not there; of two that make it at once one finds it made."""
        if self.database.has_table(self.name, self.setting):
            return
        schema_name, name = split_name(self.name)
        columns = [Column("model", String(MODEL_LETTERS), nullable=False, index=True)]
        columns += [Column(field.name, _type_of(field), nullable=field.name != "day") for field in schema]
        table = Table(name, MetaData(), *columns, schema=schema_name)
        try:
            with self.database.engine.begin() as connection:
                table.create(connection)
        except DatabaseError:
            if not self.database.has_table(self.name, self.setting):
                with self.database.transaction(self.setting) as connection:
                    table.create(connection)

    def _reflected(self, connection: Connection, names: Sequence[str]) -> Table:
        schema_name, name = split_name(self.name)
        table = Table(name, MetaData(), schema=schema_name, autoload_with=connection)
        lacking = [column for column in ("model", *names) if column not in table.c]
        if lacking:
            raise SettingsError(
                f"{self.database.shown}: {self.name} has no column {', '.join(lacking)}; add what is missing, or name "
                f"another table in {self.setting}.table: one that is not there is made"
            )
        return table


def _type_of(field: pa.Field) -> TypeEngine[Any]:
    kind = field.type
    if field.name == "day":
        return Date()
    if pa.types.is_boolean(kind):
        return Boolean()
    if pa.types.is_integer(kind):
        return BigInteger()
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Double()
    if pa.types.is_date(kind):
        return Date()
    return DateTime(timezone=kind.tz is not None) if pa.types.is_timestamp(kind) else Text()


def _rows(batch: pa.Table, model: str, table: Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = batch.to_pylist()
    day_type = table.c.day.type
    return [{**row, "model": model, "day": _as(date.fromisoformat(row["day"]), day_type)} for row in rows]


def _as(day: date, kind: TypeEngine[Any]) -> date | str:
    return day.isoformat() if isinstance(kind, String) else day
