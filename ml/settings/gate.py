"""Check the settings of the gate: its metric, and rules of kinds that other packages may add."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, NamedTuple, Protocol

from pydantic import Field, PlainValidator, SerializeAsAny, field_validator

from ml.extensions import ExtensionPoint
from ml.settings.section import Name, Section, of_kind


class Cut(NamedTuple):
    """How a rule of the gate wants the holdout cut: which slices are large enough, and on which days.

    ``new_to_both`` leaves out the days that the champion was trained on.
    """

    by: tuple[str, ...]
    min_rows: int
    min_days: int = 1
    new_to_both: bool = False


class RuleSettings(Section):
    """A rule of the gate as ``params.yaml`` declares it; each kind has a class of its own, see `ml.core.gate.rule`.

    ``task_kinds`` are the kinds of task that it can judge. ``compares`` says that it compares with the champion,
    ``replayed`` that it can be judged in a backtest too. ``advice`` tells people what to do where it did not pass.
    """

    kind: str
    """Which kind of rule it is; the further settings depend on it."""
    task_kinds: ClassVar[tuple[str, ...]] = ("classification", "multiclass", "regression")
    compares: ClassVar[bool] = False
    replayed: ClassVar[bool] = True
    advice: ClassVar[str] = ""

    def metrics(self) -> tuple[str, ...]:
        """Return the names of the metrics that it reads."""
        return ()

    def cut(self) -> Cut | None:
        """Return how the holdout is to be cut for it; None if it needs no slices."""
        return None


class Measure(Protocol):
    """What settings need to know of a metric; see `ml.core.metric.Metric`."""

    @property
    def name(self) -> str: ...
    @property
    def kinds(self) -> tuple[str, ...]: ...
    @property
    def is_loss(self) -> bool: ...


METRICS: ExtensionPoint[Measure] = ExtensionPoint(
    "evergreen.metrics",
    "metric",
    "ml.core.built_in_metrics:BUILT_IN",
    "ml.core.metric:Metric",
    "ml.core.built_in_metrics:of_name",
)


RULES: ExtensionPoint[type[RuleSettings]] = ExtensionPoint(
    "evergreen.rules", "kind of gate rule", "ml.core.gate.rules:BUILT_IN", "ml.core.gate.rule:GateRule"
)


def _rule(value: object) -> RuleSettings:
    return of_kind(RULES, RuleSettings, value)


Rule = SerializeAsAny[Annotated[RuleSettings, PlainValidator(_rule)]]


class Gate(Section):
    """What a challenger must show before it may serve: rules by name, all of them always evaluated."""

    metric: str = "log_loss"
    """The metric by which models are compared: one whose table below says that ``gate.metric`` can be it."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """The confidence level of all intervals and tests of the gate."""
    bootstrap_rounds: int = Field(default=4000, ge=200)
    """How many resamples of whole days the intervals are computed from."""
    min_days: int = Field(default=7, ge=2)
    """With fewer days that are new to both models, champion and challenger are not compared, and the challenger is
    held.
    """
    min_rows: int = Field(default=1000, ge=1)
    """With fewer rows that are new to both models, champion and challenger are not compared, and the challenger is
    held.
    """
    refresh: Literal["expected_loss", "not_worse"] = "expected_loss"
    """How a refresh (the champion's recipe on newer data) is decided on, where a rule of kind champion has
    ``refresh_max_loss``. ``expected_loss``: what refreshes of this recipe gained in its own past is updated by the
    holdout, and it is held if serving it would probably cost more than keeping the champion. ``not_worse``: it must
    show on the holdout that it loses no more than that, beyond noise.
    """
    anchor: int | None = Field(default=None, ge=1)
    """The version that all refreshes together may lose ``refresh_max_loss`` to; null for the last one that won by
    superiority. Name another one where that cannot score today's data any more, or is out of date.
    """
    approval: Literal["none", "required", "required_if_champion_exists"] = "none"
    """Whether a person has to approve a promotion: never, always, or only if a champion serves already."""
    approval_hours: float = Field(default=24.0, gt=0, le=168)
    """How many hours a person has to answer; no answer by then means no."""
    rules: dict[Name, Rule] = Field(default_factory=dict)
    """The rules, each by a name of your choice. All are evaluated; one that fails, or lacks evidence, holds the
    challenger.
    """

    @field_validator("metric")
    @classmethod
    def _known_metric(cls, value: str) -> str:
        return METRICS.of_settings(value).name
