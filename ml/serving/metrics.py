"""Count what the service does, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

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
QUEUE_ROWS = Gauge("evergreen_serving_queue_rows", "Rows that wait to be predicted.", ["model"], registry=REGISTRY)
REJECTED = Counter(
    "evergreen_serving_rejected", "Requests that were refused, by reason.", ["model", "reason"], registry=REGISTRY
)
VERSION = Gauge("evergreen_serving_model_version", "The version that serves; 0 for none.", ["model"], registry=REGISTRY)
READY = Gauge("evergreen_serving_ready", "Whether a model's requests can be answered.", ["model"], registry=REGISTRY)
FROM_COPY = Gauge(
    "evergreen_serving_from_copy",
    "Whether the version is the last known one, of the service's own copy, since MLflow does not answer.",
    ["model"],
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
    registry=REGISTRY,
)  # fmt: skip
LOG_UNSENT = Gauge(
    "evergreen_serving_log_unsent_bytes", "Parts of the request log that the storage has not taken yet.", ["model"],
    registry=REGISTRY,
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
    "evergreen_stream_in_flight", "Messages that were taken and are not written yet.", ["model"], registry=REGISTRY
)
STREAM_BROKER_UP = Gauge("evergreen_stream_broker_up", "Whether the broker answers.", ["model"], registry=REGISTRY)
STREAM_WRITE_FAILURES = Counter(
    "evergreen_stream_write_failures", "Writes that the broker did not take.", ["model"], registry=REGISTRY
)

CHALLENGER = Gauge(
    "evergreen_serving_challenger_version", "The challenger that is asked beside the champion; 0 for none.", ["model"],
    registry=REGISTRY,
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
    """Return all metrics in Prometheus's text format."""
    return generate_latest(REGISTRY)
