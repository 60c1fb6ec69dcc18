"""A URL per table and day, read with patience and with limits.

Credentials belong into the environment: the entry of the host in the file that ``NETRC`` names is
sent as HTTP basic authentication. If a URL carries some all the same, neither messages nor log
lines show them: user, password, query and fragment are cut from every URL before it is named. This
is also why the retries are done here and not by an HTTPAdapter: urllib3 logs the whole URL of every
attempt it repeats, and it does not repeat one whose body broke off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import requests
from requests import exceptions
from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from ml.adapters.sources.tables import DAY, TableFormat, check_pattern, read_table
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable

if TYPE_CHECKING:
    import pandas as pd

    from ml import settings

log = logging.getLogger(__name__)

MEGABYTE = 1_000_000
CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
MAX_REDIRECTS = 5
LONGEST_WAIT_SECONDS = 60.0
"""Who asks for a longer pause is left to the retries of the orchestrator."""
LONGEST_PLEA_SECONDS = 7 * 24 * 3600
GONE = {204, 404, 410}
REFUSED = {401, 403, 407}
BUSY = {408, 425, 429}


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass; says how, without any URL."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class DatedUrls:
    """Read a day's tables from two URLs such as ``https://data.example.com/inputs/{day}.parquet``.

    Parameters
    ----------
    inputs_pattern, labels_pattern
        An http or https URL that names ``{day}``, in its path or its query.
    table_format
        What the server sends; the URL's ending says nothing.
    timeout_seconds
        The longest silence of the server, before and within an answer. Not the length of a download.
    retries
        How often a failed attempt is repeated; 0 is one attempt.
    max_megabytes
        The largest table, as unpacked, in millions of bytes.
    backoff_seconds
        The pause after the first failed attempt; doubles with each further one. A ``Retry-After``
        of the server goes before it.

    Raises
    ------
    SettingsError
        If a pattern has no ``{day}``, has other braces, or is no http or https URL.
    """

    inputs_pattern: str
    labels_pattern: str
    table_format: TableFormat = "parquet"
    timeout_seconds: float = 30.0
    retries: int = 4
    max_megabytes: float = 512.0
    backoff_seconds: float = 1.0

    def __post_init__(self) -> None:
        for key, pattern in (("source.inputs", self.inputs_pattern), ("source.labels", self.labels_pattern)):
            check_pattern(pattern, key=key, shown=without_secrets(pattern, key=key))

    @classmethod
    def from_settings(cls, section: settings.HttpSource) -> DatedUrls:
        """Take the URLs and limits of ``source`` in ``params.yaml``."""
        return cls(
            inputs_pattern=section.inputs,
            labels_pattern=section.labels,
            table_format=section.format,
            timeout_seconds=section.timeout_seconds,
            retries=section.retries,
            max_megabytes=section.max_megabytes,
        )

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the day's inputs; see `ml.adapters.sources.tables` for what becomes of types."""
        return self._read(self.inputs_pattern, "source.inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the day's labels, as `inputs` does."""
        return self._read(self.labels_pattern, "source.labels", day)

    def _read(self, pattern: str, key: str, day: date) -> pd.DataFrame:
        url = pattern.replace(DAY, day.isoformat())
        shown = without_secrets(url, key=key)
        return read_table(self._download(url, shown, key, day), self.table_format, origin=shown)

    def _download(self, url: str, shown: str, key: str, day: date) -> bytes:
        pause = self.backoff_seconds
        for attempt in range(1, self.retries + 2):
            try:
                return self._attempt(url, shown, key, day)
            except _TryAgainError as failed:
                reason, asked = str(failed), failed.wait_seconds
            wait = min(pause, LONGEST_WAIT_SECONDS) if asked is None else asked
            pause *= 2
            if attempt > self.retries or wait > LONGEST_WAIT_SECONDS:
                break
            log.warning("%s: %s; attempt %d of %d in %.1f s", shown, reason, attempt + 1, self.retries + 1, wait)
            time.sleep(wait)
        pleads = "" if asked is None else f", and asks for a pause of {asked:.0f} s"
        raise Unavailable(
            f"{shown} gives no answer for {day} after {attempt} attempts: {reason}{pleads}; "
            "see whether the server is up"
        )

    def _attempt(self, url: str, shown: str, key: str, day: date) -> bytes:
        # What requests raises names the whole URL, so it is cut off (from None) and only its kind is told.
        timeout = (min(CONNECT_SECONDS, self.timeout_seconds), self.timeout_seconds)
        try:
            with requests.Session() as session:
                session.max_redirects = MAX_REDIRECTS
                with session.get(url, timeout=timeout, stream=True) as response:
                    _check_status(response, shown, key, day)
                    return self._body(response, shown)
        except exceptions.SSLError:
            raise EvergreenError(
                f"{shown}: its certificate is not trusted; correct {key}, or name its authority in REQUESTS_CA_BUNDLE"
            ) from None
        except exceptions.TooManyRedirects:
            raise EvergreenError(
                f"{shown} redirects more than {MAX_REDIRECTS} times; set {key} to the address where the data are"
            ) from None
        except exceptions.ContentDecodingError:
            raise DataRejected(
                f"{shown}: the body is not packed as its Content-Encoding says; correct the server"
            ) from None
        except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError) as err:
            raise _TryAgainError(_kind(err)) from None
        except (exceptions.RequestException, ValueError) as err:
            raise EvergreenError(f"{shown} cannot be asked for ({type(err).__name__}); correct {key}") from None

    def _body(self, response: requests.Response, shown: str) -> bytes:
        limit = int(self.max_megabytes * MEGABYTE)
        if _announced_bytes(response) > limit:
            raise self._too_large(shown)
        content = bytearray()
        for chunk in _unpacked(response):
            content += chunk
            if len(content) > limit:
                raise self._too_large(shown)
        return bytes(content)

    def _too_large(self, shown: str) -> DataRejected:
        return DataRejected(
            f"{shown} is larger than {self.max_megabytes:g} MB unpacked; if that is right, raise source.max_megabytes"
        )


def without_secrets(url: str, *, key: str) -> str:
    """Cut user, password, query and fragment from a URL, so that a message may name it.

    Raises
    ------
    SettingsError
        If it is no http or https URL with a host; the message does not repeat it, since what is
        secret in it cannot be told. It names ``key``, the settings key that holds the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(f"{key} is no http or https URL with a host; write https://host/path, with {DAY} in it")
    address = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    return urlunsplit((parts.scheme, address, parts.path, "", "")) + ("?..." if parts.query else "")


def _check_status(response: requests.Response, shown: str, key: str, day: date) -> None:
    status = response.status_code
    if status in GONE:
        raise MissingArtifact(f"nothing for {day}: {shown} answers {status}; deliver the day, or correct {key}")
    if status in REFUSED:
        raise EvergreenError(
            f"{shown} answers {status}: it wants other credentials; "
            f"put the host's into the file that NETRC names, or correct {key}"
        )
    if status in BUSY or status >= 500:
        raise _TryAgainError(f"it answers {status}", _asked_pause(response))
    if status != 200:
        raise EvergreenError(f"{shown} answers {status} where 200 was expected; correct {key}")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise DataRejected(f"{shown} answers a web page, perhaps to log in, and no table; correct {key}")


def _asked_pause(response: requests.Response) -> float | None:
    try:
        return Retry(retry_after_max=LONGEST_PLEA_SECONDS).get_retry_after(response.raw)
    except InvalidHeader:
        return None


def _announced_bytes(response: requests.Response) -> int:
    announced = response.headers.get("Content-Length", "").strip()
    return int(announced) if announced.isdecimal() else 0


def _unpacked(response: requests.Response) -> Iterator[bytes]:
    """Give the body in small pieces; unpacking stops at each, so a bomb never goes off whole."""
    pieces: Iterator[bytes] = response.iter_content(CHUNK_BYTES)
    return pieces


def _kind(err: exceptions.RequestException) -> str:
    """Name the innermost cause by its kind alone: texts of requests and urllib3 hold the URL."""
    cause: BaseException = err
    while True:
        inner = [part for part in (getattr(cause, "reason", None), *cause.args) if isinstance(part, BaseException)]
        if not inner:
            return type(cause).__name__
        cause = inner[-1]
