"""Post alerts to a Slack channel by a bot, one thread an episode.

An incoming webhook can neither continue a thread nor be asked what it has posted: a bot token can. Before each post
the channel is searched for the alert's id, which travels in the message's metadata: a post whose answer was lost, or
whose run was killed, is found there and not repeated.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from evergreen.alerts.channel import Busy, NotTaken
from evergreen.alerts.http_channel import Destination, HttpChannel, alert_id, call
from evergreen.alerts.rendering import brief, shortened

if TYPE_CHECKING:
    from ml.records import Alert, DeliveryReceipt
    from ml.wiring import Services

log = logging.getLogger(__name__)
SIGNS = {"alarm": "🔴", "warning": "🟡", "info": "🔵"}
RESOLVED = "🟢"
EVENT_TYPE = "evergreen_alert"
PAGES = 10
WRONG_MESSAGE = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "no_text"})
"""Errors that are about this message; all others are about the token, the channel or Slack."""
UNREADABLE = frozenset({"missing_scope", "not_allowed_token_type"})


class Slack(HttpChannel):
    """Posts to the Slack channel that the connection's extra field ``channel`` names; the password is the bot token."""

    name = "slack"
    host = "https://slack.com/api"

    def send(
        self,
        alert: Alert,
        destination: Destination,
        services: Services,
        opening: DeliveryReceipt | None,
        receipt: DeliveryReceipt | None,
    ) -> str:
        """Post an alert unless it is there, and return its ``ts``."""
        channel = _channel_of(destination)
        thread = opening.reference if opening is not None else ""
        name = alert_id(alert.key, services)
        posted = _find(name, channel, thread, alert, destination)
        if posted:
            log.info("slack has %r already", alert.title)
            return posted
        answer = _ask(destination, "chat.postMessage", message(alert, name, channel, thread))
        return str(answer.get("ts", ""))

    def probe(self, destination: Destination) -> str:
        """Ask Slack whose token it is."""
        channel = _channel_of(destination)
        answer = _ask(destination, "auth.test", {})
        return (
            f"the token is that of {answer.get('user', 'a bot')} in {answer.get('team', 'a team')}; posts to {channel}"
        )


CHANNEL = Slack


def _channel_of(destination: Destination) -> str:
    from ml.errors import SettingsError

    channel = str(destination.extra.get("channel") or "")
    if not channel:
        raise SettingsError('the connection of slack needs its channel: the extra field {"channel": "C0123456789"}')
    return channel


def message(alert: Alert, name: str, channel: str, thread: str = "") -> dict[str, Any]:
    """Build what ``chat.postMessage`` takes: title, a few sentences, links. Nothing in it is read as markup."""
    title = shortened(f"{alert.model}: {' '.join(alert.title.split())}", 140)
    links = " · ".join(f"<{target}|{_escaped(text)}>" for text, target in alert.links if target.startswith("http"))
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": f"{sign(alert)} {title}", "emoji": False},
        },
        {"type": "section", "text": {"type": "plain_text", "text": brief(alert) or title, "emoji": False}},
    ]
    if links:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": links[:2900]}]})
    body: dict[str, Any] = {
        "channel": channel,
        "text": _escaped(f"{sign(alert)} {title}"),
        "blocks": blocks,
        "unfurl_links": False,
        "metadata": {"event_type": EVENT_TYPE, "event_payload": {"id": name}},
    }
    if thread:
        body |= {"thread_ts": thread, "reply_broadcast": alert.resolves}
    return body


def sign(alert: Alert) -> str:
    """Return the coloured dot by which a reader sees how bad it is."""
    return RESOLVED if alert.resolves else SIGNS[alert.severity]


def _find(name: str, channel: str, thread: str, alert: Alert, destination: Destination) -> str:
    """Return the ``ts`` of the alert's message; empty if it was never posted, or the bot may not read the channel."""
    asked = {
        "channel": channel,
        "limit": "100",
        "include_all_metadata": "true",
        "oldest": f"{alert.created_at.timestamp() - 300:.6f}",
    }
    if thread:
        asked["ts"] = thread
    for _ in range(PAGES):
        try:
            answer = _ask(destination, "conversations.replies" if thread else "conversations.history", params=asked)
        except _Unreadable as err:
            log.warning("slack cannot be asked what it has (%s): an alert may come twice; give the bot the scope", err)
            return ""
        for posted in answer.get("messages", []):
            metadata = posted.get("metadata") or {}
            if metadata.get("event_type") == EVENT_TYPE and metadata.get("event_payload", {}).get("id") == name:
                return str(posted["ts"])
        cursor = (answer.get("response_metadata") or {}).get("next_cursor")
        if not cursor:
            return ""
        asked["cursor"] = cursor
    return ""


class _Unreadable(Exception):
    """The bot lacks the scope to read the channel."""


def _ask(
    destination: Destination, method: str, body: dict[str, Any] | None = None, params: dict[str, str] | None = None
) -> dict[str, Any]:
    """Call a method of Slack's Web API; a refusal comes with status 200."""
    answer = call(
        f"{destination.host}/{method}",
        method="GET" if body is None else "POST",
        body=b"" if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {destination.password}"},
        params=params,
    )
    content: dict[str, Any] = json.loads(answer.body)
    if content.get("ok"):
        return content
    error = str(content.get("error", "no reason given"))
    if error == "ratelimited":
        raise Busy(60)
    if error in UNREADABLE and body is None:
        raise _Unreadable(f"{method}: {error}, needs {content.get('needed', 'channels:history')}")
    if error in WRONG_MESSAGE:
        raise NotTaken(f"slack answers {error}")
    raise ConnectionError(f"slack answers {error} to {method}")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "/")
