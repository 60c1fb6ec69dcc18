"""Count what the service does, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest, multiprocess
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ml.serving.workers import COUNTED_IN

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUESTS = Counter(
    "evergreen_serving_requests", "Requests by model and HTTP status.", ["model", "status"], registry=REGISTRY
)
SECONDS_TAKEN = Histogram(
    "evergreen_serving_request_seconds", "Seconds from a request's first byte to its answer.", ["model"],
    registry=REGISTRY, buckets=SECONDS,
)  # fmt: skip
BATCH_ROWS = Histogram(
    "evergreen_serving_batch_rows", "Rows that were predicted together.", ["model"], registry=REGISTRY, buckets=ROWS
)
QUEUE_ROWS = Gauge(
    "evergreen_serving_queue_rows",
    "Rows that wait to be predicted.",
    ["model"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
REJECTED = Counter(
    "evergreen_serving_rejected", "Requests that were refused, by reason.", ["model", "reason"], registry=REGISTRY
)
VERSION = Gauge(
    "evergreen_serving_model_version",
    "The version that serves; 0 for none.",
    ["model"],
    multiprocess_mode="livemin",
    registry=REGISTRY,
)
READY = Gauge(
    "evergreen_serving_ready",
    "Whether a model's requests can be answered.",
    ["model"],
    multiprocess_mode="livemin",
    registry=REGISTRY,
)
FROM_COPY = Gauge(
    "evergreen_serving_from_copy",
    "Whether the version is the last known one, of the service's own copy, since MLflow does not answer.",
    ["model"],
    multiprocess_mode="livemax",
    registry=REGISTRY,
)
LOAD_FAILURES = Counter(
    "evergreen_serving_load_failures", "Versions that could not be loaded.", ["model"], registry=REGISTRY
)
POLL_FAILURES = Counter(
    "evergreen_serving_poll_failures", "Looks at the champion that failed.", ["model"], registry=REGISTRY
)
LOOKUP_SECONDS = Histogram(
    "evergreen_serving_lookup_seconds",
    "Seconds in which the lagged target means of a day were looked up.",
    ["model"],
    registry=REGISTRY,
)
LOG_WAITING = Gauge(
    "evergreen_serving_log_waiting_rows", "Rows that wait to be written to the request log.", ["model"],
    multiprocess_mode="livesum", registry=REGISTRY,
)  # fmt: skip
LOG_UNSENT = Gauge(
    "evergreen_serving_log_unsent_bytes", "Parts of the request log that the storage has not taken yet.", ["model"],
    multiprocess_mode="livemax", registry=REGISTRY,
)  # fmt: skip
LOG_DROPPED = Counter(
    "evergreen_serving_log_dropped_rows", "Rows of the request log that there was no room for.", ["model"],
    registry=REGISTRY,
)  # fmt: skip
STREAM_MESSAGES = Counter(
    "evergreen_stream_messages",
    "Messages by model and outcome: predicted, rejected, or repeated (predicted before, and answered as then).",
    ["model", "outcome"],
    registry=REGISTRY,
)
STREAM_IN_FLIGHT = Gauge(
    "evergreen_stream_in_flight",
    "Messages that were taken and are not written yet.",
    ["model"],
    multiprocess_mode="livesum",
    registry=REGISTRY,
)
STREAM_BROKER_UP = Gauge(
    "evergreen_stream_broker_up",
    "Whether the broker answers.",
    ["model"],
    multiprocess_mode="livemin",
    registry=REGISTRY,
)
STREAM_WRITE_FAILURES = Counter(
    "evergreen_stream_write_failures", "Writes that the broker did not take.", ["model"], registry=REGISTRY
)

CHALLENGER = Gauge(
    "evergreen_serving_challenger_version", "The challenger that is asked beside the champion; 0 for none.", ["model"],
    multiprocess_mode="livemax", registry=REGISTRY,
)  # fmt: skip
CHALLENGER_FALLBACKS = Counter(
    "evergreen_serving_challenger_fallbacks", "Requests whose rows of the challenger the champion answered.", ["model"],
    registry=REGISTRY,
)  # fmt: skip
SHADOW_SKIPPED = Counter(
    "evergreen_serving_shadow_skipped_rows", "Rows that the challenger was not asked for in shadow.", ["model"],
    registry=REGISTRY,
)  # fmt: skip


def text() -> bytes:
    """Return all metrics in Prometheus's text format; of several workers those of all of them together."""
    folder = os.environ.get(COUNTED_IN)
    if folder is None:
        return generate_latest(REGISTRY)
    for path in Path(folder).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        if not psutil.pid_exists(pid):
            multiprocess.mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]
    together = CollectorRegistry()
    multiprocess.MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
    together.register(_Workers())
    return generate_latest(together)


class _Workers(Collector):
    """What the operating system says of all workers together, by the names that the Prometheus client uses."""

    def collect(self) -> Iterator[Metric]:
        """Yield processor time and memory of the processes that answer requests."""
        seconds, resident, number = 0.0, 0, 0
        for worker in psutil.Process(os.getppid()).children():
            try:
                times, held, command = worker.cpu_times(), worker.memory_info().rss, worker.cmdline()
            except psutil.NoSuchProcess:  # it died just now
                continue
            if any("spawn_main" in part for part in command):  # and not the helper that waits for what they share
                seconds, resident, number = seconds + times.user + times.system, resident + held, number + 1
        yield CounterMetricFamily("process_cpu_seconds", "Seconds of the processor, all workers together.", seconds)
        yield GaugeMetricFamily("process_resident_memory_bytes", "Memory of all workers together.", resident)
        yield GaugeMetricFamily("evergreen_serving_workers", "Processes that answer requests.", number)
