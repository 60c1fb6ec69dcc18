"""Files whose names carry the day, in a folder or below an ``s3://`` prefix."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from ml import settings
from ml.adapters.rows import count_rows
from ml.adapters.s3_errors import NoSuchObject
from ml.adapters.sources import local, s3
from ml.adapters.sources.addresses import Address, belongs_to, misspelt_for, show_some
from ml.adapters.sources.columns import choose_columns
from ml.adapters.sources.completeness import (
    MANIFEST,
    MARKER,
    Manifest,
    check_age,
    check_marker,
    filled,
    folder_of,
    read_manifest,
    read_small,
)
from ml.adapters.sources.packed_texts import unpacked
from ml.adapters.sources.parquet_tables import copy_parquet, is_larger
from ml.adapters.sources.patterns import DAY, check_pattern, format_of, named, packing_of
from ml.adapters.sources.tables import read_table
from ml.adapters.sources.time_columns import add_day_to_file, add_parts, add_parts_to_file, check_parts
from ml.adapters.sources.unpacked import MEGABYTE, too_large
from ml.adapters.workspace import write_parquet
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Asset
from ml.settings import Complete, TimePart

if TYPE_CHECKING:
    from ml.adapters.sources.kinds.files import FilesSource

S3 = s3.S3
UTC = ZoneInfo("UTC")
BUCKET_SLASHES = 2
"""In ``s3://bucket``."""


@dataclass(frozen=True)
class Delivered:
    """A local file with what the source has for a day, the name to call it by, and what it must hold."""

    path: Path
    name: str
    manifest: Manifest | None = None


@dataclass(frozen=True)
class DatedFiles:
    """Read a day's tables from two patterns such as ``/data/inputs-{day}.parquet``.

    Parameters
    ----------
    inputs_pattern, labels_pattern
        A path, or ``s3://bucket/key``, with ``{day}``, or ``{year}``, ``{month}`` and ``{day_of_month}``, whose ending
        says the format, see `ml.adapters.sources.patterns`. A relative path starts at the project's own folder.
    inputs_columns, labels_columns
        The columns that are taken; None for all.
    complete
        How a file shows that it is whole; None takes a file as soon as it is there.
    day_from_name
        Whether a table without a column ``day`` gets it from the name of its file.
    max_megabytes
        The most that is read into memory at once, as unpacked, in millions of bytes: a CSV file, a small Parquet file,
        or a batch of a large one.
    time, time_parts, zone
        The column of inputs whose parts become columns, which parts, and by the clocks of which time zone.

    Raises
    ------
    SettingsError
        If a pattern has no ``{day}``, has other braces, or names neither a path nor an S3 object.
    """

    inputs_pattern: str
    labels_pattern: str
    complete: Complete | None = None
    types: Mapping[Asset, Mapping[str, str]] = field(default_factory=dict, compare=False)
    day_from_name: bool = False
    max_megabytes: float = 4096.0
    time: str | None = None
    time_parts: tuple[TimePart, ...] = ()
    zone: ZoneInfo = UTC
    inputs_columns: tuple[str, ...] | None = None
    labels_columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for key, pattern in (("source.inputs", self.inputs_pattern), ("source.labels", self.labels_pattern)):
            _check(pattern, key)
            format_of(pattern, key=key)
        check_parts(self.time_parts, str(self.time), self.inputs_columns)
        if self.complete:
            for key, named in ((MARKER, self.complete.marker), (MANIFEST, self.complete.manifest)):
                if named:
                    _check(named.replace("{asset}", "inputs"), key)

    @classmethod
    def from_settings(cls, section: FilesSource, zone: ZoneInfo = UTC) -> DatedFiles:
        """Read the patterns of ``source`` in ``params.yaml``."""
        return cls(
            section.inputs, section.labels, section.complete,
            day_from_name=section.day_from_name, max_megabytes=section.max_megabytes,
            time=section.time, time_parts=section.time_parts, zone=zone,
            inputs_columns=section.inputs_columns, labels_columns=section.labels_columns,
        )  # fmt: skip

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the day's file of inputs; see `ml.adapters.sources.tables` for what becomes of types."""
        return self._read("inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the day's file of labels, as `inputs` does."""
        return self._read("labels", day)

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> DatedFiles:
        """Return the same source, whose CSV files are read by these types."""
        return replace(self, types=types)

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return the ETag and size of an object; of a file its times, size and inode, once it has been left alone."""
        name = named(self._pattern(asset), day)
        return s3.etag(name, f"source.{asset}") if name.startswith(S3) else local.describe(settings.PROJECT_ROOT / name)

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write a day's table to a Parquet file; a Parquet source of more than ``rows_at_once`` rows in batches."""
        with self._delivered(asset, day) as delivered:
            kind = format_of(self._pattern(asset), key=f"source.{asset}")
            path, origin = delivered.path, delivered.name
            large = kind == "parquet" and is_larger(path, rows_at_once, limit=self._limit, origin=origin)
            choose = partial(self._choose, asset, origin)
            if not (large and copy_parquet(path, target, origin=origin, choose=choose)):
                write_parquet(self._table(asset, delivered, day), target)
            else:
                if self.day_from_name:
                    add_day_to_file(target, day.isoformat())
                if asset == "inputs" and self.time_parts:
                    add_parts_to_file(target, str(self.time), self.time_parts, self.zone)
            if delivered.manifest:
                delivered.manifest.check_rows(count_rows(target), origin)

    def _read(self, asset: Asset, day: date) -> pd.DataFrame:
        with self._delivered(asset, day) as delivered:
            table = self._table(asset, delivered, day)
            if delivered.manifest:
                delivered.manifest.check_rows(len(table), delivered.name)
        return table

    def _table(self, asset: Asset, delivered: Delivered, day: date) -> pd.DataFrame:
        if delivered.path.stat().st_size > self._limit:
            raise too_large(delivered.name, self._limit)
        pattern = self._pattern(asset)
        content = unpacked(delivered.path, packing_of(pattern), delivered.name, limit=self._limit)
        kind, types = format_of(pattern, key=f"source.{asset}"), self.types.get(asset)
        table = read_table(content, kind, origin=delivered.name, types=types, limit=self._limit)
        if kind == "json":  # what no object of the day names is a null of each
            table = table.reindex(columns=self._with_absent(asset, [str(name) for name in table]))
        table = table[self._choose(asset, delivered.name, [str(name) for name in table])]
        if self.day_from_name and "day" not in table:
            table.insert(0, "day", pd.Series(day.isoformat(), index=table.index, dtype="str"))
        return add_parts(table, str(self.time), self.time_parts, self.zone) if asset == "inputs" else table

    def _choose(self, asset: Asset, origin: str, names: Sequence[str]) -> list[str]:
        wanted = self.inputs_columns if asset == "inputs" else self.labels_columns
        made = ["day"] if self.day_from_name else []
        return choose_columns(names, wanted, f"source.{asset}_columns", origin, made=made)

    def _with_absent(self, asset: Asset, names: Sequence[str]) -> list[str]:
        wanted = (self.inputs_columns if asset == "inputs" else self.labels_columns) or ()
        made = {"day"} if self.day_from_name else set()
        return list(dict.fromkeys([*names, *(name for name in wanted if name not in made)]))

    @property
    def _limit(self) -> int:
        return int(self.max_megabytes * MEGABYTE)

    def _pattern(self, asset: Asset) -> str:
        return self.inputs_pattern if asset == "inputs" else self.labels_pattern

    @contextmanager
    def _delivered(self, asset: Asset, day: date) -> Iterator[Delivered]:
        """Yield what the source has for a day, once it is whole."""
        name = named(self._pattern(asset), day)
        with (
            self._s3_file(name, asset, day) if name.startswith(S3) else self._local_file(name, asset, day) as delivered
        ):
            if delivered.manifest:
                delivered.manifest.check_file(delivered.path, delivered.name)
            yield delivered

    @contextmanager
    def _s3_file(self, uri: str, asset: Asset, day: date) -> Iterator[Delivered]:
        key = f"source.{asset}"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            try:
                with s3.opened(uri, key) as s3_object:
                    manifest = self._check_whole(asset, day, uri, modified=s3_object.modified, now=s3_object.now)
                    s3_object.save(path)
            except NoSuchObject as err:
                raise self._explain_absence(uri, asset, day) from err
            yield Delivered(path, uri, manifest)

    @contextmanager
    def _local_file(self, name: str, asset: Asset, day: date) -> Iterator[Delivered]:
        path = settings.PROJECT_ROOT / name
        try:
            before = local.stat(path)
        except FileNotFoundError as err:
            raise self._explain_absence(name, asset, day) from err
        manifest = self._check_whole(asset, day, str(path), modified=before.st_mtime, now=time.time())
        yield Delivered(path, str(path), manifest)
        after = local.stat(path)
        if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
            raise Unavailable(
                f"{path} was changed while it was read; write under another name and rename, or set source.complete"
            )

    def _check_whole(self, asset: Asset, day: date, name: str, *, modified: float, now: float) -> Manifest | None:
        """Raise MissingArtifact if a file is not whole yet; return what its manifest states, if there is one."""
        if self.complete is None:
            return None
        check_age(modified, name, day, now=now, complete=self.complete)
        if self.complete.marker:
            marker = filled(self.complete.marker, asset, day)
            folder = folder_of(self.complete.marker, asset)
            _, marked = read_small(marker, MARKER, name, day, folder=folder)
            check_marker(modified, name, day, marker=marker, marked=marked)
        if self.complete.manifest:
            manifest = filled(self.complete.manifest, asset, day)
            folder = folder_of(self.complete.manifest, asset)
            content, _ = read_small(manifest, MANIFEST, name, day, folder=folder)
            return read_manifest(content, asset, day, origin=manifest, name=name)
        return None

    def _explain_absence(self, name: str, asset: Asset, day: date) -> EvergreenError:
        """Return the error of a day without a file: it has not arrived, or the address is wrong."""
        key, address = f"source.{asset}", Address.of(self._pattern(asset))
        other = Address.of(self._pattern("labels" if asset == "inputs" else "inputs"))
        kind, shown_name = ("object", name) if name.startswith(S3) else ("file", str(settings.PROJECT_ROOT / name))
        names = _list_entries(address, other, key)
        if misspelt := misspelt_for(address, names, [other]):
            return SettingsError(
                f"{key}: no {kind} in {address.folder} is called {address.entry} for any day, but there is {misspelt}; "
                f"correct {key}"
            )
        some_day = any(map(address.has, names))
        hint = "" if some_day else f" (nor for any other day: {address.folder} holds {show_some(names)})"
        return MissingArtifact(
            f"nothing for {day}: {shown_name} does not exist{hint}; deliver the {kind}, or correct {key}"
        )


def _check(pattern: str, key: str) -> None:
    check_pattern(pattern, key=key)
    if pattern.startswith(S3):
        bucket, name = s3.split(pattern)
        if not bucket or not name or "{" in bucket:
            raise SettingsError(f"{key}: {pattern} is not s3://bucket/name with {DAY} in the name; correct it")
    elif "://" in pattern:
        raise SettingsError(f"{key}: {pattern} is neither a path nor s3://; for a web address set source.kind to http")


def _list_entries(address: Address, other: Address, key: str) -> list[str]:
    """List the folder that is the same for all days; SettingsError if there is none.

    S3 has no folders: one is missing if no object's name begins with it, while something besides the other table
    lies next to it.
    """
    if not address.folder.startswith(S3):
        return local.entries(settings.PROJECT_ROOT / address.folder, key)
    folder = address.folder
    names = s3.entries(folder, key)
    neighbours: list[str] = []
    while not names and not neighbours and folder.count("/") > BUCKET_SLASHES:
        folder, _, part = folder.rpartition("/")
        neighbours = s3.entries(folder, key)
        if strange := [name for name in neighbours if not belongs_to(other, f"{folder}/{name}", part)]:
            bucket, prefix = s3.split(address.folder)
            raise SettingsError(
                f"{key}: there is no object below {address.folder}/, but {folder}/ holds {show_some(strange)}; correct "
                f"{key}, or, if nothing was ever delivered there, create the folder: aws s3api put-object --bucket "
                f"{bucket} --key {prefix}/"
            )
    return names
