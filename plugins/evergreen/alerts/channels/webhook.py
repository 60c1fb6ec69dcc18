"""Post alerts as JSON to an address of the team's own, signed as the specification *Standard Webhooks* says.

Headers: ``webhook-id`` (the same whenever an alert is sent again: ignore what you have), ``webhook-timestamp``
(seconds since 1970) and ``webhook-signature``: ``v1,`` and the Base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``. A
receiver compares the signature and refuses timestamps that are minutes old (standardwebhooks.com has libraries).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from evergreen.alerts.http_channel import Destination, HttpChannel, alert_id, call, reach
from evergreen.alerts.rendering import brief

if TYPE_CHECKING:
    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services

PREFIX = "whsec_"
SCHEMA = "evergreen.alert/1"


class Webhook(HttpChannel):
    """Posts to the connection's host, a whole address; its password is the key, ``whsec_`` and Base64."""

    name = "webhook"

    def send(
        self,
        alert: Alert,
        destination: Destination,
        services: Services,
        opening: DeliveryReceipt | None,
        receipt: DeliveryReceipt | None,
    ) -> str:
        """Post an alert, and return its id."""
        from pydantic_core import to_json

        name = alert_id(alert.key, services)
        thread = alert_id(alert.thread, services) if alert.thread else name
        body = to_json(message(alert, name, thread), inf_nan_mode="null")
        call(destination.host, body=body, headers=signed(name, body, destination.password, datetime.now(UTC)))
        return name

    def probe(self, destination: Destination) -> str:
        """Look whether the key can sign, and the server answers."""
        signed("probe", b"", destination.password, datetime.now(UTC))
        return reach(destination.host)


CHANNEL = Webhook


def message(alert: Alert, name: str, thread: str) -> dict[str, Any]:
    """Build the body: ``thread`` is the id of the alert that opened the episode, ``status`` what became of it."""
    return {
        "schema": SCHEMA,
        "id": name,
        "thread": thread,
        "status": "resolved" if alert.resolves else "continued" if alert.thread else "opened",
        "model": alert.model,
        "kind": alert.kind,
        "severity": alert.severity,
        "title": alert.title,
        "text": brief(alert),
        "day": str(alert.day) if alert.day else None,
        "created_at": alert.created_at.isoformat(),
        "links": [{"text": text, "url": target} for text, target in alert.links if target],
        "facts": alert.facts,
    }


def signed(name: str, body: bytes, secret: str, at: datetime) -> dict[str, str]:
    """Return the headers that prove who sent a body, and when.

    Raises
    ------
    SettingsError
        If the secret is no Base64, or shorter than 24 bytes.
    """
    from ml.errors import SettingsError

    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:
        raise SettingsError(
            "the password of the connection of webhook is not a key: make one by "
            "'echo whsec_$(head -c 32 /dev/urandom | base64)', and give it to the receiver too"
        )
    timestamp = str(int(at.timestamp()))
    signature = hmac.new(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
