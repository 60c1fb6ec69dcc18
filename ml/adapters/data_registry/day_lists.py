"""Read and write which days each folder of a version holds: our manifest, and DVC's lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from ml.adapters import identity
from ml.adapters.column_types import types_in
from ml.adapters.data_registry.layout import owned_by
from ml.adapters.data_registry.manifest import (
    ASSETS,
    MANIFEST,
    Entries,
    Entry,
    dir_object,
    dvc_file,
    file_name,
    parse_dir_object,
    read_manifest,
    tracked_md5,
    write_manifest,
)
from ml.adapters.data_registry.schema import Schema, parse_schema
from ml.adapters.data_registry.store import Store, in_threads
from ml.records import Asset


def read_lists(store: Store, top: Mapping[str, bytes]) -> dict[Asset, Entries]:
    """Read what each folder holds; only if the manifest is stale is DVC's list fetched."""
    listed = read_manifest(top.get(MANIFEST, b""))
    lists: dict[Asset, Entries] = {asset: {} for asset in ASSETS}
    for asset in ASSETS:
        if f"{asset}.dvc" in top:
            md5 = tracked_md5(asset, top[f"{asset}.dvc"])
            made, entries = listed[asset]
            lists[asset] = entries if made == md5 else parse_dir_object(store.fetch(md5).read_bytes())
    return lists


def with_sizes(store: Store, entries: Entries) -> dict[str, Entry]:
    """Fill in the sizes that nobody wrote down."""

    def with_size(entry: Entry) -> Entry:
        return entry if entry.bytes is not None else entry._replace(bytes=store.size(entry.md5))

    if None not in {entry.bytes for entry in entries.values()}:
        return dict(entries)
    return dict(zip(entries, in_threads(with_size, entries.values()), strict=True))


def next_top(
    store: Store,
    task: str | None,
    top: Mapping[str, bytes],
    before: Mapping[Asset, Entries],
    changes: Mapping[tuple[Asset, date], Entry | None],
    number: int,
) -> dict[str, bytes]:
    """Write the new lists of days, DVC's to its remote; return the files that Git shall hold.

    A day whose change is None is taken out; ``number`` is that of the version.
    """
    after, files = {}, {} if identity.NAME in top else owned_by(task)
    for asset in ASSETS:
        changed = {
            file_name(day): entry and entry._replace(version=number)
            for (of, day), entry in changes.items()
            if of == asset
        }
        listed = {**before[asset], **changed}
        after[asset] = with_sizes(store, {name: entry for name, entry in listed.items() if entry is not None})
        if changed:
            md5, data = dir_object(after[asset])
            store.upload_list(md5, data)
            files[f"{asset}.dvc"] = dvc_file(asset, after[asset], md5, top.get(f"{asset}.dvc"))
    return files | {MANIFEST: write_manifest(after)}


def read_schema(store: Store, recorded: bytes | None, held: Mapping[Asset, Entries]) -> Schema:
    """Return the types of columns as ``schema.json`` records them, or else as each folder's newest day has them."""
    if recorded is not None:
        return parse_schema(recorded)
    newest = {asset: max(entries) for asset, entries in held.items() if entries}
    return {asset: types_in(store.fetch(held[asset][name].md5)) or {} for asset, name in newest.items()}


def explain_absence(asset: Asset, rev: str, first: date, last: date, held: Iterable[date]) -> str:
    """Return what was asked for and which days come closest."""
    days = sorted(held)
    span = f"on {first}" if first == last else f"from {first} to {last}"
    earlier = max((day for day in days if day < first), default=None)
    later = min((day for day in days if day > last), default=None)
    near = " and ".join(str(day) for day in (earlier, later) if day) or "none at all"
    return (
        f"data version {rev} has no {asset} {span}; the nearest days it has: {near}. Ingest the day, or ask for another"
    )
