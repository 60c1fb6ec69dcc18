"""Write down which days a data version holds, as DVC does, and beside it as people read it.

A data version is four small files in Git. ``inputs.dvc`` and ``labels.dvc`` are DVC's own: each names the
md5 of a ``.dir`` object, which lists the folder's files. ``manifest.csv`` repeats the lists with the sizes,
which DVC does not keep, so that ``git show`` tells which day changed and days are counted without any
fetch. It is never trusted alone: it counts only if DVC's hash of its list is the one in the ``.dvc`` file.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta
from dvc_data.hashfile.tree import Tree

from ml.errors import EvergreenError
from ml.records import Asset

ASSETS: tuple[Asset, ...] = ("inputs", "labels")
MANIFEST = "manifest.csv"
HEADER = ("file", "md5", "bytes")

_DAY_FILE = re.compile(r"day=(\d{4}-\d{2}-\d{2})\.parquet")


@dataclass(frozen=True)
class Entry:
    """One file of a tracked folder; ``bytes`` is None if only DVC's list is known."""

    md5: str
    bytes: int | None


Entries = Mapping[str, Entry]


def file_name(day: date) -> str:
    """Give the name of a day's file within its asset's folder."""
    return f"day={day.isoformat()}.parquet"


def day_of(name: str) -> date | None:
    """Give the day that a file name carries, or None if it is no day's file."""
    match = _DAY_FILE.fullmatch(name)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def object_name(md5: str) -> str:
    """Give where DVC keeps an object, in a cache and in a remote alike."""
    return f"files/md5/{md5[:2]}/{md5[2:]}"


def dir_object(entries: Entries) -> tuple[str, bytes]:
    """Give the md5 (ending in ``.dir``) and the content of DVC's object for a folder."""
    tree = Tree()
    for name, entry in entries.items():
        tree.add((name,), Meta(), HashInfo("md5", entry.md5))
    data = tree.as_bytes()  # Tree.digest() would keep every version in memory for ever
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
            writer.writerow((f"{asset}/{name}", entry.md5, entry.bytes))
    return text.getvalue().encode()


def parse_manifest(data: bytes, asset: Asset, md5: str) -> dict[str, Entry] | None:
    """Read one folder's list, or None unless DVC's hash of it is ``md5``: stale or damaged."""
    entries = {}
    try:
        for name, file_md5, size in list(csv.reader(io.StringIO(data.decode())))[1:]:
            if name.startswith(f"{asset}/"):
                entries[name.removeprefix(f"{asset}/")] = Entry(file_md5, int(size))
    except ValueError:
        return None
    return entries if dir_object(entries)[0] == md5 else None


def _dvc_order(key: str) -> int:
    order = ("md5", "size", "nfiles", "hash", "path")
    return order.index(key) if key in order else len(order)
