"""A real HTTP server that stands for Slack, PagerDuty, Teams and a team's own receiver, and fails in every way."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


class Sink:
    """What arrived, by path; ``mode`` says how it answers.

    ``ok``; a status such as ``500``; ``429`` with Retry-After; ``hang``: no answer; ``trickle``: an answer without an
    end; ``drop``: it takes the call, and closes the connection without an answer; ``redirect``.
    """

    def __init__(self) -> None:
        self.mode = "ok"
        self.retry_after = "3600"
        self.calls: list[tuple[str, dict[str, str], bytes]] = []
        self.taken: list[tuple[str, Any]] = []
        self.posted: list[dict[str, Any]] = []
        self.released = threading.Event()
        self.slack_errors: dict[str, str] = {}
        self.server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        sink = self
        self.released.clear()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sink.answer(self)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.released.set()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        parts = urlsplit(request.path)
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.calls.append((parts.path, headers, body))
        status, answer, more = 200, b"{}", {}
        match self.mode:
            case "hang":
                self.released.wait(30)
                return
            case "trickle":
                request.send_response_only(200)
                request.end_headers()
                while not self.released.wait(0.05):
                    request.wfile.write(b" ")
                    request.wfile.flush()
                return
            case "429":
                status, more = 429, {"Retry-After": self.retry_after}
            case "redirect":
                status, more = 302, {"Location": f"{self.url}/elsewhere"}
            case "ok" | "drop":
                status, answer = self.take(parts.path, dict(parse_qsl(parts.query)), headers, body)
                if self.mode == "drop":
                    request.close_connection = True
                    return
            case number:
                status, answer = int(number), b"it does not work today"
        request.send_response(status)
        for name, value in {**more, "Content-Length": str(len(answer))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(answer)

    def take(self, path: str, query: dict[str, str], headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        content = json.loads(body) if body else query
        if path.startswith("/api/"):
            return 200, json.dumps(self.slack(path.removeprefix("/api/"), content)).encode()
        self.taken.append((path, content))
        if path == "/v2/enqueue":
            return 202, json.dumps({"status": "success", "dedup_key": content["dedup_key"]}).encode()
        return 202, b""

    def slack(self, method: str, content: dict[str, Any]) -> dict[str, Any]:
        if error := self.slack_errors.get(method):
            return {"ok": False, "error": error, "needed": "channels:history"}
        if method == "auth.test":
            return {"ok": True, "user": "evergreen", "team": "The Team"}
        if method == "chat.postMessage":
            ts = f"{time.time():.6f}"
            if any(message["ts"] == ts for message in self.posted):
                ts = f"{float(ts) + 0.001:.6f}"
            self.posted.append({**content, "ts": ts})
            return {"ok": True, "ts": ts, "channel": content["channel"]}
        found = [
            m for m in self.posted if m["channel"] == content["channel"] and float(m["ts"]) >= float(content["oldest"])
        ]
        if method == "conversations.replies":
            found = [m for m in found if content["ts"] in (m["ts"], m.get("thread_ts"))]
        else:
            found = [m for m in found if not m.get("thread_ts")]
        at = int(content.get("cursor") or 0)
        page = found[at : at + 2]  # small pages, so that the cursor is followed
        following = str(at + 2) if at + 2 < len(found) else ""
        return {"ok": True, "messages": page, "response_metadata": {"next_cursor": following}}

    def incidents(self) -> dict[str, str]:
        """Give the state of each PagerDuty incident by its dedup_key, as PagerDuty would keep it."""
        state: dict[str, str] = {}
        for path, event in self.taken:
            if path == "/v2/enqueue":
                state[event["dedup_key"]] = {"trigger": "triggered", "resolve": "resolved"}[event["event_action"]]
        return state

    def ids(self) -> Counter[str]:
        """Count the alerts that a receiver of the webhook got, by their ids."""
        return Counter(content["id"] for path, content in self.taken if path == "/hook")
