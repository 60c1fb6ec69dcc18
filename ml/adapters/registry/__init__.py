"""Keep each day's data under version: a Git repository whose folders DVC tracks.

One commit is one data version, and the ``git push`` is the moment at which it exists. What a killed
process leaves behind are objects that no commit names. Stock Git and DVC read the same repository::

    git clone var/registry.git && cd registry && dvc pull

Days are added without a checkout: DVC's own list of a folder (its ``.dir`` object) is read, extended and
written, so that no other day need be on disk. Objects travel through `ml.adapters.objects`.
"""

from __future__ import annotations

import hashlib
import logging
import random
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from ml import disk
from ml.adapters import identity
from ml.adapters.column_types import types_in
from ml.adapters.objects import write_atomically
from ml.adapters.registry import git, upkeep, versions
from ml.adapters.registry.arrivals import add_arrivals, arrivals_file, months_between, parse_arrivals
from ml.adapters.registry.layout import EMBEDDED_CONFIG, first_files, owned_by, recorded_remote
from ml.adapters.registry.manifest import (
    ASSETS,
    MANIFEST,
    Entries,
    Entry,
    day_of,
    dir_object,
    dvc_file,
    file_name,
    parse_dir_object,
    read_manifest,
    tracked_md5,
    write_manifest,
)
from ml.adapters.registry.schema import SCHEMA, Schema, parse_schema, schema_file
from ml.adapters.registry.store import DamagedObject, Store, in_threads
from ml.errors import MissingArtifact, SettingsError, Unavailable
from ml.records import Arrival, Asset, DataVersion, DayFile
from ml.urls import without_secrets

log = logging.getLogger(__name__)

ATTEMPTS = 24

_owned: set[tuple[str, str]] = set()
"""Registries, and the tasks that this process has seen them belong to."""


@dataclass(frozen=True)
class DataRegistry:
    """The versions of ``inputs`` and ``labels``, one Parquet file a day.

    Safe for several threads, processes and machines at once; holds no connection and no lock.

    Parameters
    ----------
    url
        A Git URL, or the local path of a bare repository.
    remote
        Where DVC keeps the data: a local folder or ``s3://bucket/prefix``.
    cache
        A local folder shared by all processes of a machine; may be deleted at any time nobody reads.
    head_file
        Follows the newest data version seen; rewritten only when that changes. None writes nothing.
    task
        Whose data these are: a registry of another task is refused. None neither asks nor says.
    """

    url: str
    remote: str
    cache: Path
    head_file: Path | None = None
    task: str | None = None

    def create(self) -> None:
        """Make the registry if it is not there; harmless if it is, or if two do it at once.

        Raises
        ------
        MissingArtifact
            If ``url`` is remote and holds no Git repository, not even an empty one.
        SettingsError
            If the registry exists and keeps its data in another remote than ``remote``, or is another task's.
        DamagedRegistry
            If there is a history that nothing leads to: a new one would hide it.
        """
        if git.is_local(self.url):
            git.init_bare(self._repository, config=EMBEDDED_CONFIG)
            empty = git.newest(self._repository, self.url) is None
        else:
            empty = git.is_empty(git.init_bare(self._repository), self.url)
        if empty:
            files = first_files(self.remote, self.task)
            try:
                self._publish(None, files, "Start the data registry")
            except git.LostRace:
                log.info("another process created the data registry %s", self.shown)
        self._check_remote(git.read_files(self._repository, self.head(), [".dvc/config"]))

    def head(self) -> str:
        """Give the newest data version (a full commit hash); MissingArtifact if there is no registry.

        Raises
        ------
        DamagedRegistry
            If there is one that cannot be read.
        SettingsError
            If it belongs to another task.
        """
        if not git.is_local(self.url):
            git.fetch(self._repository, self.url)
        newest = git.newest(self._repository, self.url)
        if newest is None:
            raise git.no_registry(self.url)
        self._check_owner(newest)
        self._remember_head(newest)
        return newest

    def commit(
        self,
        files: Mapping[tuple[Asset, date], Path],
        *,
        message: str,
        arrived: Mapping[date, date] | None = None,
        declared: Schema | None = None,
    ) -> DataVersion:
        """Make a data version in which these days have this content; other days stay as they are.

        A day that exists with other content is corrected: its old content stays readable in the old
        versions. If a concurrent commit wins, this one is redone on top of it.

        Parameters
        ----------
        files
            Local files by asset and day; copied, never linked or modified.
        message
            What the version brings, in a sentence that says the effect.
        arrived
            By label day, the partition with which its labels came; recorded for labels that change, see `arrivals`.
            A day that is left out is not recorded.
        declared
            By asset, types of columns that go before what the registry has learned; see `schema`.

        Returns
        -------
        DataVersion
            ``changed`` is false, and ``rev`` the version that brought the newest of these days, if the
            registry had all of them with this very content.

        Raises
        ------
        Unavailable
            If a remote did not answer, or too many races were lost; the registry is as before.
        MissingArtifact
            If there is no registry, or one of the files does not exist.
        DataRejected
            If a column is of another kind of type than in the days before; the message names both.
        """
        seen = {key: types for key, path in files.items() if (types := types_in(path))}
        stored = dict(zip(files, in_threads(self._store.add_file, files.values()), strict=True))
        uploaded: set[str] = set()
        for attempt in range(ATTEMPTS):
            head = self.head()
            top = self._read_top(head)
            self._check_remote(top)
            before = self._lists(top)
            changes = {key: entry for key, entry in stored.items() if not _holds(before[key[0]], key[1], entry)}
            if not changes:
                self._upload({entry.md5 for entry in stored.values()})
                held = {(asset, day): before[asset][file_name(day)] for asset, day in stored}
                return versions.that_brought(self._repository, head, held).model_copy(update={"changed": False})
            needed = {entry.md5 for entry in changes.values()}
            self._upload(needed - uploaded)
            uploaded |= needed
            number = versions.number(self._repository, head) + 1
            new_files = self._next_top(top, before, changes, number)
            new_files |= self._next_arrivals(head, changes, arrived or {})
            changed = {key: types for key, types in seen.items() if key in changes}
            new_files |= schema_file(self._schema(head, before), changed, declared)
            try:
                version = self._publish(head, new_files, message)
            except git.LostRace:
                log.info("lost a push race to %s, attempt %d; redoing on top", self.shown, attempt + 1)
                time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
                continue
            self._remember_head(version.rev)
            if git.is_local(self.url):
                upkeep.after_commit(self._repository, self._store, version.rev, number)
            return version
        raise Unavailable(f"data registry {self.shown}: lost {ATTEMPTS} push races in a row; try again")

    def remove(self, days: Collection[tuple[Asset, date]], *, message: str) -> DataVersion:
        """Make a data version without these days; the older versions keep them.

        Raises
        ------
        MissingArtifact
            If the newest version holds none of them.
        Unavailable
            If a remote did not answer, or too many races were lost; the registry is as before.
        """
        for attempt in range(ATTEMPTS):
            head = self.head()
            top = self._read_top(head)
            self._check_remote(top)
            before = self._lists(top)
            gone = {(asset, day) for asset, day in days if file_name(day) in before[asset]}
            if not gone:
                asset, day = min(days)
                raise MissingArtifact(_nothing_between(asset, head, day, day, self.days(asset, head)))
            try:
                files = self._next_top(top, before, dict.fromkeys(gone), versions.number(self._repository, head) + 1)
                version = self._publish(head, files, message)
            except git.LostRace:
                log.info("lost a push race to %s, attempt %d; redoing on top", self.shown, attempt + 1)
                time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
                continue
            self._remember_head(version.rev)
            return version
        raise Unavailable(f"data registry {self.shown}: lost {ATTEMPTS} push races in a row; try again")

    def days(self, asset: Asset, rev: str | None = None) -> dict[date, DayFile]:
        """List the days of an asset in a version, oldest first, without fetching any day.

        Parameters
        ----------
        rev
            A data version, or anything that Git understands as one; None means the newest.
        """
        rev = self._resolve(rev)
        found = self._sized(self._lists(self._read_top(rev))[asset])
        days = {day_of(name): entry for name, entry in found.items()}
        return {
            day: DayFile(asset=asset, day=day, md5=entry.md5, bytes=entry.bytes or 0)
            for day, entry in sorted((day, entry) for day, entry in days.items() if day is not None)
        }

    def open(
        self,
        asset: Asset,
        *,
        rev: str | None = None,
        first_day: date | None = None,
        last_day: date | None = None,
        may_be_empty: bool = False,
    ) -> dict[date, Path]:
        """Give local files with the days of a window, fetching only those that are not cached.

        Parameters
        ----------
        rev
            None means the newest version.
        first_day, last_day
            Both inclusive; None leaves that end open.
        may_be_empty
            Whether a bounded window without any day is an answer, and no error.

        Returns
        -------
        dict
            Read-only files by day, oldest first. A day within the window that the version lacks is
            left out.

        Raises
        ------
        MissingArtifact
            If the version is unknown, or holds no day of a bounded window at all, unless it may be empty;
            the message names the nearest days there are.
        """
        rev = self._resolve(rev)
        held = self.days(asset, rev)
        first, last = first_day or date.min, last_day or date.max
        wanted = {day: file for day, file in held.items() if first <= day <= last}
        if not wanted and not may_be_empty and (first_day or last_day):
            raise MissingArtifact(_nothing_between(asset, rev, first, last, held))
        return dict(zip(wanted, in_threads(self._fetch_day, wanted.values()), strict=True))

    def schema(self, rev: str | None = None) -> Schema:
        """Return the types of each asset's columns, by asset: as recorded, or else as its newest day has them."""
        rev = self._resolve(rev)
        top = self._read_top(rev)
        return self._schema(rev, self._lists(top))

    def _schema(self, rev: str, held: Mapping[Asset, Entries]) -> Schema:
        recorded = git.read_files(self._repository, rev, [SCHEMA]).get(SCHEMA)
        if recorded is not None:
            return parse_schema(recorded)
        newest = {asset: max(entries) for asset, entries in held.items() if entries}
        return {asset: types_in(self._store.fetch(held[asset][name].md5)) or {} for asset, name in newest.items()}

    def arrivals(self, first_day: date, last_day: date, *, rev: str | None = None) -> dict[date, tuple[Arrival, ...]]:
        """List with which partitions the labels of some days came, each time that their content changed.

        Parameters
        ----------
        first_day, last_day
            Label days, both inclusive.
        rev
            None means the newest version.

        Returns
        -------
        dict
            Arrivals by label day, oldest first; the last is the content of ``rev``. A day that was committed without
            saying when it came (by an older version of this code, say) is left out.
        """
        names = [arrivals_file(month) for month in months_between(first_day, last_day)]
        found = git.read_files(self._repository, self._resolve(rev), names)
        listed = [arrival for name in names if name in found for arrival in parse_arrivals(found[name])]
        days = sorted({arrival.day for arrival in listed if first_day <= arrival.day <= last_day})
        return {day: tuple(arrival for arrival in listed if arrival.day == day) for day in days}

    def open_content(self, asset: Asset, day: date, md5: str) -> Path:
        """Give a local file with one content of a day, be it the present one or one that was corrected since.

        Raises
        ------
        MissingArtifact
            If the remote does not hold it any more.
        """
        try:
            return self._store.fetch(md5)
        except MissingArtifact as err:
            raise MissingArtifact(f"{asset} of {day} (md5 {md5}) are not in {self.remote}; restore the object") from err

    def history(self, limit: int | None = None) -> list[DataVersion]:
        """List the newest ``limit`` data versions, newest first; None means all."""
        return versions.log(self._repository, self.head(), *([] if limit is None else [f"--max-count={limit}"]))

    def owner(self) -> str | None:
        """Give the task whose data these are; None if nobody has said so yet."""
        data = git.read_files(self._repository, self.head(), [identity.NAME]).get(identity.NAME)
        return None if data is None else identity.decode(data, self.url)

    def hand_over(self, task: str) -> str:
        """Let the registry belong to another task from the next version on, unless it does; return the newest."""
        head = self.head()
        if self.owner() == task:
            return head
        try:
            return self._publish(head, owned_by(task), f"Rename the task to {task}").rev
        except git.LostRace as err:
            raise Unavailable(f"data registry {self.shown}: somebody else wrote at the same moment; try again") from err

    @property
    def shown(self) -> str:
        """Give the URL as messages and records may name it: without user, password and token."""
        return without_secrets(self.url)

    @property
    def _repository(self) -> Path:
        """Give what is read: the local bare repository itself, or this machine's mirror of the URL."""
        if git.is_local(self.url):
            return Path(self.url).absolute()
        return self.cache.absolute() / "git" / f"{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.git"

    @property
    def _store(self) -> Store:
        return Store(self.remote, self.cache)

    def _resolve(self, rev: str | None) -> str:
        if rev is None:
            return self.head()
        found = git.resolve(self._repository, rev)
        if found is None:
            head = self.head()
            found = git.resolve(self._repository, rev)
            if found is None:
                raise MissingArtifact(
                    f"the data registry {self.shown} has no version {rev!r}; the newest is {head}, "
                    "'git log' there lists all"
                )
        return found

    def _read_top(self, rev: str) -> dict[str, bytes]:
        """Read the small files of a version; a broken mirror of a URL is fetched anew."""
        names = [MANIFEST, identity.NAME, ".dvc/config", *(f"{asset}.dvc" for asset in ASSETS)]
        try:
            top = git.read_files(self._repository, rev, names)
        except git.DamagedRegistry:
            if git.is_local(self.url):
                raise
            git.fetch(self._repository, self.url, anew=True)
            top = git.read_files(self._repository, rev, names)
        if self.task is not None:
            identity.check(top.get(identity.NAME), self.task, self.url)
        return top

    def _check_owner(self, head: str) -> None:
        """Refuse another task's registry: asked once a process."""
        if self.task is None or (self.url, self.task) in _owned:
            return
        data = git.read_files(self._repository, head, [identity.NAME]).get(identity.NAME)
        if identity.check(data, self.task, self.url):
            _owned.add((self.url, self.task))

    def _check_remote(self, top: Mapping[str, bytes]) -> None:
        """Refuse to write where nobody who reads the registry with DVC would look."""
        recorded = recorded_remote(top.get(".dvc/config", b""))
        both = (recorded or self.remote, self.remote)
        if any(url.startswith("s3://") for url in both) and both[0].rstrip("/") != both[1].rstrip("/"):
            raise SettingsError(
                f"the data registry {self.shown} keeps its data in {recorded}, not in {self.remote}; "
                "correct EVERGREEN_REGISTRY_REMOTE, or move the data and change .dvc/config there"
            )

    def _lists(self, top: Mapping[str, bytes]) -> dict[Asset, Entries]:
        """Read what each folder holds; only if the manifest is stale is DVC's list fetched."""
        listed = read_manifest(top.get(MANIFEST, b""))
        lists: dict[Asset, Entries] = {asset: {} for asset in ASSETS}
        for asset in ASSETS:
            if f"{asset}.dvc" in top:
                md5 = tracked_md5(asset, top[f"{asset}.dvc"])
                made, entries = listed[asset]
                lists[asset] = entries if made == md5 else parse_dir_object(self._store.fetch(md5).read_bytes())
        return lists

    def _upload(self, md5s: Iterable[str]) -> None:
        in_threads(self._store.upload_file, sorted(md5s))

    def _sized(self, entries: Entries) -> dict[str, Entry]:
        """Fill in the sizes that nobody wrote down."""

        def with_size(entry: Entry) -> Entry:
            return entry if entry.bytes is not None else entry._replace(bytes=self._store.size(entry.md5))

        if None not in {entry.bytes for entry in entries.values()}:
            return dict(entries)
        return dict(zip(entries, in_threads(with_size, entries.values()), strict=True))

    def _next_top(
        self,
        top: Mapping[str, bytes],
        before: Mapping[Asset, Entries],
        changes: Mapping[tuple[Asset, date], Entry | None],
        number: int,
    ) -> dict[str, bytes]:
        """Write the new lists of days, DVC's to its remote; return the files that Git shall hold.

        A day whose change is None is taken out; ``number`` is that of the version.
        """
        after, files = {}, {} if identity.NAME in top else owned_by(self.task)
        for asset in ASSETS:
            changed = {
                file_name(day): entry and entry._replace(version=number)
                for (of, day), entry in changes.items()
                if of == asset
            }
            listed = {**before[asset], **changed}
            after[asset] = self._sized({name: entry for name, entry in listed.items() if entry is not None})
            if changed:
                md5, data = dir_object(after[asset])
                self._store.upload_list(md5, data)
                files[f"{asset}.dvc"] = dvc_file(asset, after[asset], md5, top.get(f"{asset}.dvc"))
        return files | {MANIFEST: write_manifest(after)}

    def _next_arrivals(
        self, head: str, changes: Mapping[tuple[Asset, date], Entry], arrived: Mapping[date, date]
    ) -> dict[str, bytes]:
        """Write down with which partition changed labels came: one small file a month of label days."""
        new = [
            Arrival(day=day, md5=entry.md5, partition=arrived[day])
            for (asset, day), entry in sorted(changes.items())
            if asset == "labels" and day in arrived
        ]
        names = sorted({arrivals_file(arrival.day) for arrival in new})
        before = git.read_files(self._repository, head, names)
        return {
            name: add_arrivals(before.get(name), [each for each in new if arrivals_file(each.day) == name])
            for name in names
        }

    def _publish(self, parent: str | None, files: dict[str, bytes], message: str) -> DataVersion:
        """Commit in a scratch repository and push; LostRace if ``parent`` is not the newest any more."""
        at = int(time.time())
        with (
            disk.naming_full_disk(tempfile.gettempdir()),
            tempfile.TemporaryDirectory(prefix="evergreen-registry-", ignore_cleanup_errors=True) as folder,
        ):
            scratch = git.init_bare(Path(folder, "scratch.git"), borrow_from=self._repository)
            try:
                rev = git.write_commit(scratch, parent=parent, files=files, message=message, at=at)
            except git.GitFailed as err:
                raise git.damaged(self.url, str(err).splitlines()[0]) from err
            if git.is_local(self.url):
                git.drop_expired_locks(self._repository)
            git.push(scratch, self._push_url, rev)
        log.info("data version %s: %s", rev, message)
        return DataVersion(rev=rev, committed_at=datetime.fromtimestamp(at, UTC), message=message, changed=True)

    @property
    def _push_url(self) -> str:
        return str(self._repository) if git.is_local(self.url) else self.url

    def _remember_head(self, rev: str) -> None:
        """Let ``head_file`` name the newest version, touching it only if that changed."""
        line = f"{rev}\n".encode()
        if self.head_file and not (self.head_file.exists() and self.head_file.read_bytes() == line):
            with disk.naming_full_disk(self.head_file):
                write_atomically(self.head_file, lambda file: file.write(line))

    def _fetch_day(self, file: DayFile) -> Path:
        try:
            return self._store.fetch(file.md5, file.bytes)
        except MissingArtifact as err:
            raise MissingArtifact(
                f"{file.asset} of {file.day} (md5 {file.md5}) is in the history but not in {self.remote}; "
                "restore the object there, or commit the day again"
            ) from err
        except DamagedObject as err:
            raise DamagedObject(f"{file.asset} of {file.day}: {err}") from err


def _holds(entries: Entries, day: date, entry: Entry) -> bool:
    known = entries.get(file_name(day))
    return known is not None and known.md5 == entry.md5


def _nothing_between(asset: Asset, rev: str, first: date, last: date, held: Iterable[date]) -> str:
    """Say what was asked for and which days come closest."""
    days = sorted(held)
    asked = f"on {first}" if first == last else f"from {first} to {last}"
    earlier = max((day for day in days if day < first), default=None)
    later = min((day for day in days if day > last), default=None)
    near = " and ".join(str(day) for day in (earlier, later) if day) or "none at all"
    return (
        f"data version {rev} has no {asset} {asked}; the nearest days it has: {near}. "
        "Ingest the day, or ask for another"
    )
