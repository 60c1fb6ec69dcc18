"""Where a day's rows come from, behind one small protocol."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Protocol, runtime_checkable

import pandas as pd

from ml.records import Asset

ASSETS = ("inputs", "labels")


class Source(Protocol):
    """Give the two tables of a day, each in the form in which the team has it."""

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
        """Return the same source, whose text columns are read by these types; see `ml.core.schema`."""
        ...


@runtime_checkable
class DescribedSource(Protocol):
    """What a source can do besides if it tells whether a day has changed without sending it."""

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return what changes with the content of a day: an ETag, or times and a size.

        None if nothing tells it, or nothing that can be trusted; raises as `Source.inputs` does.
        """
        ...
