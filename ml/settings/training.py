"""Check the settings of what a model is trained on, of its features, its estimator and the search for arguments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ml import names
from ml.own_code import PINNED
from ml.settings.section import Name, Section


class Pull(Section):
    """Which labelled days are trained and judged on."""

    data_version: str | None = None
    """The data version (a commit of the data registry) to train on; null for the newest."""
    last_day: date | None = None
    """The last day to train and judge on; null for the newest labelled day."""
    days: int | None = Field(default=None, ge=2)
    """How many days are trained and judged on, the holdout included; null for all since the first labelled day."""
    min_days: int = Field(default=35, ge=2)
    """With fewer labelled days than this, no model is trained."""


class Split(Section):
    """How many of the newest labelled days nobody is trained on."""

    holdout_days: int = Field(default=14, ge=1)
    """How many of the newest labelled days are the holdout: models are judged on them and never fitted on them."""


class HistoryFeature(Section):
    """The mean target of earlier days, for each group of rows: a lagged target mean."""

    by: tuple[Name, ...] = ()
    """The columns whose values form the groups; an empty list for one group of all rows."""
    days: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=1)
    """Over how many earlier days the mean is taken; each number gives one feature."""
    of: str | int | None = None
    """The class whose share of the rows is taken, of ``task.kind: multiclass`` only: a class has no mean."""
    prior_rows: float = Field(default=50.0, ge=0)
    """How many rows of the overall mean are mixed into the mean of a group, so that a group of few rows is not extreme.
    """


class PythonFeature(Section):
    """Features that a function of your own computes for a day, from its inputs and earlier days' outcomes."""

    function: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$")]
    """The function, as ``module:function``: a module beside ``params.yaml`` or of an installed package."""
    numeric: tuple[Name, ...] = ()
    """The columns of numbers that it returns."""
    categorical: tuple[Name, ...] = ()
    """The columns of categories that it returns."""
    days: int = Field(default=28, ge=1)
    """How many days of labelled rows it is given: the newest whose labels are due on the day that is scored."""

    @model_validator(mode="after")
    def _some_once(self) -> PythonFeature:
        columns = [*self.numeric, *self.categorical]
        if not columns:
            raise ValueError("say which columns the function returns: numeric, categorical, or both")
        if len(set(columns)) < len(columns):
            raise ValueError("a column is named twice")
        return self


class Features(Section):
    """Which columns of ``inputs`` a model sees, and as what."""

    categorical: tuple[Name, ...] = ()
    """The columns of inputs that are categories."""
    numeric: tuple[Name, ...] = ()
    """The columns of inputs that are numbers."""
    spline: tuple[Name, ...] = ()
    """The columns of inputs that are numbers and enter as a smooth curve (a spline)."""
    history: tuple[HistoryFeature, ...] = ()
    """The lagged target means that become features."""
    python: PythonFeature | None = None
    """Features that a function of your own computes, point in time."""
    min_category_rows: int = Field(default=50, ge=1)
    """With ``fit.encoding: onehot``, categories with fewer rows share one code with those never seen."""

    @property
    def categories(self) -> tuple[str, ...]:
        """Name all plain categories, those of ``python`` last."""
        return (*self.categorical, *(self.python.categorical if self.python else ()))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Name all plain numbers, those of ``python`` last."""
        return (*self.numeric, *(self.python.numeric if self.python else ()))

    @property
    def looking_back(self) -> tuple[HistoryFeature, ...]:
        """Return the history features, and one that reaches back as far as ``python`` does."""
        return (*self.history, *([HistoryFeature(days=(self.python.days,))] if self.python else []))

    @model_validator(mode="after")
    def _any_and_once(self) -> Features:
        columns = [*self.categories, *self.numbers, *self.spline]
        twice = sorted({c for c in columns if columns.count(c) > 1})
        if twice:
            raise ValueError(f"named in two kinds of feature: {', '.join(twice)}")
        lagged_means = [(feature.by, days, feature.of) for feature in self.history for days in feature.days]
        again = sorted(
            {
                f"{'_'.join(by) or 'all'} over {days} days"
                for by, days, of in lagged_means
                if lagged_means.count((by, days, of)) > 1
            }
        )
        if again:
            raise ValueError(f"history features declared twice: {', '.join(again)}; keep one of each")
        if not columns and not self.history:
            raise ValueError("no feature is declared: a model needs at least one")
        added = [names.history_name(*lagged_mean) for lagged_mean in lagged_means]
        alike = sorted({name for name in added if added.count(name) > 1})
        if alike:
            raise ValueError(f"two history features would be called {', '.join(alike)}; rename a column that one is by")
        conflicts = names.taken([*columns, *(column for by, *_ in lagged_means for column in by)], added)
        if conflicts:
            raise ValueError(
                f"named like a column of Evergreen's own: {', '.join(conflicts)}; rename the column in the source"
            )
        return self


NEVER_TRUSTED = frozenset((
    "builtins", "code", "codeop", "ctypes", "ftplib", "importlib", "io", "joblib", "marshal", "multiprocessing",
    "nt", "operator", "os", "pathlib", "pickle", "platform", "posix", "pty", "runpy", "shelve", "shutil",
    "socket", "subprocess", "sys", "tempfile", "types", "urllib", "webbrowser",
))  # fmt: skip
"""Modules of which a model file could make commands; see ``fit.trusted_types``."""


class SampleWeight(Section):
    """How much each training row counts in the fit: by a column, by its age, or by both multiplied."""

    column: Name | None = None
    """The column of inputs that holds the weights, positive numbers; null for none."""
    half_life_days: float | None = Field(default=None, gt=0)
    """After so many days a row counts half as much as one of the newest training day; null for no ageing."""

    @model_validator(mode="after")
    def _by_something(self) -> SampleWeight:
        if self.column is None and self.half_life_days is None:
            raise ValueError("say by what: column, half_life_days, or both")
        return self


class Intervals(Section):
    """Prediction intervals of a regression by split conformal prediction, from the model's errors on its holdout."""

    coverage: float = Field(default=0.9, gt=0, lt=1)
    """In what share of rows the outcome is to be inside of the interval."""
    unit: Literal["rows", "days"] = "rows"
    """What is taken to be exchangeable. ``rows``: each row of the holdout counts alike. ``days``: each day does, and
    the coverage holds for a row of a new day even where the rows of a day share its luck; intervals are wider, and a
    coverage of 0.9 needs at least 9 days.
    """

    def fewest(self) -> int:
        """Return with how many rows, or days, of the holdout this coverage can be had at all."""
        coverage = Fraction(repr(self.coverage))
        return ceil(coverage / (1 - coverage))


class Stream(Section):
    """Fit from files, some rows after the others: memory does not hold the training window."""

    sample_rows: int = Field(default=500_000, ge=1000)
    """So many rows of the training part, and as many of the holdout, stand for all of them wherever it is not the fit:
    categories and medians are learned from them, models judged, limits simulated. Their keys choose them; with fewer
    rows it is all of them.
    """
    passes: int = Field(default=1, ge=1)
    """How often an estimator that learns step by step (``partial_fit``) sees each row; trees are not concerned."""
    workers: int = Field(default=1, ge=1, le=1000)
    """Among so many workers the rows of a fit by XGBoost are divided, each with ``fit.threads`` threads: on the cluster
    with ``engine.kind: cluster``, in the process of the task without. The number changes the last digits of a model;
    where the workers are does not.
    """


class Fit(Section):
    """The estimator by import path, its hyper-parameters, and the one seed."""

    estimator: Name
    """The import path of the estimator, such as ``sklearn.linear_model.LogisticRegression``."""
    args: dict[str, Any] = Field(default_factory=dict)
    """The hyper-parameters that the estimator is made with."""
    encoding: Literal["onehot", "ordinal"] = "onehot"
    """How categories become numbers: a column for each (``onehot``), or one number for each (``ordinal``, for trees).
    """
    seed: int = Field(default=20130101, ge=0, le=2**32 - 1)
    """The one seed of all randomness in training."""
    threads: int = Field(default=1, ge=1)
    """How many threads fit the model."""
    sample_weight: SampleWeight | None = None
    """How much each row counts in the fit, by a column or by its age; metrics and the gate count every row alike."""
    intervals: Intervals | None = None
    """Prediction intervals beside each prediction, of ``regression`` only; null for none. Another coverage is no other
    recipe: it counts from the next training on.
    """
    stream: Stream | None = None
    """Fit from files, with XGBoost, LightGBM or an estimator with ``partial_fit``; null to hold the window in memory.
    """
    trusted_types: tuple[Annotated[str, Field(pattern=PINNED)], ...] = ()
    """The types that a model file may hold beside those of scikit-learn, each by its full path. Whoever names one
    trusts it to run in every process that loads a model; ``acme.Blend@3f2a9c1d0b7e`` only while its code is that.
    """

    @field_validator("trusted_types")
    @classmethod
    def _reach_no_system(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        reaching = sorted(name for name in value if name.split(".")[0] in NEVER_TRUSTED)
        if reaching:
            raise ValueError(f"{', '.join(reaching)} would let a model file run commands: no such type can be trusted")
        return value

    def code_paths(self) -> list[str]:
        """Return the import paths of the classes that a model is made of and of the types that are trusted."""
        paths, pending = [self.estimator], list[Any]([self.args])
        while pending:
            value = pending.pop()
            if isinstance(value, Mapping):
                paths += [value["estimator"]] if isinstance(value.get("estimator"), str) else []
                pending += value.values()
            elif isinstance(value, list | tuple):
                pending += value
        return [*paths, *(entry.partition("@")[0] for entry in self.trusted_types)]


class Span(Section):
    """The values that a hyper-parameter may take: a range, or a list of choices."""

    low: float | None = None
    """The smallest value of a range."""
    high: float | None = None
    """The largest value of a range."""
    log: bool = False
    """Whether values are drawn on a logarithmic scale."""
    integer: bool = False
    """Whether only whole numbers are drawn."""
    choices: tuple[Any, ...] | None = None
    """The values to choose from, in place of a range."""

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
    """Whether hyper-parameters are searched before the model is fitted."""
    trials: int = Field(default=20, ge=1)
    """How many sets of hyper-parameters are tried."""
    folds: int = Field(default=3, ge=2)
    """How many folds the cross-validation has; each is validated on days after those it is fitted on."""
    minutes: float | None = Field(default=None, gt=0)
    """After so many minutes no further trial begins; null for no limit."""
    space: dict[Name, Span] = Field(default_factory=dict)
    """The values that each hyper-parameter of ``fit.args`` may take, by its name."""

    @model_validator(mode="after")
    def _something_to_search(self) -> Tune:
        if self.enabled and not self.space:
            raise ValueError("tune is enabled but declares no space; name at least one of fit.args under tune.space")
        return self
