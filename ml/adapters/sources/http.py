"""A URL per table and day.

Credentials belong into the environment: the entry of the host in the file that ``NETRC`` names is
sent as HTTP basic authentication.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING

from ml.adapters.sources.completeness import MANIFEST, MARKER, Manifest, check_age, filled, incomplete, read_manifest
from ml.adapters.sources.download import Downloads, without_secrets
from ml.adapters.sources.patterns import TableFormat, check_pattern, named
from ml.adapters.sources.tables import read_table
from ml.adapters.sources.unpacked import MEGABYTE
from ml.errors import EvergreenError, MissingArtifact
from ml.records import Asset
from ml.settings import Complete

if TYPE_CHECKING:
    import pandas as pd

    from ml.adapters.sources.kinds.http import HttpSource


@dataclass(frozen=True)
class DatedUrls:
    """Read a day's tables from two URLs such as ``https://data.example.com/inputs/{day}.parquet``.

    Parameters
    ----------
    inputs_pattern, labels_pattern
        An http or https URL that names ``{day}``, in its path or its query, or its parts; see `patterns`.
    table_format
        What the server sends; the URL's ending says nothing.
    timeout_seconds
        The longest silence of the server, before and within an answer. Not the length of a download.
    retries
        How often a failed attempt is repeated; 0 is one attempt.
    max_megabytes
        The largest table, as unpacked, in millions of bytes.
    complete
        How the server shows that a day is whole; None takes a day as soon as it is there.
    backoff_seconds
        The pause after the first failed attempt; doubles with each further one. A ``Retry-After``
        of the server goes before it.

    Raises
    ------
    SettingsError
        If a pattern has no ``{day}``, has other braces, or is no http or https URL.
    """

    inputs_pattern: str
    labels_pattern: str
    table_format: TableFormat = "parquet"
    timeout_seconds: float = 30.0
    retries: int = 4
    max_megabytes: float = 512.0
    backoff_seconds: float = 1.0
    complete: Complete | None = None
    types: Mapping[Asset, Mapping[str, str]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        patterns = {"source.inputs": self.inputs_pattern, "source.labels": self.labels_pattern}
        if self.complete:
            named = {MARKER: self.complete.marker, MANIFEST: self.complete.manifest}
            patterns |= {key: pattern.replace("{asset}", "inputs") for key, pattern in named.items() if pattern}
        for key, pattern in patterns.items():
            check_pattern(pattern, key=key, shown=without_secrets(pattern, key=key))

    @classmethod
    def from_settings(cls, section: HttpSource) -> DatedUrls:
        """Read the URLs and limits of ``source`` in ``params.yaml``."""
        return cls(
            inputs_pattern=section.inputs,
            labels_pattern=section.labels,
            table_format=section.format,
            timeout_seconds=section.timeout_seconds,
            retries=section.retries,
            max_megabytes=section.max_megabytes,
            complete=section.complete,
        )

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the day's inputs; see `ml.adapters.sources.tables` for what becomes of types."""
        return self._read(self.inputs_pattern, "inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the day's labels, as `inputs` does."""
        return self._read(self.labels_pattern, "labels", day)

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return the strong ETag that the server answers to HEAD; None if it gives none, or does not answer.

        What is wrong is said where the table itself is asked for.
        """
        pattern = self.inputs_pattern if asset == "inputs" else self.labels_pattern
        return self._downloads.etag(named(pattern, day))

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> DatedUrls:
        """Return the same source, whose CSV answers are read by these types."""
        return replace(self, types=types)

    def _read(self, pattern: str, asset: Asset, day: date) -> pd.DataFrame:
        key = f"source.{asset}"
        url = named(pattern, day)
        shown = without_secrets(url, key=key)
        manifest = self._expected(asset, day, shown)
        complete = self.complete if self.complete and self.complete.min_age else None
        check = partial(_check_age, shown=shown, day=day, complete=complete) if complete else None
        content = self._downloads.get(url, shown, key, day, check)
        if manifest:
            manifest.check_content(content, shown)
        types = self.types.get(asset)
        table = read_table(content, self.table_format, origin=shown, types=types, limit=self._limit)
        if manifest:
            manifest.check_rows(len(table), shown)
        return table

    def _expected(self, asset: Asset, day: date, shown: str) -> Manifest | None:
        """Return what the day's table must be, if a manifest says so; MissingArtifact if it is not complete yet."""
        pattern = self.complete and (self.complete.marker or self.complete.manifest)
        if not self.complete or not pattern:
            return None
        key = MARKER if self.complete.marker else MANIFEST
        url = filled(pattern, asset, day)
        origin = without_secrets(url, key=key)
        try:
            content = self._downloads.get(url, origin, key, day)
        except MissingArtifact as err:
            raise incomplete(shown, day, f"there is no {origin}; deliver it once the table is whole") from err
        return read_manifest(content, asset, day, origin=origin, name=shown) if key == MANIFEST else None

    @property
    def _downloads(self) -> Downloads:
        return Downloads(self.timeout_seconds, self.retries, self.backoff_seconds, self._limit)

    @property
    def _limit(self) -> int:
        return int(self.max_megabytes * MEGABYTE)


def _check_age(headers: Mapping[str, str], shown: str, day: date, complete: Complete) -> None:
    """Raise MissingArtifact if a table is too young, by the server's own clock."""
    last_modified, now = (headers.get(name, "") for name in ("Last-Modified", "Date"))
    try:
        modified = parsedate_to_datetime(last_modified).timestamp()
        by_clock = parsedate_to_datetime(now).timestamp() if now else time.time()
    except ValueError:
        raise EvergreenError(
            f"{shown}: the server does not say when the table was changed (Last-Modified), so its age is unknown; "
            "set source.complete to a marker or a manifest"
        ) from None
    check_age(modified, shown, day, now=by_clock, complete=complete)
