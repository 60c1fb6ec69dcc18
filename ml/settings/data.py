"""Check the settings of what is predicted, where the data come from, and what a day of them may look like."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SerializeAsAny,
    model_validator,
)

from ml.extensions import ExtensionPoint
from ml.settings.section import Name, Section, Share, of_kind

WEEK_DAYS = 7


PARTS_OF_DAY = ("{year}", "{month}", "{day_of_month}")
"""They may stand in patterns beside, or in place of, ``{day}``."""
UNITS = {"s": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def _seconds(value: object) -> object:
    """Read ``90``, ``90 s``, ``10 minutes`` or ``2h`` as seconds; what is neither is left to pydantic to refuse."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", value.lower()) if isinstance(value, str) else None
    if match and (unit := UNITS.get(match[2]) or UNITS.get(match[2].removesuffix("s"))):
        return float(match[1]) * unit
    return value


class Complete(Section):
    """How a day's file shows that it is whole, by exactly one of a marker, a manifest of what it holds, and its age."""

    marker: Name | None = None
    """The path or URL of a file that is written after the day's file. It names ``{day}``, as ``inputs`` do, and, if
    each table has its own, ``{asset}`` (inputs or labels).
    """
    manifest: Name | None = None
    """The path or URL of a file that says how many rows or bytes the day's file holds, or its checksum. It names
    ``{day}`` and, if each table has its own, ``{asset}``.
    """
    min_age: Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=7 * 86_400)] | None = None
    """For how long nobody has changed a file that is whole: in seconds, or such as ``10 minutes`` or ``2h``."""

    @model_validator(mode="after")
    def _one_way(self) -> Complete:
        if sum(option is not None for option in (self.marker, self.manifest, self.min_age)) != 1:
            raise ValueError("give exactly one of marker, manifest and min_age")
        pattern = self.marker or self.manifest
        if pattern is not None:
            if "{day}" not in pattern and not all(part in pattern for part in PARTS_OF_DAY):
                raise ValueError(f"{pattern} names no {{day}}; put {{day}} where the ISO day stands")
            rest = re.sub("|".join(map(re.escape, ("{day}", "{asset}", *PARTS_OF_DAY))), "", pattern)
            if set("{}") & set(rest):
                raise ValueError(
                    f"{pattern} has other braces than {{day}}, {', '.join(PARTS_OF_DAY)} and {{asset}}; remove them"
                )
        return self


class Replay(Section):
    """A past period that is served as if it were now, for ever.

    It is cut to whole weeks, and repeated: the weekday of a day is that of the day whose data it gets. Without ``to``
    it is 52 weeks.

    Examples
    --------
    >>> replay = Replay.model_validate({"from": date(2011, 1, 3), "to": date(2011, 1, 16)})
    >>> replay.source_day(date(2026, 6, 1))
    datetime.date(2011, 1, 3)
    """

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    first_day: date = Field(alias="from")
    """The first day of the period."""
    last_day: date | None = Field(default=None, alias="to")
    """Its last day; null for 52 weeks."""

    @model_validator(mode="after")
    def _has_a_week(self) -> Replay:
        if self.days < WEEK_DAYS:
            raise ValueError(f"from {self.first_day} to {self.last_day} is less than a week; give at least seven days")
        return self

    @property
    def days(self) -> int:
        """Return after how many days the period is repeated."""
        whole = 52 * WEEK_DAYS if self.last_day is None else (self.last_day - self.first_day).days + 1
        return whole // WEEK_DAYS * WEEK_DAYS

    def source_day(self, day: date) -> date:
        """Return the day of the period that is served as ``day``."""
        return self.first_day + timedelta(days=(day - self.first_day).days % self.days)

    def caveat(self) -> str:
        """Return what to know of a model of such data."""
        last_day = self.first_day + timedelta(days=self.days - 1)
        return f"All of its data are of {self.first_day} to {last_day}, shown as if they were now."


class SourceSettings(Section):
    """Where the data come from, as ``params.yaml`` says; each kind has a class of its own, see `ml.adapters.sources`.

    ``unit`` is what people call its rows.
    """

    kind: str
    """Which kind of source it is; the further settings depend on it."""
    unit: ClassVar[str] = "rows"

    def of_history(self) -> SourceSettings:
        """Return the source to read for a backtest: by the days on which its data were collected."""
        return self

    def caveats(self) -> tuple[str, ...]:
        """Return sentences on what its data cannot tell, for the model card."""
        return ()

    def connections(self) -> tuple[str, ...]:
        """Return the databases that it asks; see `ml.settings.databases`."""
        return ()


SOURCES: ExtensionPoint[type[SourceSettings]] = ExtensionPoint(
    "evergreen.sources", "kind of source", "ml.adapters.sources.kinds:BUILT_IN", "ml.adapters.sources:SourceKind"
)


def _source(value: object) -> SourceSettings:
    return of_kind(SOURCES, SourceSettings, value)


Source = SerializeAsAny[Annotated[SourceSettings, PlainValidator(_source)]]


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


Weekday = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


class Land(Section):
    """When a day is due, how much history a set-up lands, how far back labels are read again."""

    due_hour: int = Field(default=5, ge=0, le=23)
    """The hour, in ``task.timezone``, at which the data of a day are expected."""
    history_days: int = Field(default=90, ge=1)
    """How many days of history are landed when the model is set up."""
    catch_up_days: int = Field(default=7, ge=0)
    """Labels of so many days are read again each day, so that late ones and corrections are taken."""
    calendar: Literal["learned", "daily", "weekdays"] | Annotated[tuple[Weekday, ...], Field(min_length=1)] = "learned"
    """The weekdays on which data are expected: all (``daily``), Monday to Friday (``weekdays``), a list of their
    English names, or all but those that never had data in the weeks that the data registry knows (``learned``). An
    expected day that is absent is an error; another is skipped.
    """
    closed: tuple[date, ...] = ()
    """Single days on which no data are expected, such as holidays."""
    empty_days: int = Field(default=0, ge=0, le=366)
    """So many days in a row, on which data are expected, may come without a file, or with a header and no rows: they
    are skipped, and the next one is an error. 0: each is an error.
    """
    every_days: int = Field(default=1, ge=1, le=92)
    """Data come once in so many days, such as 7: the days between are no error, and whatever counts days of
    monitoring (``drift``, ``performance``, ``rollback.watch_days``, ``score.adapt_days``) counts days with data.
    """

    @property
    def empty_in_a_row(self) -> int:
        """Return how many days in a row may be without data."""
        return max(self.empty_days, self.every_days - 1)

    def calendar_days(self, days: int) -> int:
        """Return how many calendar days hold so many days with data.

        Examples
        --------
        >>> Land().calendar_days(14), Land(every_days=7).calendar_days(14)
        (14, 98)
        """
        return days * self.every_days


TypeName = Literal["string", "int64", "float64", "bool", "date", "timestamp"]
TimePart = Literal["hour", "minute_of_day", "weekday", "month"]


class Types(Section):
    """What a column of inputs or labels is, declared: it goes before what the data registry has learned."""

    inputs: dict[Name, TypeName] = Field(default_factory=dict)
    """The type of columns of inputs, by name; it goes before what the data registry has learned."""
    labels: dict[Name, TypeName] = Field(default_factory=dict)
    """The type of columns of labels, by name; it goes before what the data registry has learned."""


class Screen(Section):
    """What a day may look like beside its recent past, and how many bad rows it may carry."""

    max_quarantined_share: Share = 0.05
    """The largest share of bad rows with which a day is still accepted; they are quarantined. With more the whole day
    is rejected.
    """
    recent_days: int = Field(default=28, ge=7)
    """A day is compared with so many days before it."""
    min_recent_days: int = Field(default=7, ge=1)
    """With fewer recent days than this, a day is not compared with them."""
    row_count_ratio: tuple[float, float] = (0.5, 2.0)
    """How few and how many rows a day may have: ``[low, high]``, as multiples of the median of the same weekday."""
    null_share_margin: Share = 0.1
    """By how much the share of nulls in a column may exceed its largest daily share of the recent past."""
    rows_at_once: int = Field(default=262_144, ge=1)
    """A table of more rows is screened in parts of this size, with the same verdict and less memory."""

    @model_validator(mode="after")
    def _ordered_ratio(self) -> Screen:
        low, high = self.row_count_ratio
        if not 0 <= low < 1 < high:
            raise ValueError("row_count_ratio must be [low, high] with 0 <= low < 1 < high")
        return self


class Labels(Section):
    """When the labels of a day are in doubt, so that nothing learns from them before they are confirmed.

    They feed the features of the next day, training, holdout and live performance, so they are judged on the day on
    which they come: against their own past, and against what was predicted.
    """

    judge: bool = True
    """Whether labels are judged, beside their contract. Labels in doubt are quarantined; nothing waits for them."""
    doubtful_days_per_quarter: float = Field(default=1.0, gt=0, le=6)
    """How many true days in 91 may be called doubtful; the limits follow from it."""
    recent_days: int = Field(default=56, ge=14)
    """A day's labels are compared with those of so many days before it."""
    min_recent_days: int = Field(default=14, ge=7)
    """With fewer recent days that have labels, a day's labels are not judged."""
    confirm_days: int = Field(default=2, ge=1)
    """Labels whose level alone is in doubt are let in when so many later days have labels that agree with them. Labels
    that are all the same or contradict the predictions, in a part of the day too, or are in another unit or of another
    day, wait for a person or a correction.
    """
