"""Turn ``params.yaml`` and the environment into frozen, checked objects, once and early.

What changes a result lives in ``params.yaml`` (`Settings`); what only changes where things happen
lives in the environment (`Environment`). Nothing here is read at import time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from ml import conditions, names, yaml_file
from ml.errors import SettingsError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
MEASURED = {
    "classification": (
        "log_loss",
        "brier",
        "roc_auc",
        "average_precision",
        "calibration_error",
        "calibration_gap",
        "prevalence",
    ),
    "regression": ("rmse", "mae", "r2", "bias"),
}
"""What `ml.core.metrics.measure` gives for each kind of task: a bound on anything else could never be met."""
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(min_length=1)]


def _term(value: str) -> str:
    conditions.parse_term(value)
    return value


Term = Annotated[Name, AfterValidator(_term)]
"""A column, or a condition on columns; see `ml.conditions`."""


class Section(BaseModel):
    """A closed, frozen part of the settings: unknown keys are errors, and so are infinite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Label = bool | int | float | str


class Task(Section):
    """What is predicted, for which rows.

    ``positive`` is the label that counts as 1 where labels are not 0 and 1 (``"yes"``, ``2``, ``true``); ``negative``
    the other one, None for whatever single other label there is.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    kind: Literal["classification", "regression"]
    target: Name
    positive: Label | None = None
    negative: Label | None = None
    key: tuple[Name, ...] = Field(min_length=1)
    label_delay_days: int = Field(ge=0, le=366)
    timezone: str = "UTC"
    threshold: Share = 0.5

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as err:  # OSError: a folder such as America
            raise ValueError(f"{value!r} is not an IANA time zone such as America/New_York") from err
        return value

    @model_validator(mode="after")
    def _key_has_day(self) -> Task:
        if "day" not in self.key:
            raise ValueError("key must name 'day', the partition that a row belongs to")
        if self.target in self.key:
            raise ValueError(f"the target {self.target!r} cannot be part of the key")
        return self

    @model_validator(mode="after")
    def _two_classes(self) -> Task:
        if self.positive is not None and self.kind == "regression":
            raise ValueError("positive names a class, and a regression has none; remove it")
        if self.negative is not None and (self.positive is None or self.negative == self.positive):
            raise ValueError("negative is the other label beside positive: give both, and not the same")
        return self

    @model_validator(mode="after")
    def _names_of_its_own(self) -> Task:
        for what, mine, ours in (("key", self.key, names.BESIDE_KEY), ("target", (self.target,), names.BESIDE_TARGET)):
            found = sorted({*mine} & ours) + names.taken(mine, ())
            if found:
                raise ValueError(
                    f"{what} names {', '.join(found)}: Evergreen's own columns are called so; rename the column in "
                    "the source"
                )
        return self


class DemoSource(Section):
    """The flights of New York in 2013, as today's (``replay``) or as their own days."""

    kind: Literal["demo"]
    replay: bool = True


UNITS = {"s": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hour": 3600}


def _seconds(value: object) -> object:
    """Read ``90``, ``90 s``, ``10 minutes`` or ``2h`` as seconds; what is neither is left to pydantic to refuse."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", value.lower()) if isinstance(value, str) else None
    if found and (unit := UNITS.get(found[2]) or UNITS.get(found[2].removesuffix("s"))):
        return float(found[1]) * unit
    return value


class Complete(Section):
    """How a day's file shows that it is whole: a marker beside it, a manifest of what it holds, or its age (seconds).

    ``marker`` and ``manifest`` name ``{day}`` and, if each table has its own, ``{asset}`` (inputs or labels).
    """

    marker: Name | None = None
    manifest: Name | None = None
    min_age: Annotated[float, BeforeValidator(_seconds), Field(gt=0, le=7 * 86_400)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Complete:
        if sum(each is not None for each in (self.marker, self.manifest, self.min_age)) != 1:
            raise ValueError("give exactly one of marker, manifest and min_age")
        pattern = self.marker or self.manifest
        if pattern is not None:
            if "{day}" not in pattern:
                raise ValueError(f"{pattern} names no {{day}}; put {{day}} where the ISO day stands")
            if set("{}") & set(pattern.replace("{day}", "").replace("{asset}", "")):
                raise ValueError(f"{pattern} has other braces than {{day}} and {{asset}}; remove them")
        return self


class FilesSource(Section):
    """A folder or an ``s3://`` prefix whose file names carry the day; ``complete`` says when a file is whole.

    No more than ``max_megabytes`` are in memory at once, as unpacked.
    """

    kind: Literal["files"]
    inputs: Name
    labels: Name
    complete: Complete | None = None
    max_megabytes: float = Field(default=4096.0, gt=0)


class HttpSource(Section):
    """A URL template per table; ``{day}`` is replaced by the ISO day. ``complete`` says when a file is whole."""

    kind: Literal["http"]
    inputs: Name
    labels: Name
    complete: Complete | None = None
    format: Literal["parquet", "csv"] = "parquet"
    timeout_seconds: float = Field(default=30.0, gt=0)
    retries: int = Field(default=4, ge=0, le=20)
    max_megabytes: float = Field(default=512.0, gt=0)


Source = Annotated[DemoSource | FilesSource | HttpSource, Field(discriminator="kind")]


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Weekday = Annotated[
    Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
    BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
]


class Land(Section):
    """When a day is due, how much history a set-up lands, how far back labels are read again.

    ``calendar`` says on which weekdays data are expected: every one (``daily``), Monday to Friday (``weekdays``), a
    list of their names, or ``learned``: each, but for those that never had data in the weeks that the registry
    knows. ``closed`` names single days without data. An expected day that is absent is an error, another is skipped.
    """

    due_hour: int = Field(default=5, ge=0, le=23)
    history_days: int = Field(default=90, ge=1)
    catch_up_days: int = Field(default=7, ge=0)
    calendar: Literal["learned", "daily", "weekdays"] | Annotated[tuple[Weekday, ...], Field(min_length=1)] = "learned"
    closed: tuple[date, ...] = ()


TypeName = Literal["string", "int64", "float64", "bool", "date", "timestamp"]


class Types(Section):
    """What a column of inputs or labels is, declared: it goes before what the data registry has learned."""

    inputs: dict[Name, TypeName] = Field(default_factory=dict)
    labels: dict[Name, TypeName] = Field(default_factory=dict)


class Screen(Section):
    """What a day may look like beside its recent past, and how many bad rows it may carry.

    A table of more than ``rows_at_once`` rows is screened in parts, with the same verdict.
    """

    max_quarantined_share: Share = 0.05
    recent_days: int = Field(default=28, ge=7)
    min_recent_days: int = Field(default=7, ge=1)
    row_count_ratio: tuple[float, float] = (0.5, 2.0)
    null_share_margin: Share = 0.1
    rows_at_once: int = Field(default=262_144, ge=1)

    @model_validator(mode="after")
    def _ordered_ratio(self) -> Screen:
        low, high = self.row_count_ratio
        if not 0 <= low < 1 < high:
            raise ValueError("row_count_ratio must be [low, high] with 0 <= low < 1 < high")
        return self


class Pull(Section):
    """Which labelled days are trained and judged on; None for ``days`` is a growing window."""

    data_version: str | None = None
    last_day: date | None = None
    days: int | None = Field(default=None, ge=2)
    min_days: int = Field(default=35, ge=2)


class Split(Section):
    """How many of the newest labelled days nobody is trained on."""

    holdout_days: int = Field(default=14, ge=1)


class HistoryFeature(Section):
    """The mean target of earlier days, over each of ``days``, for each value of ``by``."""

    by: tuple[Name, ...] = ()
    days: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    prior_rows: float = Field(default=50.0, ge=0)


class Features(Section):
    """Which columns of ``inputs`` a model sees, and as what."""

    categorical: tuple[Name, ...] = ()
    numeric: tuple[Name, ...] = ()
    spline: tuple[Name, ...] = ()
    history: tuple[HistoryFeature, ...] = ()
    min_category_rows: int = Field(default=50, ge=1)

    @model_validator(mode="after")
    def _any_and_once(self) -> Features:
        columns = [*self.categorical, *self.numeric, *self.spline]
        twice = sorted({c for c in columns if columns.count(c) > 1})
        if twice:
            raise ValueError(f"named in two kinds of feature: {', '.join(twice)}")
        past = [(feature.by, days) for feature in self.history for days in feature.days]
        again = sorted({f"{'_'.join(by) or 'all'} over {days} days" for by, days in past if past.count((by, days)) > 1})
        if again:
            raise ValueError(f"history features declared twice: {', '.join(again)}; keep one of each")
        if not columns and not self.history:
            raise ValueError("no feature is declared: a model needs at least one")
        added = [names.history_name(by, days) for by, days in past]
        alike = sorted({name for name in added if added.count(name) > 1})
        if alike:
            raise ValueError(f"two history features would be called {', '.join(alike)}; rename a column that one is by")
        found = names.taken([*columns, *(column for by, _ in past for column in by)], added)
        if found:
            raise ValueError(
                f"named like a column of Evergreen's own: {', '.join(found)}; rename the column in the source"
            )
        return self


NEVER_TRUSTED = frozenset((
    "builtins", "code", "codeop", "ctypes", "ftplib", "importlib", "io", "joblib", "marshal", "multiprocessing",
    "nt", "operator", "os", "pathlib", "pickle", "platform", "posix", "pty", "runpy", "shelve", "shutil",
    "socket", "subprocess", "sys", "tempfile", "types", "urllib", "webbrowser",
))  # fmt: skip
"""Modules of which a model file could make commands; see ``fit.trusted_types``."""


class Fit(Section):
    """The estimator by import path, its hyper-parameters, and the one seed.

    ``trusted_types`` names what a model file may hold beside scikit-learn's own types, each by its full path: the
    classes of another library's estimator. Whoever names one trusts it to run in every process that loads a model.
    """

    estimator: Name
    args: dict[str, Any] = Field(default_factory=dict)
    encoding: Literal["onehot", "ordinal"] = "onehot"
    seed: int = Field(default=20130101, ge=0, le=2**32 - 1)
    threads: int = Field(default=1, ge=1)
    trusted_types: tuple[Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")], ...] = ()

    @field_validator("trusted_types")
    @classmethod
    def _reach_no_system(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        reaching = sorted(name for name in value if name.split(".")[0] in NEVER_TRUSTED)
        if reaching:
            raise ValueError(f"{', '.join(reaching)} would let a model file run commands: no such type can be trusted")
        return value


class BoundRule(Section):
    """A metric of the holdout has an absolute bound."""

    kind: Literal["bound"]
    metric: Name
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> BoundRule:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both: a bound without a number bounds nothing")
        return self


class BaseRateRule(Section):
    """The challenger beats the training prevalence (or mean) on the same rows."""

    kind: Literal["base_rate"]


class ChampionRule(Section):
    """The challenger beats the champion (``min_gain``), or is not worse than it (``max_loss``), beyond noise.

    With ``refresh_max_loss`` beside ``min_gain``, a challenger that is the champion's recipe (same task, features
    and estimator with its arguments) on newer data need not be better: not worse by that much is enough.
    """

    kind: Literal["champion"]
    min_gain: float | None = Field(default=None, ge=0)
    max_loss: float | None = Field(default=None, gt=0)
    refresh_max_loss: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _one_question(self) -> ChampionRule:
        if (self.min_gain is None) == (self.max_loss is None):
            raise ValueError("give either min_gain (superiority) or max_loss (non-inferiority)")
        if self.max_loss is not None and self.refresh_max_loss is not None:
            raise ValueError("refresh_max_loss goes with min_gain: max_loss is asked of every challenger already")
        return self


class SlicesRule(Section):
    """No slice of the holdout loses more than ``max_loss`` to the champion, beyond noise, Holm-controlled."""

    kind: Literal["slices"]
    by: tuple[Term, ...] = Field(min_length=1)
    max_loss: float = Field(ge=0)
    min_rows: int = Field(default=300, ge=2)
    min_days: int = Field(default=5, ge=2)


class SliceGapRule(Section):
    """A metric differs by no more than ``max_gap`` between any two slices of a column (fairness)."""

    kind: Literal["slice_gap"]
    by: Term
    metric: Name
    max_gap: float = Field(gt=0)
    min_rows: int = Field(default=300, ge=2)


class CalibrationRule(Section):
    """Expected calibration error, and mean prediction minus observed rate, are bounded."""

    kind: Literal["calibration"]
    max_error: float = Field(gt=0)
    max_gap: float = Field(gt=0)


class LeakageRule(Section):
    """No feature explains the target, alone or with another, and train and holdout share no key and no day.

    ``max_feature_pair`` None means ``max_single_feature``, of a regression at least 0.9. ``max_skill_gain`` bounds how
    much more skill (the share of the base rate's loss that is avoided) a challenger may have than the champion, here or
    when that was judged: more is too good for the task's own past, until a person raises the bound.
    """

    kind: Literal["leakage"]
    max_single_feature: float = Field(default=0.8, gt=0, le=1)
    max_feature_pair: float | None = Field(default=None, gt=0, le=1)
    max_skill_gain: float = Field(default=0.15, gt=0, le=1)


class PackageRule(Section):
    """The registered model works in a fresh process, fast (in processor time) and small enough."""

    kind: Literal["package"]
    max_ms_per_1000_rows: float = Field(default=1000.0, gt=0)
    max_megabytes: float = Field(default=500.0, gt=0)


Rule = Annotated[
    BoundRule | BaseRateRule | ChampionRule | SlicesRule | SliceGapRule | CalibrationRule | LeakageRule | PackageRule,
    Field(discriminator="kind"),
]


class Gate(Section):
    """What a challenger must show before it may serve: rules by name, all of them always evaluated."""

    metric: Literal["log_loss", "brier", "rmse", "mae"] = "log_loss"
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    bootstrap_rounds: int = Field(default=4000, ge=200)
    min_days: int = Field(default=7, ge=2)
    min_rows: int = Field(default=1000, ge=1)
    approval: Literal["none", "required", "required_if_champion_exists"] = "none"
    approval_hours: float = Field(default=24.0, gt=0, le=168)
    rules: dict[Name, Rule] = Field(default_factory=dict)


class Score(Section):
    """How a day is read while it is scored, and whether scores follow the newest labels between retrains.

    ``batch_rows`` rows are in memory at once, and are a row group of the predictions. A day of more than
    ``rows_per_shard`` is scored by several tasks; how many changes no byte of the result.

    ``adapt: intercept`` shifts a day's scores by ``adapt_share`` of the gap (in logits; in the target's unit for
    regression) that the newest ``adapt_days`` labelled days show, by at most ``adapt_max_shift``.
    """

    batch_rows: int = Field(default=65_536, ge=1)
    rows_per_shard: int = Field(default=1_048_576, ge=1)
    force_future_model: bool = False
    shadow_challenger: bool = False
    adapt: Literal["none", "intercept"] = "none"
    adapt_days: int = Field(default=7, ge=1)
    adapt_share: float = Field(default=0.5, gt=0, le=1)
    adapt_max_shift: float = Field(default=0.5, gt=0)


class Methods(Section):
    """The distance by which each type of column is compared; always named, never left to a library's default.

    For numbers ``wasserstein`` counts in standard deviations. ``jensenshannon`` cuts them into bins of equal width,
    so a single outlier blinds it. (Evidently's energy distance is in the root of the column's own unit: no one floor
    fits two columns, and it is not offered.)
    """

    numeric: Literal["wasserstein", "jensenshannon"] = "wasserstein"
    categorical: Literal["jensenshannon", "hellinger"] = "jensenshannon"


class Drift(Section):
    """When the inputs count as moved.

    A limit follows from how much a column wanders inside the champion's own reference, so that all structural
    columns together raise about ``false_alarms_per_quarter`` alarms in 91 days without any change.
    ``alarm_days`` is [k, n]: an alarm needs findings on k of the newest n days, the newest among them.

    A window of fewer than ``min_rows`` rows is not measured; None means half of what a window of the champion's own
    reference holds, between 30 and 500 (`ml.core.drift.fewest_rows`). ``labels`` says whether labels that moved beyond
    their limit, on days that the champion was not trained on, alarm or only warn.
    """

    window_days: int = Field(default=7, ge=1)
    min_rows: int | None = Field(default=None, ge=1)
    reference_rows: int = Field(default=50_000, ge=100)
    methods: Methods = Methods()
    false_alarms_per_quarter: float = Field(default=1.0, gt=0, le=6)
    min_distance: float = Field(default=0.1, gt=0)
    min_prediction_distance: float = Field(default=0.5, gt=0)
    alarm_days: tuple[int, int] = (2, 3)
    min_category_share: float = Field(default=0.02, gt=0, lt=1)
    min_null_jump: float = Field(default=0.2, gt=0, le=1)
    structural: tuple[Name, ...] = ()
    environment: tuple[Name, ...] = ()
    min_drifted_columns: int = Field(default=1, ge=1)
    labels: Literal["warning", "alarm"] = "alarm"

    @field_validator("alarm_days")
    @classmethod
    def _k_of_n(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 28:
            raise ValueError("alarm_days must be [k, n] with 1 <= k <= n <= 28: k of the newest n days")
        return value

    @model_validator(mode="after")
    def _can_alarm(self) -> Drift:
        if self.structural and self.min_drifted_columns > len(self.structural):
            raise ValueError(
                f"min_drifted_columns ({self.min_drifted_columns}) is more than there are structural columns "
                f"({len(self.structural)}): drift could never alarm; lower it to at most {len(self.structural)}"
            )
        return self

    @model_validator(mode="after")
    def _one_role_each(self) -> Drift:
        columns = [*self.structural, *self.environment]
        twice = sorted({c for c in columns if columns.count(c) > 1})
        if twice:
            raise ValueError(f"named twice under structural and environment: {', '.join(twice)}; give each one role")
        found = sorted({*columns} & names.MONITORED) + names.taken(columns, ())
        if found:
            raise ValueError(
                f"named like what monitoring watches by itself: {', '.join(found)}; rename the column in the source, "
                "or leave it out"
            )
        return self


class Performance(Section):
    """When live performance counts as decayed: the gate's promise is broken beyond noise.

    ``max_gap`` bounds mean prediction minus observed rate (or mean); ``max_lost_skill`` how much of the promised gain
    over the base rate, in ``gate.metric``, may go. A bound counts as exceeded only by the whole interval. Of a window
    with more than ``max_rows`` labels about so many rows are measured, chosen by their keys.
    """

    window_days: int = Field(default=14, ge=2)
    min_days: int = Field(default=7, ge=2)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    max_gap: float = Field(default=0.07, gt=0)
    max_lost_skill: float = Field(default=0.01, ge=0)
    min_label_coverage: Share = 0.8
    max_rows: int = Field(default=1_000_000, ge=1)

    @model_validator(mode="after")
    def _can_fire(self) -> Performance:
        if self.min_days > self.window_days:
            raise ValueError(f"min_days ({self.min_days}) is more than window_days ({self.window_days})")
        return self


class Retrain(Section):
    """When a challenger is asked for."""

    on_drift: bool = True
    on_decay: bool = True
    max_age_days: int | None = Field(default=28, ge=1)
    min_new_days: int | None = Field(default=None, ge=1)
    cooldown_days: int = Field(default=7, ge=0)
    max_retrains_per_week: int = Field(default=2, ge=1)
    refit: Literal["never", "after_gate"] = "never"
    refit_max_difference: float = Field(default=0.05, gt=0)


class Rollback(Section):
    """When the version that served before comes back by itself."""

    automatic: bool = True
    watch_days: int = Field(default=14, ge=1)
    min_days: int = Field(default=5, ge=2)
    confidence: float = Field(default=0.99, gt=0.5, lt=1)

    @model_validator(mode="after")
    def _can_fire(self) -> Rollback:
        if self.min_days > self.watch_days:
            raise ValueError(
                f"min_days ({self.min_days}) is more than watch_days ({self.watch_days}): it could never roll back"
            )
        return self


class Span(Section):
    """The values that a hyper-parameter may take: a range, or a list of choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    integer: bool = False
    choices: tuple[Any, ...] | None = None

    @model_validator(mode="after")
    def _range_or_choices(self) -> Span:
        ranged = self.low is not None and self.high is not None
        if ranged == (self.choices is not None):
            raise ValueError("give either low and high, or choices")
        if self.choices is not None and not self.choices:
            raise ValueError("choices is empty")
        if ranged and not (self.low or 0) < (self.high or 0):
            raise ValueError("low must be less than high")
        if self.log and (self.low is None or self.low <= 0):
            raise ValueError("a logarithmic range needs low > 0")
        return self


class Tune(Section):
    """Search for ``fit.args`` inside the training window, scored by time-ordered cross-validation."""

    enabled: bool = False
    trials: int = Field(default=20, ge=1)
    folds: int = Field(default=3, ge=2)
    minutes: float | None = Field(default=None, gt=0)
    space: dict[Name, Span] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_to_search(self) -> Tune:
        if self.enabled and not self.space:
            raise ValueError("tune is enabled but declares no space; name at least one of fit.args under tune.space")
        return self


MailKind = Literal["drift", "decay", "data_refused", "task_failed", "promoted", "held", "rolled_back", "approval"]
"""What people are told by mail; each kind may have its own recipients."""


class Notify(Section):
    """Who is told what: ``kinds`` names other recipients than ``to`` for a kind, or nobody (an empty list)."""

    to: tuple[Name, ...] = ("ml-team@example.com",)
    approvers: tuple[Name, ...] = ()
    kinds: dict[MailKind, tuple[Name, ...]] = Field(default_factory=dict)

    def recipients(self, kind: MailKind) -> tuple[str, ...]:
        """Give who is told of ``kind``; empty means nobody."""
        if kind in self.kinds:
            return self.kinds[kind]
        return (self.approvers or self.to) if kind == "approval" else self.to


class Settings(Section):
    """All of ``params.yaml``."""

    task: Task
    source: Source
    land: Land = Land()
    types: Types = Types()
    screen: Screen = Screen()
    pull: Pull = Pull()
    split: Split = Split()
    features: Features
    fit: Fit
    gate: Gate = Gate()
    score: Score = Score()
    drift: Drift = Drift()
    performance: Performance = Performance()
    retrain: Retrain = Retrain()
    rollback: Rollback = Rollback()
    tune: Tune = Tune()
    notify: Notify = Notify()

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        used = {*self.features.categorical, *self.features.numeric, *self.features.spline}
        used |= {column for feature in self.features.history for column in feature.by}
        if self.task.target in used:
            raise ValueError(f"features name the target {self.task.target!r}: a label can never be a feature")
        if self.gate.min_days > self.split.holdout_days:
            raise ValueError(
                f"gate.min_days ({self.gate.min_days}) is more than split.holdout_days ({self.split.holdout_days}): "
                "every challenger would be held"
            )
        if self.pull.min_days <= self.split.holdout_days:
            raise ValueError(
                f"pull.min_days ({self.pull.min_days}) must be more than split.holdout_days "
                f"({self.split.holdout_days}), or nothing is left to train on"
            )
        if self.pull.days is not None and self.pull.days < self.pull.min_days:
            raise ValueError(f"pull.days ({self.pull.days}) is less than pull.min_days ({self.pull.min_days})")
        named = {rule.metric for rule in self.gate.rules.values() if isinstance(rule, BoundRule | SliceGapRule)}
        unmeasured = sorted(named - set(MEASURED[self.task.kind]))
        if unmeasured:
            raise ValueError(
                f"gate.rules name what a {self.task.kind} task does not measure: "
                f"{', '.join(unmeasured)}; use any of {', '.join(MEASURED[self.task.kind])}"
            )
        if self.task.kind == "regression" and any(isinstance(r, CalibrationRule) for r in self.gate.rules.values()):
            raise ValueError("a rule of kind calibration judges classification only; bound bias instead")
        proper = {"classification": {"log_loss", "brier"}, "regression": {"rmse", "mae"}}[self.task.kind]
        if self.gate.metric not in proper:
            raise ValueError(
                f"gate.metric {self.gate.metric!r} does not judge a {self.task.kind} task; use one of {sorted(proper)}"
            )
        return self

    def today(self, now: datetime) -> date:
        """Give the calendar day of ``now`` (an aware instant) in the task's time zone."""
        return now.astimezone(ZoneInfo(self.task.timezone)).date()

    def newest_due_day(self, now: datetime) -> date:
        """Give the newest day whose ``land.due_hour`` has come in the task's time zone."""
        local = now.astimezone(ZoneInfo(self.task.timezone))
        return local.date() - timedelta(days=0 if local.hour >= self.land.due_hour else 1)


class Environment(BaseModel):
    """Where things are, in paths and URLs; none of it changes a result.

    ``development`` lets a model be registered whose code no commit holds, so that nobody can rebuild it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    params: Path
    expectations: Path
    storage: str
    registry: str
    registry_remote: str
    cache: Path
    tracking: str
    development: bool = False

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Environment:
        """Read ``EVERGREEN_*`` and ``MLFLOW_TRACKING_URI``; every default lies under ``var/``."""
        home = Path(environ.get("EVERGREEN_HOME") or PROJECT_ROOT / "var").absolute()
        return cls(
            home=home,
            params=Path(environ.get("EVERGREEN_PARAMS") or PROJECT_ROOT / "params.yaml"),
            expectations=Path(environ.get("EVERGREEN_EXPECTATIONS") or PROJECT_ROOT / "expectations"),
            storage=environ.get("EVERGREEN_STORAGE") or str(home / "storage"),
            registry=environ.get("EVERGREEN_REGISTRY") or str(home / "registry.git"),
            registry_remote=environ.get("EVERGREEN_REGISTRY_REMOTE") or str(home / "registry-remote"),
            cache=Path(environ.get("EVERGREEN_CACHE") or home / "cache"),
            tracking=environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
            development=environ.get("EVERGREEN_DEVELOPMENT", "0") not in {"", "0"},
        )


def load(path: Path | None = None) -> Settings:
    """Read and check ``params.yaml``.

    Parameters
    ----------
    path
        None means the file that ``EVERGREEN_PARAMS`` names, or the project's own.

    Raises
    ------
    SettingsError
        If the file is missing, is not YAML, or holds an unknown key or a value out of range;
        the message names each key and what was expected.
    """
    path = path or Environment.load().params
    return parse(read(path), origin=str(path))


def read(path: Path) -> Any:
    """Read a YAML 1.2 file as it is, unchecked: all of ``params.yaml``, or a part to be laid over it.

    Raises
    ------
    SettingsError
        If the file is missing or is not YAML.
    """
    try:
        return yaml_file.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as err:
        raise SettingsError(f"{path}: no such file; point EVERGREEN_PARAMS at your params.yaml") from err
    except OSError as err:
        raise SettingsError(f"{path}: cannot be read ({err}); point EVERGREEN_PARAMS at your params.yaml") from err
    except ValueError as err:  # UnicodeDecodeError among them
        raise SettingsError(f"{path}: not readable as YAML ({err}); mend the file") from err


def dump(raw: Mapping[str, Any]) -> str:
    """Write settings as a ``params.yaml`` would hold them; `load` reads the same values back."""
    return yaml_file.dump(raw)


def parse(raw: object, *, origin: str = "params.yaml") -> Settings:
    """Check settings that were already read; ``origin`` names them in messages."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as err:
        said = "\n".join([f"{origin} is wrong:", *_lines(err), "correct what is named here and try again"])
        raise SettingsError(said) from err


def _lines(err: ValidationError) -> list[str]:
    lines = []
    for problem in err.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "(as a whole)"
        said = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            said = "unknown key" + _suggestion(problem["loc"])
        lines.append(f"  {where}: {said}")
    return lines


def _suggestion(loc: tuple[int | str, ...]) -> str:
    import difflib

    close = difflib.get_close_matches(str(loc[-1]), _fields_at(loc[:-1]), n=1)
    return f"; did you mean {close[0]!r}?" if close else "; remove it or correct its name"


def _fields_at(loc: tuple[int | str, ...]) -> list[str]:
    """Name the keys that are legal where pydantic's ``loc`` points: numbers and tags lead through lists and unions."""
    sections: list[Any] = [Settings]
    for part in loc:
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        if fields:
            sections = _sections_in(fields[0].annotation)
        elif isinstance(part, str):  # a tag, or the name of an entry, which leads no further
            sections = [section for section in sections if part in _tags(section)] or sections
    return [name for section in sections for name in section.model_fields]


def _sections_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in get_args(annotation) for section in _sections_in(inner)]


def _tags(section: Any) -> tuple[Any, ...]:
    return get_args(section.model_fields["kind"].annotation) if "kind" in section.model_fields else ()
