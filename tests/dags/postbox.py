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
    """What aiosmtpd calls with every message that it accepts."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"


def smtp_server(postbox: Postbox) -> Controller:
    """Make a real SMTP server on a free port of this machine; the caller starts and stops it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return Controller(postbox, hostname="127.0.0.1", port=port)


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
