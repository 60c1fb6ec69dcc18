"""Check the settings of what is predicted."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from ml import names
from ml.settings.section import Name, Section, Share

Label = bool | int | float | str


class Task(Section):
    """What is predicted, for which rows."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """The name of the model, of its registered model and of its data. Of a model in ``models/`` it is the name
    of the folder.
    """
    kind: Literal["classification", "multiclass", "regression"]
    """What is predicted: one of two classes (``classification``), of three or more (``multiclass``), or a number."""
    target: Name
    """The column of labels that is predicted."""
    positive: Label | None = None
    """The label that counts as 1, such as ``"yes"``, ``2`` or ``true``; null if labels are 0 and 1."""
    negative: Label | None = None
    """The other label beside ``positive``; null for whatever single other label there is."""
    classes: tuple[Label, ...] = ()
    """The labels of ``multiclass``, text or whole numbers, at least three: such as ``[low, middle, high]``. Their order
    is that of the columns of predictions, and decides between equal probabilities. Any other label is rejected.
    """
    key: tuple[Name, ...] = Field(min_length=1)
    """The columns that identify a row, of inputs and of labels; ``day`` is one of them."""
    label_delay_days: int = Field(ge=0, le=366)
    """After how many days labels arrive: those of day D come with the data of the day D plus so many."""
    timezone: str = "UTC"
    """The time zone (IANA) in which a day begins and ends."""
    quantile: float | None = Field(default=None, gt=0, lt=1)
    """The quantile of the target that is predicted, such as 0.9, of ``regression`` only; null for its mean. The
    estimator has to predict that quantile too, and ``gate.metric`` is its pinball loss, ``pinball_0.9``.
    """
    threshold: Share = 0.5
    """The score from which a row is decided to be positive; of ``classification`` only."""

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
        if self.positive is not None and self.kind == "multiclass":
            raise ValueError("positive is the one of two classes that counts as 1: of multiclass give classes instead")
        if self.negative is not None and (self.positive is None or self.negative == self.positive):
            raise ValueError("negative is the other label beside positive: give both, and not the same")
        return self

    @model_validator(mode="after")
    def _quantile_of_numbers(self) -> Task:
        if self.quantile is not None and self.kind != "regression":
            raise ValueError(f"quantile is of numbers, and the kind is {self.kind}; remove it")
        if self.quantile is not None and float(f"{self.quantile:g}") != self.quantile:
            raise ValueError(f"quantile {self.quantile!r} has more than six digits; its metric could not be named")
        return self

    @model_validator(mode="after")
    def _declared_classes(self) -> Task:
        if self.kind != "multiclass":
            if self.classes:
                raise ValueError(f"classes belong to kind: multiclass, and the kind is {self.kind}; remove them")
            return self
        if len(self.classes) < 3:
            raise ValueError(
                "multiclass needs its classes, at least three, such as classes: [low, middle, high]; two are kind: "
                "classification, with the one that counts as 1 under positive"
            )
        odd = [label for label in self.classes if isinstance(label, bool | float) or not str(label).strip()]
        if odd:
            raise ValueError(f"classes are text or whole numbers, and {', '.join(map(repr, odd))} is neither")
        written = [str(label).casefold() for label in self.classes]
        alike = [str(label) for label, name in zip(self.classes, written, strict=True) if written.count(name) > 1]
        if alike:
            raise ValueError(f"classes that are written alike, {', '.join(alike)}: each gives a column of predictions")
        if len({isinstance(label, str) for label in self.classes}) > 1:
            raise ValueError("classes are all text or all whole numbers: labels are one column, of one type")
        if self.threshold != 0.5:
            raise ValueError("threshold is of two classes: of multiclass the most probable class is decided; remove it")
        return self

    @model_validator(mode="after")
    def _names_of_its_own(self) -> Task:
        published = {names.probability_name(label) for label in self.classes}
        for what, mine, ours in (
            ("key", self.key, names.BESIDE_KEY | published),
            ("target", (self.target,), names.BESIDE_TARGET | published),
        ):
            folded = {name.casefold() for name in ours}
            conflicts = sorted({name for name in mine if name.casefold() in folded}) + names.taken(mine, ())
            if conflicts:
                raise ValueError(
                    f"{what} names {', '.join(conflicts)}: Evergreen's own columns are called so; rename the column in "
                    "the source"
                )
        return self
