"""Check the settings of scoring, of monitoring, and of what follows from it: retraining and rollback."""

from __future__ import annotations

from typing import Literal, Protocol

from pydantic import Field, ValidationInfo, field_validator, model_validator

from ml import names
from ml.extensions import ExtensionPoint
from ml.settings.databases import Database
from ml.settings.section import Name, Section, Share


class Distance(Protocol):
    """What settings need to know of a drift method; see `ml.core.monitoring.drift_method.DriftMethod`."""

    @property
    def name(self) -> str: ...
    @property
    def columns(self) -> tuple[str, ...]: ...


DRIFT_METHODS: ExtensionPoint[Distance] = ExtensionPoint(
    "evergreen.drift_methods",
    "drift method",
    "ml.core.monitoring.drift_methods:BUILT_IN",
    "ml.core.monitoring.drift_method:DriftMethod",
)


class Sink(Section):
    """A table of a SQL database to which predictions are written beside the file that is served."""

    kind: Literal["sql"] = "sql"
    """What it is: a SQL database."""
    database: Database
    """A SQLAlchemy URL without a password, or the name of a connection, as of ``source.database``."""
    table: Name
    """The table, ``schema.name`` or ``name``; it is made if it is not there."""
    keep_versions: bool = False
    """Whether what other versions predicted of a day stays; otherwise a day has the rows of one version only."""
    batch_rows: int = Field(default=10_000, ge=1)
    """How many rows are sent at once, all in one transaction."""


class Score(Section):
    """How a day is read while it is scored, and whether scores follow the newest labels between retrains."""

    batch_rows: int = Field(default=65_536, ge=1)
    """How many rows are scored at once in memory; also a row group of the file of predictions."""
    rows_per_shard: int = Field(default=1_048_576, ge=1)
    """A day of more rows is scored by several tasks; the result is the same to the byte."""
    force_future_model: bool = False
    """Whether a past day may be scored by a model that was trained on days after it."""
    shadow_challenger: bool = False
    """Whether a challenger that was held scores along, for comparison only."""
    adapt: Literal["none", "intercept"] = "none"
    """Whether scores follow the newest labels between retrains: not at all, or by one shift for all rows
    (``intercept``).
    """
    adapt_days: int = Field(default=7, ge=1)
    """The shift follows from the gap that so many of the newest labelled days show."""
    adapt_share: float = Field(default=0.5, gt=0, le=1)
    """By which share of that gap scores are shifted: in logits, or in the target's unit for regression."""
    adapt_max_shift: float = Field(default=0.5, gt=0)
    """The largest shift, in the same unit."""
    sink: Sink | None = None
    """Where predictions are written beside the file; null for nowhere."""
    due_by: str | None = Field(default=None, pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    """The time of day (``HH:MM``, in ``task.timezone``) by which the predictions of the day that is due must be
    published: if they are not, people are alerted, and once more when they come. It lies after ``land.due_hour`` and
    ``schedule.cron``, on the same day. null: nobody is alerted.
    """


class Methods(Section):
    """The distance by which each type of column is compared; always named, never left to a library's default.

    Further packages may add methods (`ml.core.monitoring.drift_method`). Evidently's energy distance is in the root of
    the column's own unit: no one floor fits two columns, and it is not offered.
    """

    numeric: str = "wasserstein"
    """The drift method for columns of numbers. ``wasserstein`` counts in standard deviations; ``jensenshannon`` cuts
    numbers into bins of equal width, so that a single outlier hides a change.
    """
    categorical: str = "jensenshannon"
    """The drift method for columns of categories."""

    @field_validator("numeric", "categorical")
    @classmethod
    def _compares_them(cls, value: str, field: ValidationInfo) -> str:
        kind = str(field.field_name)
        if kind not in DRIFT_METHODS.of_settings(value).columns:
            names = ", ".join(method.name for method in DRIFT_METHODS.usable() if kind in method.columns)
            raise ValueError(f"the drift method {value!r} does not compare {kind} columns; use one of {names}")
        return value


class Drift(Section):
    """When the inputs count as moved.

    The limit of a column follows from how much it varies inside the champion's own reference window.
    """

    rows_from: Literal["batch", "requests"] = "batch"
    """Which rows are compared with the reference window: the inputs of the data registry, or those that were predicted
    over HTTP, from the request log. Of these, the newest day that counts is the one before the day that is monitored,
    which is not over yet.
    """
    window_days: int = Field(default=7, ge=1)
    """How many of the newest days are compared with the reference window."""
    min_rows: int | None = Field(default=None, ge=1)
    """A window of fewer rows is not measured; null for half of what a window of the champion's own reference holds, but
    30 to 500.
    """
    reference_rows: int = Field(default=50_000, ge=100)
    """How many rows of each side are compared at most, drawn as whole days."""
    methods: Methods = Methods()
    """The distance by which each type of column is compared."""
    false_alarms_per_quarter: float = Field(default=1.0, gt=0, le=6)
    """How many alarms all structural columns together, and labels where they alarm, may raise in 91 days without any
    change; the limit of each column follows from it.
    """
    min_distance: float = Field(default=0.1, gt=0)
    """The smallest limit that a column may have."""
    min_prediction_distance: float = Field(default=0.5, gt=0)
    """The smallest limit that the predictions may have."""
    alarm_days: tuple[int, int] = (2, 3)
    """When findings become an alarm: ``[k, n]`` for findings on k of the newest n days, the newest among them."""
    min_category_share: float = Field(default=0.02, gt=0, lt=1)
    """A category that comes or goes with such a share of the rows is reported at once."""
    min_null_jump: float = Field(default=0.2, gt=0, le=1)
    """A share of nulls that rises by so much is reported at once."""
    structural: tuple[Name, ...] = ()
    """The columns whose drift may raise an alarm and ask for a challenger."""
    environment: tuple[Name, ...] = ()
    """The columns whose drift only warns, such as the weather, unless the champion depends on one that moves far."""
    min_drifted_columns: int = Field(default=1, ge=1)
    """How many structural columns must have moved for an alarm."""
    labels: Literal["warning", "alarm"] = "alarm"
    """What labels do that moved beyond their limit, on days that the champion was not trained on: only warn, or alarm.
    """

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
        conflicts = sorted({*columns} & names.MONITORED) + names.taken(columns, ())
        if conflicts:
            raise ValueError(
                f"named like what monitoring watches by itself: {', '.join(conflicts)}; rename the column in the "
                "source, or leave it out"
            )
        return self


class Performance(Section):
    """When live performance counts as decayed: it is worse than the gate expected, beyond noise."""

    window_days: int = Field(default=14, ge=2)
    """Over how many of the newest labelled days live performance is measured."""
    min_days: int = Field(default=7, ge=2)
    """With fewer labelled days, decay is not judged."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """The confidence level of the intervals. For an alarm of decay it is that of a year's daily looks together: what is
    beyond the interval of its days alone is a warning, and asks for a challenger.
    """
    max_gap: float = Field(default=0.07, gt=0)
    """How far the mean prediction may be from the observed rate, or from the mean for regression. It is exceeded only
    if the whole interval is beyond it.
    """
    max_lost_skill: float = Field(default=0.01, ge=0)
    """How much of the expected gain over the base rate, in ``gate.metric``, may be lost. It is exceeded only if the
    whole interval is beyond it.
    """
    max_lost_coverage: Share = 0.02
    """How much smaller the share of outcomes inside of their prediction intervals may be than
    ``fit.intervals.coverage``. It is exceeded only if the whole interval is beyond it; the alarm asks people, and not
    for a challenger.
    """
    slices: Literal["off", "warning", "alarm"] = "warning"
    """What follows where outcomes leave the predictions in a part of the data, by the slices of the gate: nothing,
    since nobody looks; a warning; or an alarm, which asks people, and not for a challenger.
    """
    slice_false_alarms_per_quarter: float = Field(default=1.0, gt=0, le=6)
    """How many such changes may be called in 91 days without any change, of all parts together."""
    shifts: Literal["off", "warning", "alarm"] = "warning"
    """What follows where outcomes as a whole leave the predictions, by their level or by how they follow them within a
    day: nothing, since nobody looks; a warning; or an alarm, which asks people, and not for a challenger.
    """
    shift_false_alarms_per_quarter: float = Field(default=1.0, gt=0, le=6)
    """How many such shifts may be called in 91 days without any change."""
    min_label_coverage: Share = 0.8
    """If a smaller share of the rows predicted on labelled days has labels, there is an alarm."""
    max_rows: int = Field(default=1_000_000, ge=1)
    """Of a window with more labels about so many rows are measured, chosen by their keys."""

    @model_validator(mode="after")
    def _can_fire(self) -> Performance:
        if self.min_days > self.window_days:
            raise ValueError(f"min_days ({self.min_days}) is more than window_days ({self.window_days})")
        return self


class ShadowRefit(Section):
    """How it is found out whether a refit would gain: the champion's recipe is fitted again, and scores in shadow."""

    every_days: int | None = Field(default=7, ge=1)
    """How often the champion's recipe is fitted again in shadow, on what is labelled by then, and scored beside the
    champion on each day that is labelled later; null for never.
    """
    max_rows: int = Field(default=200_000, ge=100)
    """Such a fit takes no more rows, drawn from all its days alike."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1)
    """The confidence level of the gain's interval, which holds at all daily looks together."""
    min_days: int = Field(default=5, ge=2)
    """With fewer days scored in shadow, nobody waits for a refit to gain."""
    max_wait_days: int = Field(default=0, ge=0)
    """For so many days at most a challenger that drift, decay or age ask for waits where no refit would have gained; 0:
    nobody waits.
    """


class Retrain(Section):
    """When a challenger is requested."""

    on_drift: bool = True
    """Whether drift asks for a challenger."""
    on_decay: bool = True
    """Whether decay of live performance asks for a challenger."""
    on_gain: bool = False
    """Whether a challenger is requested once a refit in shadow does better than the champion, beyond noise."""
    on_past_gain: bool = False
    """Whether a challenger is requested as soon as newer data are expected to gain what counts, by what refreshes of
    the recipe gained in its own past. Without a past of three refreshes nothing is expected.
    """
    shadow_refit: ShadowRefit = ShadowRefit()
    """Whether a refit would help is measured before drift, decay or age have one trained."""
    cost: float | None = Field(default=None, gt=0)
    """What a training costs, in money or any unit. With ``loss_value``: what refits would have saved since the champion
    serves counts as a gain once it is more, for ``on_gain`` and ``shadow_refit.max_wait_days``.
    """
    loss_value: float | None = Field(default=None, gt=0)
    """What it is worth, in the unit of ``cost``, if the loss of a single prediction is lower by 1 (in the mean of its
    rows, so that it is a squared error of ``rmse``).
    """
    max_age_days: int | None = Field(default=28, ge=1)
    """A champion that has served more days asks for a challenger; null for no such limit."""
    min_new_days: int | None = Field(default=None, ge=1)
    """So many newly labelled days ask for a challenger by themselves; null for never."""
    cooldown_days: int = Field(default=7, ge=0)
    """After a challenger was judged, no other is requested during so many days."""
    max_retrains_per_week: int = Field(default=2, ge=1)
    """How many challengers may be requested in seven days."""
    refit: Literal["never", "after_gate"] = "never"
    """Whether a challenger that passed the gate is fitted again on all days, the holdout included, before it serves."""
    refit_max_difference: float = Field(default=0.05, gt=0)
    """The largest mean difference of predictions between the judged model and its refit."""

    @model_validator(mode="after")
    def _can_weigh(self) -> Retrain:
        if (self.cost is None) != (self.loss_value is None):
            raise ValueError(
                "give both cost and loss_value, or neither: a cost is weighed against what a gain is worth"
            )
        if self.cost is not None and self.shadow_refit.every_days is None:
            raise ValueError("cost needs shadow_refit.every_days: without refits in shadow no gain is known to weigh")
        if self.cost is not None and not (self.on_gain or self.shadow_refit.max_wait_days):
            raise ValueError("cost needs on_gain: true, or shadow_refit.max_wait_days: else it decides nothing")
        return self


class Rollback(Section):
    """When the version that served before comes back by itself."""

    automatic: bool = True
    """Whether the version that served before comes back by itself if it does better, beyond noise."""
    watch_days: int = Field(default=14, ge=1)
    """For so many days after a promotion the version before scores along and is compared."""
    min_days: int = Field(default=5, ge=2)
    """With fewer labelled days to compare, nothing is rolled back."""
    confidence: float = Field(default=0.99, gt=0.5, lt=1)
    """The confidence level at which the version before must do better."""

    @model_validator(mode="after")
    def _can_fire(self) -> Rollback:
        if self.min_days > self.watch_days:
            raise ValueError(
                f"min_days ({self.min_days}) is more than watch_days ({self.watch_days}): it could never roll back"
            )
        return self
