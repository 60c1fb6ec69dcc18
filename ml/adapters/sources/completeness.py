"""Distinguish a delivery that is whole from one that is still on its way.

A file that is cut at the end of a line is a legal file. Who delivers can say when one is whole: by a marker that is
written after it, by a manifest of what it holds, or by leaving it alone for some time (``source.complete``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ml import settings
from ml.adapters.s3_errors import NoSuchObject
from ml.adapters.sources import local, s3
from ml.adapters.sources.addresses import Address
from ml.adapters.sources.patterns import named
from ml.errors import DataRejected, MissingArtifact
from ml.records import Asset
from ml.settings import Complete

ASSET = "{asset}"
MARKER, MANIFEST = "source.complete.marker", "source.complete.manifest"
"""The settings keys, for messages."""

SAME_TIME_SECONDS = 2.0
"""File systems and S3 keep times to one or two seconds: a marker may be so much older than its file."""
DIGESTS = ("md5", "sha256")
COUNTS = ("rows", "bytes")
PAIR = re.compile(r"\s*([A-Za-z0-9_]+)\s*[=:]\s*(\S+)\s*")
CHECKSUM = re.compile(r"([0-9A-Fa-f]{64}|[0-9A-Fa-f]{32})\s+\*?\S.*")
"""A line of md5sum or sha256sum."""
DELIVER_AGAIN = "deliver the file again, whole, or correct its manifest, then run this again"


@dataclass(frozen=True)
class Manifest:
    """What a day's file must be: ``stated`` holds some of rows, bytes, md5, sha256. ``origin`` is its name."""

    origin: str
    stated: Mapping[str, int | str]

    def check_file(self, path: Path, name: str) -> None:
        """Raise DataRejected if a file has not the bytes that it must have; ``name`` is its name for messages."""
        self._compare("bytes", path.stat().st_size, name)
        for digest in set(DIGESTS) & set(self.stated):
            with path.open("rb") as file:
                self._compare(digest, hashlib.file_digest(file, digest).hexdigest(), name)

    def check_content(self, content: bytes, name: str) -> None:
        """Raise DataRejected if what was downloaded is not what it must be."""
        self._compare("bytes", len(content), name)
        for digest in set(DIGESTS) & set(self.stated):
            self._compare(digest, hashlib.new(digest, content).hexdigest(), name)

    def check_rows(self, rows: int, name: str) -> None:
        """Raise DataRejected if a file has not the rows that it must have."""
        self._compare("rows", rows, name)

    def _compare(self, measure: str, actual: int | str, name: str) -> None:
        stated = self.stated.get(measure)
        if stated is not None and stated != actual:
            difference = (
                f"{actual:,} {measure}, and its manifest {self.origin} states {stated:,}"
                if isinstance(actual, int) and isinstance(stated, int)
                else f"the {measure} {actual}, and its manifest {self.origin} states {stated}"
            )
            raise DataRejected(f"{name} has {difference}; {DELIVER_AGAIN}")


def filled(pattern: str, asset: Asset, day: date) -> str:
    """Return the name of the marker or manifest of a day."""
    return named(pattern, day).replace(ASSET, asset)


def incomplete(name: str, day: date, reason: str) -> MissingArtifact:
    """Return the error of a day's file that is not whole yet; it is asked for again as if it had not arrived."""
    return MissingArtifact(f"not complete yet: {name} of {day}: {reason}, then run this again")


def check_marker(modified: float, name: str, day: date, *, marker: str, marked: float) -> None:
    """Raise MissingArtifact if a file was changed after its marker was written; times are seconds since 1970."""
    if modified - marked > SAME_TIME_SECONDS:
        raise incomplete(
            name,
            day,
            f"it was changed at {_instant(modified)}, after its marker {marker} ({_instant(marked)}); "
            "write the marker after the file",
        )


def check_age(modified: float, name: str, day: date, *, now: float, complete: Complete) -> None:
    """Raise MissingArtifact if a file is younger than ``source.complete.min_age``; times are seconds since 1970."""
    min_age = complete.min_age
    if min_age is not None and now - modified < min_age:
        raise incomplete(
            name,
            day,
            f"it was changed at {_instant(modified)}, {now - modified:,.0f} s ago, and source.complete.min_age asks "
            f"for {min_age:,.0f} s; deliver it and leave it alone so long",
        )


def read_manifest(content: bytes, asset: Asset, day: date, *, origin: str, name: str) -> Manifest:
    """Read what a day's file must be.

    JSON, with ``rows``, ``bytes``, ``md5`` or ``sha256`` at its top or below the name of the asset; or text: lines
    such as ``rows=200``, those of md5sum and sha256sum, or a number of rows alone.

    Raises
    ------
    MissingArtifact
        If the manifest speaks of the other asset only.
    DataRejected
        If it cannot be read, or states none of these.
    """
    facts = _facts(content, origin)
    sections = {part: facts[part] for part in ("inputs", "labels") if isinstance(facts.get(part), dict)}
    if sections and asset not in sections:
        raise incomplete(name, day, f"its manifest {origin} says nothing of {asset}; deliver that part of it")
    stated = {key: value for key, value in sections.get(asset, facts).items() if key in (*COUNTS, *DIGESTS)}
    if not stated:
        raise DataRejected(f"{origin} states none of rows, bytes, md5 and sha256; write one of them, then run again")
    return Manifest(origin, {key: _stated(key, value, origin) for key, value in stated.items()})


def _facts(content: bytes, origin: str) -> dict[str, Any]:
    try:
        text = content.decode("utf-8-sig").strip()
        if text.startswith(("{", "[")):
            facts = json.loads(text)
            return {str(key).lower(): value for key, value in facts.items()}
    except (ValueError, AttributeError) as err:
        raise DataRejected(
            f'{origin} is no manifest ({err}); write JSON such as {{"rows": 200}}, then run this again'
        ) from err
    if text.isdecimal():
        return {"rows": text}
    facts = {}
    for line in text.splitlines():
        if match := CHECKSUM.fullmatch(line.strip()):
            facts["md5" if len(match[1]) == 32 else "sha256"] = match[1]
        elif match := PAIR.fullmatch(line):
            facts[match[1].lower()] = match[2]
    return facts


def _stated(key: str, value: object, origin: str) -> int | str:
    text = str(value).replace(",", "").replace("_", "").strip().lower()
    if key in COUNTS and text.isdecimal() and not isinstance(value, bool):
        return int(text)
    if key in DIGESTS and re.fullmatch("[0-9a-f]{32}" if key == "md5" else "[0-9a-f]{64}", text):
        return text
    raise DataRejected(f"{origin} states {key} as {value!r}, which is not one; correct the manifest, then run again")


def _instant(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def folder_of(pattern: str, asset: Asset) -> str:
    """Return the folder of markers or manifests that is the same for all days."""
    return Address.of(pattern.replace(ASSET, asset)).folder


def read_small(name: str, key: str, file: str, day: date, *, folder: str) -> tuple[bytes, float]:
    """Read a marker or manifest, and when it was written; ``folder`` is the one that is the same for all days.

    Raises
    ------
    MissingArtifact
        If it is not there: the file that it speaks of is not complete yet.
    SettingsError
        If its folder or bucket is not there.
    """
    try:
        if name.startswith(s3.S3):
            with s3.opened(name, key) as s3_object:
                return s3_object.body.read(), s3_object.modified
        path = settings.PROJECT_ROOT / name
        modified = local.stat(path).st_mtime
        return path.read_bytes(), modified
    except (NoSuchObject, FileNotFoundError):
        if not name.startswith(s3.S3):
            local.entries(settings.PROJECT_ROOT / folder, key)
        raise incomplete(file, day, f"there is no {name}; deliver it once the file is whole") from None
