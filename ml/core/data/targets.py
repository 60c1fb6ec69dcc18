"""What a label says: 0 and 1 of a classification whatever it is written as, a finite number of a regression.

Of ``multiclass`` it says the number of one of ``task.classes``, from 0 on. The registry holds labels as they came. They
are read as numbers where they are joined with their inputs (`ml.core.training.features.join_labels`), by
``task.positive`` or ``task.classes``; what is none of the classes is refused at screening, and before a training where
a registry holds it already.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.errors import DataRejected
from ml.settings import Label, Task

SHOWN = 4


def coded(values: pd.Series, positive: Label | None, classes: Sequence[Label] = ()) -> pd.Series:
    """Return 1 for the positive class and 0 for the other, null where a label is null; without ``positive`` unchanged.

    With ``classes`` it is the number of the label among them.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        As the registry holds them; not modified.

    Raises
    ------
    DataRejected
        If they are text, and nothing says which text is 1; if a label is none of ``classes``.
    """
    if classes:
        return _numbered(values, classes)
    if positive is None:
        if pd.api.types.infer_dtype(values, skipna=True) == "string":
            raise DataRejected(
                f"{values.name} holds text such as {values.dropna().iloc[0]!r}, and the model's task.positive is not "
                "set: correct the labels, or set it and train again"
            )
        return values
    return pd.Series(np.where(values.isna(), np.nan, equals(values, positive)), index=values.index, name=values.name)


def _numbered(values: pd.Series, classes: Sequence[Label]) -> pd.Series:
    odd = values.notna().to_numpy(dtype=bool)
    numbered = np.full(len(values), np.nan)
    for number, label in enumerate(classes):
        same = equals(values, label)
        numbered[same], odd = number, odd & ~same
    if odd.any():
        raise DataRejected(
            f"{values.name} holds {_shown(values[odd])}, which {_is(values[odd])} none of the model's task.classes "
            f"({_listed(classes)}): correct the labels, or declare the class and train again"
        )
    return pd.Series(numbered, index=values.index, name=values.name)


def equals(values: pd.Series, label: Label) -> np.ndarray:
    """Return which values are a label; text is only equal to text, and a null to nothing."""
    kind = values.dtype
    if pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
        same = np.zeros(len(values), dtype=bool) if isinstance(label, str) else (values == label).fillna(False)
        return np.asarray(same, dtype=bool)
    plain = values.astype(object)
    is_text = plain.map(lambda value: isinstance(value, str)).to_numpy(dtype=bool)
    return np.asarray((plain == label) & values.notna() & (is_text == isinstance(label, str)), dtype=bool)


def odd_labels(values: pd.Series, task: Task) -> tuple[np.ndarray, str]:
    """Return which labels no model of the task can be trained on, and what is wrong with them.

    Parameters
    ----------
    values : Series of shape (n_rows,)
        One day's targets, or more.

    Returns
    -------
    tuple of boolean array of shape (n_rows,) and str
        Nulls are outcomes that never came, and none of them.
    """
    if task.kind == "regression":
        odd = np.zeros(len(values), dtype=bool)
        if not pd.api.types.is_numeric_dtype(values.dtype):
            odd = np.array([not (_is_number(value) or pd.isna(value)) for value in values.astype(object)], dtype=bool)
        return odd, f"{_shown(values[odd])} {_is(values[odd])} no number, and a regression predicts one"
    if task.classes:
        odd = values.notna().to_numpy(dtype=bool)
        for label in task.classes:
            odd = odd & ~equals(values, label)
        return odd, (
            f"{_shown(values[odd])} {_is(values[odd])} none of task.classes ({_listed(task.classes)}): correct the "
            "labels, or declare the class there"
        )
    if task.positive is None:
        odd = ~(equals(values, 0) | equals(values, 1)) & values.notna().to_numpy(dtype=bool)
        problem = (
            f"{_shown(values[odd])} {_is(values[odd])} neither 0 nor 1, which classification means: correct the "
            "labels, or set task.positive to the one of two that counts as 1"
        )
        return odd, problem
    rest = values[~equals(values, task.positive) & values.notna().to_numpy(dtype=bool)]
    negative = task.negative if task.negative is not None else _commonest(rest)
    odd = ~equals(values, task.positive) & values.notna().to_numpy(dtype=bool)
    odd &= np.ones(len(values), dtype=bool) if negative is None else ~equals(values, negative)
    problem = (
        f"{_shown(values[odd])} {_is(values[odd])} neither task.positive ({task.positive!r}) nor the other class "
        f"({negative!r}): a classification has two; correct the labels, or task.positive and task.negative"
    )
    return odd, problem


def other_label(values: pd.Series, task: Task) -> Label | None:
    """Return the commonest label that is not ``task.positive``; None if there is none, or none is declared."""
    if task.positive is None:
        return None
    return task.negative if task.negative is not None else _commonest(values[~equals(values, task.positive)])


def _commonest(rest: pd.Series) -> Label | None:
    counts = rest.dropna().astype(object).value_counts()
    if counts.empty:
        return None
    label: Label = min(counts.index[counts == counts.iloc[0]], key=str)
    return label.item() if isinstance(label, np.generic) else label


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Number | np.bool_) or type(value).__name__ == "Decimal"


def _shown(odd: pd.Series) -> str:
    labels = sorted({repr(value.item() if isinstance(value, np.generic) else value) for value in odd.unique()})
    return ", ".join(labels[:SHOWN]) + (f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else "")


def _listed(classes: Sequence[Label]) -> str:
    return ", ".join(repr(label) for label in classes)


def _is(odd: pd.Series) -> str:
    return "is" if len(odd.unique()) == 1 else "are"
