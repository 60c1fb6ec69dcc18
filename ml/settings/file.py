"""Read ``params.yaml`` into checked settings, or say which keys are wrong and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

from pydantic import ValidationError, model_validator

from ml import names, yaml_file
from ml.errors import SettingsError
from ml.extensions import ExtensionPoint
from ml.settings.classes import refuse_intervals, refuse_streamed, refuse_unsuited
from ml.settings.data import SOURCES, Labels, Land, Screen, Source, SourceSettings, Types
from ml.settings.databases import is_url
from ml.settings.environment import Environment
from ml.settings.gate import METRICS, RULES, Gate, Measure, RuleSettings
from ml.settings.operation import Drift, Performance, Retrain, Rollback, Score
from ml.settings.running import Engine, Notify, Schedule, refuse_early_deadline
from ml.settings.section import Section
from ml.settings.serving import Serving
from ml.settings.task import Task
from ml.settings.training import Features, Fit, Pull, Split, Tune


class Settings(Section):
    """All of ``params.yaml``."""

    task: Task
    """What is predicted, for which rows."""
    source: Source
    """Where the data come from."""
    land: Land = Land()
    """When a day is due, and how much history is landed."""
    types: Types = Types()
    """The types of columns, declared."""
    screen: Screen = Screen()
    """What a day may look like beside its recent past."""
    labels: Labels = Labels()
    """When labels are in doubt, so that nothing learns from them."""
    pull: Pull = Pull()
    """Which labelled days are trained and judged on."""
    split: Split = Split()
    """Which of them are the holdout."""
    features: Features
    """What a model sees."""
    fit: Fit
    """The estimator."""
    gate: Gate = Gate()
    """What a challenger must show before it serves."""
    score: Score = Score()
    """How a day is scored."""
    drift: Drift = Drift()
    """When inputs count as moved."""
    performance: Performance = Performance()
    """When live performance counts as decayed."""
    retrain: Retrain = Retrain()
    """When a challenger is requested."""
    rollback: Rollback = Rollback()
    """When the version that served before comes back."""
    tune: Tune = Tune()
    """The search for hyper-parameters."""
    notify: Notify = Notify()
    """Who is notified of what."""
    schedule: Schedule = Schedule()
    """When and how the work is run; none of it changes a result."""
    engine: Engine = Engine()
    """Where the parts of a large day are worked on; none of it changes a result."""
    serving: Serving = Serving()
    """How predictions on request are answered."""

    def code_paths(self) -> list[str]:
        """Return the import paths of all code that the settings name, Evergreen's and others'."""
        return [*self.fit.code_paths(), *([self.features.python.function] if self.features.python else [])]

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        used = {*self.features.categories, *self.features.numbers, *self.features.spline}
        used |= {column for feature in self.features.history for column in feature.by}
        if self.fit.sample_weight and self.fit.sample_weight.column in {self.task.target, "day"}:
            raise ValueError(
                f"fit.sample_weight.column cannot be {self.fit.sample_weight.column!r}; name another column"
            )
        if self.task.target in used:
            raise ValueError(f"features name the target {self.task.target!r}: a label can never be a feature")
        refuse_unsuited(self.task, self.features, self.score)
        refuse_early_deadline(self.score.due_by, self.land.due_hour, self.schedule)
        refuse_intervals(self.task, self.fit.intervals, self.split)
        refuse_streamed(self.features, self.fit)
        recent = self.screen.recent_days // self.land.every_days
        if self.land.every_days > 1 and recent < self.screen.min_recent_days:
            longer = self.land.calendar_days(self.screen.min_recent_days + 1)
            raise ValueError(
                f"screen.recent_days ({self.screen.recent_days}) hold {recent} days with data where land.every_days is "
                f"{self.land.every_days}: no day would be compared with the past; set it to {longer} or more"
            )
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
        for name, rule in self.gate.rules.items():
            if self.task.kind not in rule.task_kinds:
                raise ValueError(
                    f"gate.rules.{name}: a rule of kind {rule.kind} judges {' and '.join(rule.task_kinds)} only, and "
                    f"the task is a {self.task.kind}; remove it"
                )
        named = {metric for rule in self.gate.rules.values() for metric in rule.metrics()}
        measured = self._metrics()
        unmeasured = sorted(named - set(measured))
        if unmeasured:
            for name in unmeasured:
                if name in METRICS.installed():
                    METRICS.of_settings(name)  # which says what is broken
            raise ValueError(
                f"gate.rules name what a {self.task.kind} task does not measure: "
                f"{', '.join(unmeasured)}; use any of {', '.join(measured)}"
            )
        proper = {name for name, metric in measured.items() if metric.is_loss}
        if self.gate.metric not in proper:
            pinball = self.task.quantile is None and self.gate.metric.startswith("pinball_")
            what = (
                f"the quantile {self.task.quantile:g}" if self.task.quantile is not None else f"a {self.task.kind} task"
            )
            more = "; a pinball loss judges a quantile: declare it as task.quantile" if pinball else ""
            raise ValueError(
                f"gate.metric {self.gate.metric!r} does not judge {what}; use one of {sorted(proper)}{more}"
            )
        return self

    def _metrics(self) -> dict[str, Measure]:
        """Return the metrics that what is predicted is measured by, by name."""
        measured = {metric.name: metric for metric in METRICS.usable() if self.task.kind in metric.kinds}
        if self.task.quantile is None:
            return measured
        own = [METRICS.of_settings(name) for name in (names.pinball_name(self.task.quantile), names.SHARE_BELOW)]
        further = {name: metric for name, metric in measured.items() if name in METRICS.installed()}
        return {metric.name: metric for metric in own} | further

    def connections(self) -> tuple[str, ...]:
        """Return the names of the databases whose URLs are looked for in the environment."""
        databases = [*self.source.connections(), *([self.score.sink.database] if self.score.sink else [])]
        return tuple(dict.fromkeys(name for name in databases if not is_url(name)))

    def today(self, now: datetime) -> date:
        """Return the calendar day of ``now`` (an aware instant) in the task's time zone."""
        return now.astimezone(ZoneInfo(self.task.timezone)).date()

    def newest_due_day(self, now: datetime) -> date:
        """Return the newest day whose ``land.due_hour`` has come in the task's time zone."""
        local = now.astimezone(ZoneInfo(self.task.timezone))
        return local.date() - timedelta(days=0 if local.hour >= self.land.due_hour else 1)


def load(path: Path | None = None) -> Settings:
    """Read and check ``params.yaml``.

    Parameters
    ----------
    path
        None means the file of the model that the environment names, with the overlay of ``EVERGREEN_ENV``.

    Raises
    ------
    SettingsError
        If the file is missing, is not YAML, or holds an unknown key or a value out of range;
        the message names each key and what was expected.
    """
    return load_model(Environment.load()) if path is None else parse(read(path), origin=str(path))


def load_model(environment: Environment) -> Settings:
    """Read and check the settings of the model that an environment belongs to, with its overlay.

    Raises
    ------
    SettingsError
        As `load` does, and if the settings name another model than the folder that they are in.
    """
    raw, origin = resolve(environment)
    settings = parse(raw, origin=origin)
    if settings.task.name != environment.model:
        raise SettingsError(
            f"{origin}: task.name is {settings.task.name!r}, and the model is called {environment.model!r}; "
            "let task.name be the name of the folder"
        )
    return settings


def overlay_path(environment: Environment) -> Path | None:
    """Return the file that is laid over the settings; None in an environment without a name."""
    params = environment.params
    return params.with_name(f"{params.stem}.{environment.stage}{params.suffix}") if environment.stage else None


def resolve(environment: Environment) -> tuple[Any, str]:
    """Read the settings of a model, unchecked, with the overlay of its environment; and which files they are from.

    See `overlaid`. An environment that changes nothing has an overlay of no keys: a file that is not there is an
    error, since a misspelt ``EVERGREEN_ENV`` must not run with the settings of another environment.

    Raises
    ------
    SettingsError
        If a file is missing or is not YAML.
    """
    raw, path = read(environment.params), overlay_path(environment)
    if path is None:
        return raw, str(environment.params)
    if not path.exists():
        raise SettingsError(
            f"{path}: no such file, and EVERGREEN_ENV is {environment.stage!r}; write it (it may be empty), "
            "or correct EVERGREEN_ENV"
        )
    overlay = read(path) or {}
    for content, file in ((raw, environment.params), (overlay, path)):
        if not isinstance(content, Mapping):
            raise SettingsError(f"{file}: holds no sections; write keys such as gate: and below it min_days: 7")
    return overlaid(raw, overlay), f"{environment.params} with {path.name}"


def overlaid(base: Mapping[str, Any], fragment: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``fragment`` over ``base``, section by section; a list or a rule of the gate is replaced whole."""
    merged = deepcopy(dict(base))
    for key, value in fragment.items():
        below = merged.get(key)
        other_kind = isinstance(value, Mapping) and "kind" in value
        deeper = isinstance(value, Mapping) and isinstance(below, Mapping) and not other_kind
        merged[key] = overlaid(below, value) if deeper else deepcopy(value)  # type: ignore[arg-type]
    return merged


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
        raise SettingsError(f"{path}: not readable as YAML ({err}); fix the file") from err


def dump(raw: Mapping[str, Any]) -> str:
    """Write settings as a ``params.yaml`` would hold them; `load` reads the same values back."""
    return yaml_file.dump(raw)


def parse(raw: object, *, origin: str = "params.yaml") -> Settings:
    """Check settings that were already read; ``origin`` names them in messages."""
    try:
        return Settings.model_validate(raw)
    except ValidationError as err:
        message = "\n".join([f"{origin} is wrong:", *_lines(err), "correct what is named here and try again"])
        raise SettingsError(message) from err


def _lines(err: ValidationError) -> list[str]:
    lines = []
    for problem in err.errors(include_url=False):
        where = ".".join(str(part) for part in problem["loc"]) or "(as a whole)"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = "unknown key" + _suggestion(problem["loc"])
        lines.append(f"  {where}: {message}")
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
        elif isinstance(part, str):  # a kind, or the name of an entry, which leads no further
            sections = [_of_that_kind(section, part) for section in sections]
    return [name for section in sections for name in section.model_fields]


def _sections_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for inner in get_args(annotation) for section in _sections_in(inner)]


def _of_that_kind(section: Any, kind: str) -> Any:
    points: dict[Any, ExtensionPoint[Any]] = {RuleSettings: RULES, SourceSettings: SOURCES}
    point = points.get(section)
    return point.load(kind) if point is not None and kind in point.names() else section
