"""The facts of predictions on request: how they did once their labels arrived."""

from __future__ import annotations

from datetime import date
from typing import Literal

from ml.records.decisions import Ruling
from ml.records.monitoring import Interval
from ml.records.record import Record


class AnswersOfVersion(Record):
    """How the answers of one version did; ``metrics`` have intervals by day, without ends where there is one day."""

    version: int
    days: int
    rows: int
    metrics: dict[str, Interval]


class SplitDay(Record):
    """Challenger and champion on one labelled day of requests: ``difference`` is how much higher its mean loss is.

    ``randomised`` compares the rows of either side, ``paired`` (shadow) both predictions of the same rows. ``metric``
    is what the loss is of; None of days that an older release kept.
    """

    day: date
    kind: Literal["paired", "randomised"]
    champion: int
    challenger: int
    rows: int
    challenger_rows: int
    difference: float
    metric: str | None = None


class SplitEvidence(Record):
    """What the days of a split say together; ``difference`` is their mean, with an interval that holds at every look.

    ``is_worse`` if the challenger's loss is higher beyond noise. ``gate`` is what the gate would say if it were asked
    to judge the challenger by these days: one ruling for each rule of kind champion; empty in shadow.
    """

    kind: Literal["paired", "randomised"]
    champion: int
    challenger: int
    first_day: date
    last_day: date
    days: int
    rows: int
    challenger_rows: int
    metric: str
    difference: Interval
    is_worse: bool
    reason: str
    gate: tuple[Ruling, ...] = ()


class SplitJudgementRequest(Record):
    """Who wants a held challenger judged by its split, and why; ``approved`` says that this person lets it serve."""

    version: int
    requested_by: str
    reason: str
    approved: bool = False


class RequestPerformance(Record):
    """How predictions on request did over the trailing window of labelled days.

    ``asked`` counts the distinct keys that were answered on days with labels, ``rows`` those of them whose labels have
    arrived. ``versions`` are those that answered, the newest first; ``reason`` says why there are none. ``splits`` is
    what is known of a challenger that was asked beside the champion.
    """

    day: date
    first_day: date
    last_day: date
    asked: int
    rows: int
    versions: tuple[AnswersOfVersion, ...]
    reason: str
    result_uri: str | None = None
    splits: tuple[SplitEvidence, ...] = ()
