"""Keep named bytes in a local folder or under ``s3://``, whole or not at all.

The one door to storage. Credentials, endpoint and region come from the environment under boto3's own names
(``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...); ``EVERGREEN_S3_ADDRESSING`` and ``EVERGREEN_S3_TIMEOUT`` are ours.
docs/s3.md says which permissions it needs.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import random
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from ml import disk
from ml.errors import EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.urls import redact, without_secrets

ABANDONED_AFTER_SECONDS = 86_400
_TEMPORARY = re.compile(r"\.[^/]*\.tmp")
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}

ADDRESSING, TIMEOUT = "EVERGREEN_S3_ADDRESSING", "EVERGREEN_S3_TIMEOUT"
READ_PAUSES = (0.2, 0.8)
"""Seconds, at most, before an answer that broke off is asked for again."""

_HEEDED = (
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE", ADDRESSING, TIMEOUT),
    "AWS_SHARED_CREDENTIALS_FILE",
)
_OTHER_CLOCK = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_STALE = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}


class AccessDenied(EvergreenError):
    """The store answers, and says that this is not for us: mend its policy or the credentials, do not retry."""


class Objects(Protocol):
    """A flat store of named bytes; names are relative, with ``/`` between their parts."""

    @property
    def root(self) -> str:
        """Give the folder or the ``s3://bucket/prefix`` that names are relative to."""

    def uri(self, name: str) -> str:
        """Give where ``name`` is or would be; EvergreenError if the name would leave the root."""

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` atomically; return its URI."""

    def put_file(self, name: str, path: Path) -> str:
        """Write or replace ``name`` by a copy of ``path`` atomically; return its URI."""

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists; of several callers at once exactly one gets True."""

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``; MissingArtifact if there is no such object."""

    def get_file(self, name: str, path: Path) -> Path:
        """Copy ``name`` to the local ``path`` atomically, replacing it; return ``path``."""

    def exists(self, name: str) -> bool:
        """Say whether ``name`` is there, whole."""

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes; MissingArtifact if there is no such object."""

    def list(self, prefix: str = "") -> list[str]:
        """Give the names that start with ``prefix`` (any string), sorted, without temporaries."""

    def delete(self, name: str) -> None:
        """Remove ``name``; nothing happens if it is not there."""


def open_objects(root: str) -> Objects:
    """Open a store by its root.

    Parameters
    ----------
    root
        A local folder (need not exist yet), a ``file://`` URL, or ``s3://bucket[/prefix]``.

    Raises
    ------
    SettingsError
        If the root is empty or of another scheme. Nothing is contacted yet.
    """
    scheme, found, rest = root.partition("://")
    if not found:
        if not root:
            raise SettingsError("storage root is empty; give a folder or s3://bucket/prefix")
        return LocalObjects(str(Path(root).absolute()))
    if scheme == "file":
        return LocalObjects(str(Path(rest).absolute()))
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise SettingsError(f"storage root {root!r} is not usable; give a folder or s3://bucket/prefix")
    return S3Objects(bucket=bucket, prefix=prefix.strip("/"))


@dataclass(frozen=True)
class LocalObjects:
    """Objects as files under a folder: written beside their place, synced to disk, then renamed."""

    root: str

    def uri(self, name: str) -> str:
        """Give the absolute path of ``name``."""
        return str(self._path(name))

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` atomically; return its path."""
        with _local_errors(self.uri(name)):
            write_atomically(self._path(name), lambda file: file.write(data))
        return self.uri(name)

    def put_file(self, name: str, path: Path) -> str:
        """Write or replace ``name`` by a copy of ``path``, never a link to it."""
        with _local_errors(self.uri(name)), path.open("rb") as source:
            write_atomically(self._path(name), lambda file: shutil.copyfileobj(source, file, 1 << 20))
        return self.uri(name)

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists: a hard link either takes the name or fails."""
        with _local_errors(self.uri(name)):
            return write_atomically(self._path(name), lambda file: file.write(data), replace=False)

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``; MissingArtifact if there is no such file."""
        with _local_errors(self.uri(name)):
            return self._path(name).read_bytes()

    def get_file(self, name: str, path: Path) -> Path:
        """Copy ``name`` to ``path`` atomically; MissingArtifact if there is no such file."""
        with _local_errors(self.uri(name)), self._path(name).open("rb") as source:
            write_atomically(path, lambda file: shutil.copyfileobj(source, file, 1 << 20))
        return path

    def exists(self, name: str) -> bool:
        """Say whether ``name`` is a file."""
        return self._path(name).is_file()

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes."""
        with _local_errors(self.uri(name)):
            return self._path(name).stat().st_size

    def list(self, prefix: str = "") -> list[str]:
        """Walk only the folder that ``prefix`` points into."""
        folder = prefix.rpartition("/")[0]
        top = self._path(folder) if folder else Path(self.root)
        names = []
        for where, _, files in os.walk(top):
            inside = Path(where).relative_to(self.root)
            names += [(inside / file).as_posix() for file in files if not _TEMPORARY.fullmatch(file)]
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, name: str) -> None:
        """Remove ``name`` if it is there; the folder it was in stays."""
        with _local_errors(self.uri(name)):
            self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return Path(self.root, checked_name(name))


@dataclass(frozen=True)
class S3Objects:
    """Objects in a bucket of S3 or of anything that speaks its API; a put is atomic there."""

    bucket: str
    prefix: str = ""

    @property
    def root(self) -> str:
        """Give ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def uri(self, name: str) -> str:
        """Give ``s3://bucket/key`` of ``name``."""
        return f"s3://{self.bucket}/{self._key(name)}"

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` in one request; return its URI."""
        with self._errors(self.uri(name)):
            _s3().put_object(Bucket=self.bucket, Key=self._key(name), Body=data)
        return self.uri(name)

    def put_file(self, name: str, path: Path) -> str:
        """Upload ``path``, in parts if it is large; the object appears with the last one."""
        with self._errors(self.uri(name)), _local_errors(str(path)), path.open("rb") as source:
            _s3().upload_fileobj(source, self.bucket, self._key(name))
        return self.uri(name)

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists (``If-None-Match: *``)."""
        from botocore.exceptions import ClientError

        with self._errors(self.uri(name)):
            try:
                _s3().put_object(Bucket=self.bucket, Key=self._key(name), Body=data, IfNoneMatch="*")
            except ClientError as err:
                if _status(err) != 412:
                    raise
                # A try whose answer was lost may have written it: then it is ours, by its content.
                return _was_tried_again(err) and self.get_bytes(name) == data
        return True

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``, once more if the answer breaks off; MissingArtifact if there is no such key."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        with self._errors(self.uri(name)):
            pauses = iter(READ_PAUSES)
            while True:
                answer = _s3().get_object(Bucket=self.bucket, Key=self._key(name))
                try:
                    return bytes(answer["Body"].read())
                except (HTTPClientError, IncompleteReadError):
                    if (pause := next(pauses, None)) is None:
                        raise
                    time.sleep(pause * random.random())

    def get_file(self, name: str, path: Path) -> Path:
        """Download ``name`` beside ``path``, then rename; MissingArtifact if there is no such key."""
        with self._errors(self.uri(name)), _local_errors(str(path)):
            write_atomically(path, lambda file: _s3().download_fileobj(self.bucket, self._key(name), file))
        return path

    def exists(self, name: str) -> bool:
        """Ask for the head of ``name``."""
        try:
            self.size(name)
        except MissingArtifact:
            return False
        return True

    def size(self, name: str) -> int:
        """Give the size of ``name`` in bytes, from its head."""
        from botocore.exceptions import ClientError

        with self._errors(self.uri(name)):
            try:
                return int(_s3().head_object(Bucket=self.bucket, Key=self._key(name))["ContentLength"])
            except ClientError as err:
                if _status(err) == 404:  # a head does not say whether it is the object or the bucket
                    _see_bucket(self.bucket, _s3())
                raise

    def list(self, prefix: str = "") -> list[str]:
        """Page through the keys; the store's own prefix is cut off."""
        base = f"{self.prefix}/" if self.prefix else ""
        if "/" in prefix:
            checked_name(prefix.rpartition("/")[0])
        with self._errors(f"{self.root}/{prefix}"):
            pages = _s3().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base + prefix)
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(key.removeprefix(base) for key in keys if not key.endswith("/"))

    def delete(self, name: str) -> None:
        """Remove ``name``; S3 answers alike whether it was there or not."""
        with self._errors(self.uri(name)):
            _s3().delete_object(Bucket=self.bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        name = checked_name(name)
        return f"{self.prefix}/{name}" if self.prefix else name

    @contextmanager
    def _errors(self, where: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import (  # type: ignore[import-untyped, unused-ignore]
            RetriesExceededError,
            S3DownloadFailedError,
        )

        try:
            yield
        except ClientError as err:
            raise _from_answer(err, where) from err
        except BotoCoreError as err:
            raise _from_silence(err, where) from err
        except (RetriesExceededError, S3DownloadFailedError) as err:
            raise Unavailable(f"{where}: it was not carried over whole ({redact(str(err))}); try again") from err


def checked_name(name: str) -> str:
    """Give ``name`` back if it is relative, stays inside its root and is not a temporary's.

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
    path: Path, write: Callable[[IO[bytes]], object], *, replace: bool = True, mode: int | None = None
) -> bool:
    """Let ``write`` fill a temporary beside ``path``, sync it to disk and give it the name.

    A writer that is killed leaves ``path`` as it was; the temporary it leaves is swept by a later write
    into the folder, a day on.

    Parameters
    ----------
    replace
        False keeps a ``path`` that exists already.
    mode
        Permissions of the new file; None means what the process's umask says.

    Returns
    -------
    bool
        False only if ``replace`` is false and ``path`` exists.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{hashlib.md5(path.name.encode()).hexdigest()[:8]}-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        _sweep(path.parent)
    return True


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
def _local_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as err:
        missing = err.filename or where
        raise MissingArtifact(f"{missing}: no such file; check the name and the storage root") from err
    except OSError as err:
        if disk.is_full(err):
            raise disk.full(where, err.strerror) from err
        if err.errno in _READ_ONLY:
            raise AccessDenied(f"{where}: not allowed ({err.strerror}); mend the permissions") from err
        raise Unavailable(f"{where}: {err.strerror or err}; check the disk, then try again") from err


def _s3() -> Any:
    """Give this process's client for what the environment says now.

    A client is thread-safe, but must not be shared with a forked child: hence one for each process id.
    """
    return _client(os.getpid(), *(os.environ.get(name) for name in _HEEDED))


def s3_client() -> Any:
    """Give this process's S3 client, for what is read in other places than a store's root."""
    return _s3()


@functools.lru_cache(maxsize=4)
def _client(*_: object) -> Any:
    import boto3
    from botocore.config import Config

    timing = Config(
        connect_timeout=5,
        read_timeout=_timeout(),
        retries={"mode": "standard", "total_max_attempts": 4},
        max_pool_connections=32,
    )
    if style := _addressing():
        timing = timing.merge(Config(s3={"addressing_style": style}))
    return boto3.session.Session().client("s3", config=timing)


@functools.lru_cache(maxsize=16)
def _see_bucket(bucket: str, client: Any) -> None:
    """Look once whether a bucket is there; what the server says to that is raised."""
    client.list_objects_v2(Bucket=bucket, MaxKeys=1)


def _timeout() -> float:
    said = os.environ.get(TIMEOUT) or "60"
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"{TIMEOUT} is {said!r}; give the seconds after which a silent store is given up, as 60")
    return seconds


def _addressing() -> str | None:
    """Give how the bucket stands in a URL; None leaves it to AWS's own configuration file, and then to boto3."""
    said = os.environ.get(ADDRESSING)
    if said and said not in {"auto", "path", "virtual"}:
        raise SettingsError(
            f"{ADDRESSING} is {said!r}; give path (https://host/bucket), virtual (https://bucket.host) or auto"
        )
    return said or None


def _status(err: Any) -> int:
    return int(err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _was_tried_again(err: Any) -> bool:
    return int(err.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0


def _from_answer(err: Any, where: str) -> EvergreenError:
    """Translate what the server said."""
    code, status = str(err.response.get("Error", {}).get("Code", "")), _status(err)
    if status == 404:
        if code != "NoSuchBucket":
            return MissingArtifact(f"{where}: no such object; check the name and the storage root")
        return EvergreenError(f"{where}: the bucket does not exist; create it or correct the storage root")
    if code in _OTHER_CLOCK or code in _OTHER_REGION or status in {301, 307}:
        return _misled(code, where)
    if status in {401, 403} or code in _STALE:
        return AccessDenied(
            f"{where}: access denied ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what "
            "they may do with this bucket and key"
        )
    if status >= 500 or status in {408, 409, 429} or code in {"SlowDown", "RequestTimeout"}:
        return Unavailable(f"{where}: the store is busy ({code} {status}); try again")
    return EvergreenError(f"{where}: the store refused ({code} {status}: {redact(str(err))}); check the storage root")


def _misled(code: str, where: str) -> EvergreenError:
    if code in _OTHER_CLOCK:
        return EvergreenError(
            f"{where}: the store refused the time of the request ({code}): the clock of this machine says "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; set it right (NTP), here or at the store, and try again"
        )
    return SettingsError(f"{where}: the bucket is in another region ({code}); set AWS_DEFAULT_REGION to its own")


def _from_silence(err: Exception, where: str) -> EvergreenError:
    """Translate what boto3 said without an answer from the server."""
    from botocore import exceptions

    if isinstance(err, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return SettingsError(f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(err, exceptions.ParamValidationError | exceptions.NoRegionError):
        return SettingsError(f"{where}: {redact(str(err))}; correct the storage root or the AWS_* environment")
    endpoint = without_secrets(os.environ.get("AWS_ENDPOINT_URL") or "AWS")
    return Unavailable(
        f"{where}: {endpoint} did not answer ({redact(str(err))}); check AWS_ENDPOINT_URL, then try again"
    )
