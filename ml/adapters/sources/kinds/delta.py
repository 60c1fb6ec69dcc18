"""Settings of a source that takes the days out of a Delta table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ml.adapters.sources import Source, SourceKind
from ml.settings import Name, Replay, Settings, TimePart


class DeltaSource(SourceKind):
    """A Delta table of many days, or one each for inputs and labels; ``make lake`` installs what reads it."""

    kind: Literal["delta"]
    inputs: Name
    """Where the table of inputs is: a path, or an address such as ``s3://bucket/table``."""
    labels: Name | None = None
    """Where the table of labels is, likewise; null if it is that of inputs."""
    time: Name
    """The column with an instant or a date, by which rows belong to a day of ``task.timezone``."""
    inputs_columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """The columns of inputs; null for all but the target."""
    labels_columns: tuple[Name, ...] | None = Field(default=None, min_length=1)
    """The columns of labels; null for key and target."""
    time_parts: tuple[TimePart, ...] = ()
    """Which parts of ``time`` inputs have as columns too, by the clocks of ``task.timezone``; see ``kind: table``."""
    max_megabytes: float = Field(default=4096.0, gt=0)
    """How many millions of bytes of a day are in memory at once at most, as unpacked."""
    replay: Replay | None = None
    """The past period that is served as if it were now; null serves days as they are."""

    def open_in(self, settings: Settings) -> Source:
        from ml.adapters.sources.lakes import Lake, LakeRows
        from ml.adapters.sources.replayed import ReplayedSource

        source = LakeRows(Lake("delta"), self, settings)
        return source if self.replay is None else ReplayedSource(source, self.replay)

    def of_history(self) -> DeltaSource:
        return self.model_copy(update={"replay": None})

    def caveats(self) -> tuple[str, ...]:
        return () if self.replay is None else (self.replay.caveat(),)


SOURCE = DeltaSource
