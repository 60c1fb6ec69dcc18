"""Files whose names carry the day, in a folder or below an ``s3://`` prefix.

S3 is reached with what the environment gives boto3: its credential chain, ``AWS_ENDPOINT_URL``,
``AWS_REGION``. Nothing of that is ever in ``params.yaml``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml import settings
from ml.adapters.sources.tables import DAY, check_pattern, copy_parquet, format_of, is_larger, read_table
from ml.adapters.workspace import write_parquet
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Asset

if TYPE_CHECKING:
    import pandas as pd

S3 = "s3://"
CONNECT_SECONDS = 10
READ_SECONDS = 60
ATTEMPTS = 4
CHUNK_BYTES = 1 << 20
NO_SUCH_KEY = {"NoSuchKey", "404", "NotFound"}
REFUSED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
BUSY = {"SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "RequestLimitExceeded", "429"}


@dataclass(frozen=True)
class DatedFiles:
    """Read a day's tables from two patterns such as ``/data/inputs-{day}.parquet``.

    Parameters
    ----------
    inputs_pattern, labels_pattern
        A path, or ``s3://bucket/key``, that ends in ``.parquet`` or ``.csv`` and names ``{day}``.
        A relative path starts at the project's own folder, wherever the process runs.

    Raises
    ------
    SettingsError
        If a pattern has no ``{day}``, has other braces, or names neither a path nor an S3 object.
    """

    inputs_pattern: str
    labels_pattern: str

    def __post_init__(self) -> None:
        for key, pattern in (("source.inputs", self.inputs_pattern), ("source.labels", self.labels_pattern)):
            _check(pattern, key)

    @classmethod
    def from_settings(cls, section: settings.FilesSource) -> DatedFiles:
        """Take the patterns of ``source`` in ``params.yaml``."""
        return cls(inputs_pattern=section.inputs, labels_pattern=section.labels)

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the day's file of inputs; see `ml.adapters.sources.tables` for what becomes of types."""
        return _read(self.inputs_pattern, "source.inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the day's file of labels, as `inputs` does."""
        return _read(self.labels_pattern, "source.labels", day)

    def write(self, asset: Asset, day: date, target: Path, *, rows_at_once: int) -> None:
        """Write a day's table to a Parquet file; a Parquet source of more than ``rows_at_once`` rows in batches."""
        pattern = self.inputs_pattern if asset == "inputs" else self.labels_pattern
        key = f"source.{asset}"
        kind = format_of(pattern, key=key)
        with _file(pattern, key, day) as (path, name):
            large = kind == "parquet" and is_larger(path, rows_at_once)
            if not (large and copy_parquet(path, target, origin=name)):
                write_parquet(read_table(path.read_bytes(), kind, origin=name), target)


def _check(pattern: str, key: str) -> None:
    check_pattern(pattern, key=key)
    format_of(pattern, key=key)
    if pattern.startswith(S3):
        bucket, _, name = pattern.removeprefix(S3).partition("/")
        if not bucket or not name or DAY in bucket:
            raise SettingsError(f"{key}: {pattern} is not s3://bucket/name with {DAY} in the name; correct it")
    elif "://" in pattern:
        raise SettingsError(f"{key}: {pattern} is neither a path nor s3://; for a web address set source.kind to http")


def _read(pattern: str, key: str, day: date) -> pd.DataFrame:
    with _file(pattern, key, day) as (path, name):
        return read_table(path.read_bytes(), format_of(pattern, key=key), origin=name)


@contextmanager
def _file(pattern: str, key: str, day: date) -> Iterator[tuple[Path, str]]:
    """Give a local file with what the source has for a day, and the name to call it by."""
    name = pattern.replace(DAY, day.isoformat())
    if name.startswith(S3):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "object"
            _download(name, path, key, day)
            yield path, name
        return
    path = settings.PROJECT_ROOT / name
    _require_readable(path, key, day)
    yield path, str(path)


def _require_readable(path: Path, key: str, day: date) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError as err:
        lacks = "" if path.parent.is_dir() else f" (there is no folder {path.parent})"
        raise MissingArtifact(
            f"nothing for {day}: {path} does not exist{lacks}; deliver the file, or correct {key}"
        ) from err
    except (IsADirectoryError, NotADirectoryError) as err:
        raise DataRejected(f"{path} is not a file; write one file a day, or correct {key}") from err
    except PermissionError as err:
        raise EvergreenError(f"{path} may not be read by this user; grant it, then run this again") from err
    except OSError as err:
        raise Unavailable(f"{path} cannot be read ({err.strerror}); see whether its disk is there") from err


def _download(uri: str, path: Path, key: str, day: date) -> None:
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
    )

    bucket, _, name = uri.removeprefix(S3).partition("/")
    try:
        body = _s3_client().get_object(Bucket=bucket, Key=name)["Body"]
        with path.open("wb") as file:
            for piece in body.iter_chunks(CHUNK_BYTES):
                file.write(piece)
    except ClientError as err:
        raise _translated(err.response, uri, key, day) from err
    except (NoCredentialsError, PartialCredentialsError) as err:
        raise EvergreenError(
            f"no credentials for {uri}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where this runs"
        ) from err
    except ParamValidationError as err:
        raise SettingsError(f"{key}: {bucket!r} is not the name of a bucket; correct it") from err
    except BotoCoreError as err:
        raise Unavailable(
            f"{uri}: the S3 server did not answer ({type(err).__name__}); see whether it is up, "
            "and whether AWS_ENDPOINT_URL is right"
        ) from err


def _s3_client() -> Any:
    import boto3
    from botocore.config import Config

    # A server of one's own rarely has a DNS name for each bucket.
    own_server = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        s3={"addressing_style": "path" if own_server else "auto"},
    )
    try:
        # A session of its own: boto3's shared one keeps the first credentials that it ever saw.
        return boto3.session.Session().client("s3", config=config)
    except ValueError as err:
        raise SettingsError(f"the S3 client cannot be set up ({err}); correct AWS_ENDPOINT_URL and AWS_REGION") from err


def _translated(response: dict[str, Any], uri: str, key: str, day: date) -> EvergreenError:
    code = str(response.get("Error", {}).get("Code", "unknown"))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in NO_SUCH_KEY:
        return MissingArtifact(f"nothing for {day}: {uri} does not exist; deliver the object, or correct {key}")
    if code == "NoSuchBucket":
        return MissingArtifact(f"{uri}: there is no such bucket; create it, or correct {key}")
    if code in REFUSED or status in (401, 403):
        return EvergreenError(
            f"{uri} may not be read ({code}); check AWS_ACCESS_KEY_ID and its right to s3:GetObject, and to "
            "s3:ListBucket, without which an object that is missing is refused too"
        )
    if code in BUSY or status >= 500:
        return Unavailable(f"{uri}: the S3 server is busy or failing ({code}) after {ATTEMPTS} attempts; try later")
    return EvergreenError(f"{uri} cannot be read ({code}, HTTP {status}); look the code up in your S3 server's manual")
