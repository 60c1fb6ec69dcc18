"""Post alerts to a Microsoft Teams channel by a workflow's webhook, as Adaptive Cards.

The webhook of Teams' *Workflows* has no threads, no key and no way to ask what it has: the alerts of an episode share
their title, and one whose answer was lost goes out again, ever more rarely, and says that it does.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from evergreen.alerts.channel import NotTaken
from evergreen.alerts.http_channel import Destination, HttpChannel, call, reach
from evergreen.alerts.rendering import brief, shortened

if TYPE_CHECKING:
    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services

COLOURS = {"alarm": "Attention", "warning": "Warning", "info": "Accent"}
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=15), timedelta(hours=6)
MOST_LINKS = 5


class Teams(HttpChannel):
    """Posts to the webhook whose whole address is the connection's password: the address is the secret."""

    name = "teams"
    host = "https://teams.microsoft.com"

    def send(
        self,
        alert: Alert,
        destination: Destination,
        services: Services,
        opening: DeliveryReceipt | None,
        receipt: DeliveryReceipt | None,
    ) -> str:
        """Post a card; Teams names nothing by which it could be found again."""
        unanswered = receipt.unanswered if receipt is not None else 0
        if receipt is not None and receipt.tried_at is not None:
            wait = min(FIRST_WAIT * 2 ** (unanswered - 1), LONGEST_WAIT)
            if datetime.now(UTC) < receipt.tried_at + wait:
                raise NotTaken(f"teams did not answer {unanswered} times and may have it: not before {wait} have gone")
        call(_address(destination), body=json.dumps(message(alert, unanswered)).encode())
        return ""

    def probe(self, destination: Destination) -> str:
        """Look whether the webhook's server answers; the webhook itself would post."""
        return reach(_address(destination))


CHANNEL = Teams


def _address(destination: Destination) -> str:
    if not destination.password.startswith(("https://", "http://")):
        raise ConnectionError("the password of the connection of teams is not the address of a webhook")
    return destination.password


def message(alert: Alert, unanswered: int = 0) -> dict[str, Any]:
    """Build what the webhook takes; all texts are runs, in which Teams reads no Markdown."""
    title = shortened(f"{alert.model}: {' '.join(alert.title.split())}", 200)
    state = "Resolved: " if alert.resolves else "Again: " if alert.thread else ""
    colour = "Good" if alert.resolves else COLOURS[alert.severity]
    lines: list[dict[str, Any]] = [_line(line) for line in brief(alert).splitlines()]
    if unanswered:
        lines.append(_line("Sent again: no answer came to the first, which may be above.", isSubtle=True))
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "fallbackText": f"{state}{title}",
        "body": [_line(f"{state}{title}", size="Large", weight="Bolder", color=colour), *lines],
        "actions": [
            {"type": "Action.OpenUrl", "title": text, "url": target}
            for text, target in alert.links
            if target.startswith("http")
        ][:MOST_LINKS],
    }
    content = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [content]}


def _line(text: str, **style: Any) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **style}]}
