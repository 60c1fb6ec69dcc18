"""Read single objects for a source, by the S3 client of the storage: nothing of S3 is ever in ``params.yaml``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ml.adapters.s3 import client, head
from ml.adapters.s3_errors import errors
from ml.errors import EvergreenError, SettingsError

S3 = "s3://"
CHUNK_BYTES = 1 << 20
MOST_LISTED = 1000


@dataclass(frozen=True)
class Opened:
    """An object whose content has not been fetched yet; times are seconds since 1970, by the server's clock."""

    modified: float
    now: float
    body: Any

    def save(self, path: Path) -> None:
        """Write the content to a file."""
        with path.open("wb") as file:
            for piece in self.body.iter_chunks(CHUNK_BYTES):
                file.write(piece)


def split(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix(S3).partition("/")
    return bucket, key


@contextmanager
def opened(uri: str, setting: str) -> Iterator[Opened]:
    """Open an object; what goes wrong until the context ends raises as in `ml.adapters.s3_errors.errors`.

    ``setting`` is the key of ``params.yaml`` that names the object.
    """
    bucket, key = split(uri)
    with errors(uri, setting):
        answer = client().get_object(Bucket=bucket, Key=key)
        date_header = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        now = parsedate_to_datetime(date_header) if date_header else datetime.now(UTC)
        yield Opened(answer["LastModified"].timestamp(), now.timestamp(), answer["Body"])


def etag(uri: str, setting: str) -> str | None:
    """Return the ETag and size of an object without reading it; None if it has none. Raises as `opened` does."""
    bucket, key = split(uri)
    with errors(uri, setting):
        answer = head(bucket, key)
    return f"{answer['ETag']} {answer['ContentLength']}" if answer.get("ETag") else None


def objects_below(uri: str, setting: str) -> dict[str, str]:
    """List all objects whose names begin like ``uri``, each with its ETag and size; raises as `opened` does."""
    bucket, prefix = split(uri)
    with errors(uri, setting):
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        items = [item for page in pages for item in page.get("Contents", ())]
    return {f"{S3}{bucket}/{item['Key']}": f"{item['ETag']} {item['Size']}" for item in items}


def entries(folder: str, setting: str) -> list[str]:
    """List what lies in ``s3://bucket/folder``, as names without it; a folder in it ends in ``/``.

    At most `MOST_LISTED`, which is enough to see whether an address is right. A key that may read but not list sees
    nothing.
    """
    bucket, prefix = split(folder)
    prefix = f"{prefix}/" if prefix else ""
    try:
        with errors(folder, setting):
            listing = client().list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=MOST_LISTED)
    except SettingsError:
        raise
    except EvergreenError:
        return []
    keys = [item["Key"] for item in listing.get("Contents", ())] + [
        item["Prefix"] for item in listing.get("CommonPrefixes", ())
    ]
    return [key.removeprefix(prefix) or "/" for key in keys]
