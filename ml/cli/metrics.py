"""Print the figures of the loop of each model in Prometheus's text format, or serve them to a scraper (``--serve``).

They are read from the data registry, the storage and MLflow, at most once in half a minute.
"""

from __future__ import annotations

import hmac
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from ml.command_line import execute, parser
from ml.errors import EvergreenError, SettingsError
from ml.settings import Environment, configured_models, load_model
from ml.views.loop_metrics import FAMILIES, Sample, blank, samples, unreadable, waiting_alerts
from ml.wiring import Services

logger = logging.getLogger(__name__)
LOOPBACK = "127.0.0.1"
PORT = 8089
SECONDS = 30.0


class Collector:
    """Collects the figures of all configured models, at most once in `SECONDS`."""

    def __init__(self, read: Callable[[], list[Sample]]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._at, self._samples = -SECONDS, list[Sample]()

    def collect(self) -> Iterable[Any]:
        """Yield one family a metric, as ``prometheus_client`` asks for them."""
        from prometheus_client.core import GaugeMetricFamily

        with self._lock:
            if time.monotonic() - self._at >= SECONDS:
                self._samples, self._at = self._read(), time.monotonic()
            current = self._samples
        for name, description in FAMILIES.items():
            own = [sample for sample in current if sample.name == name]
            if own:
                family = GaugeMetricFamily(name, description, labels=list(own[0].labels))
                for sample in own:
                    family.add_metric(list(sample.labels.values()), sample.value)
                yield family


def read() -> list[Sample]:
    """Read the figures of each configured model; one that cannot be read hides no other."""
    return [sample for model in configured_models() for sample in _of_model(model.name)]


def _of_model(name: str) -> list[Sample]:
    try:
        environment = Environment.load(model=name)
        return figures_of(Services(load_model(environment), environment), datetime.now(UTC))
    except EvergreenError as err:
        logger.warning("metrics: %s cannot be read: %s", name, err)
        return unreadable(name)


def figures_of(services: Services, now: datetime) -> list[Sample]:
    """Return the figures of one model at an instant."""
    from ml.adapters.tracking import database
    from ml.views import loop_totals, page
    from ml.views.page.served import performance
    from ml.views.page.status_sources import StatusSources

    if database.is_absent(services.environment.tracking):  # MLflow would make it, and nothing is to be made here
        return blank(services.settings.task.name)
    sources = StatusSources(services, now)
    drift = sources.newest.facts.get("drift") if sources.newest is not None and sources.newest.facts else None
    waiting = waiting_alerts(services.settings.notify.channels, services.storage)
    totals = loop_totals.samples(sources, now)
    facts = page.now(services, today=now)
    problems = [*facts["problems"], *sources.problems]
    figures = samples({**facts, "problems": problems}, drift, waiting, _late(services, now), performance(services))
    return [*figures, *totals]


def _late(services: Services, now: datetime) -> bool | None:
    """Return whether predictions are late; None if they have no deadline, or nobody can say."""
    from ml.steps.score import check_deadline

    settings = services.settings
    if settings.score.due_by is None:
        return None
    try:
        return check_deadline.run(settings=settings, services=services, now=now).late
    except EvergreenError as err:
        logger.warning("metrics: nobody knows whether predictions of %s are late: %s", settings.task.name, err)
        return None


def text() -> str:
    """Return all figures in Prometheus's text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(read))
    return generate_latest(registry).decode()


def server(host: str, port: int, token: str) -> Any:
    """Build the server; the caller lets it serve, and closes it.

    Raises
    ------
    SettingsError
        If it is to be reached from other machines without a token, or the port is taken.
    """
    from wsgiref.simple_server import make_server

    from prometheus_client import CollectorRegistry, make_wsgi_app
    from prometheus_client.exposition import ThreadingWSGIServer

    if host != LOOPBACK and not token:
        raise SettingsError(f"set EVERGREEN_METRICS_TOKEN to serve metrics at {host}: only {LOOPBACK} needs no token")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(read))
    metrics = make_wsgi_app(registry)

    def answer(environ: dict[str, Any], start: Any) -> Any:
        if environ.get("PATH_INFO") == "/live":
            start("200 OK", [("Content-Type", "text/plain")])
            return [b"ok\n"]
        given = environ.get("HTTP_AUTHORIZATION", "")
        if token and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            start("401 Unauthorized", [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain")])
            return [b"a bearer token is needed: EVERGREEN_METRICS_TOKEN\n"]
        if environ.get("PATH_INFO") != "/metrics":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"metrics are at /metrics\n"]
        return metrics(environ, start)

    try:
        return make_server(host, port, answer, ThreadingWSGIServer)
    except OSError as err:
        raise SettingsError(f"metrics cannot be served at {host}:{port}: {err}; choose another --port") from err


def _serve(host: str, port: int) -> dict[str, Any]:
    with server(host, port, os.environ.get("EVERGREEN_METRICS_TOKEN", "")) as running:
        logger.info("metrics: http://%s:%d/metrics", host, running.server_port)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            logger.info("metrics: stopped")
    return {"host": host, "port": port}


def main(argv: list[str] | None = None) -> int:
    """Print the figures, or serve them until Ctrl-C."""
    arguments = parser(__doc__)
    arguments.add_argument("--serve", action="store_true", help="answer at /metrics until Ctrl-C")
    arguments.add_argument("--host", default=LOOPBACK, help="the address; another than 127.0.0.1 needs a token")
    arguments.add_argument("--port", type=int, default=PORT, help=f"the port ({PORT})")
    arguments.add_argument("--json", action="store_true", help="print JSON")
    options = arguments.parse_args(argv)
    if options.serve:
        return execute(lambda: _serve(options.host, options.port))
    if options.json:
        return execute(lambda: [{"name": s.name, "labels": dict(s.labels), "value": s.value} for s in read()])
    return execute(text, show=str.rstrip)


if __name__ == "__main__":
    sys.exit(main())
