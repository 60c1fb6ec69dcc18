"""Move DVC's objects between a local cache and DVC's remote, whole or not at all.

Both are laid out as DVC lays them out, so that stock DVC may share them. An object is named by the md5 of
its content: a copy is checked against its name before it gets it, and never changes afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from ml.adapters.objects import Objects, open_objects, write_atomically
from ml.adapters.registry.manifest import Entry, object_name
from ml.errors import EvergreenError, MissingArtifact

READ_ONLY = 0o444
THREADS = 16
CHUNK = 1 << 20

T = TypeVar("T")
R = TypeVar("R")


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
        """Give where the cache keeps an object, there or not."""
        return self.cache.absolute() / object_name(md5)

    def size(self, md5: str) -> int:
        """Give an object's size in bytes, asking the remote only if it is not cached."""
        try:
            return self.path(md5).stat().st_size
        except FileNotFoundError:
            return self.objects.size(object_name(md5))

    def add_file(self, path: Path) -> Entry:
        """Copy a file into the cache; MissingArtifact if there is no such file."""
        try:
            with path.open("rb") as source:
                md5, size = _hash(source), source.tell()
            if not _is_whole(self.path(md5), size):
                with path.open("rb") as source:
                    write_atomically(self.path(md5), partial(_copy_same, source, md5), mode=READ_ONLY)
        except FileNotFoundError as err:
            raise MissingArtifact(f"{path}: no such file to commit; land the day again") from err
        return Entry(md5, size)

    def upload_file(self, md5: str) -> None:
        """Put a cached object into the remote, over what may be there."""
        self.objects.put_file(object_name(md5), self.path(md5))

    def upload_list(self, md5: str, data: bytes) -> None:
        """Put DVC's list of a folder into the remote."""
        self.objects.put_bytes(object_name(md5), data)

    def fetch(self, md5: str, size: int | None = None) -> Path:
        """Give the cached object, fetched first if it is not there or has not ``size`` bytes.

        Raises
        ------
        MissingArtifact
            If the remote has no such object.
        EvergreenError
            If the remote's object is not what its name says; it does not enter the cache.
        """
        cached = self.path(md5)
        if _is_whole(cached, size):
            return cached
        incoming = cached.with_name(f".{secrets.token_hex(8)}.tmp")
        try:
            self.objects.get_file(object_name(md5), incoming)
            with incoming.open("rb") as file:
                if _hash(file) != md5.removesuffix(".dir"):
                    raise EvergreenError(
                        f"{self.objects.uri(object_name(md5))} is damaged: its content has another md5; "
                        "restore it from a copy"
                    )
            incoming.chmod(READ_ONLY)
            incoming.replace(cached)
        finally:
            incoming.unlink(missing_ok=True)
        return cached


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do the same to each item, several at once; results keep the order, the first error is raised."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(THREADS, len(items))) as pool:
        return list(pool.map(work, items))


def _is_whole(path: Path, size: int | None) -> bool:
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        return False
    return size is None or found == size


def _hash(file: IO[bytes]) -> str:
    digest = hashlib.md5()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _copy_same(source: IO[bytes], md5: str, target: IO[bytes]) -> None:
    """Copy, and fail if the content is not what it was when it was hashed."""
    digest = hashlib.md5()
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        target.write(chunk)
    if digest.hexdigest() != md5:
        raise EvergreenError(f"{source.name} changed while it was committed; land the day again")
