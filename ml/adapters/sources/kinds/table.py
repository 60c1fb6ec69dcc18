"""Settings of a source that takes the days out of a table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ml.adapters.sources import Source, SourceKind
from ml.settings import Name, Replay, Task, TimePart


class TableSource(SourceKind):
    """One table that holds many days, or one each for inputs and labels; ``time`` names the column that tells the day.

    A table is a Parquet, CSV or JSON-lines file, or a folder of such files, local or ``s3://``.
    """

    kind: Literal["table"]
    inputs: Name
    """Where the table of inputs is: the path or ``s3://`` address of a file or a folder."""
    labels: Name | None = None
    """Where the table of labels is, likewise; null if it is that of inputs."""
    time: Name
    """The column with an instant or a date, by which rows belong to a day of ``task.timezone``."""
    inputs_columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """The columns of inputs; null for all but the target."""
    labels_columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """The columns of labels; null for key and target."""
    time_parts: tuple[TimePart, ...] = ()
    """Parts of ``time`` by the clocks of ``task.timezone`` that become columns of inputs: ``hour`` (0 to 23),
    ``minute_of_day`` (0 to 1439), ``weekday`` (1, Monday, to 7), ``month``. A column is called like ``timestamp_hour``.
    """
    max_megabytes: float = Field(default=4096.0, gt=0)
    """How many millions of bytes of a day are in memory at once at most, as unpacked."""
    replay: Replay | None = None
    """The past period that is served as if it were now; null serves days as they are."""

    def open_for(self, task: Task) -> Source:
        from ml.adapters.sources.replayed import ReplayedSource
        from ml.adapters.sources.table import EventTable

        source = EventTable.from_settings(self, task)
        return source if self.replay is None else ReplayedSource(source, self.replay)

    def of_history(self) -> TableSource:
        return self.model_copy(update={"replay": None})

    def caveats(self) -> tuple[str, ...]:
        return () if self.replay is None else (self.replay.caveat(),)


SOURCE = TableSource
