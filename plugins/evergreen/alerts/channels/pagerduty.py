"""Open an incident of PagerDuty for what somebody must act on, one an episode, and resolve it when the episode ends.

Events API v2: all alerts of an episode share a ``dedup_key``, so that what is sent twice, or gets worse, is the same
incident. News that nobody must act on (a promotion, a question) are no events.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from evergreen.alerts.http_channel import Destination, HttpChannel, alert_id, call
from evergreen.alerts.rendering import brief, shortened

if TYPE_CHECKING:
    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services


class PagerDuty(HttpChannel):
    """Sends events with the integration's routing key, which is the connection's password."""

    name = "pagerduty"
    host = "https://events.pagerduty.com"

    def wants(self, alert: Alert, services: Services) -> bool:
        """Return whether an alert is an alarm, or ends one."""
        return alert.severity == "alarm" or alert.resolves

    def send(
        self,
        alert: Alert,
        destination: Destination,
        services: Services,
        opening: DeliveryReceipt | None,
        receipt: DeliveryReceipt | None,
    ) -> str:
        """Send an event, and return its ``dedup_key``."""
        key = alert_id(alert.thread or alert.key, services)
        event = message(alert, key) | {"routing_key": destination.password}
        call(f"{destination.host}/v2/enqueue", body=json.dumps(event).encode())
        return key


CHANNEL = PagerDuty


def message(alert: Alert, key: str) -> dict[str, Any]:
    """Build an event, without its routing key."""
    links = [{"href": target, "text": text} for text, target in alert.links if target.startswith("http")]
    event: dict[str, Any] = {
        "event_action": "resolve" if alert.resolves else "trigger",
        "dedup_key": key,
        "client": "Evergreen",
        "links": links,
        "payload": {
            "summary": shortened(f"{alert.model}: {' '.join(alert.title.split())}", 1024),
            "source": alert.model,
            "severity": "error" if alert.severity == "alarm" else alert.severity,
            "timestamp": alert.created_at.isoformat(),
            "component": alert.model,
            "group": "evergreen",
            "class": alert.kind,
            "custom_details": {"what": brief(alert)} | ({"day": str(alert.day)} if alert.day else {}),
        },
    }
    return event | ({"client_url": links[0]["href"]} if links else {})
