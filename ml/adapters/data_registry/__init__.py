"""Keep each day's data under version: a Git repository whose folders DVC tracks.

One commit is one data version, and the ``git push`` is the moment at which it exists. What a killed
process leaves behind are objects that no commit names. Stock Git and DVC read the same repository::

    git clone --depth 1 "file://$PWD/var/registry.git" && cd registry && dvc pull

(without ``--depth 1`` with all versions, which takes longer as they grow in number.)

Days are added without a checkout: DVC's own list of a folder (its ``.dir`` object) is read, extended and
written, so that no other day need be on disk. Objects travel through `ml.adapters.storage`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ml.adapters.data_registry import commits, versions
from ml.adapters.data_registry.arrivals import arrivals_file, months_between, parse_arrivals
from ml.adapters.data_registry.day_lists import explain_absence, read_lists, read_schema, with_sizes
from ml.adapters.data_registry.day_marks import EXCLUDED_DAYS, parse_marks
from ml.adapters.data_registry.layout import first_files
from ml.adapters.data_registry.manifest import day_of
from ml.adapters.data_registry.repository import Repository
from ml.adapters.data_registry.schema import SCHEMA, Schema
from ml.adapters.data_registry.store import DamagedObject, Store, in_threads
from ml.adapters.data_registry.writer import Writer
from ml.errors import MissingArtifact
from ml.records import Arrival, Asset, DataVersion, DayFile, DayMark

log = logging.getLogger(__name__)


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
        if self._repository.create_empty():
            files = first_files(self.remote, self.task)
            try:
                self._repository.publish(None, files, "Start the data registry")
            except commits.LostRace:
                log.info("another process created the data registry %s", self.shown)
        self._writer.check_remote(self._repository.read(self.head(), [".dvc/config"]))

    def head(self) -> str:
        """Return the newest data version, as `Repository.head` does."""
        return self._repository.head()

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
        return self._writer.add(files, message, arrived or {}, declared)

    def remove(self, days: Collection[tuple[Asset, date]], *, message: str) -> DataVersion:
        """Make a data version without these days; the older versions keep them.

        Raises
        ------
        MissingArtifact
            If the newest version holds none of them.
        Unavailable
            If a remote did not answer, or too many races were lost; the registry is as before.
        """
        return self._writer.remove(days, message)

    def mark_days(self, marks: Sequence[DayMark], *, message: str) -> DataVersion:
        """Make a data version in which these days are excluded from learning, or no more; the days stay as they are.

        Returns
        -------
        DataVersion
            ``changed`` is false if all of them were so already.

        Raises
        ------
        Unavailable
            If a remote did not answer, or too many races were lost; the registry is as before.
        """
        return self._writer.mark(marks, message)

    def day_marks(self, rev: str | None = None) -> dict[date, DayMark]:
        """Return the newest mark of each day that was ever marked, in a version; None means the newest."""
        return parse_marks(self._repository.read(self._repository.resolve(rev), [EXCLUDED_DAYS]).get(EXCLUDED_DAYS))

    def excluded_days(self, rev: str | None = None) -> dict[date, DayMark]:
        """Return the days that are not to be learned from in a version, in order; None means the newest."""
        return {day: mark for day, mark in self.day_marks(rev).items() if mark.excluded}

    def days(self, asset: Asset, rev: str | None = None) -> dict[date, DayFile]:
        """List the days of an asset in a version, oldest first, without fetching any day.

        Parameters
        ----------
        rev
            A data version, or anything that Git understands as one; None means the newest.
        """
        return self._days(asset, self._repository.resolve(rev))

    def _days(self, asset: Asset, rev: str) -> dict[date, DayFile]:
        """List the days of a version whose full hash is known."""
        entries = with_sizes(self._store, read_lists(self._store, self._repository.read_top(rev))[asset])
        days = {day_of(name): entry for name, entry in entries.items()}
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
        """Return local files with the days of a window, fetching only those that are not cached.

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
        rev = self._repository.resolve(rev)
        days = self._days(asset, rev)
        first, last = first_day or date.min, last_day or date.max
        files = {day: file for day, file in days.items() if first <= day <= last}
        if not files and not may_be_empty and (first_day or last_day):
            raise MissingArtifact(explain_absence(asset, rev, first, last, days))
        return dict(zip(files, in_threads(self._fetch_day, files.values()), strict=True))

    def schema(self, rev: str | None = None) -> Schema:
        """Return the types of each asset's columns, by asset: as recorded, or else as its newest day has them."""
        rev = self._repository.resolve(rev)
        top = self._repository.read_top(rev, SCHEMA)
        return read_schema(self._store, top.get(SCHEMA), read_lists(self._store, top))

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
        files = self._repository.read(self._repository.resolve(rev), names)
        listed = [arrival for name in names if name in files for arrival in parse_arrivals(files[name])]
        days = sorted({arrival.day for arrival in listed if first_day <= arrival.day <= last_day})
        return {day: tuple(arrival for arrival in listed if arrival.day == day) for day in days}

    def open_content(self, asset: Asset, day: date, md5: str) -> Path:
        """Return a local file with one content of a day, be it the present one or one that was corrected since.

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
        return versions.log(self._repository.path, self.head(), *([] if limit is None else [f"--max-count={limit}"]))

    def owner(self) -> str | None:
        """Return the task whose data these are; None if nobody has said so yet."""
        return self._repository.owner()

    def hand_over(self, task: str) -> str:
        """Make another task the owner from the next version on, unless it is; return the newest version."""
        return self._repository.hand_over(task)

    @property
    def shown(self) -> str:
        """Return the URL as messages and records may name it: without user, password and token."""
        return self._repository.shown

    @property
    def _repository(self) -> Repository:
        return Repository(self.url, self.cache, self.head_file, self.task)

    @property
    def _writer(self) -> Writer:
        return Writer(self._repository, self._store, self.task)

    @property
    def _store(self) -> Store:
        return Store(self.remote, self.cache)

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
