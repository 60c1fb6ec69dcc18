"""The facts of the gate, of promotion and rollback, and of what is kept of each decision."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from ml.records.record import Record


class GainEvidence(Record):
    """How much lower the challenger's mean loss is than the champion's, with its interval.

    ``resolution`` is the smallest true gain that such a comparison finds in about four cases of five.
    """

    gain: float
    low: float
    high: float
    resolution: float
    days: int
    rows: int


class SliceEvidence(Record):
    """What was measured in each slice by name, the worst first; ``measure`` is ``gain`` or the name of a metric.

    A value is None where it could not be measured.
    """

    measure: str
    values: dict[str, float | None]


class Ruling(Record):
    """One rule of the gate with its evidence; ``passed`` is None if evidence is missing.

    ``kind`` is that of the rule (`ml.core.gate.rules`), or names what the gate judges by itself. ``evidence`` holds
    plain figures and thresholds; a comparison with the champion and measurements by slice are in fields of their own.
    """

    rule: str
    kind: str
    passed: bool | None
    evidence: dict[str, float | None]
    reason: str
    comparison: GainEvidence | None = None
    slices: SliceEvidence | None = None


class Verdict(Record):
    """The gate's answer: ``promote`` only if every rule passed."""

    decision: Literal["promote", "hold"]
    reasons: tuple[str, ...]
    rulings: tuple[Ruling, ...]


class IntervalWidth(Record):
    """How wide the prediction intervals of a version are: each prediction plus and minus ``half_width``.

    In the target's unit; see `ml.core.training.intervals`. ``rows``, ``days``, ``first_day`` and ``last_day`` are those
    whose errors it follows from. Of a refit they are the errors of the model that was judged.
    """

    coverage: float
    unit: Literal["rows", "days"]
    half_width: float
    rows: int
    days: int
    first_day: date
    last_day: date


class JudgedModel(Record):
    """What was judged and may serve: one version, the run that made it, and the hash of its model file.

    ``fingerprint`` is the version's own: of a refit that of the refit. ``lineage_sha256`` is the hash of the run's
    ``lineage/lineage.json``. ``interval`` is None for models without prediction intervals. Facts that were not known
    when it was promoted are None.
    """

    version: int
    run_id: str
    fingerprint: str | None
    model_sha256: str
    lineage_sha256: str | None = None
    data_version: str | None = None
    code_version: str | None = None
    interval: IntervalWidth | None = None


class Approval(Record):
    """What people said of a promotion, and why; ``approved`` is false after a time-out too."""

    approved: bool
    by: str
    at: datetime
    timed_out: bool = False
    reason: str = ""


class Judgement(Record):
    """A verdict about one challenger, as recorded in the decisions experiment.

    ``judged_version`` is the one that was weighed where ``version`` is its refit.
    """

    fingerprint: str
    version: int | None
    champion_version: int | None
    verdict: Verdict
    decision_id: str | None
    judged_version: int | None = None


class Card(Record):
    """Where the model card of a version is; ``version`` is None if its model was never registered."""

    version: int | None
    run_id: str
    html_uri: str
    markdown_uri: str


class Promotion(Record):
    """Who serves after a judgement; ``promoted`` is false if the champion stayed."""

    promoted: bool
    version: int | None
    previous_version: int | None
    decision_id: str | None
    reason: str


class RollbackRequest(Record):
    """What asks for an earlier champion; ``to_version`` None means the one that served before."""

    requested_by: str
    reason: str
    to_version: int | None = None
    from_version: int | None = None
    evidence: dict[str, float | None] = Field(default_factory=dict)


class Rollback(Record):
    """Who serves after a rollback; ``moved`` is false if it had been done, or was overtaken."""

    moved: bool
    version: int | None
    from_version: int | None
    decision_id: str | None
    reason: str


class NoteRequest(Record):
    """What a person wants to note: of an alarm (``alarm``, None is the only one that stands), or of a ``decision``.

    ``until`` is the day on which a snoozed alarm is mailed again.
    """

    kind: Literal["acknowledgement", "snooze", "comment"]
    note: str
    requested_by: str
    alarm: Literal["drift", "decay"] | None = None
    until: date | None = None
    decision: str | None = None


class Note(Record):
    """A note as it was written down; ``subject`` names in words what it is about."""

    decision_id: str
    kind: Literal["acknowledgement", "snooze", "comment"]
    subject: str
    note: str
    until: date | None = None


class Logged(Record):
    """One entry of the decisions experiment; of one ``key`` there is one."""

    decision_id: str
    kind: str
    decided_at: datetime
    fingerprint: str | None
    effective_day: date | None
    payload: dict[str, Any]
    finished: bool = True
    key: str = ""
