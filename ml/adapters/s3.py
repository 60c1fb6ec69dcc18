"""Reach S3: with `ml.adapters.s3_errors` the only module that knows boto3.

Credentials, endpoint and region come from the environment under boto3's own names (``AWS_ACCESS_KEY_ID``,
``AWS_ENDPOINT_URL``, ...); ``EVERGREEN_S3_ADDRESSING`` and ``EVERGREEN_S3_TIMEOUT`` are ours. docs/s3.md says which
permissions it needs.
"""

from __future__ import annotations

import functools
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.adapters.local_files import checked_name, local_errors, write_atomically
from ml.adapters.s3_errors import errors, read_status
from ml.errors import MissingArtifact, SettingsError

ADDRESSING, TIMEOUT = "EVERGREEN_S3_ADDRESSING", "EVERGREEN_S3_TIMEOUT"
READ_PAUSES = (0.2, 0.8)
"""Seconds, at most, before an answer that broke off is asked for again."""

_VARIABLES = (
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_CA_BUNDLE", ADDRESSING, TIMEOUT),
    "AWS_SHARED_CREDENTIALS_FILE",
)


@dataclass(frozen=True)
class S3Objects:
    """Objects in a bucket of S3 or of anything that speaks its API; a put is atomic there."""

    bucket: str
    prefix: str = ""

    @property
    def root(self) -> str:
        """Return ``s3://bucket/prefix``."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def uri(self, name: str) -> str:
        """Return ``s3://bucket/key`` of ``name``."""
        return f"s3://{self.bucket}/{self._key(name)}"

    def put_bytes(self, name: str, data: bytes) -> str:
        """Write or replace ``name`` in one request; return its URI."""
        with errors(self.uri(name)):
            client().put_object(Bucket=self.bucket, Key=self._key(name), Body=data)
        return self.uri(name)

    def put_file(self, name: str, path: Path) -> str:
        """Upload ``path``, in parts if it is large; the object appears with the last one."""
        with errors(self.uri(name)), local_errors(str(path)), path.open("rb") as source:
            client().upload_fileobj(source, self.bucket, self._key(name))
        return self.uri(name)

    def create_bytes(self, name: str, data: bytes) -> bool:
        """Write ``name`` unless it exists (``If-None-Match: *``)."""
        from botocore.exceptions import ClientError

        with errors(self.uri(name)):
            try:
                client().put_object(Bucket=self.bucket, Key=self._key(name), Body=data, IfNoneMatch="*")
            except ClientError as err:
                if read_status(err) != 412:
                    raise
                # A try whose answer was lost may have written it: then it is ours, by its content.
                return _was_tried_again(err) and self.get_bytes(name) == data
        return True

    def get_bytes(self, name: str) -> bytes:
        """Read ``name``, once more if the answer breaks off; MissingArtifact if there is no such key."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        with errors(self.uri(name)):
            pauses = iter(READ_PAUSES)
            while True:
                answer = client().get_object(Bucket=self.bucket, Key=self._key(name))
                try:
                    return bytes(answer["Body"].read())
                except (HTTPClientError, IncompleteReadError):
                    if (pause := next(pauses, None)) is None:
                        raise
                    time.sleep(pause * random.random())

    def get_file(self, name: str, path: Path) -> Path:
        """Download ``name`` next to ``path``, then rename; MissingArtifact if there is no such key."""
        with errors(self.uri(name)), local_errors(str(path)):
            write_atomically(
                path, lambda file: client().download_fileobj(self.bucket, self._key(name), file), durable=False
            )
        return path

    def exists(self, name: str) -> bool:
        """Ask for the head of ``name``."""
        try:
            self.size(name)
        except MissingArtifact:
            return False
        return True

    def size(self, name: str) -> int:
        """Return the size of ``name`` in bytes, from its head."""
        with errors(self.uri(name)):
            return int(head(self.bucket, self._key(name))["ContentLength"])

    def list(self, prefix: str = "") -> list[str]:
        """Page through the keys; the store's own prefix is cut off."""
        base = f"{self.prefix}/" if self.prefix else ""
        if "/" in prefix:
            checked_name(prefix.rpartition("/")[0])
        with errors(f"{self.root}/{prefix}"):
            pages = client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base + prefix)
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return sorted(key.removeprefix(base) for key in keys if not key.endswith("/"))

    def delete(self, name: str) -> None:
        """Remove ``name``; S3 answers alike whether it was there or not."""
        with errors(self.uri(name)):
            client().delete_object(Bucket=self.bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        name = checked_name(name)
        return f"{self.prefix}/{name}" if self.prefix else name


def client() -> Any:
    """Return this process's client for what the environment says now; SettingsError if that cannot be right.

    A client is thread-safe, but must not be shared with a forked child: hence one for each process id.
    """
    try:
        return _client(os.getpid(), *(os.environ.get(name) for name in _VARIABLES))
    except ValueError as err:
        raise SettingsError(f"the S3 client cannot be set up ({err}); correct AWS_ENDPOINT_URL and AWS_REGION") from err


@functools.lru_cache(maxsize=4)
def _client(*_: object) -> Any:
    import boto3
    from botocore.config import Config

    style = _addressing()
    config = Config(
        connect_timeout=5,
        read_timeout=_timeout(),
        retries={"mode": "standard", "total_max_attempts": 4},
        max_pool_connections=32,
        s3={"addressing_style": style} if style else None,
    )
    return boto3.session.Session().client("s3", config=config)


def head(bucket: str, key: str) -> dict[str, Any]:
    """Return the facts of an object without its content; used inside `errors`."""
    from botocore.exceptions import ClientError

    try:
        return dict(client().head_object(Bucket=bucket, Key=key))
    except ClientError as err:
        if read_status(err) == 404:  # a head does not say whether it is the object or the bucket
            _see_bucket(bucket, client())
        raise


def make_bucket(bucket: str) -> bool:
    """Create a bucket unless it is there; return whether it was created."""
    from botocore.exceptions import ClientError

    with errors(f"s3://{bucket}"):
        try:
            client().head_bucket(Bucket=bucket)
        except ClientError as err:
            if read_status(err) != 404:
                raise
            client().create_bucket(Bucket=bucket)
            return True
    return False


@functools.lru_cache(maxsize=16)
def _see_bucket(bucket: str, client: Any) -> None:
    """Look once whether a bucket is there; what the server says to that is raised."""
    client.list_objects_v2(Bucket=bucket, MaxKeys=1)


def _timeout() -> float:
    value = os.environ.get(TIMEOUT) or "60"
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise SettingsError(f"{TIMEOUT} is {value!r}; give the seconds after which a silent store is given up, as 60")
    return seconds


def _addressing() -> str | None:
    """Return how the bucket stands in a URL; None leaves it to AWS's own configuration file, and then to boto3."""
    style = os.environ.get(ADDRESSING)
    if style and style not in {"auto", "path", "virtual"}:
        raise SettingsError(
            f"{ADDRESSING} is {style!r}; give path (https://host/bucket), virtual (https://bucket.host) or auto"
        )
    return style or None


def _was_tried_again(err: Any) -> bool:
    return int(err.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)) > 0
