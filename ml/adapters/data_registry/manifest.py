"""Write down which days a data version holds, as DVC does, and next to it as people read it.

A data version is four small files in Git. ``inputs.dvc`` and ``labels.dvc`` are DVC's own: each names the
md5 of a ``.dir`` object, which lists the folder's files. ``manifest.csv`` repeats the lists with the sizes,
which DVC does not keep, and with the number of the version that brought each file (the first version is 1), so
that ``git show`` shows which day changed and days are counted without any fetch. It is never trusted alone: it
counts only if DVC's hash of its list is the one in the ``.dvc`` file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any, NamedTuple

import yaml

from ml.errors import EvergreenError
from ml.records import Asset

ASSETS: tuple[Asset, ...] = ("inputs", "labels")
MANIFEST = "manifest.csv"
HEADER = ("file", "md5", "bytes", "version")

_DAY_FILE = re.compile(r"day=(\d{4}-\d{2}-\d{2})\.parquet")


class Entry(NamedTuple):
    """One file of a tracked folder; ``bytes`` and ``version`` are None if only DVC's list is known."""

    md5: str
    bytes: int | None
    version: int | None = None


Entries = Mapping[str, Entry]


def file_name(day: date) -> str:
    """Return the name of a day's file within its asset's folder."""
    return f"day={day.isoformat()}.parquet"


def day_of(name: str) -> date | None:
    """Return the day that a file name carries, or None if it is no day's file."""
    match = _DAY_FILE.fullmatch(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def object_name(md5: str) -> str:
    """Return where DVC keeps an object, in a cache and in a remote alike."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def dir_object(entries: Entries) -> tuple[str, bytes]:
    """Return the md5 (ending in ``.dir``) and the content of DVC's object for a folder.

    The bytes are those of ``dvc_data``'s ``Tree.as_bytes``, which takes forty times as long.
    """
    listed = [{"md5": entry.md5, "relpath": name} for name, entry in sorted(entries.items())]
    data = json.dumps(listed).encode()
    return f"{hashlib.md5(data).hexdigest()}.dir", data


def parse_dir_object(data: bytes) -> dict[str, Entry]:
    """Read DVC's object for a folder; sizes stay unknown."""
    return {item["relpath"]: Entry(item["md5"], None) for item in json.loads(data)}


def dvc_file(asset: Asset, entries: Entries, md5: str, before: bytes | None) -> bytes:
    """Write ``<asset>.dvc``, keeping what else (a description, say) stands in it."""
    content: dict[str, Any] = yaml.safe_load(before) if before else {}
    out = {**(content.get("outs") or [{}])[0]}
    out.update(md5=md5, nfiles=len(entries), hash="md5", path=asset)
    sizes = [entry.bytes for entry in entries.values()]
    out["size"] = sum(size or 0 for size in sizes)
    content["outs"] = [{key: out[key] for key in sorted(out, key=_dvc_order)}]
    return yaml.safe_dump(content, sort_keys=False).encode()


def tracked_md5(asset: Asset, data: bytes) -> str:
    """Read from ``<asset>.dvc`` which ``.dir`` object the folder is."""
    try:
        return str(yaml.safe_load(data)["outs"][0]["md5"])
    except (yaml.YAMLError, KeyError, IndexError, TypeError) as err:
        raise EvergreenError(f"{asset}.dvc of the data registry is damaged; revert the commit") from err


def write_manifest(assets: Mapping[Asset, Entries]) -> bytes:
    """Write ``manifest.csv``: one line a file, in order, so that a changed day is a changed line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for asset in ASSETS:
        for name, entry in sorted(assets.get(asset, {}).items()):
            # A line without a version stays as it was written: else it would look like a change of its day.
            writer.writerow((f"{asset}/{name}", *(entry if entry.version is not None else entry[:2])))
    return text.getvalue().encode()


@lru_cache(maxsize=4)
def read_manifest(data: bytes) -> dict[Asset, tuple[str, Entries]]:
    """Read the list of each folder with DVC's md5 of it, which shows whether it is stale; not to be modified."""
    return {asset: (dir_object(entries)[0], entries) for asset, entries in parse_manifest(data).items()}


def parse_manifest(data: bytes) -> dict[Asset, dict[str, Entry]]:
    """Read the list of each folder; all are empty if it is damaged."""
    listed: dict[Asset, dict[str, Entry]] = {asset: {} for asset in ASSETS}
    folders = {str(asset): entries for asset, entries in listed.items()}
    try:
        for name, md5, size, *version in list(csv.reader(io.StringIO(data.decode())))[1:]:
            folder, _, file = name.partition("/")
            folders[folder][file] = Entry(md5, int(size), int(version[0]) if version else None)
    except (ValueError, KeyError):
        return {asset: {} for asset in ASSETS}
    return listed


def line_of(asset: Asset, day: date, md5: str) -> bytes:
    """Return how the line of a day with this content begins in ``manifest.csv``."""
    return f"\n{asset}/{file_name(day)},{md5},".encode()


def _dvc_order(key: str) -> int:
    order = ("md5", "size", "nfiles", "hash", "path")
    return order.index(key) if key in order else len(order)
