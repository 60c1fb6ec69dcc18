"""The facts of monitoring a day, and what it asks for."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from ml.records.decisions import RollbackRequest
from ml.records.record import Record
from ml.records.training import RetrainRequest


class Limit(Record):
    """How far a column may move before it counts: its baseline range, and the limit above it.

    ``baseline_range`` is the largest distance, within the limit, of a block of days inside the reference from the rest
    of it; None where the reference was too short to tell.
    """

    limit: float
    baseline_range: float | None
    blocks: int


class ColumnDrift(Record):
    """How far one column moved from what the champion knew, in its own unit of distance.

    ``matters`` says whether the champion's predictions depend on the column (permutation importance kept with the
    version); None if that is not known. ``changed`` puts the move in words ("JFK's share 33 % → 0 %").
    """

    column: str
    role: Literal["structural", "environment", "prediction", "label"]
    method: str
    score: float | None
    limit: float | None
    drifted: bool
    baseline_range: float | None = None
    importance: float | None = None
    matters: bool | None = None
    changed: str = ""


FindingKind = Literal[
    "drift",
    "new_category",
    "vanished_category",
    "null_share",
    "out_of_range",
    "constant",
    "type_change",
    "prediction_drift",
    "label_drift",
    "decay",
    "missing_predictions",
    "missing_labels",
    "label_coverage",
    "interval_coverage",
    "slice_change",
    "outcome_shift",
    "unknown_performance",
    "unmeasured_drift",
]


class Finding(Record):
    """One thing that monitoring noticed on a day, in a sentence.

    A ``warning`` is shown and raises no alarm. An ``alarm`` raises one on k of n days (``drift.alarm_days``), or by
    itself on its first day if it is ``at_once``.
    """

    kind: FindingKind
    severity: Literal["alarm", "warning"]
    message: str
    column: str | None = None
    at_once: bool = False
    score: float | None = None
    limit: float | None = None
    matters: bool | None = None


class DriftReport(Record):
    """What Evidently measured for a day; ``status`` is ``unknown`` if it could not be measured.

    ``status`` speaks of this day alone; whether an alarm is raised is decided over several days.
    """

    day: date
    status: Literal["calm", "drift", "unknown"]
    champion_version: int | None
    reason: str
    current_first_day: date | None = None
    current_rows: int = 0
    columns: tuple[ColumnDrift, ...] = ()
    findings: tuple[Finding, ...] = ()
    report_uri: str | None = None
    result_uri: str | None = None


class Interval(Record):
    """A figure with its interval by day; the ends are None where too few days were there."""

    value: float
    low: float | None = None
    high: float | None = None


class LivePerformance(Record):
    """How the served predictions did: on the newest day whose labels have arrived, and over the trailing window.

    ``window`` holds metrics of the trailing labelled days with intervals by day, ``gap`` and ``skill`` among them
    (mean prediction minus observed rate; mean loss of the base rate minus that of the champion); ``expected`` the
    same names as the gate saw them on the holdout. Where prediction intervals were served, ``interval_coverage`` is
    the share of outcomes inside of them, and expected to be as declared. ``estimated`` is ``gate.metric`` of
    ``estimated_day`` expected without labels, from ``estimated_low`` to ``estimated_high`` on nine days of ten
    (``estimated_metrics`` holds all metrics of that day whose estimates are good enough), ``estimate_error`` the mean
    absolute error on past days. It is None unless such estimates beat "the same as before" there; ``estimate_reason``
    says so either way.

    ``versions`` are those whose served predictions ``window`` and ``status`` rest on: the champion alone, or with
    too few labelled days of its own also those that served before. While ``status`` is unknown, ``expected_by`` is
    the day from which on it should be known. ``slice_reason`` says whether outcomes left the predictions in a part of
    the data, ``shift_reason`` whether they did as a whole; empty where that is not looked for.
    """

    day: date
    labelled_day: date | None
    rows: int
    metrics: dict[str, float]
    reason: str
    champion_version: int | None = None
    status: Literal["fine", "decay", "unknown"] = "unknown"
    window_first_day: date | None = None
    window_days: int = 0
    window_rows: int = 0
    window: dict[str, Interval] = Field(default_factory=dict)
    expected: dict[str, float] = Field(default_factory=dict)
    estimated: float | None = None
    estimated_day: date | None = None
    estimated_metrics: dict[str, float] = Field(default_factory=dict)
    estimate_error: float | None = None
    estimated_low: float | None = None
    estimated_high: float | None = None
    estimate_reason: str = ""
    label_coverage: float | None = None
    findings: tuple[Finding, ...] = ()
    versions: tuple[int, ...] = ()
    expected_by: date | None = None
    slice_reason: str = ""
    shift_reason: str = ""


class PreviousChampionComparison(Record):
    """The champion against the version that served before, on the same newly labelled days.

    ``gain`` is how much lower the previous champion's mean loss is (positive: it does better); None where
    they could not be compared, which ``reason`` explains.
    """

    day: date
    champion_version: int | None
    previous_version: int | None = None
    days: int = 0
    rows: int = 0
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str


class RefitDay(Record):
    """A labelled day that the champion served and a refit in shadow has scored: by how much the refit's loss is lower.

    ``refit_last_day`` is the last day that the refit was fitted on.
    """

    day: date
    gain: float
    rows: int
    refit_last_day: date


class RefitComparison(Record):
    """The champion against its own recipe, refitted in shadow, on the labelled days that it served.

    ``gain`` is how much lower the refits' mean loss is (positive: refits do better), with an interval that holds at all
    daily looks together; None where nothing could be compared, which ``reason`` explains. ``days`` are in order.
    """

    champion_version: int | None
    days: tuple[RefitDay, ...] = ()
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str


class Decision(Record):
    """What monitoring asks for, in sentences.

    ``state`` sums up the newest days: ``alarm`` needs findings on enough of them, ``watching`` is a finding that is
    not (yet) an alarm, ``unknown`` that it could not be measured. ``findings`` are those of this day.
    ``asking_since`` is the first day of the drift or decay that asks for a challenger, ``put_off_since`` the day since
    which one is not trained because a refit would not gain; None while there is none.
    """

    day: date
    action: Literal["nothing", "retrain", "rollback"]
    reasons: tuple[str, ...]
    alarm: bool
    state: Literal["calm", "watching", "alarm", "unknown"] = "unknown"
    champion_version: int | None = None
    findings: tuple[Finding, ...] = ()
    request: RetrainRequest | None = None
    rollback: RollbackRequest | None = None
    asking_since: date | None = None
    put_off_since: date | None = None
