"""A real mail server that keeps what it is given."""

from __future__ import annotations

import email
import email.policy
import json
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Postbox:
    """What aiosmtpd calls with every message that it accepts.

    ``refuses`` gives the answer to a recipient, by address; ``breaks`` the answer to the next message.
    """

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.refuses: dict[str, str] = {}
        self.breaks: list[str] = []

    async def handle_RCPT(
        self, server: object, session: object, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        if self.breaks:
            return self.breaks.pop()
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"


def free_port() -> int:
    """Find a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def smtp_server(postbox: Postbox, port: int | None = None) -> Controller:
    """Make a real SMTP server, on a free port of this machine by default; the caller starts and stops it."""
    return Controller(postbox, hostname="127.0.0.1", port=free_port() if port is None else port)


def smtp_connection(port: int) -> str:
    """Give what ``AIRFLOW_CONN_SMTP_DEFAULT`` holds in the embedded stack, for another port."""
    extra = {
        "disable_ssl": True,
        "disable_tls": True,
        "from_email": "evergreen@localhost",
        "timeout": 5,
        "retry_limit": 1,
    }
    return json.dumps({"conn_type": "smtp", "host": "127.0.0.1", "port": port, "extra": extra})
