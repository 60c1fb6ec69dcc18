"""Keep a registry small for years: pack its history, and keep DVC's lists of recent versions only.

DVC needs the whole list of a folder for each version, so that they would grow with the square of the days.
`manifest.csv` holds the same in Git, packed to what has changed. Hence the remote keeps the lists of the newest
versions and of those that a tag names; any other is written again from its manifest when somebody wants it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from ml.adapters.data_registry import commits, git
from ml.adapters.data_registry.manifest import ASSETS, MANIFEST, dir_object, object_name, parse_manifest, tracked_md5
from ml.adapters.data_registry.store import Store
from ml.errors import EvergreenError
from ml.records import Asset

log = logging.getLogger(__name__)

EVERY_VERSIONS = 16
KEPT_VERSIONS = 16


def after_commit(repository: Path, store: Store, head: str, number: int) -> None:
    """Run what is due once version ``number`` exists; what goes wrong is logged, for the version stands."""
    due = number % EVERY_VERSIONS == 0
    commits.pack(repository, now=due)
    if due:
        try:
            drop_old_lists(repository, store, head)
        except (EvergreenError, OSError) as err:
            log.warning("old lists of %s stay where they are: %s", store.remote, err)


def drop_old_lists(repository: Path, store: Store, head: str) -> list[str]:
    """Remove DVC's lists of old versions from the remote; write the newest and tagged ones that are not there.

    A list goes only if a version that is neither new nor tagged names it and its manifest can make it again.

    Returns
    -------
    list of str
        What was removed, as DVC names it (``<md5>.dir``).
    """
    newest = git.run(["rev-list", "--first-parent", f"--max-count={KEPT_VERSIONS}", head], repository=repository)
    tagged = git.run(["for-each-ref", "--format=%(objectname)", "refs/tags"], repository=repository).decode().split()
    for rev in (head, *tagged):
        write_lists(repository, store, rev)
    current_lists = {
        md5 for rev in (*newest.decode().split(), *tagged) for md5 in _read_list_names(repository, rev).values()
    }
    stored = {
        "".join(name.split("/")[-2:]) for name in store.objects.list("files/md5/") if name.endswith(".dir")
    } - current_lists
    removed = []
    for rev in _list_changes(repository, head) if stored else ():
        for asset, md5 in _read_list_names(repository, rev).items():
            if md5 in stored and _build_list(repository, rev, asset, md5) is not None:
                store.objects.delete(object_name(md5))
                removed.append(md5)
                stored.discard(md5)
        if not stored:
            break
    return removed


def write_lists(repository: Path, store: Store, rev: str) -> list[str]:
    """Write DVC's lists of a version into the remote where they are missing, so that ``dvc pull`` works there."""
    written = []
    for asset, md5 in _read_list_names(repository, rev).items():
        data = None if store.objects.exists(object_name(md5)) else _build_list(repository, rev, asset, md5)
        if data is not None:
            store.upload_list(md5, data)
            written.append(md5)
    return written


def _list_changes(repository: Path, head: str) -> Iterator[str]:
    """Yield the versions that changed a list and are no longer new, newest first."""
    changed = git.run(
        ["rev-list", "--first-parent", head, "--", *(f"{asset}.dvc" for asset in ASSETS)], repository=repository
    )
    yield from changed.decode().split()


def _read_list_names(repository: Path, rev: str) -> dict[Asset, str]:
    """Return the list of each asset that a version names."""
    files = commits.read_files(repository, rev, [f"{asset}.dvc" for asset in ASSETS])
    return {asset: tracked_md5(asset, files[f"{asset}.dvc"]) for asset in ASSETS if f"{asset}.dvc" in files}


def _build_list(repository: Path, rev: str, asset: Asset, md5: str) -> bytes | None:
    """Make a list from a version's manifest; None if that holds other files."""
    manifest = commits.read_files(repository, rev, [MANIFEST]).get(MANIFEST, b"")
    made, data = dir_object(parse_manifest(manifest)[asset])
    return data if made == md5 else None
