"""Say what is predicted: which kind of task a target makes, what counts as 1, and when it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

from ml.core.adoption.columns import number_problem
from ml.core.adoption.texts import read_text
from ml.errors import SettingsError
from ml.settings import Label

Kind = Literal["classification", "multiclass", "regression"]
POSITIVE_WORDS = {
    "yes", "y", "true", "t", "1", "positive", "pos", "up", "bad", "late", "fraud", "churn", "churned", "left", "lost",
    "default", "fail", "failed", "won", "sold", "success", "ja", "oui", "si",
}  # fmt: skip
FEW_NUMBERS, MANY_CLASSES, SHOWN = 20, 50, 6


@dataclass(frozen=True)
class Target:
    """What a column makes of a task.

    ``classes`` are the labels of a task of three or more; ``reason`` says what was seen.
    """

    kind: Kind
    reason: str
    positive: Label | None = None
    negative: Label | None = None
    classes: tuple[Label, ...] = ()
    notes: tuple[str, ...] = field(default=())


def describe_target(values: pd.Series, *, kind: Kind | None = None, positive: str | None = None) -> Target:
    """Return the kind of task of a target, and its labels.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        Nulls are outcomes that are not known.
    kind, positive
        What a person says; None lets the values decide.

    Raises
    ------
    SettingsError
        If the target cannot be predicted as asked for: one value only, too many texts, or text as a number.
    """
    known = values.dropna()
    distinct = sorted(known.unique().tolist(), key=str)
    if len(distinct) < 2:
        raise SettingsError(
            f"--target {values.name}: it holds {len(distinct)} different values in {len(values):,} rows, and nothing "
            "can be learned from that; name another column"
        )
    _check_spelling(known, kind)
    numeric = pd.api.types.is_numeric_dtype(known.dtype) and not pd.api.types.is_bool_dtype(known.dtype)
    if positive is not None or (kind in (None, "classification") and len(distinct) == 2):
        return _two_classes(known, distinct, positive)
    if kind == "classification":
        raise SettingsError(
            f"--kind classification: {values.name} has {len(distinct)} values; name the one that counts as 1 with "
            "--positive, or say --kind multiclass"
        )
    if kind == "regression" or (kind is None and numeric):
        if not numeric:
            raise SettingsError(f"--kind regression: {values.name} holds text such as {distinct[0]!r}; name a number")
        few = len(distinct) <= FEW_NUMBERS and bool((known % 1 == 0).all())
        notes = (
            (f"{values.name} has only {len(distinct)} whole values: if they are names of classes, --kind multiclass",)
            if few and kind is None
            else ()
        )
        low, middle, high = known.quantile([0.01, 0.5, 0.99])
        return Target("regression", f"a number: {low:g} to {high:g}, median {middle:g}", notes=notes)
    if len(distinct) > MANY_CLASSES and read_text(known.astype("str")).kind in ("int64", "float64"):
        raise SettingsError(
            f"--target {values.name}: it holds numbers that are written as text, such as {distinct[0]}; make numbers "
            "of it (a point before decimals, no unit), or save the table as CSV, whose texts are read as numbers"
        )
    if len(distinct) > MANY_CLASSES:
        raise SettingsError(
            f"--target {values.name}: it holds {len(distinct):,} different texts, too many for classes; name another "
            "column"
        )
    labels = tuple(_plain(value) for value in distinct)
    return Target("multiclass", f"{len(labels)} classes: {', '.join(map(str, labels))}", classes=labels)


def _check_spelling(known: pd.Series, kind: Kind | None) -> None:
    """Raise if texts are classes only because they are written in more than one way, or numbers that can be two."""
    if not known.map(lambda value: isinstance(value, str)).all():
        return
    unique = pd.Series(known.unique(), dtype="str")
    if reason := number_problem(unique):
        raise SettingsError(f"--target {known.name}: it {reason}")
    folded = unique.str.strip().str.casefold()
    alike = unique[folded.duplicated(keep=False)]
    if not alike.empty and kind != "multiclass":
        raise SettingsError(
            f"--target {known.name}: {', '.join(sorted(alike)[:SHOWN])} differ in capitals only; write each label in "
            "one way, or say --kind multiclass if they mean different things"
        )


def _two_classes(known: pd.Series, distinct: list[Label], positive: str | None) -> Target:
    plain = [_plain(value) for value in distinct]
    if {*plain} == {0, 1} and not any(isinstance(value, bool) for value in plain) and positive is None:
        return Target("classification", f"0 and 1; {known.mean():.1%} are 1")
    if positive is not None:
        chosen = next((value for value in plain if str(value).strip().lower() == positive.strip().lower()), None)
        if chosen is None:
            raise SettingsError(
                f"--positive {positive}: {known.name} has no such value; it has {', '.join(map(str, plain[:10]))}"
            )
        by = "as you say"
    else:
        by_word = [value for value in plain if value is True or _is_positive_word(value)]
        if len(by_word) == 1:
            chosen, by = by_word[0], "by its name"
        elif pd.api.types.is_numeric_dtype(known.dtype):
            chosen, by = max(plain, key=float), "the larger"
        else:
            chosen, by = _plain(known.value_counts().idxmin()), "the rarer"
    share = float((known == chosen).mean())
    rest = [value for value in plain if value != chosen]
    return Target(
        "classification",
        f"{chosen} counts as 1 ({by}); {share:.1%} are",
        positive=chosen,
        negative=rest[0] if len(rest) == 1 else None,
    )


def _is_positive_word(value: Label) -> bool:
    return isinstance(value, str) and value.strip().lower() in POSITIVE_WORDS


def _plain(value: object) -> Label:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, float) and plain.is_integer():
        return int(plain)
    return plain if isinstance(plain, bool | int | float | str) else str(plain)


@dataclass(frozen=True)
class Delay:
    """After how many days outcomes are known; ``is_certain`` unless nothing in the data says so."""

    days: int
    reason: str
    is_certain: bool


ASSUMED_DELAY = 1
LEAST_UNKNOWN, MOSTLY_KNOWN, OLDER, BY_CHANCE = 0.5, 0.9, 0.8, 0.001


def measure_delay(days: pd.Series, target: pd.Series, *, newest_inputs: str | None = None) -> Delay:
    """Return the label delay that shows in the data: the newest days on which no outcome is known yet.

    Parameters
    ----------
    days : Series of shape (n_rows,)
        ISO texts.
    newest_inputs
        The newest day of the inputs, where labels are a table of their own.
    """
    known = target.notna().groupby(days.to_numpy()).mean()
    last = newest_inputs or str(known.index.max())
    usual = float(known.iloc[: max(1, int(OLDER * len(known)))].mean())
    if usual > MOSTLY_KNOWN:
        labelled = known.index[known > 1 - LEAST_UNKNOWN]
    else:  # a null is often an outcome too: only so many in a row that chance does not make them say more
        labelled = known.index[known > 0]
        newer = int((days > max(labelled, default=last)).sum())
        labelled = labelled if (1 - usual) ** newer < BY_CHANCE else labelled[:0]
    if len(labelled) and (gap := (date.fromisoformat(last) - date.fromisoformat(max(labelled))).days) > 0:
        return Delay(gap, f"no outcome is known after {max(labelled)}, and the newest day is {last}", True)
    return Delay(ASSUMED_DELAY, "nothing in the data says when an outcome is known: the next day is assumed", False)
