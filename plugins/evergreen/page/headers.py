"""The headers of every answer of the page: what a browser may load, run and keep."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

SHUT = "default-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
SHUT_IN = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; worker-src blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""A report may run the scripts that it brings (Evidently's do), as nobody: no cookies, no requests, no forms."""

HEADERS = {
    "content-security-policy": (
        f"{SHUT}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Guarded:
    """Puts the headers of `HEADERS` on every answer that does not bring its own, errors included."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the request on, and the headers back."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                brought = {name.lower() for name, _ in message["headers"]}
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message["headers"], *(pair for pair in ours if pair[0] not in brought)]
            await send(message)

        await self.app(scope, receive, send_guarded)
