"""The facts of scoring a day."""

from __future__ import annotations

from datetime import date
from typing import Literal

from ml.records.record import Record


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


class Export(Record):
    """The predictions of a day by one version, as a table of a database has them."""

    day: date
    version: int
    rows: int
    table: str


class Exports(Record):
    """Days that were written to a database, and those of which nothing was published."""

    exports: tuple[Export, ...]
    left_out: tuple[date, ...] = ()


class Shadows(Record):
    """The versions that scored a day beside the champion, never served; ``reason`` says who, and who did not."""

    day: date
    versions: tuple[int, ...]
    uris: tuple[str, ...]
    reason: str


class Timeliness(Record):
    """Whether the predictions of the newest day of which they are due were published by their deadline.

    Attributes
    ----------
    day
        That day.
    late
        Whether they are not there, though the deadline has passed.
    cause
        Why, by what is known; None unless they are late.
    reason
        The same in a sentence, with the next move; empty unless they are late.
    """

    day: date
    late: bool
    cause: Literal["source_late", "data_rejected", "no_champion", "task_failed"] | None = None
    reason: str = ""
