"""Settings of a source of dated files."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from ml.adapters.sources import Source, SourceKind
from ml.settings import Complete, Name, Replay, Task, TimePart


class FilesSource(SourceKind):
    """A folder or an ``s3://`` prefix whose file names carry the day."""

    kind: Literal["files"]
    inputs: Name
    """Where a day's inputs are: a path or an ``s3://`` address with ``{day}`` in it (2013-04-01), or with its parts
    ``{year}``, ``{month}`` and ``{day_of_month}``. It ends in ``.parquet``, ``.csv`` or ``.jsonl`` (``.ndjson``,
    ``.json``: one object a line), the texts also with ``.gz`` or ``.zst``.
    """
    labels: Name
    """Where a day's labels are, likewise."""
    inputs_columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """The columns of inputs that are taken; null for all that a file has. What is not named is never looked at."""
    labels_columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """The columns of labels that are taken; null for all that a file has."""
    complete: Complete | None = None
    """How a file shows that it is whole; null if it is as soon as it is there."""
    day_from_name: bool = False
    """Whether a table without a column ``day`` gets it from the name of its file; else its contract rejects it."""
    max_megabytes: float = Field(default=4096.0, gt=0)
    """How many millions of bytes are in memory at once at most, as unpacked."""
    time: Name | None = None
    """The column of inputs with an instant, whose parts are ``time_parts``."""
    time_parts: tuple[TimePart, ...] = ()
    """Which parts of ``time`` inputs have as columns too; see ``kind: table``."""
    replay: Replay | None = None
    """The past period that is served as if it were now; null serves days as they are."""

    @model_validator(mode="after")
    def _parts_have_a_time(self) -> FilesSource:
        if self.time_parts and self.time is None:
            raise ValueError("time_parts need time: the column that they are parts of")
        return self

    def open_for(self, task: Task) -> Source:
        from ml.adapters.sources.files import DatedFiles
        from ml.adapters.sources.replayed import ReplayedSource

        source = DatedFiles.from_settings(self, ZoneInfo(task.timezone))
        return source if self.replay is None else ReplayedSource(source, self.replay)

    def of_history(self) -> FilesSource:
        return self.model_copy(update={"replay": None})

    def caveats(self) -> tuple[str, ...]:
        return () if self.replay is None else (self.replay.caveat(),)


SOURCE = FilesSource
