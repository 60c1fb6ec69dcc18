"""Read single objects for a source, and say what stands in the way.

S3 is reached by the client of the storage, so with what the environment gives it: boto3's credential chain,
``AWS_ENDPOINT_URL``, ``EVERGREEN_S3_ADDRESSING`` and the others of docs/s3.md. Nothing of that is ever in
``params.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from ml.adapters.objects import s3_client
from ml.errors import EvergreenError, SettingsError, Unavailable

S3 = "s3://"
CHUNK_BYTES = 1 << 20
MOST_LISTED = 1000
NO_SUCH_KEY = {"NoSuchKey", "404", "NotFound"}
DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded", "429"}


class NoObjectError(Exception):
    """There is no such object."""


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
    """Open an object; what goes wrong until the context ends is said of it.

    Raises
    ------
    NoObjectError
        If there is none of that name.
    SettingsError
        If there is no such bucket; ``setting`` is the key of ``params.yaml`` that names it.
    EvergreenError, Unavailable
        If it may not be read, or the server does not answer.
    """
    bucket, key = split(uri)
    with _errors(uri, setting):
        answer = _client().get_object(Bucket=bucket, Key=key)
        said = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date")
        now = parsedate_to_datetime(said) if said else datetime.now(UTC)
        yield Opened(answer["LastModified"].timestamp(), now.timestamp(), answer["Body"])


def etag(uri: str, setting: str) -> str | None:
    """Return the ETag and size of an object without reading it; None if it has none. Raises as `opened` does."""
    bucket, key = split(uri)
    with _errors(uri, setting):
        answer = _client().head_object(Bucket=bucket, Key=key)
    return f"{answer['ETag']} {answer['ContentLength']}" if answer.get("ETag") else None


def entries(folder: str, setting: str) -> list[str]:
    """List what lies in ``s3://bucket/folder``, as names without it; a folder in it ends in ``/``.

    At most `MOST_LISTED`, which is enough to see whether an address is right. A key that may read but not list sees
    nothing.
    """
    bucket, prefix = split(folder)
    prefix = f"{prefix}/" if prefix else ""
    try:
        with _errors(folder, setting):
            found = _client().list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/", MaxKeys=MOST_LISTED)
    except SettingsError:
        raise
    except EvergreenError:
        return []
    keys = [item["Key"] for item in found.get("Contents", ())] + [
        item["Prefix"] for item in found.get("CommonPrefixes", ())
    ]
    return [key.removeprefix(prefix) or "/" for key in keys]


def _client() -> Any:
    try:
        return s3_client()
    except ValueError as err:
        raise SettingsError(f"the S3 client cannot be set up ({err}); correct AWS_ENDPOINT_URL and AWS_REGION") from err


@contextmanager
def _errors(uri: str, setting: str) -> Iterator[None]:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
    )

    try:
        yield
    except ClientError as err:
        raise _translated(err.response, uri, setting) from err
    except (NoCredentialsError, PartialCredentialsError) as err:
        raise EvergreenError(
            f"no credentials for {uri}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where this runs"
        ) from err
    except ParamValidationError as err:
        raise SettingsError(f"{setting}: {split(uri)[0]!r} is not the name of a bucket; correct it") from err
    except BotoCoreError as err:
        raise Unavailable(
            f"{uri}: the S3 server did not answer ({type(err).__name__}); see whether it is up, "
            "and whether AWS_ENDPOINT_URL is right"
        ) from err


def _translated(response: dict[str, Any], uri: str, setting: str) -> Exception:
    code = str(response.get("Error", {}).get("Code", "unknown"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in NO_SUCH_KEY:
        return NoObjectError(uri)
    if code == "NoSuchBucket":
        return SettingsError(f"{setting}: {uri}: there is no such bucket; create it, or correct {setting}")
    if code in DENIED or status in (401, 403):
        return EvergreenError(
            f"{uri} may not be read ({code}); check AWS_ACCESS_KEY_ID and its right to s3:GetObject, and to "
            "s3:ListBucket, without which an object that is missing is refused too"
        )
    if code in BUSY or status >= 500:
        return Unavailable(f"{uri}: the S3 server is busy or failing ({code}) after several attempts; try later")
    return EvergreenError(f"{uri} cannot be read ({code}, HTTP {status}); look the code up in your S3 server's manual")
