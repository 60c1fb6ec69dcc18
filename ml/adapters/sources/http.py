"""A URL per table and day, read with patience and with limits.

Credentials belong into the environment: the entry of the host in the file that ``NETRC`` names is
sent as HTTP basic authentication. If a URL carries some all the same, neither messages nor log
lines show them: user, password, query and fragment are cut from every URL before it is named. This
is also why the retries are done here and not by an HTTPAdapter: urllib3 logs the whole URL of every
attempt it repeats, and it does not repeat one whose body broke off.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import requests
from requests import exceptions
from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from ml.adapters.sources.completeness import Manifest, check_age, incomplete, place, read_manifest
from ml.adapters.sources.tables import DAY, TableFormat, check_pattern, read_table
from ml.adapters.sources.unpacked import MEGABYTE, too_large
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable
from ml.records import Asset
from ml.settings import Complete

if TYPE_CHECKING:
    import pandas as pd

    from ml import settings

log = logging.getLogger(__name__)

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 10.0
MAX_REDIRECTS = 5
LONGEST_WAIT_SECONDS = 60.0
"""Who asks for a longer pause is left to the retries of the orchestrator."""
LONGEST_PLEA_SECONDS = 7 * 24 * 3600
GONE = {204, 404, 410}
REFUSED = {401, 403, 407}
BUSY = {408, 425, 429}
UNKNOWN_HOST = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
MARKER, MANIFEST = "source.complete.marker", "source.complete.manifest"


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
    complete
        How the server shows that a day is whole; None takes a day as soon as it is there.
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
    complete: Complete | None = None
    types: Mapping[Asset, Mapping[str, str]] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        patterns = {"source.inputs": self.inputs_pattern, "source.labels": self.labels_pattern}
        if self.complete:
            named = {MARKER: self.complete.marker, MANIFEST: self.complete.manifest}
            patterns |= {key: pattern.replace("{asset}", "inputs") for key, pattern in named.items() if pattern}
        for key, pattern in patterns.items():
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
            complete=section.complete,
        )

    def inputs(self, day: date) -> pd.DataFrame:
        """Read the day's inputs; see `ml.adapters.sources.tables` for what becomes of types."""
        return self._read(self.inputs_pattern, "inputs", day)

    def labels(self, day: date) -> pd.DataFrame:
        """Read the day's labels, as `inputs` does."""
        return self._read(self.labels_pattern, "labels", day)

    def stat(self, asset: Asset, day: date) -> str | None:
        """Return the strong ETag that the server answers to HEAD; None if it gives none, or does not answer.

        What is wrong is said where the table itself is asked for.
        """
        pattern = self.inputs_pattern if asset == "inputs" else self.labels_pattern
        timeout = (min(CONNECT_SECONDS, self.timeout_seconds), self.timeout_seconds)
        try:
            with requests.Session() as session:
                session.max_redirects = MAX_REDIRECTS
                answer = session.head(pattern.replace(DAY, day.isoformat()), timeout=timeout, allow_redirects=True)
        except (exceptions.RequestException, ValueError):
            return None
        etag = answer.headers.get("ETag", "") if answer.status_code == 200 else ""
        return etag if etag.startswith('"') else None

    def with_types(self, types: Mapping[Asset, Mapping[str, str]]) -> DatedUrls:
        """Return the same source, whose CSV answers are read by these types."""
        return replace(self, types=types)

    def _read(self, pattern: str, asset: Asset, day: date) -> pd.DataFrame:
        key = f"source.{asset}"
        url = pattern.replace(DAY, day.isoformat())
        shown = without_secrets(url, key=key)
        manifest = self._expected(asset, day, shown)
        content = self._download(url, shown, key, day)
        if manifest:
            manifest.check_content(content, shown)
        types = self.types.get(asset)
        table = read_table(content, self.table_format, origin=shown, types=types, limit=self._limit)
        if manifest:
            manifest.check_rows(len(table), shown)
        return table

    def _expected(self, asset: Asset, day: date, shown: str) -> Manifest | None:
        """Return what the day's table must be, if a manifest says so; MissingArtifact if it is not complete yet."""
        pattern = self.complete and (self.complete.marker or self.complete.manifest)
        if not self.complete or not pattern:
            return None
        key = MARKER if self.complete.marker else MANIFEST
        url = place(pattern, asset, day)
        beside = without_secrets(url, key=key)
        try:
            content = self._download(url, beside, key, day)
        except MissingArtifact as err:
            raise incomplete(shown, day, f"there is no {beside}; deliver it once the table is whole") from err
        return read_manifest(content, asset, day, origin=beside, name=shown) if key == MANIFEST else None

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
                    if self.complete and self.complete.min_age and key not in (MARKER, MANIFEST):
                        _check_age(response, shown, day, self.complete)
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
        except exceptions.ConnectionError as err:
            if _is_unknown_host(err):
                raise SettingsError(f"{shown}: there is no host of that name; correct {key}") from None
            raise _TryAgainError(_kind(err)) from None
        except (exceptions.Timeout, exceptions.ChunkedEncodingError) as err:
            raise _TryAgainError(_kind(err)) from None
        except (exceptions.RequestException, ValueError) as err:
            raise EvergreenError(f"{shown} cannot be asked for ({type(err).__name__}); correct {key}") from None

    def _body(self, response: requests.Response, shown: str) -> bytes:
        if _announced_bytes(response) > self._limit:
            raise too_large(shown, self._limit)
        content = bytearray()
        for chunk in _unpacked(response):
            content += chunk
            if len(content) > self._limit:
                raise too_large(shown, self._limit)
        return bytes(content)

    @property
    def _limit(self) -> int:
        return int(self.max_megabytes * MEGABYTE)


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


def _check_age(response: requests.Response, shown: str, day: date, complete: Complete) -> None:
    """Raise MissingArtifact if a table is too young, by the server's own clock."""
    said, now = (response.headers.get(name, "") for name in ("Last-Modified", "Date"))
    try:
        modified = parsedate_to_datetime(said).timestamp()
        by_clock = parsedate_to_datetime(now).timestamp() if now else time.time()
    except ValueError:
        raise EvergreenError(
            f"{shown}: the server does not say when the table was changed (Last-Modified), so its age is unknown; "
            "set source.complete to a marker or a manifest"
        ) from None
    check_age(modified, shown, day, now=by_clock, complete=complete)


def _is_unknown_host(err: exceptions.RequestException) -> bool:
    """Say whether the name service answers that there is no such host, and not that it cannot tell."""
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return cause.errno in UNKNOWN_HOST
        inner = [part for part in (getattr(cause, "reason", None), *cause.args) if isinstance(part, BaseException)]
        cause = inner[-1] if inner else cause.__cause__ or cause.__context__
    return False


def _kind(err: exceptions.RequestException) -> str:
    """Name the innermost cause by its kind alone: texts of requests and urllib3 hold the URL."""
    cause: BaseException = err
    while True:
        inner = [part for part in (getattr(cause, "reason", None), *cause.args) if isinstance(part, BaseException)]
        if not inner:
            return type(cause).__name__
        cause = inner[-1]
