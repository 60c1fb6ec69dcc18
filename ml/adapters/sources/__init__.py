"""Where a day's rows come from, behind one small protocol."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ml.records import Asset
from ml.settings import Settings, SourceSettings, Task

if TYPE_CHECKING:  # settings are read without pandas
    import pandas as pd

ASSETS = ("inputs", "labels")


class Source(Protocol):
    """The two tables of a day, each in the form in which the team has it."""

    def inputs(self, day: date) -> pd.DataFrame:
        """Read what is known on ``day`` when it is scored, one row per thing to predict.

        Raises
        ------
        MissingArtifact
            If the source has nothing for that day.
        DataRejected
            If what it has cannot be read as a table.
        Unavailable
            If the source does not answer.
        """
        ...

    def labels(self, day: date) -> pd.DataFrame:
        """Read the key and target of ``day``'s rows; raises as `inputs` does."""
        ...


@runtime_checkable
class LargeSource(Protocol):
    """What a source can do besides if its days may be larger than memory."""

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write the table that `Source.inputs` or `Source.labels` gives to a Parquet file; raises as they do.

        Memory holds no more than ``rows_at_once`` rows where the source can be read in parts.
        """
        ...


@runtime_checkable
class TypedSource(Protocol):
    """What a source can do besides if its tables may be text without types (CSV)."""

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> Source:
        """Return the same source, whose text columns are read by these types; see `ml.core.data.schema`."""
        ...


@runtime_checkable
class DescribedSource(Protocol):
    """What a source can do besides if it shows whether a day has changed without sending it."""

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return what changes with the content of a day: an ETag, or times and a size.

        None if nothing shows it, or nothing that can be trusted; raises as `Source.inputs` does.
        """
        ...


class SourceKind(SourceSettings):
    """One kind of source: a subclass declares what ``params.yaml`` may say of it, and opens it.

    ``kind`` is a ``Literal`` of the name by which ``params.yaml`` asks for it.
    """

    def open(self) -> Source:
        """Return the source, without reading from it; heavy libraries are imported here and not at the top."""
        raise NotImplementedError

    def open_for(self, task: Task) -> Source:
        """Return the source for a task: a kind that needs its time zone, key or target overrides this one."""
        return self.open()

    def open_in(self, settings: Settings) -> Source:
        """Return the source under all settings: a kind that needs more of them than ``task`` overrides this one."""
        return self.open_for(settings.task)
