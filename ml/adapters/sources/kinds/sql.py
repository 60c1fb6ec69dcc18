"""Settings of a source that asks a SQL database."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

from ml.adapters.sources import Source, SourceKind
from ml.settings import Database, Name, Replay, Section, Settings, TimePart

OF_DAY = ("day", "next_day", "day_start", "day_end")
"""What a query may bind of the day."""
BINDS = (*OF_DAY, "as_of")
BIND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
"""How SQLAlchemy finds a name that is bound."""


class Rows(Section):
    """Which rows of a database are those of a day: a query, or a table and its column of times."""

    query: Name | None = None
    """A query with ``:day`` where the day stands; also ``:next_day``, ``:day_start``, ``:day_end`` and ``:as_of``."""
    table: Name | None = None
    """In place of a query: a table or view, ``schema.name`` or ``name``."""
    time: Name | None = None
    """Of a table: the column with an instant or a date, by which rows belong to a day of ``task.timezone``. Of a query:
    the column whose parts are ``source.time_parts``.
    """
    columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """Of a table: the columns that are read; null for all but the target (inputs), or for key and target (labels)."""

    @model_validator(mode="after")
    def _query_or_table(self) -> Rows:
        if (self.query is None) == (self.table is None):
            raise ValueError("give either query, or table and time")
        if self.table is not None and self.time is None:
            raise ValueError("give time beside table: the column that tells to which day a row belongs")
        if self.query is not None:
            if self.columns is not None:
                raise ValueError("columns are of a table; a query says by itself which columns")
            self._check_binds(self.query)
        return self

    @staticmethod
    def _check_binds(query: str) -> None:
        used = BIND.findall(query)
        unknown = [name for name in dict.fromkeys(used) if name not in BINDS]
        if unknown:
            raise ValueError(
                f"the query has :{unknown[0]}, and what can be bound is :{', :'.join(BINDS)}; write \\: where a colon "
                "is meant"
            )
        if not {*used} & {*OF_DAY}:
            raise ValueError(
                "the query names no day, so that each day would be all rows; write :day where the day stands, without "
                "quotation marks"
            )


class SqlSource(SourceKind):
    """A SQL database, by any SQLAlchemy URL or connection, asked for the rows of a day."""

    kind: Literal["sql"]
    database: Database
    """A SQLAlchemy URL without a password, or the name of a connection: its URL is in the environment as
    ``EVERGREEN_CONNECTION_<NAME>``, or in the connections of Airflow.
    """
    inputs: Rows
    """Which rows are the inputs of a day."""
    labels: Rows | None = None
    """Which rows are its labels; null for those of the table of inputs."""
    time_parts: tuple[TimePart, ...] = ()
    """Which parts of the ``time`` of inputs they have as columns too; see ``kind: table``."""
    as_of_hours: float = Field(default=0.0, ge=0, le=366 * 24)
    """How many hours after a day was due ``:as_of`` lies; never later than now."""
    batch_rows: int = Field(default=65_536, ge=1)
    """How many rows are fetched at once."""
    max_megabytes: float = Field(default=4096.0, gt=0)
    """How many millions of bytes of a day are in memory at once at most, as unpacked."""
    replay: Replay | None = None
    """The past period that is served as if it were now; null serves days as they are."""

    @model_validator(mode="after")
    def _labels_are_named(self) -> SqlSource:
        if self.labels is None and self.inputs.table is None:
            raise ValueError("give labels: only a table of inputs can hold the labels as well")
        if self.time_parts and self.inputs.time is None:
            raise ValueError("time_parts need inputs.time: the column of the query that they are parts of")
        return self

    def open_in(self, settings: Settings) -> Source:
        from ml.adapters.sources.replayed import ReplayedSource
        from ml.adapters.sources.sql import SqlRows

        source = SqlRows.from_settings(self, settings)
        return source if self.replay is None else ReplayedSource(source, self.replay)

    def of_history(self) -> SqlSource:
        return self.model_copy(update={"replay": None})

    def caveats(self) -> tuple[str, ...]:
        return () if self.replay is None else (self.replay.caveat(),)

    def connections(self) -> tuple[str, ...]:
        return (self.database,)


SOURCE = SqlSource
