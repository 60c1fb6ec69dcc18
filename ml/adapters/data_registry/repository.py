"""Read and write a registry's Git side: its newest version, its small files, whose it is, and the push of a version."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ml import disk
from ml.adapters import identity
from ml.adapters.data_registry import commits, git
from ml.adapters.data_registry.layout import EMBEDDED_CONFIG, owned_by
from ml.adapters.data_registry.manifest import ASSETS, MANIFEST
from ml.adapters.local_files import write_atomically
from ml.errors import MissingArtifact, Unavailable
from ml.records import DataVersion
from ml.urls import without_secrets

log = logging.getLogger(__name__)

_owned: set[tuple[str, str]] = set()
"""Registries, and the tasks that this process has seen them belong to."""


@dataclass(frozen=True)
class Repository:
    """The Git repository at ``url``, read by way of ``path``; the parameters are those of `DataRegistry`."""

    url: str
    cache: Path
    head_file: Path | None
    task: str | None

    @property
    def is_local(self) -> bool:
        """Return whether the repository is a folder of this machine."""
        return git.is_local(self.url)

    @property
    def path(self) -> Path:
        """Return what is read: the local bare repository itself, or this machine's mirror of the URL."""
        if self.is_local:
            return Path(self.url).absolute()
        return self.cache.absolute() / "git" / f"{hashlib.sha256(self.url.encode()).hexdigest()[:16]}.git"

    @property
    def shown(self) -> str:
        """Return the URL as messages and records may name it: without user, password and token."""
        return without_secrets(self.url)

    def create_empty(self) -> bool:
        """Make a local repository if it is not there; return whether there is no version yet.

        Raises
        ------
        MissingArtifact
            If ``url`` is remote and holds no Git repository, not even an empty one.
        DamagedRegistry
            If there is a history that nothing leads to.
        """
        if self.is_local:
            commits.init_bare(self.path, config=EMBEDDED_CONFIG)
            return commits.newest(self.path, self.url) is None
        return commits.is_empty(commits.init_bare(self.path), self.url)

    def head(self) -> str:
        """Return the newest data version (a full commit hash); MissingArtifact if there is no registry.

        Raises
        ------
        DamagedRegistry
            If there is one that cannot be read.
        SettingsError
            If it belongs to another task.
        """
        if not self.is_local:
            commits.fetch(self.path, self.url)
        newest = commits.newest(self.path, self.url)
        if newest is None:
            raise git.no_registry(self.url)
        self._check_owner(newest)
        self.remember_head(newest)
        return newest

    def resolve(self, rev: str | None) -> str:
        """Return the full hash of a version; None names the newest. MissingArtifact if there is none such."""
        if rev is None:
            return self.head()
        commit = commits.resolve(self.path, rev)
        if commit is None:
            head = self.head()
            commit = commits.resolve(self.path, rev)
            if commit is None:
                raise MissingArtifact(
                    f"the data registry {self.shown} has no version {rev!r}; the newest is {head}, "
                    "'git log' there lists all"
                )
        return commit

    def read(self, rev: str, names: Iterable[str]) -> dict[str, bytes]:
        """Read files of a version; one that it lacks is left out."""
        return commits.read_files(self.path, rev, names)

    def read_top(self, rev: str, *others: str) -> dict[str, bytes]:
        """Read the small files of a version, and others at once; a broken mirror of a URL is fetched anew."""
        names = [MANIFEST, identity.NAME, ".dvc/config", *(f"{asset}.dvc" for asset in ASSETS), *others]
        try:
            top = self.read(rev, names)
        except git.DamagedRegistry:
            if self.is_local:
                raise
            commits.fetch(self.path, self.url, anew=True)
            top = self.read(rev, names)
        if self.task is not None:
            identity.check(top.get(identity.NAME), self.task, self.url)
        return top

    def owner(self) -> str | None:
        """Return the task whose data these are; None if nobody has said so yet."""
        data = self.read(self.head(), [identity.NAME]).get(identity.NAME)
        return None if data is None else identity.decode(data, self.url)

    def hand_over(self, task: str) -> str:
        """Make another task the owner from the next version on, unless it is; return the newest version."""
        head = self.head()
        if self.owner() == task:
            return head
        try:
            return self.publish(head, owned_by(task), f"Rename the task to {task}").rev
        except commits.LostRace as err:
            raise Unavailable(f"data registry {self.shown}: somebody else wrote at the same moment; try again") from err

    def publish(self, parent: str | None, files: dict[str, bytes], message: str) -> DataVersion:
        """Commit in a scratch repository and push; LostRace if ``parent`` is not the newest any more."""
        at = int(time.time())
        with (
            disk.naming_full_disk(tempfile.gettempdir()),
            tempfile.TemporaryDirectory(prefix="evergreen-registry-", ignore_cleanup_errors=True) as folder,
        ):
            scratch = commits.init_bare(Path(folder, "scratch.git"), borrow_from=self.path)
            try:
                rev = commits.write_commit(scratch, parent=parent, files=files, message=message, at=at)
            except git.GitFailed as err:
                raise git.damaged(self.url, str(err).splitlines()[0]) from err
            if self.is_local:
                commits.drop_expired_locks(self.path)
            commits.push(scratch, str(self.path) if self.is_local else self.url, rev)
        log.info("data version %s: %s", rev, message)
        return DataVersion(rev=rev, committed_at=datetime.fromtimestamp(at, UTC), message=message, changed=True)

    def remember_head(self, rev: str) -> None:
        """Write the newest version to ``head_file``, only if that changed."""
        line = f"{rev}\n".encode()
        if self.head_file and not (self.head_file.exists() and self.head_file.read_bytes() == line):
            with disk.naming_full_disk(self.head_file):
                write_atomically(self.head_file, lambda file: file.write(line))

    def _check_owner(self, head: str) -> None:
        """Refuse another task's registry: asked once a process."""
        if self.task is None or (self.url, self.task) in _owned:
            return
        data = self.read(head, [identity.NAME]).get(identity.NAME)
        if identity.check(data, self.task, self.url):
            _owned.add((self.url, self.task))
