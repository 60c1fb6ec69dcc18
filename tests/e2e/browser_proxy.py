"""A reverse proxy as a team has one before its Airflow: a public prefix, and the API server behind it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from embedded.servers import describe_server
from tests.e2e.browser_stack import Running
from tests.e2e.test_loop import free_ports

OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}


def handler(port: int, prefix: str) -> type[BaseHTTPRequestHandler]:
    """Hand on what is asked for below the prefix, and know nothing else."""

    class Handler(BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404, "not below the prefix")
                return
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            asked = {name: value for name, value in self.headers.items() if name.lower() not in OF_THE_CONNECTION}
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as behind:
                try:
                    behind.request(self.command, self.path, body or None, asked)
                    answer = behind.getresponse()
                    content = answer.read()
                except (OSError, http.client.HTTPException) as err:
                    self.send_error(502, f"nothing answers behind the proxy: {err}")
                    return
            with suppress(BrokenPipeError, ConnectionResetError):  # a browser that goes to another page hangs up
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in OF_THE_CONNECTION:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = do_HEAD = hand_on

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def proxied(running: Running, prefix: str) -> Iterator[str]:
    """Start a second API server that knows its public address, and a proxy there; give that address."""
    port, public = free_ports(2)
    url = f"http://127.0.0.1:{public}{prefix}"
    server = describe_server(running.stack, "api-server", running.environ)
    variables = {"AIRFLOW__API__BASE_URL": url, "AIRFLOW__API__PORT": str(port)}
    log = running.stack.logs / "api-server-behind-proxy.log"
    running.supervisor.start(
        replace(server, name="api-server-behind-proxy", env=server.env | variables, log=log), cwd=running.stack.home
    )
    proxy = ThreadingHTTPServer(("127.0.0.1", public), handler(port, prefix))
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        running.wait(lambda: requests.get(f"{url}/api/v2/version", timeout=30).ok, "the server behind the proxy", 120)
        yield url
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
