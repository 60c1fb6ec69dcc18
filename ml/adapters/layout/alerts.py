"""Name alerts, their keys, and the receipts of what was delivered."""

from __future__ import annotations

from typing import Literal

from ml.adapters.layout.days import Day


def episodes(family: str) -> str:
    """Return the folder with a `days.day_json` of each day on which an alarm of a family changed."""
    return f"episodes/{family}"


INSTALLATION = "outbox/installation"
"""Random text, made once, by which Message-IDs differ between installations."""
ALERTS = "outbox/alerts/"
"""Prefix of each `alert`."""


def alert(key: str) -> str:
    """Return an alert as it waits for its channels, and stays."""
    return f"{ALERTS}{key}.json"


LATE = "predictions_late/since="
"""How the keys of alerts begin that say that predictions are late, or that they came: a day follows."""


DIGEST = "digest/"
"""How the keys of weekly digests begin: a day follows."""


def digest_key(day: Day) -> str:
    """Return the key of the alert that is the digest of the week before a day."""
    return f"{DIGEST}{day}"


def late_key(day: Day, what: Literal["opened", "resolved"]) -> str:
    """Return the key of the alert by which an episode of late predictions begins, or ends."""
    return f"{LATE}{day}/{what}"


def delivered(channel: str, key: str) -> str:
    """Return the receipt of an alert that a channel has done with."""
    return f"{deliveries(channel)}{key}.json"


def deliveries(channel: str) -> str:
    """Return the prefix of each `delivered` of a channel."""
    return f"outbox/delivered/{channel}/"


def partly_delivered(channel: str, key: str) -> str:
    """Return the receipt of an alert that some recipients of a channel still wait for."""
    return f"outbox/partly/{channel}/{key}.json"


def paused(channel: str) -> str:
    """Return the file that says until when a channel asked to be left alone."""
    return f"outbox/paused/{channel}"


def delivery_claims(channel: str, key: str) -> str:
    """Return the prefix of the claims to deliver an alert by a channel, numbered."""
    return f"outbox/claims/{channel}/{key}/"


def key_of(path: str, prefix: str) -> str:
    """Return the key of the alert whose `alert` or `delivered` lies below a prefix."""
    return path.removeprefix(prefix).removesuffix(".json")
