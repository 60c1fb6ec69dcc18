"""Move DVC's objects between a local cache and DVC's remote, whole or not at all.

Both are laid out as DVC lays them out, so that stock DVC may share them. An object is named by the md5 of
its content: a copy is checked against its name before it gets it and before it is used, and a sound object is never
written over.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO, TypeVar

from ml import disk
from ml.adapters.data_registry.manifest import Entry, object_name
from ml.adapters.local_files import write_atomically
from ml.adapters.storage import Objects, open_objects
from ml.errors import EvergreenError, MissingArtifact

READ_ONLY = 0o444
THREADS = 16
CHUNK = 1 << 20

log = logging.getLogger(__name__)

CLOCK_TICK_NS = 50_000_000
_hashed: set[tuple[str, int, int, int, int]] = set()
"""Cached files that this process has hashed, as they were then: path, inode, times and size."""

T = TypeVar("T")
R = TypeVar("R")


class DamagedObject(EvergreenError):
    """An object of the remote is not what its name says."""


@dataclass(frozen=True)
class Store:
    """A machine's cache in front of DVC's remote."""

    remote: str
    cache: Path

    @property
    def objects(self) -> Objects:
        """Open the remote."""
        return open_objects(self.remote)

    def path(self, md5: str) -> Path:
        """Return where the cache keeps an object, there or not."""
        return self.cache.absolute() / object_name(md5)

    def size(self, md5: str) -> int:
        """Return an object's size in bytes, asking the remote only if it is not cached."""
        try:
            return self.path(md5).stat().st_size
        except FileNotFoundError:
            return self.objects.size(object_name(md5))

    def add_file(self, path: Path) -> Entry:
        """Copy a file into the cache; MissingArtifact if there is no such file."""
        with disk.naming_full_disk(self.cache):
            try:
                with path.open("rb") as source:
                    md5, size = _hash(source), source.tell()
                if not _is_sound(self.path(md5), md5, size):
                    with path.open("rb") as source:
                        write_atomically(self.path(md5), partial(_copy_same, source, md5), mode=READ_ONLY)
            except FileNotFoundError as err:
                raise MissingArtifact(f"{path}: no such file to commit; land the day again") from err
        return Entry(md5, size)

    def upload_file(self, md5: str) -> None:
        """Upload a cached object to the remote, unless a sound one is there; a damaged one is replaced.

        Raises
        ------
        EvergreenError
            If the cached copy itself is damaged: then nothing is sent.
        """
        if not self.is_stored(md5):
            path = self.path(md5)
            if not _is_sound(path, md5, None):
                raise EvergreenError(f"{path} was damaged while it was committed; check the disk, land the day again")
            self.objects.put_file(object_name(md5), path)

    def upload_list(self, md5: str, data: bytes) -> None:
        """Upload DVC's list of a folder to the remote, unless it is there; a damaged one is replaced."""
        if not self.is_stored(md5):
            self.objects.put_bytes(object_name(md5), data)

    def is_stored(self, md5: str) -> bool:
        """Return whether the remote has an object whose content is what its name says; only then is it ever kept."""
        name = object_name(md5)
        if not self.objects.exists(name):
            return False
        with (
            tempfile.TemporaryDirectory(prefix="evergreen-", ignore_cleanup_errors=True) as folder,
            self.objects.get_file(name, Path(folder, "stored")).open("rb") as file,
        ):
            sound = _hash(file) == md5.removesuffix(".dir")
        if not sound:
            log.warning("%s is damaged: replacing it by a sound copy", self.objects.uri(name))
        return sound

    def fetch(self, md5: str, size: int | None = None) -> Path:
        """Return the cached object, fetched if it is not there or is not, byte for byte, what its name says.

        Raises
        ------
        MissingArtifact
            If the remote has no such object.
        DamagedObject
            If the remote's object is not what its name says; it does not enter the cache.
        """
        cached = self.path(md5)
        if _is_sound(cached, md5, size):
            return cached
        with disk.naming_full_disk(self.cache):
            incoming = cached.with_name(f".{secrets.token_hex(8)}.tmp")
            try:
                self.objects.get_file(object_name(md5), incoming)
                with incoming.open("rb") as file:
                    if _hash(file) != md5.removesuffix(".dir"):
                        raise DamagedObject(
                            f"{self.objects.uri(object_name(md5))} is damaged: its content has another md5; ingest the "
                            "day again (a sound copy replaces it), or restore the object from a copy"
                        )
                incoming.chmod(READ_ONLY)
                incoming.replace(cached)
            finally:
                incoming.unlink(missing_ok=True)
        return cached


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Run the same on each item, several at once; results keep the order, the first error is raised."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
        return list(pool.map(work, items))


def _is_sound(path: Path, md5: str, size: int | None) -> bool:
    """Return whether a cached file is what its name says: hashed once a process, until it changes on disk."""
    try:
        status = path.stat()
        file_state = (str(path), status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        if size is not None and status.st_size != size:
            return False
        if file_state in _hashed:
            return True
        with path.open("rb") as file:
            if _hash(file) != md5.removesuffix(".dir"):
                log.warning("%s is damaged: it is not used, and fetched again", path)
                return False
    except FileNotFoundError:
        return False
    if time.time_ns() - status.st_mtime_ns > CLOCK_TICK_NS:  # else it may change again and keep its time
        _hashed.add(file_state)
    return True


def _hash(file: BufferedReader) -> str:
    return hashlib.file_digest(file, "md5").hexdigest()


def _copy_same(source: IO[bytes], md5: str, target: IO[bytes]) -> None:
    """Copy, and fail if the content is not what it was when it was hashed."""
    digest = hashlib.md5()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        target.write(chunk)
    if digest.hexdigest() != md5:
        raise EvergreenError(f"{source.name} changed while it was committed; land the day again")
