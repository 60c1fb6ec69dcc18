"""Turn what boto3 raises into our errors, which say what stands in the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ml.errors import AccessDenied, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.urls import redact, without_secrets

_OTHER_CLOCK = {"RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_BUSY = {"SlowDown", "RequestTimeout", "RequestLimitExceeded", "Throttling", "ThrottlingException"}
_STALE = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"}


class NoSuchObject(MissingArtifact):
    """There is no object of that name."""


@contextmanager
def errors(uri: str, setting: str = "") -> Iterator[None]:
    """Translate what boto3 raises inside the context; ``setting`` is what names ``uri``, empty for the storage root.

    Raises
    ------
    NoSuchObject, AccessDenied, Unavailable
        If there is no such object, the server refuses it, or does not answer for now.
    SettingsError
        If the bucket is not there or in another region, its name is none, or credentials are missing.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from s3transfer.exceptions import (  # type: ignore[import-untyped, unused-ignore]
        RetriesExceededError,
        S3DownloadFailedError,
    )

    where, origin = (f"{setting}: {uri}", setting) if setting else (uri, "the storage root")
    try:
        yield
    except ClientError as err:
        raise _translate_answer(err, where, origin) from err
    except BotoCoreError as err:
        raise _translate_silence(err, where, origin) from err
    except (RetriesExceededError, S3DownloadFailedError) as err:
        raise Unavailable(f"{where}: it was not carried over whole ({redact(str(err))}); try again") from err


def read_status(err: Any) -> int:
    """Return the HTTP status of an answer that boto3 raised; 0 if it had none."""
    return int(err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _translate_answer(err: Any, where: str, origin: str) -> EvergreenError:
    """Translate what the server said."""
    code, status = str(err.response.get("Error", {}).get("Code", "")), read_status(err)
    if status == 404:
        if code != "NoSuchBucket":
            return NoSuchObject(f"{where}: no such object; check the name and {origin}")
        return SettingsError(f"{where}: there is no such bucket; create it, or correct {origin}")
    if code in _OTHER_CLOCK or code in _OTHER_REGION or status in {301, 307}:
        return _explain_redirect(code, where)
    if status in {401, 403} or code in _STALE:
        return AccessDenied(
            f"{where}: access denied ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what they may do "
            "with this bucket and key: to read takes s3:GetObject, and s3:ListBucket, without which a missing object "
            "is denied too"
        )
    if status >= 500 or status in {408, 409, 429} or code in _BUSY:
        return Unavailable(f"{where}: the store is busy ({code} {status}); try again")
    return EvergreenError(f"{where}: the store refused ({code} {status}: {redact(str(err))}); check {origin}")


def _explain_redirect(code: str, where: str) -> EvergreenError:
    if code in _OTHER_CLOCK:
        return EvergreenError(
            f"{where}: the store refused the time of the request ({code}): the clock of this machine says "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC; set it right (NTP), here or at the store, and try again"
        )
    return SettingsError(f"{where}: the bucket is in another region ({code}); set AWS_DEFAULT_REGION to its own")


def _translate_silence(err: Exception, where: str, origin: str) -> EvergreenError:
    """Translate what boto3 said without an answer from the server."""
    from botocore import exceptions

    if isinstance(err, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return SettingsError(f"{where}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(err, exceptions.ParamValidationError):
        return SettingsError(f"{where} is not the name of a bucket and a key ({redact(str(err))}); correct {origin}")
    if isinstance(err, exceptions.NoRegionError):
        return SettingsError(f"{where}: {redact(str(err))}; set AWS_DEFAULT_REGION")
    endpoint = without_secrets(os.environ.get("AWS_ENDPOINT_URL") or "AWS")
    return Unavailable(
        f"{where}: {endpoint} did not answer ({redact(str(err))}); check AWS_ENDPOINT_URL, then try again"
    )
