"""Settings of a source of dated URLs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ml.adapters.sources import Source, SourceKind
from ml.settings import Complete, Name


class HttpSource(SourceKind):
    """A URL template per table; ``{day}`` is replaced by the ISO day."""

    kind: Literal["http"]
    inputs: Name
    """The URL of a day's inputs; ``{day}`` in it is replaced by the ISO day, ``{year}``, ``{month}`` and
    ``{day_of_month}`` by its parts.
    """
    labels: Name
    """The URL of a day's labels, likewise."""
    complete: Complete | None = None
    """How a file shows that it is whole; null if it is as soon as it is there."""
    format: Literal["parquet", "csv"] = "parquet"
    """In which format the tables come."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """After so long an answer is waited for no longer."""
    retries: int = Field(default=4, ge=0, le=20)
    """How often a failed request is tried again."""
    max_megabytes: float = Field(default=512.0, gt=0)
    """The largest table that is taken, as unpacked, in millions of bytes."""

    def open(self) -> Source:
        from ml.adapters.sources.http import DatedUrls

        return DatedUrls.from_settings(self)


SOURCE = HttpSource
