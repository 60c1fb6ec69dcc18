"""Keep named bytes as files under a folder: written under a temporary name, synced to disk, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ml import disk
from ml.errors import AccessDenied, EvergreenError, MissingArtifact, Unavailable

ABANDONED_AFTER_SECONDS = 86_400
_TEMPORARY = re.compile(r"\.[^/]*\.tmp")
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class LocalObjects:
    """Objects as files under a folder: written under a temporary name, synced to disk, then renamed."""

    root: str

    def uri(self, name: str) -> str:
        """Return the absolute path of ``name``."""
        return str(self._path(name))

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` atomically; return its path."""
        with local_errors(self.uri(name)):
            write_atomically(self._path(name), lambda file: file.write(data))
        return self.uri(name)

    def put_file(self, name: str, path: Path) -> str:
        """Write or replace ``name`` by a copy of ``path``, never a link to it."""
        with local_errors(self.uri(name)), path.open("rb") as source:
            write_atomically(self._path(name), lambda file: shutil.copyfileobj(source, file, 1 << 20))
        return self.uri(name)

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists: a hard link either takes the name or fails."""
        with local_errors(self.uri(name)):
            return write_atomically(self._path(name), lambda file: file.write(data), replace=False)

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``; MissingArtifact if there is no such file."""
        with local_errors(self.uri(name)):
            return self._path(name).read_bytes()

    def get_file(self, name: str, path: Path) -> Path:
        """Copy ``name`` to ``path`` atomically; MissingArtifact if there is no such file."""
        with local_errors(self.uri(name)), self._path(name).open("rb") as source:
            write_atomically(path, lambda file: shutil.copyfileobj(source, file, 1 << 20), durable=False)
        return path

    def exists(self, name: str) -> bool:
        """Return whether ``name`` is a file."""
        return self._path(name).is_file()

    def size(self, name: str) -> int:
        """Return the size of ``name`` in bytes."""
        with local_errors(self.uri(name)):
            return self._path(name).stat().st_size

    def list(self, prefix: str = "") -> list[str]:
        """Walk only the folder that ``prefix`` points into."""
        folder = prefix.rpartition("/")[0]
        top = self._path(folder) if folder else Path(self.root)
        names = []
        for parent, _, files in os.walk(top):
            relative = Path(parent).relative_to(self.root)
            names += [(relative / file).as_posix() for file in files if not _TEMPORARY.fullmatch(file)]
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there; the folder it was in stays."""
        with local_errors(self.uri(name)):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return Path(self.root, checked_name(name))


def checked_name(name: str) -> str:
    """Return ``name`` back if it is relative, stays inside its root and is not a temporary's.

    Raises
    ------
    EvergreenError
        If a part is empty, ``.``, ``..``, or like a temporary's (``.x.tmp``), or if the name holds a
        backslash or a control character.
    """
    parts = name.split("/")
    bad = any(part in {"", ".", ".."} or _TEMPORARY.fullmatch(part) for part in parts)
    if bad or "\\" in name or any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise EvergreenError(
            f"{name!r} cannot name an object; use relative parts with single slashes, such as a/b.parquet"
        )
    return name


def write_atomically(
    path: Path,
    write: Callable[[IO[bytes]], object],
    *,
    replace: bool = True,
    mode: int | None = None,
    durable: bool = True,
) -> bool:
    """Write a temporary file next to ``path`` by ``write``, sync it to disk and rename it.

    A writer that is killed leaves ``path`` as it was; the temporary it leaves is swept by a later write
    into the folder, a day on.

    Parameters
    ----------
    replace
        False keeps a ``path`` that exists already.
    mode
        Permissions of the new file, from its first byte on; None means what the process's umask says.
    durable
        False does not wait for the disk: for a copy that is fetched again where a power cut has damaged it.

    Returns
    -------
    bool
        False only if ``replace`` is false and ``path`` exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{hashlib.md5(path.name.encode()).hexdigest()[:8]}-{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb", opener=None if mode is None else _for_owner_alone) as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            write(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        if durable:
            _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        _sweep(path.parent)
    return True


def _for_owner_alone(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(folder: Path) -> None:
    """Remove what writers killed more than a day ago left behind."""
    oldest = time.time() - ABANDONED_AFTER_SECONDS
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and entry.stat().st_mtime < oldest:
                Path(entry.path).unlink(missing_ok=True)


@contextmanager
def local_errors(name: str) -> Iterator[None]:
    """Translate what the file system says."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        missing = err.filename or name
        raise MissingArtifact(f"{missing}: no such file; check the name and the storage root") from err
    except OSError as err:
        if disk.is_full(err):
            raise disk.full(name, err.strerror) from err
        if err.errno in _READ_ONLY:
            raise AccessDenied(f"{name}: not allowed ({err.strerror}); fix the permissions") from err
        raise Unavailable(f"{name}: {err.strerror or err}; check the disk, then try again") from err
