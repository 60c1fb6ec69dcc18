"""Deliver alerts over HTTP: what Slack, Teams, PagerDuty and the webhook share.

A call takes `DEADLINE` seconds at most, however slowly the other side answers. What a call raises never holds its
address or its headers: either may be the secret.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

from evergreen.alerts.channel import Busy, Channel, NotTaken, Unanswered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services

CONNECT_SECONDS, READ_SECONDS, DEADLINE = 5.0, 10.0, 15.0
LONGEST_ANSWER = 4_000_000
UNSEEN = "If Airflow's own database has it, only tasks can read it: this cannot be judged from here"
UNANSWERED_STATUS = frozenset({408, 502, 504})
"""A proxy may answer so though the alert went through."""
WRONG_ALERT = frozenset({400, 413, 414, 422})
"""The other side does not take this very alert."""


@dataclass(frozen=True)
class Destination:
    """Where an Airflow connection leads: its host with the scheme, its password, and its extra fields."""

    host: str
    password: str
    extra: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """An answer of status 2xx."""

    status: int
    body: bytes


class HttpChannel(Channel):
    """A channel that makes HTTP calls with the secret of an Airflow connection.

    An alert that continues another one waits until that one was delivered, so that an episode never ends before it
    began.
    """

    host: ClassVar[str] = ""
    """Where calls go unless the connection names a host."""

    def deliver(self, alert: Alert, services: Services, receipt: DeliveryReceipt | None) -> DeliveryReceipt:
        """Call the other side; the receipt has what it calls the alert, if it says so."""
        from ml.records import DeliveryReceipt

        opening = self.opening(alert, services)
        reference = self.send(alert, self.destination(services), services, opening, receipt)
        return DeliveryReceipt(reference=reference)

    def examine(self, services: Services) -> tuple[str, str]:
        """Look at the connection, then `probe` the other side."""
        from ml.errors import SettingsError

        try:
            destination = self.destination(services)
        except SettingsError as err:
            return ("wrong", str(err)) if err.__cause__ is None else ("unseen", f"{err}. {UNSEEN}")
        try:
            return "works", self.probe(destination)
        except (SettingsError, ConnectionError) as err:
            return "wrong", str(err)
        except (Unanswered, Busy, NotTaken) as err:
            return "wrong", f"{err}; try again later"

    def probe(self, destination: Destination) -> str:
        """Look whether the other side answers, without an alert; return what was tried.

        Raises
        ------
        SettingsError
            If the connection is not complete.
        ConnectionError
            If the other side does not answer, or does not take the secret.
        """
        return reach(destination.host)

    def send(
        self,
        alert: Alert,
        destination: Destination,
        services: Services,
        opening: DeliveryReceipt | None,
        receipt: DeliveryReceipt | None,
    ) -> str:
        """Make the calls for an alert; return what the other side calls it, or an empty text.

        Parameters
        ----------
        opening
            The receipt of the alert that this one continues; None if it continues none that this channel delivered.
        """
        raise NotImplementedError

    def opening(self, alert: Alert, services: Services) -> DeliveryReceipt | None:
        """Return the receipt of the alert that an alert continues; None if there is none.

        Raises
        ------
        NotTaken
            If that alert still waits: this one comes after it.
        """
        from ml.adapters import layout
        from ml.records import DeliveryReceipt, QueuedAlert

        if alert.thread is None:
            return None
        storage = services.storage
        done = layout.alerts.delivered(self.name, alert.thread)
        if storage.exists(done):
            receipt = DeliveryReceipt.model_validate_json(storage.get_bytes(done))
        elif storage.exists(layout.alerts.alert(alert.thread)):
            queued = QueuedAlert.model_validate_json(storage.get_bytes(layout.alerts.alert(alert.thread)))
            if self.name in queued.channels:
                raise NotTaken("it continues an alert that was not delivered yet")
            return None
        else:
            return None
        return receipt if receipt.done else None

    def destination(self, services: Services) -> Destination:
        """Return where the channel's Airflow connection leads.

        Raises
        ------
        SettingsError
            If there is no such connection, or its host is not the address of an HTTP server.
        """
        from airflow.sdk import Connection
        from airflow.sdk.exceptions import AirflowException

        from ml.errors import SettingsError

        name = services.settings.notify.connections.get(self.name, f"{self.name}_default")
        try:
            connection = Connection.get(name)
        except AirflowException as err:
            raise SettingsError(
                f"Airflow has no connection {name!r}: add it there, or set AIRFLOW_CONN_{name.upper()}"
            ) from err
        host = (connection.host or self.host).rstrip("/")
        secret = connection.password or ""
        if not host.startswith(("https://", "http://")):
            raise SettingsError(f"the host of the connection {name!r} is no address that begins with https://")
        if not secret:
            raise SettingsError(f"the connection {name!r} has no password: the secret of {self.name} belongs there")
        return Destination(host, secret, connection.extra_dejson)


def call(
    url: str,
    *,
    method: str = "POST",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
) -> Answer:
    """Make a call, and return the answer if its status is 2xx; no redirect is followed.

    Raises
    ------
    NotTaken
        If the other side does not take this very alert.
    Unanswered
        If the call went out, and no answer came in time.
    Busy
        If the other side names a time after which to come again.
    ConnectionError
        If nobody could be reached, or the other side refuses whatever it is asked.
    """
    future: Future[Answer] = Future()

    def run() -> None:
        try:
            future.set_result(_call(url, method, body, headers, params))
        except Exception as err:  # noqa: BLE001  whoever waits for the future gets it
            future.set_exception(err)

    Thread(target=run, daemon=True).start()
    try:
        return future.result(DEADLINE)
    except TimeoutError:
        raise Unanswered(f"{_server(url)} did not answer within {DEADLINE:.0f} s") from None


def reach(url: str) -> str:
    """Ask the server of a URL for nothing: its path, which may be a secret, is left out, and any status will do.

    Raises
    ------
    ConnectionError
        If it does not answer.
    """
    import requests

    parts = urlsplit(url)
    server = _server(url)
    try:
        requests.head(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/",
            timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, headers={"User-Agent": "Evergreen"},
        )  # fmt: skip
    except requests.exceptions.RequestException as err:
        raise ConnectionError(
            f"{server} cannot be reached ({type(err).__name__}): correct the host of the connection, or let this "
            "machine call it"
        ) from None
    return f"{server} answers; whether it takes alerts, 'evergreen notify' shows"


def _call(
    url: str, method: str, body: bytes, headers: Mapping[str, str] | None, params: Mapping[str, str] | None
) -> Answer:
    import requests
    from urllib3.exceptions import HTTPError

    server = _server(url)
    sent = {"User-Agent": "Evergreen", "Content-Type": "application/json; charset=utf-8"} | dict(headers or {})
    try:
        with requests.request(
            method, url, data=body or None, headers=sent, params=params,
            timeout=(CONNECT_SECONDS, READ_SECONDS), allow_redirects=False, stream=True,
        ) as response:  # fmt: skip
            content = response.raw.read(LONGEST_ANSWER, decode_content=True)
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError, requests.exceptions.ConnectTimeout) as err:
        raise ConnectionError(f"{server} cannot be reached: {type(err).__name__}") from None
    except requests.exceptions.ConnectionError as err:
        if _never_connected(err):
            raise ConnectionError(f"{server} cannot be reached") from None
        raise Unanswered(f"{server} closed the connection without an answer") from None
    except requests.exceptions.Timeout:
        raise Unanswered(f"{server} did not answer within {READ_SECONDS:.0f} s") from None
    except (requests.exceptions.RequestException, HTTPError, OSError) as err:
        raise Unanswered(f"the answer of {server} broke off: {type(err).__name__}") from None
    return _judge(server, response.status_code, response.headers, content)


def _never_connected(err: Exception) -> bool:
    """Return whether a call failed before anything was sent."""
    from urllib3.exceptions import NewConnectionError

    reason = getattr(err.args[0], "reason", None) if err.args else None
    return isinstance(reason, NewConnectionError)


def _judge(server: str, status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """Return an answer of status 2xx, and raise what another one means."""
    from urllib3.exceptions import InvalidHeader
    from urllib3.util import Retry

    if 200 <= status < 300:
        return Answer(status, content)
    if status in (429, 503) and headers.get("Retry-After"):
        try:
            raise Busy(Retry().parse_retry_after(headers["Retry-After"]))
        except InvalidHeader:
            pass
    message = f"{server} answers {status}: {content[:300].decode(errors='replace').strip()}"
    if status in WRONG_ALERT:
        raise NotTaken(message)
    if status in UNANSWERED_STATUS:
        raise Unanswered(message)
    raise ConnectionError(message)


def _server(url: str) -> str:
    """Return which server a URL leads to: its path may be a secret."""
    return urlsplit(url).hostname or "the other side"


def alert_id(key: str, services: Services) -> str:
    """Return the same short name for an alert whenever it is sent, another in every other installation and model."""
    from evergreen.alerts.outbox import installation

    salted = b"/".join([installation(services.storage), services.settings.task.name.encode(), key.encode()])
    return f"evergreen-{hashlib.sha256(salted).hexdigest()[:32]}"
