"""What is asked of every row, whatever the suite says: a whole key, and numbers that a model can be fitted on.

One infinite value stops a fit and a prediction, and its message names no column. A row without a whole key cannot be
joined with its outcome. Such rows are quarantined, each with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ml.core.data.contracts import FINITE, KEYED, Failure, counted
from ml.core.data.targets import odd_labels
from ml.errors import DataRejected
from ml.names import alike, history_name, taken
from ml.settings import Label, Settings, Task

NAMED, LABELLED = "expect_columns_to_be_named_otherwise", "expect_labels_to_be_of_the_task"
NOT_NULL = "expect_column_values_to_not_be_null"
LARGEST = float(np.finfo(np.float32).max)
"""scikit-learn's trees hold numbers as float32, and the squares of larger ones leave float64."""
EXAMPLES = 5
MOST_NAMED = 4
TAKE_OUT = "evergreen withdraw DAY"
"""The command that makes a data version without a day."""


@dataclass(frozen=True)
class UsedColumns:
    """The key, and the columns that must be finite; None means every column of numbers.

    ``task`` says what labels may be, ``history`` how the columns of history features are called.
    """

    key: tuple[str, ...] = ()
    finite: frozenset[str] | None = None
    task: Task | None = None
    history: tuple[str, ...] = ()


def used_columns(settings: Settings) -> UsedColumns:
    """Name what a model reads: its key, its target, its features, its weights, and how lagged means are grouped."""
    features, task = settings.features, settings.task
    names = {*features.categorical, *features.numeric, *features.spline, *task.key, task.target}
    names |= {column for feature in features.history for column in feature.by}
    if settings.fit.sample_weight and settings.fit.sample_weight.column:
        names.add(settings.fit.sample_weight.column)
    history = tuple(history_name(feature.by, days) for feature in features.history for days in feature.days)
    return UsedColumns(task.key, frozenset(names), task, history)


def too_large(values: pd.Series) -> np.ndarray:
    """Return which values of a column no model can be fitted on: infinite, or beyond `LARGEST`; a null is not."""
    if not pd.api.types.is_float_dtype(values.dtype):
        return np.zeros(len(values), dtype=bool)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.abs(values.to_numpy(dtype=float, na_value=np.nan)) > LARGEST, dtype=bool)


def check_rows(frame: pd.DataFrame, used: UsedColumns, numbers: np.ndarray) -> list[Failure]:
    """Return which rows cannot be used, column by column.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Not modified.
    numbers : array of shape (n_rows,)
        The number of each row in its table; failures name rows by it.
    """
    failures = [
        _failure(KEYED, column, f"key column '{column}' is null", numbers[frame[column].isna().to_numpy(dtype=bool)])
        for column in used.key
        if column in frame
    ]
    for column in frame.columns if used.finite is None else sorted(used.finite & set(frame.columns)):
        bad = too_large(frame[column])
        if bad.any():
            infinite = np.isinf(frame[column].to_numpy(dtype=float, na_value=np.nan))
            failures.append(_failure(FINITE, column, f"column '{column}' is infinite", numbers[bad & infinite]))
            message = f"column '{column}' is beyond {LARGEST:.1e}, the most that estimators can hold"
            failures.append(_failure(FINITE, column, message, numbers[bad & ~infinite]))
    return [failure for failure in failures if failure.positions]


def check_table(asset: str, frame: pd.DataFrame, used: UsedColumns, numbers: np.ndarray) -> list[Failure]:
    """Return why a whole table cannot be used: columns named like ours or like another, labels of no class of the task.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Without rows that are quarantined anyhow. Not modified.
    numbers : array of shape (n_rows,)
        The number of each row in its table.
    """
    target = () if used.task is None else (used.task.target,)  # a window has it beside the columns of inputs
    failures = [
        Failure(
            NAMED, other, "table",
            f"columns '{one}' and '{other}' differ in capitals only, and Great Expectations takes one for the other: "
            f"rename one, or leave it out by source.{asset}_columns",
        )
        for one, other in alike(dict.fromkeys([*target, *map(str, frame.columns)]))
    ]  # fmt: skip
    if asset == "inputs":
        columns = set(taken(map(str, frame.columns), used.history))
        columns |= {*target} & set(frame.columns)
        failures += [
            Failure(NAMED, column, "table", f"a column is called '{column}', as one of Evergreen's own: rename it")
            for column in sorted(columns)
        ]
    elif used.task is not None and used.task.target in frame:
        odd, problem = odd_labels(frame[used.task.target], used.task)
        if odd.any():
            shown = tuple(f"row {row}" for row in numbers[odd][:EXAMPLES].tolist())
            message = f"column '{used.task.target}' holds what is no label of this task: {problem}"
            failures.append(Failure(LABELLED, used.task.target, "table", message, int(odd.sum()), shown))
    return failures


def refuse_third_label(others: Mapping[str, Label | None]) -> None:
    """Raise if the days of a window do not agree on the label of the other class.

    Parameters
    ----------
    others
        The label that is not ``task.positive``, by what was looked at, such as "labels of 2013-04-01".
    """
    first_by_label: dict[Label, str] = {}
    for what, label in others.items():
        if label is not None:
            first_by_label.setdefault(label, what)
    if len(first_by_label) > 1:
        listed = ", ".join(f"{label!r} in {what}" for label, what in list(first_by_label.items())[:MOST_NAMED])
        raise DataRejected(
            f"beside task.positive the data registry holds more than one label: {listed}; a classification has two. "
            f"Next: correct the source and ingest the day again, or take it out with '{TAKE_OUT}'"
        )


def without_what_is_known(checked: Sequence[Failure], others: Collection[Failure]) -> list[Failure]:
    """Leave out that a key is null where the suite itself says so."""
    null_columns = {failure.column for failure in others if failure.expectation == NOT_NULL and failure.positions}
    return [failure for failure in checked if failure.expectation != KEYED or failure.column not in null_columns]


def _failure(kind: str, column: str, message: str, rows: np.ndarray) -> Failure:
    positions = tuple(rows.tolist())
    return Failure(
        kind, column, "row", message, len(positions), tuple(f"row {row}" for row in positions[:EXAMPLES]), positions
    )


def whole_keys(frame: pd.DataFrame, key: Sequence[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the rows that have every whole-number key, as plain integers, and their places in ``frame``.

    Only a key column that pandas holds as nullable integers is looked at: with its nulls among them the others would
    become floats, which hold no identifier beyond 2**53.
    """
    kinds: dict[str, Any] = {column: frame[column].dtype for column in key if column in frame}
    nullable = {
        column: kind.numpy_dtype
        for column, kind in kinds.items()
        if pd.api.types.is_extension_array_dtype(kind) and pd.api.types.is_integer_dtype(kind)
    }
    if not nullable:
        return frame, np.arange(len(frame))
    has = frame[list(nullable)].notna().all(axis=1).to_numpy(dtype=bool)
    return frame.loc[has].reset_index(drop=True).astype(nullable), np.flatnonzero(has)


def refuse_unusable(days: Mapping[str, Sequence[Failure]]) -> None:
    """Raise if days that are in the data registry already hold rows that no model can be fitted on.

    Parameters
    ----------
    days
        What `check_rows` found, by what was looked at, such as "inputs of 2013-04-01".

    Raises
    ------
    DataRejected
        Naming the first such days, with column and rows, and how a day is taken out.
    """
    first: dict[str, str] = {}
    others: dict[str, list[str]] = {}
    for what, failures in days.items():
        for failure in failures:
            if failure.message in first:
                others.setdefault(failure.message, []).append(what)
                continue
            rows = f"{counted(failure.unexpected_rows)}, such as {', '.join(failure.examples[:3])}"
            first[failure.message] = f"{what}: {failure.message} ({rows})"
    if first:
        wrong = [sentence + _and_so_in(others.get(message, ())) for message, sentence in first.items()]
        more = f"; and {len(wrong) - MOST_NAMED} more of this kind" if len(wrong) > MOST_NAMED else ""
        raise DataRejected(
            f"the data registry holds what no model can be fitted on: {'; '.join(wrong[:MOST_NAMED])}{more}. "
            f"Next: correct the source and ingest the day again, or take it out with '{TAKE_OUT}'"
        )


def _and_so_in(others: Sequence[str]) -> str:
    """Name the next place where the same is wrong, and count the rest."""
    rest = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f", and so in {others[0]}{rest}" if others else ""
