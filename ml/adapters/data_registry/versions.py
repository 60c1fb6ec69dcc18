"""Read the history of a data registry: which versions there are, and which one brought a day."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

from ml.adapters.data_registry import commits, git
from ml.adapters.data_registry.manifest import MANIFEST, Entry, file_name, line_of
from ml.records import Asset, DataVersion


def log(repository: Path, rev: str, *options: str) -> list[DataVersion]:
    """List versions from ``rev`` on, newest first, as ``git log`` with these options does."""
    command = ["log", "--format=%H%x1f%ct%x1f%B%x1e", *(o for o in options[:1]), rev, *options[1:]]
    try:
        lines = git.run(command, repository=repository).decode(errors="replace").split("\x1e")
    except git.GitFailed as err:
        raise git.damaged(str(repository), str(err).splitlines()[0]) from err
    versions = []
    for line in lines[:-1]:
        commit, at, message = line.strip().split("\x1f")
        when = datetime.fromtimestamp(int(at), UTC)
        versions.append(DataVersion(rev=commit, committed_at=when, message=message.strip(), changed=True))
    return versions


def number(repository: Path, rev: str | None) -> int:
    """Count the versions up to ``rev``, itself included: its number; None is before the first."""
    if rev is None:
        return 0
    return int(git.run(["rev-list", "--count", "--first-parent", rev], repository=repository))


def that_brought(repository: Path, head: str, days: Mapping[tuple[Asset, date], Entry]) -> DataVersion:
    """Find the newest version in which one of these days came to its present content.

    The manifest names its number, so that this takes as long in a long history as in a short one. What a
    person has added with DVC has none: then the history is searched.
    """
    numbers = [entry.version for entry in days.values()]
    brought = max((version for version in numbers if version is not None), default=0) if None not in numbers else 0
    newest = [(asset, day, entry.md5) for (asset, day), entry in days.items() if entry.version == brought]
    back = number(repository, head) - brought
    if brought and back >= 0 and _brought(repository, f"{head}~{back}", *newest[0]):
        return log(repository, f"{head}~{back}", "--max-count=1")[0]
    return _search(repository, head, days)


def _brought(repository: Path, rev: str, asset: Asset, day: date, md5: str) -> bool:
    """Return whether a version holds a day with this content, and the one before it does not."""
    line, before = line_of(asset, day, md5), commits.resolve(repository, f"{rev}~1")
    if line not in commits.read_files(repository, rev, [MANIFEST]).get(MANIFEST, b""):
        return False
    return before is None or line not in commits.read_files(repository, before, [MANIFEST]).get(MANIFEST, b"")


def _search(repository: Path, head: str, days: Iterable[tuple[Asset, date]]) -> DataVersion:
    names = [re.escape(f"{asset}/{file_name(day)},").replace("\\-", "-") for asset, day in days]
    brought = ["-G", f"^({'|'.join(names)})", "--", MANIFEST] if names else []
    versions = log(repository, head, "--max-count=1", *brought) or log(repository, head, "--max-count=1")
    return versions[0]
