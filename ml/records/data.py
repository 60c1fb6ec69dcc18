"""The facts of a day on its way into the data registry."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from ml.records.record import Asset, Record


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


class DayMark(Record):
    """Whether a day is excluded from learning, who marked it so, and why.

    ``decision_id`` is the entry of the decision log that says the same.
    """

    day: date
    excluded: bool
    requested_by: str
    reason: str
    decision_id: str


class ExclusionRequest(Record):
    """Which days a person wants nothing to be learned from, and why; ``undo`` lets them count again.

    Both ends are inclusive; ``last_day`` None means the first alone.
    """

    first_day: date
    last_day: date | None = None
    reason: str
    requested_by: str
    undo: bool = False


class Exclusion(Record):
    """What came of an `ExclusionRequest`: the ``days`` in words, and the data version that says so.

    ``changed`` is false if they were so already.
    """

    days: str
    reason: str
    undo: bool
    data_version: str
    changed: bool


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


class LabelPart(Record):
    """The labels of a part of a day: its labelled ``rows``, and how they are spread.

    ``counts`` are the rows of each class, of a number those with the commonest value. ``order`` is by how many standard
    errors predictions order the part's rows as labels do; None where nothing was predicted or can be ordered.
    """

    rows: int
    counts: tuple[int, ...]
    order: float | None = None


class LabelDay(Record):
    """What the labels of a ``day`` look like, and what the predictions of that day expected of them.

    ``level`` is the log odds of the rate (of each class, of several), of a regression the mean and the 10 % and 90 %
    quantiles; ``spread`` its standard deviation (0 of the other kinds). ``rows`` are those with a label; ``single``
    says that all labels are the same. ``expected`` is the level of the predictions of the same rows, and
    ``association`` how labels and predictions order rows alike (1: perfectly, -1: the other way round), with its
    standard error if they had nothing in common; all three are None where nothing was predicted or can be ordered.
    ``pair_orders`` is the same of each two of several classes (the first and the second, the first and the third, ...),
    in such standard errors, among their own rows; None where a day has no rows of one of them. Empty where
    `ml.core.data.label_days` does not compare pairs. ``content`` is a hash of the labels in the order of their keys
    without the day, and ``surprise`` how improbable just these labels were (the negative logarithm of the probability),
    0 where that is not known: of classes nothing was predicted, or the day has few different numbers. ``counts`` are
    the rows of each class, empty of numbers, and ``parts`` the labels of each part that the gate's slices cut out.
    """

    day: date
    rows: int
    level: tuple[float, ...]
    spread: float = 0.0
    single: bool = False
    expected: tuple[float, ...] | None = None
    association: float | None = None
    association_error: float | None = None
    pair_orders: tuple[float | None, ...] = ()
    content: str = ""
    surprise: float = 0.0
    counts: tuple[int, ...] = ()
    parts: dict[str, LabelPart] = Field(default_factory=dict)


class LabelVerdict(Record):
    """Whether the labels of a day may be learned from.

    ``plausible``; ``doubtful``: they wait; ``confirmed``: they were in doubt, and later days confirm them;
    ``unjudged``: too little is known of the past. ``lasting`` says that no later day can confirm them.
    """

    status: Literal["plausible", "doubtful", "confirmed", "unjudged"]
    reasons: tuple[str, ...] = ()
    lasting: bool = False


class Rejection(Record):
    """A day of one asset that was kept out of the registry, and why, in a sentence with the next move.

    ``identity`` is the same for the same content and reason; ``partition`` is the first one that found it so, and the
    only one that reports it. ``replaces`` says that the registry keeps an earlier content of that day; ``doubtful``
    that its contract lets it in, and that these are labels that nothing may learn from yet.
    """

    asset: Asset
    day: date
    reason: str
    identity: str
    partition: date
    report_uri: str | None = None
    failures: tuple[dict[str, Any], ...] = ()
    replaces: bool = False
    doubtful: bool = False


class Withdrawal(Record):
    """A day of one asset that a person took out of the registry, why, and which data version is without it."""

    asset: Asset
    day: date
    reason: str
    data_version: str


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
    """What the contract said of one day of one asset; of one that is ``rejected`` no row goes on."""

    asset: Asset
    day: date
    rows: int
    accepted_rows: int
    quarantined_rows: int
    report_uri: str
    quarantine_uri: str | None = None
    rejected: bool = False


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
