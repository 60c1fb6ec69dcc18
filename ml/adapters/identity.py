"""Record whose data a store holds, so that two tasks never share one in silence.

The data registry (a file in Git) and the storage (an object that is created once) carry the name of the task whose
settings first wrote there. Whoever comes with another name is refused before reading or writing anything.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ml.adapters.storage import Objects
from ml.errors import AccessDenied, EvergreenError, MissingArtifact, SettingsError
from ml.urls import without_secrets

log = logging.getLogger(__name__)

NAME = "evergreen.json"

_verified: set[tuple[str, str]] = set()


def encode(task: str) -> bytes:
    """Write an identity down."""
    return (json.dumps({"task": task}) + "\n").encode()


def decode(data: bytes, uri: str) -> str:
    """Read the name of the task that a store belongs to."""
    try:
        return str(json.loads(data)["task"])
    except (ValueError, KeyError, TypeError) as err:
        raise EvergreenError(
            f"{without_secrets(uri)}: {NAME}, which says whose data these are, is damaged; restore it from a "
            'backup, or write {"task": "<task.name of params.yaml>"} into it'
        ) from err


def check(data: bytes | None, task: str, uri: str) -> bool:
    """Return whether a store belongs to ``task``; False if it belongs to nobody yet.

    Raises
    ------
    SettingsError
        If it belongs to another task.
    """
    owner = None if data is None else decode(data, uri)
    if owner is not None and owner != task and owner.partition(".")[0] == task.partition(".")[0]:
        raise SettingsError(
            f"{without_secrets(uri)} belongs to {owner!r}, and EVERGREEN_ENV makes this {task!r}: an environment has "
            "places of its own; set EVERGREEN_HOME to another folder (and EVERGREEN_REGISTRY, "
            "EVERGREEN_REGISTRY_REMOTE, EVERGREEN_STORAGE, if they are set, to other places), or correct EVERGREEN_ENV"
        )
    if owner is not None and owner != task:
        raise SettingsError(
            f"{without_secrets(uri)} belongs to task {owner!r}, params.yaml says {task!r}: set EVERGREEN_HOME to "
            "another folder (and EVERGREEN_REGISTRY, EVERGREEN_REGISTRY_REMOTE, EVERGREEN_STORAGE, if they are set, "
            f"to other places), or correct task.name; 'evergreen rename --from {owner}' renames the task"
        )
    return owner is not None


def check_storage(storage: Objects, task: str) -> None:
    """Check once in a process that a storage belongs to ``task``, or to nobody yet."""
    if (storage.root, task) in _verified:
        return
    with suppress(MissingArtifact), _allowed_to(storage.root):
        if check(storage.get_bytes(NAME), task, storage.root):
            _verified.add((storage.root, task))


@contextmanager
def _allowed_to(root: str) -> Iterator[None]:
    """Log a warning and go on where a policy of the store hides the identity: docs/s3.md says what to allow."""
    try:
        yield
    except AccessDenied as err:
        log.warning("%s is not protected against another task's writes: %s", root, err)


@dataclass(frozen=True)
class OwnedObjects:
    """A storage that takes the name of its task with the first thing that is written there."""

    inner: Objects
    task: str

    @property
    def root(self) -> str:
        """Return the root of the storage."""
        return self.inner.root

    def uri(self, name: str) -> str:
        """Return where ``name`` is or would be."""
        return self.inner.uri(name)

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` atomically; return its URI."""
        self._claim()
        return self.inner.put_bytes(name, data)

    def put_file(self, name: str, path: Path) -> str:
        """Write or replace ``name`` by a copy of ``path`` atomically; return its URI."""
        self._claim()
        return self.inner.put_file(name, path)

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists."""
        self._claim()
        return self.inner.create_bytes(name, data)

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``; MissingArtifact if there is no such object."""
        return self.inner.get_bytes(name)

    def get_file(self, name: str, path: Path) -> Path:
        """Copy ``name`` to the local ``path`` atomically; return ``path``."""
        return self.inner.get_file(name, path)

    def exists(self, name: str) -> bool:
        """Return whether ``name`` is there, whole."""
        return self.inner.exists(name)

    def size(self, name: str) -> int:
        """Return the size of ``name`` in bytes."""
        return self.inner.size(name)

    def list(self, prefix: str = "") -> list[str]:
        """Return the names that start with ``prefix``, without the identity."""
        return [name for name in self.inner.list(prefix) if name != NAME]

    def delete(self, name: str) -> None:
        """Remove ``name``."""
        self.inner.delete(name)

    def _claim(self) -> None:
        """Claim the name, unless somebody has: then it must be ours."""
        if (self.root, self.task) in _verified:
            return
        with _allowed_to(self.root):
            if not self.inner.create_bytes(NAME, encode(self.task)):
                check(self.inner.get_bytes(NAME), self.task, self.root)
        _verified.add((self.root, self.task))
