"""Make data versions on top of the newest one."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from ml.adapters.column_types import types_in
from ml.adapters.data_registry import commits, upkeep, versions
from ml.adapters.data_registry.arrivals import next_arrivals
from ml.adapters.data_registry.day_lists import explain_absence, next_top, read_lists, read_schema
from ml.adapters.data_registry.day_marks import EXCLUDED_DAYS, add_marks, parse_marks
from ml.adapters.data_registry.layout import recorded_remote
from ml.adapters.data_registry.manifest import Entries, Entry, day_of, file_name
from ml.adapters.data_registry.repository import Repository
from ml.adapters.data_registry.schema import SCHEMA, Schema, schema_file
from ml.adapters.data_registry.store import Store, in_threads
from ml.errors import MissingArtifact, SettingsError, Unavailable
from ml.records import Asset, DataVersion, DayMark

log = logging.getLogger(__name__)

ATTEMPTS = 24


@dataclass(frozen=True)
class Writer:
    """Adds days to the registry of a task and takes them out; what is raised, `DataRegistry` says."""

    repository: Repository
    store: Store
    task: str | None

    def add(
        self,
        files: Mapping[tuple[Asset, date], Path],
        message: str,
        arrived: Mapping[date, date],
        declared: Schema | None,
    ) -> DataVersion:
        """Make a version in which these days have this content, see `DataRegistry.commit`."""
        repository, store = self.repository, self.store
        day_types = {key: types for key, path in files.items() if (types := types_in(path))}
        stored = dict(zip(files, in_threads(store.add_file, files.values()), strict=True))
        uploaded: set[str] = set()

        def add(head: str, top: Mapping[str, bytes], before: Mapping[Asset, Entries]) -> DataVersion:
            changes = {key: entry for key, entry in stored.items() if not _holds(before[key[0]], key[1], entry)}
            if not changes:
                in_threads(store.upload_file, sorted({entry.md5 for entry in stored.values()}))
                held = {(asset, day): before[asset][file_name(day)] for asset, day in stored}
                return versions.that_brought(repository.path, head, held).model_copy(update={"changed": False})
            needed = {entry.md5 for entry in changes.values()}
            in_threads(store.upload_file, sorted(needed - uploaded))
            uploaded.update(needed)
            number = versions.number(repository.path, head) + 1
            new_files = next_top(store, self.task, top, before, changes, number)
            new_files |= next_arrivals(changes, arrived, partial(repository.read, head))
            changed = {key: types for key, types in day_types.items() if key in changes}
            recorded = read_schema(store, repository.read(head, [SCHEMA]).get(SCHEMA), before)
            new_files |= schema_file(recorded, changed, declared)
            version = repository.publish(head, new_files, message)
            repository.remember_head(version.rev)
            if repository.is_local:
                upkeep.after_commit(repository.path, store, version.rev, number)
            return version

        return self._on_top(add)

    def remove(self, days: Collection[tuple[Asset, date]], message: str) -> DataVersion:
        """Make a version without these days, see `DataRegistry.remove`."""

        def take_out(head: str, top: Mapping[str, bytes], before: Mapping[Asset, Entries]) -> DataVersion:
            removed = {(asset, day) for asset, day in days if file_name(day) in before[asset]}
            if not removed:
                asset, day = min(days)
                raise MissingArtifact(explain_absence(asset, head, day, day, filter(None, map(day_of, before[asset]))))
            number = versions.number(self.repository.path, head) + 1
            files = next_top(self.store, self.task, top, before, dict.fromkeys(removed), number)
            version = self.repository.publish(head, files, message)
            self.repository.remember_head(version.rev)
            return version

        return self._on_top(take_out)

    def mark(self, marks: Sequence[DayMark], message: str) -> DataVersion:
        """Make a version with these marks, see `DataRegistry.mark_days`."""

        def add(head: str, top: Mapping[str, bytes], before: Mapping[Asset, Entries]) -> DataVersion:
            del top, before
            data = self.repository.read(head, [EXCLUDED_DAYS]).get(EXCLUDED_DAYS)
            now = parse_marks(data)
            changes = [mark for mark in marks if (mark.day in now and now[mark.day].excluded) != mark.excluded]
            if not changes:
                return versions.log(self.repository.path, head, "--max-count=1")[0].model_copy(
                    update={"changed": False}
                )
            version = self.repository.publish(head, {EXCLUDED_DAYS: add_marks(data, changes)}, message)
            self.repository.remember_head(version.rev)
            return version

        return self._on_top(add)

    def _on_top(
        self, publish: Callable[[str, Mapping[str, bytes], Mapping[Asset, Entries]], DataVersion]
    ) -> DataVersion:
        """Make a data version on top of the newest one, and again if somebody else was quicker.

        Parameters
        ----------
        publish
            Gets the newest version, its small files and its lists of days; may raise `commits.LostRace`.

        Raises
        ------
        Unavailable
            If too many races were lost.
        """
        for attempt in range(ATTEMPTS):
            head = self.repository.head()
            top = self.repository.read_top(head)
            self.check_remote(top)
            try:
                return publish(head, top, read_lists(self.store, top))
            except commits.LostRace:
                log.info("lost a push race to %s, attempt %d; redoing on top", self.repository.shown, attempt + 1)
                time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
        raise Unavailable(f"data registry {self.repository.shown}: lost {ATTEMPTS} push races in a row; try again")

    def check_remote(self, top: Mapping[str, bytes]) -> None:
        """Refuse to write where nobody who reads the registry with DVC would look."""
        recorded = recorded_remote(top.get(".dvc/config", b""))
        both = (recorded or self.store.remote, self.store.remote)
        if any(url.startswith("s3://") for url in both) and both[0].rstrip("/") != both[1].rstrip("/"):
            raise SettingsError(
                f"the data registry {self.repository.shown} keeps its data in {recorded}, not in {self.store.remote}; "
                "correct EVERGREEN_REGISTRY_REMOTE, or move the data and change .dvc/config there"
            )


def _holds(entries: Entries, day: date, entry: Entry) -> bool:
    current = entries.get(file_name(day))
    return current is not None and current.md5 == entry.md5
