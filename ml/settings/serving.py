"""Check the settings of predictions on request."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ml.settings.section import Section, Share


class TrafficSplit(Section):
    """The challenger answers a share of the keys, the same keys in each process and after each start."""

    challenger: float = Field(gt=0, le=0.5)
    """The share of keys, by a hash of them and of the challenger's version, that the challenger answers."""


class Serving(Section):
    """How predictions on request are answered and logged; none of it changes a prediction."""

    max_rows: int = Field(default=10_000, ge=1, le=1_000_000)
    """A request may hold so many rows."""
    max_body_megabytes: float = Field(default=16, gt=0, le=1024)
    """The body of a request may hold so many megabytes."""
    timeout_seconds: float = Field(default=10, gt=0, le=600)
    """A request that cannot be read or answered within so many seconds is given up."""
    queue_rows: int = Field(default=50_000, ge=1)
    """While so many rows wait, further requests are answered with 503 and the time after which to try again."""
    wait_milliseconds: float = Field(default=0, ge=0, le=1000)
    """How long a request waits for others that can be predicted together with it. With 0 only those are taken together
    that came while others were predicted.
    """
    requests_per_second: float | None = Field(default=None, gt=0)
    """How many requests a second each token may make of each process; null for any number."""
    missing_labels: Literal["refuse", "flag"] = "refuse"
    """What a request of a day gets whose partition is not in the data registry yet, so that the newest labels for its
    lagged target means are missing: 503 with the reason (``refuse``), or an answer from those that are known, marked
    as provisional (``flag``).
    """
    traffic: Literal["champion", "shadow"] | TrafficSplit = "champion"
    """Who answers: the champion alone; or a share of the keys the version with the alias ``challenger``
    (``{challenger: 0.1}``). With ``shadow`` the champion answers, and the challenger is asked for the same rows: its
    predictions are in the request log only.
    """
    log_share: Share = 1.0
    """The share of requested rows, by a hash of their keys, that the request log keeps with inputs and answer; 0 for
    none.
    """
    log_rows: int = Field(default=5000, ge=1)
    """The request log is written as soon as so many rows wait for it."""
    log_seconds: float = Field(default=10, ge=0.1, le=3600)
    """The request log is written at least so often: no more is lost if the process is killed."""
    log_megabytes: float = Field(default=1024, gt=0)
    """The request log keeps so many megabytes in the storage; the oldest parts are removed."""
    poll_seconds: float = Field(default=3, ge=0.2, le=600)
    """How often the service looks who the champion is, and whether there are new data and tokens."""
    stream_messages: int = Field(default=500, ge=1, le=10_000)
    """`evergreen consume` takes, predicts and acknowledges so many messages at a time at most: no more are in flight,
    and no more are delivered again after a process was killed.
    """
    stream_redeliver_seconds: float = Field(default=60, ge=1, le=3600)
    """After so many seconds a stream of Redis delivers a message again that nobody has acknowledged. For half of them
    messages are held that cannot be predicted yet; then the broker delivers them again, Kafka at once.
    """
