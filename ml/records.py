"""The facts that travel between steps: ids, URIs, days and numbers; never frames, models or HTML.

Each record is frozen, closed and survives a trip through JSON unchanged
(``Record.model_validate(record.model_dump(mode="json"))``).
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Asset = Literal["inputs", "labels"]
"""The two tables of a day."""


class Record(BaseModel):
    """A fact: frozen, and closed to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DataVersion(Record):
    """One commit of the data registry.

    ``rev`` is the full Git commit hash. ``changed`` is false if the registry held these days with
    this very content already, and ``rev`` then is the version that brought it.
    """

    rev: str
    committed_at: datetime
    message: str
    changed: bool


class DayFile(Record):
    """One day of one data asset in one data version: what DVC calls its md5, and its size."""

    asset: Asset
    day: date
    md5: str
    bytes: int


class Arrival(Record):
    """With which ``partition`` the labels of a ``day`` came with the content ``md5``: no earlier day could see it."""

    day: date
    md5: str
    partition: date


class Content(Record):
    """What the labels of a ``day`` were for the days that were scored from ``first`` until before ``until``.

    An empty ``md5`` means that there were none; ``until`` None that they are so still.
    """

    day: date
    md5: str
    first: date
    until: date | None = None


class Delivery(Record):
    """A day of one asset as it was landed: the hash of its rows, and what the source tells of it without being read.

    ``stat`` (an ETag, a time and a size) is None where the source tells nothing, or nothing that can be trusted.
    """

    asset: Asset
    day: date
    sha256: str
    stat: str | None = None


class Receipt(Record):
    """Which delivery of a day's labels the registry holds, as ``md5``, and what it was judged by (``context``).

    Of one that a person took out of the registry (``withdrawn``) it says which content does not come back by itself.
    """

    delivery: Delivery
    md5: str
    context: str
    withdrawn: bool = False


class Rejection(Record):
    """A day of one asset that was kept out of the registry, and why, in a sentence with the next move.

    ``identity`` is the same for the same content and reason; ``partition`` is the first one that found it so, and the
    only one that reports it. ``replaces`` says that the registry keeps an earlier content of that day.
    """

    asset: Asset
    day: date
    reason: str
    identity: str
    partition: date
    report_uri: str | None = None
    failures: tuple[dict[str, Any], ...] = ()
    replaces: bool = False


class Unread(Record):
    """Labels whose source could not be read; ``kind`` names the error of `ml.errors`."""

    day: date
    message: str
    kind: str


class Outstanding(Record):
    """What of a partition is not in the registry, and why; each part waits for itself.

    Parameters
    ----------
    rest
        Why no inputs are expected on the day; empty if they are.
    absent
        Why there are no inputs though they are expected; empty if there are.
    rejected
        What was rejected, each day of an asset for itself.
    unread
        Labels whose source could not be read.
    lost_label_days
        Days whose labels never came, and that no partition asks for any more; each is named by one partition.
    """

    rest: str = ""
    absent: str = ""
    rejected: tuple[Rejection, ...] = ()
    unread: tuple[Unread, ...] = ()
    lost_label_days: tuple[date, ...] = ()

    def outstanding(self) -> dict[str, Any]:
        """Return these fields by name, for the next record of the same partition."""
        return {name: getattr(self, name) for name in Outstanding.model_fields}


class Landing(Outstanding):
    """What the source gave for a partition, in the workspace and not yet judged.

    ``label_days`` arrived with ``day``, or have changed; of ``unchanged_label_days`` the registry holds what the
    source has; ``missing_label_days`` have not come, or wait for their inputs.
    """

    day: date
    workspace: str
    input_days: tuple[date, ...]
    label_days: tuple[date, ...]
    missing_label_days: tuple[date, ...] = ()
    unchanged_label_days: tuple[date, ...] = ()
    deliveries: tuple[Delivery, ...] = ()


class AssetScreening(Record):
    """What the contract said of one day of one asset; of one that is ``refused`` no row goes on."""

    asset: Asset
    day: date
    rows: int
    accepted_rows: int
    quarantined_rows: int
    report_uri: str
    quarantine_uri: str | None = None
    refused: bool = False


class Screening(Outstanding):
    """What the contracts said of a landing; the accepted rows lie in the workspace."""

    day: date
    workspace: str
    results: tuple[AssetScreening, ...]
    deliveries: tuple[Delivery, ...] = ()


class Ingested(Outstanding):
    """What of a partition is in the registry, and what is not."""

    day: date
    data_version: str
    changed: bool
    rows: int
    labelled_rows: int
    quarantined_rows: int


class RetrainRequest(Record):
    """What asks for a challenger, and why; ``request_id`` tells two forced ones apart."""

    asked_by: str
    reasons: tuple[str, ...]
    days: int | None = None
    last_day: date | None = None
    force: bool = False
    request_id: str = ""


class Window(Record):
    """The labelled days of one training, both ends inclusive, and where its workspace is."""

    first_day: date
    last_day: date
    data_version: str
    fingerprint: str
    workspace: str
    days: int
    rows: int
    seen_before: bool = False


class WindowReport(Record):
    """What the contract said of a training window as a whole."""

    fingerprint: str
    report_uri: str
    rows: int


class Parts(Record):
    """A window cut in time: everything before ``holdout_first_day`` is trained on."""

    fingerprint: str
    train_first_day: date
    train_last_day: date
    holdout_first_day: date
    holdout_last_day: date
    train_rows: int
    holdout_rows: int


class Tuned(Record):
    """The arguments that a search has chosen for the estimator, and their mean row loss over its folds.

    With ``enabled`` false nothing was searched and ``args`` are those of ``params.yaml``; ``default_loss`` is
    theirs. A loss is None where nothing was, or could be, scored.
    """

    fingerprint: str
    enabled: bool
    args: dict[str, Any]
    trials: int = 0
    best_loss: float | None = None
    default_loss: float | None = None
    run_id: str | None = None


class Candidate(Record):
    """A fitted pipeline and the MLflow run that holds it.

    ``model_sha256`` is the hash of the model file as MLflow took it; None of a fit by an older release.
    """

    fingerprint: str
    run_id: str
    fit_seconds: float
    model_sha256: str | None = None


class Evaluation(Record):
    """What was measured on the holdout.

    ``champion`` and ``champion_version`` are None where nothing serves; all metrics are over the
    same rows. ``is_refresh`` says that the candidate is the champion's recipe on newer data.
    """

    fingerprint: str
    run_id: str
    holdout_rows: int
    holdout_days: int
    challenger: dict[str, float]
    base_rate: dict[str, float]
    champion: dict[str, float] | None = None
    champion_version: int | None = None
    is_refresh: bool = False


class Challenger(Record):
    """A registered model version that contests."""

    fingerprint: str
    run_id: str
    version: int


class Ruling(Record):
    """One rule of the gate with its evidence; ``passed`` is None if evidence is missing."""

    rule: str
    passed: bool | None
    evidence: dict[str, float | None]
    reason: str


class Verdict(Record):
    """The gate's answer: ``promote`` only if every rule passed."""

    decision: Literal["promote", "hold"]
    reasons: tuple[str, ...]
    rulings: tuple[Ruling, ...]


class PackageCheck(Record):
    """What a fresh process found of the model as it is packaged; ``problem`` is None if all worked.

    ``model_sha256`` is the hash of the model file that was tried; None if there was none.
    """

    identical: bool
    refuses_bad_input: bool
    rows: int
    ms_per_1000_rows: float | None
    megabytes: float | None
    problem: str | None = None
    model_sha256: str | None = None


class JudgedModel(Record):
    """What was judged and may serve: one version, the run that made it, and the hash of its model file.

    ``fingerprint`` is the version's own: of a refit that of the refit. ``lineage_sha256`` is the hash of the run's
    ``lineage/lineage.json``. Facts that were not known when it was promoted are None.
    """

    version: int
    run_id: str
    fingerprint: str | None
    model_sha256: str
    lineage_sha256: str | None = None
    data_version: str | None = None
    code_version: str | None = None


class Approval(Record):
    """What people said of a promotion; ``approved`` is false after a time-out too."""

    approved: bool
    by: str
    at: datetime
    timed_out: bool = False


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

    asked_by: str
    why: str
    to_version: int | None = None
    from_version: int | None = None
    evidence: dict[str, float | None] = {}


class Rollback(Record):
    """Who serves after a rollback; ``moved`` is false if it had been done, or was overtaken."""

    moved: bool
    version: int | None
    from_version: int | None
    decision_id: str | None
    reason: str


class Champion(Record):
    """The version that serves a day, resolved once; None if nothing may."""

    day: date
    version: int | None
    reason: str
    data_version: str | None = None


class Adaptation(Record):
    """By how much a day's scores were moved beside what the model said (``score.adapt``), and after what evidence.

    ``shift`` is in logits for a classification, in the target's unit for a regression. Taking it off again gives
    what the version itself predicted, which the file keeps as ``raw_prediction``.
    """

    shift: float
    share: float
    days: tuple[date, ...]
    rows: int


class Shard(Record):
    """Consecutive rows of a day that one worker scores, of the ``day_rows`` that its inputs have.

    What all shards of a day must have in common was settled when it was cut: ``batch_rows``, ``threshold`` and
    ``adaptation`` (None, of a shard that is the whole day, leaves that to whoever scores it).
    """

    champion: Champion
    first_row: int
    rows: int
    day_rows: int
    batch_rows: int
    threshold: float
    adaptation: Adaptation | None = None


class Plan(Record):
    """How a day is cut into shards: at least one, in the order of its rows."""

    shards: tuple[Shard, ...]


class Scoring(Record):
    """The predictions of a day by one version; ``adaptation`` is None unless ``score.adapt`` is on.

    Until they are ``published`` they are those of one shard, from ``first_row`` on.
    """

    day: date
    version: int
    rows: int
    mean_prediction: float
    uri: str
    sha256: str
    report_uri: str | None = None
    published: bool = False
    adaptation: Adaptation | None = None
    first_row: int = 0


class Shadows(Record):
    """The versions that scored a day beside the champion, never served; ``reason`` says who, and who did not."""

    day: date
    versions: tuple[int, ...]
    uris: tuple[str, ...]
    reason: str


class Limit(Record):
    """How far a column may move before it counts: its no-change range, and the limit above it.

    ``no_change`` is the largest distance of a block of days inside the reference from the rest of it;
    None where the reference was too short to tell.
    """

    limit: float
    no_change: float | None
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
    no_change: float | None = None
    importance: float | None = None
    matters: bool | None = None
    changed: str = ""


FindingKind = Literal[
    "drift",
    "new_category",
    "vanished_category",
    "null_share",
    "constant",
    "type_change",
    "prediction_drift",
    "label_drift",
    "decay",
    "missing_predictions",
    "missing_labels",
    "label_coverage",
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
    said: str
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
    (mean prediction minus observed rate; mean loss of the base rate minus that of the champion); ``promised`` the
    same names as the gate saw them on the holdout. ``estimated`` is the loss of ``estimated_day`` expected without
    labels (``estimated_metrics`` holds other metrics of that day), ``estimate_error`` the mean absolute error of
    such estimates on the days of the window.

    ``versions`` are those whose served predictions ``window`` and ``status`` rest on: the champion alone, or with
    too few labelled days of its own also those that served before. While ``status`` is unknown, ``expected_by`` is
    the day from which on it should be known.
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
    window: dict[str, Interval] = {}
    promised: dict[str, float] = {}
    estimated: float | None = None
    estimated_day: date | None = None
    estimated_metrics: dict[str, float] = {}
    estimate_error: float | None = None
    label_coverage: float | None = None
    findings: tuple[Finding, ...] = ()
    versions: tuple[int, ...] = ()
    expected_by: date | None = None


class Rivalry(Record):
    """The champion against the version that served before, on the same newly labelled days.

    ``gain`` is how much lower the rival's mean loss is (positive: the rival does better); None where
    they could not be compared, which ``reason`` explains.
    """

    day: date
    champion_version: int | None
    rival_version: int | None
    days: int
    rows: int
    gain: float | None
    low: float | None
    high: float | None
    reason: str


class Decision(Record):
    """What monitoring asks for, in sentences.

    ``state`` sums up the newest days: ``alarm`` needs findings on enough of them, ``watching`` is a finding that is
    not (yet) an alarm, ``unknown`` that it could not be measured. ``findings`` are those of this day.
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


class Compared(Record):
    """One fact of a training as it is recorded, and as it came out again; None is what is not there."""

    what: str
    recorded: str | None
    reproduced: str | None
    same: bool
    detail: str = ""


class Reproduction(Record):
    """What came of rebuilding a version from its lineage.

    ``environment`` names what differs between the machine that trained it and this one; ``folder`` is
    where the rebuilt files were left, None if they were removed.
    """

    version: int
    fingerprint: str
    code_version: str
    data_version: str
    source: str
    identical: bool
    compared: tuple[Compared, ...]
    environment: tuple[Compared, ...] = ()
    folder: str | None = None


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
