"""Download a URL with patience and with limits, and name it without its secrets.

If a URL carries credentials, neither messages nor log lines show them: user, password, query and fragment are cut
from every URL before it is named. This is also why the retries are done here and not by an HTTPAdapter: urllib3 logs
the whole URL of every attempt it repeats, and it does not repeat one whose body broke off.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import urlsplit, urlunsplit

import requests
from requests import exceptions
from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from ml.adapters.sources.patterns import DAY
from ml.adapters.sources.unpacked import too_large
from ml.errors import DataRejected, EvergreenError, MissingArtifact, SettingsError, Unavailable

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


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass; says how, without any URL."""

    def __init__(self, reason: str, wait_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Downloads:
    """How patiently URLs are asked for, and how much is taken from them; see `ml.adapters.sources.http.DatedUrls`."""

    timeout_seconds: float
    retries: int
    backoff_seconds: float
    max_bytes: int

    @property
    def timeout(self) -> tuple[float, float]:
        """Return the longest silence, in seconds, before a connection stands, and of the server afterwards."""
        return min(CONNECT_SECONDS, self.timeout_seconds), self.timeout_seconds

    def etag(self, url: str) -> str | None:
        """Return the strong ETag that the server answers to HEAD; None if it gives none, or does not answer."""
        try:
            with requests.Session() as session:
                session.max_redirects = MAX_REDIRECTS
                answer = session.head(url, timeout=self.timeout, allow_redirects=True)
        except (exceptions.RequestException, ValueError):
            return None
        etag = answer.headers.get("ETag", "") if answer.status_code == 200 else ""
        return etag if etag.startswith('"') else None

    def get(
        self, url: str, shown: str, key: str, day: date, check: Callable[[Mapping[str, str]], None] | None = None
    ) -> bytes:
        """Return what a URL answers, unpacked.

        Parameters
        ----------
        shown
            The URL without its secrets, for messages.
        key
            The settings key that holds the URL, for messages.
        day
            The day that it is asked for, for messages.
        check
            Gets the headers of an answer before its body is read, and raises if that shall not be.

        Raises
        ------
        MissingArtifact
            If the server has nothing at this URL.
        Unavailable
            If it gives no answer, however often it is asked.
        EvergreenError
            If it answers otherwise than with a table; the message says how.
        """
        pause = self.backoff_seconds
        for attempt in range(1, self.retries + 2):
            try:
                return self._attempt(url, shown, key, day, check)
            except _TryAgainError as failed:
                reason, retry_after = str(failed), failed.wait_seconds
            wait = min(pause, LONGEST_WAIT_SECONDS) if retry_after is None else retry_after
            pause *= 2
            if attempt > self.retries or wait > LONGEST_WAIT_SECONDS:
                break
            log.warning("%s: %s; attempt %d of %d in %.1f s", shown, reason, attempt + 1, self.retries + 1, wait)
            time.sleep(wait)
        pleads = "" if retry_after is None else f", and asks for a pause of {retry_after:.0f} s"
        raise Unavailable(
            f"{shown} gives no answer for {day} after {attempt} attempts: {reason}{pleads}; "
            "see whether the server is up"
        )

    def _attempt(
        self, url: str, shown: str, key: str, day: date, check: Callable[[Mapping[str, str]], None] | None
    ) -> bytes:
        # What requests raises names the whole URL, so it is cut off (from None) and only its kind is named.
        try:
            with requests.Session() as session:
                session.max_redirects = MAX_REDIRECTS
                with session.get(url, timeout=self.timeout, stream=True) as response:
                    _check_status(response, shown, key, day)
                    if check:
                        check(response.headers)
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
            raise _TryAgainError(_name_cause(err)) from None
        except (exceptions.Timeout, exceptions.ChunkedEncodingError) as err:
            raise _TryAgainError(_name_cause(err)) from None
        except (exceptions.RequestException, ValueError) as err:
            raise EvergreenError(f"{shown} cannot be asked for ({type(err).__name__}); correct {key}") from None

    def _body(self, response: requests.Response, shown: str) -> bytes:
        if _read_length(response) > self.max_bytes:
            raise too_large(shown, self.max_bytes)
        content = bytearray()
        for chunk in _iter_pieces(response):
            content += chunk
            if len(content) > self.max_bytes:
                raise too_large(shown, self.max_bytes)
        return bytes(content)


def without_secrets(url: str, *, key: str) -> str:
    """Cut user, password, query and fragment from a URL, so that a message may name it.

    Raises
    ------
    SettingsError
        If it is no http or https URL with a host; the message does not repeat it, since what is
        secret in it cannot be found. It names ``key``, the settings key that holds the URL.
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
        raise _TryAgainError(f"it answers {status}", _read_pause(response))
    if status != 200:
        raise EvergreenError(f"{shown} answers {status} where 200 was expected; correct {key}")
    if response.headers.get("Content-Type", "").lower().startswith("text/html"):
        raise DataRejected(f"{shown} answers a web page, perhaps to log in, and no table; correct {key}")


def _read_pause(response: requests.Response) -> float | None:
    try:
        return Retry(retry_after_max=LONGEST_PLEA_SECONDS).get_retry_after(response.raw)
    except InvalidHeader:
        return None


def _read_length(response: requests.Response) -> int:
    announced = response.headers.get("Content-Length", "").strip()
    return int(announced) if announced.isdecimal() else 0


def _iter_pieces(response: requests.Response) -> Iterator[bytes]:
    """Return the body in small pieces; unpacking stops at each, so a bomb never goes off whole."""
    pieces: Iterator[bytes] = response.iter_content(CHUNK_BYTES)
    return pieces


def _is_unknown_host(err: exceptions.RequestException) -> bool:
    """Return whether the name service answers that there is no such host, and not that it does not know."""
    cause: BaseException | None = err
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return cause.errno in UNKNOWN_HOST
        inner = [part for part in (getattr(cause, "reason", None), *cause.args) if isinstance(part, BaseException)]
        cause = inner[-1] if inner else cause.__cause__ or cause.__context__
    return False


def _name_cause(err: exceptions.RequestException) -> str:
    """Return the innermost cause by its kind alone: texts of requests and urllib3 hold the URL."""
    cause: BaseException = err
    while True:
        inner = [part for part in (getattr(cause, "reason", None), *cause.args) if isinstance(part, BaseException)]
        if not inner:
            return type(cause).__name__
        cause = inner[-1]
