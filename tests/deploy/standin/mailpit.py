#!/opt/mail/bin/python
"""Stand in for Mailpit: take every mail on port 1025, keep it, show the list on port 8025.

Has of Mailpit's API what this project asks: ``/api/v1/messages``, ``/api/v1/message/ID/raw`` and ``/readyz``.
"""

from __future__ import annotations

import email
import email.policy
import html
import json
import os
import secrets
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from aiosmtpd.controller import Controller

FOLDER = Path(os.environ.get("MAIL_FOLDER", "/data"))
EVERYWHERE = "0.0.0.0"  # inside a container, whose ports compose publishes or does not


class Keep:
    """Write each mail to a file of its own, whole or not at all."""

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:
        part = FOLDER / f".{secrets.token_hex(8)}.part"
        with part.open("wb") as file:
            file.write(envelope.content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(FOLDER / f"{part.stat().st_mtime_ns:020}-{secrets.token_hex(4)}.eml")
        return "250 kept"


class Pages(BaseHTTPRequestHandler):
    """Answer what Mailpit would."""

    def do_GET(self) -> None:
        url = urlparse(self.path)
        parts = url.path.strip("/").split("/")
        if url.path in {"/readyz", "/livez"}:
            self._send(b"ok", "text/plain")
        elif url.path == "/api/v1/messages":
            limit = int(parse_qs(url.query).get("limit", ["50"])[0])
            self._send(json.dumps({"total": len(mails()), "messages": [head(m) for m in mails()[:limit]]}).encode())
        elif parts[:3] == ["api", "v1", "message"] and (file := FOLDER / f"{Path(parts[3]).name}.eml").is_file():
            self._send(file.read_bytes(), "text/plain")
        elif url.path == "/":
            rows = "".join(
                f"<tr><td>{html.escape(m['Created'])}<td><a href=/api/v1/message/{m['ID']}/raw>"
                f"{html.escape(m['Subject'])}</a>"
                for m in map(head, mails())
            )
            self._send(f"<title>Mail</title><table>{rows}</table>".encode(), "text/html; charset=utf-8")
        else:
            self.send_error(404)

    def _send(self, body: bytes, kind: str = "application/json") -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def mails() -> list[Path]:
    """List what was kept, newest first."""
    return sorted(FOLDER.glob("*.eml"), reverse=True)


def head(path: Path) -> dict[str, str]:
    """Give what a list shows of a mail."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    return {"ID": path.stem, "Subject": str(message["Subject"]), "Created": str(message["Date"])}


def main() -> None:
    """Serve, or say with ``readyz`` whether the server does."""
    if sys.argv[1:] == ["readyz"]:
        urllib.request.urlopen("http://127.0.0.1:8025/readyz", timeout=4)
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    Controller(Keep(), hostname=EVERYWHERE, port=1025, data_size_limit=50_000_000).start()
    ThreadingHTTPServer((EVERYWHERE, 8025), Pages).serve_forever()


if __name__ == "__main__":
    main()
