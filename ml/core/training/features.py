"""What a model sees: the columns of ``inputs`` and the history features beside them, with the outcome."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ml.core.data.contracts import counted
from ml.core.data.keys import merge_exactly
from ml.core.data.row_checks import TAKE_OUT, too_large
from ml.core.data.targets import coded
from ml.core.training.lagged_means import history_names
from ml.errors import DataRejected
from ml.settings import Features, Label


def feature_columns(features: Features) -> list[str]:
    """Name every column that the pipeline is fitted on, in order."""
    plain = [*features.categories, *features.numbers, *features.spline]
    return plain + history_names(features.history)


def matrix(rows: pd.DataFrame, features: Features) -> pd.DataFrame:
    """Take the columns that the pipeline sees, numbers as float64, so that a null changes no type.

    A categorical column without any value is of type object: read from a file it may have come as
    numbers, which no encoder compares with text. Instants of a time zone are given in UTC, without one: no encoder
    that can be saved holds them otherwise.

    Raises
    ------
    DataRejected
        If a column is missing, or a numeric one holds text or an infinite number.
    """
    columns = feature_columns(features)
    missing = [column for column in columns if column not in rows.columns]
    if missing:
        raise DataRejected(
            f"columns {', '.join(missing)} are declared under features but are not in inputs; "
            "correct params.yaml or the source"
        )
    numeric = [column for column in columns if column not in features.categories]
    empty = [column for column in features.categories if rows[column].isna().all()]
    types = dict.fromkeys(numeric, "float64") | dict.fromkeys(empty, "object")
    instants = [column for column in features.categories if isinstance(rows[column].dtype, pd.DatetimeTZDtype)]
    if instants:
        rows = rows.assign(**{column: rows[column].dt.tz_convert(None) for column in instants})
    other = {column: kind for column, kind in types.items() if rows[column].dtype != kind}
    try:
        frame = rows[columns].astype(other)
    except (TypeError, ValueError) as err:
        raise DataRejected(f"a numeric feature holds text: {err}; correct params.yaml or the source") from err
    _refuse_infinite(frame[numeric], rows)
    return frame


def example_rows(rows: pd.DataFrame, features: Features, size: int) -> pd.DataFrame:
    """Return the first ``size`` rows, and of each column that is empty in them the first row with a value.

    What a column holds can be read from such an example even of one that a source began to deliver late.
    """
    first = rows.head(size)
    late = [column for column in feature_columns(features) if first[column].isna().all()]
    later = {int(has_value.argmax()) for has_value in (rows[c].notna().to_numpy() for c in late) if has_value.any()}
    return pd.concat([first, rows.iloc[sorted(later)]]) if later else first


def _refuse_infinite(numbers: pd.DataFrame, rows: pd.DataFrame) -> None:
    """Raise for numbers that no estimator takes, with their days: its own message would name no column."""
    for column in numbers:
        bad = too_large(numbers[column])
        if bad.any():
            where = rows["day"] if "day" in rows else pd.Series("the data", index=rows.index)
            days = {str(day): int(count) for day, count in where.loc[bad].value_counts().sort_index().items()}
            detail = ", ".join(f"{counted(count)} of {day}" for day, count in list(days.items())[:3])
            more = f" and {len(days) - 3} more days" if len(days) > 3 else ""
            raise DataRejected(
                f"column '{column}' is infinite or too large in {detail}{more} (the first is row "
                f"{int(np.flatnonzero(bad)[0])}); correct the source and ingest the day again, or take it out with "
                f"'{TAKE_OUT}'"
            )


def join_labels(
    inputs: pd.DataFrame,
    labels: pd.DataFrame,
    *,
    key: Sequence[str],
    target: str,
    positive: Label | None = None,
    classes: Sequence[Label] = (),
) -> pd.DataFrame:
    """Keep the rows whose outcome is known, with the outcome beside what was known before.

    Parameters
    ----------
    inputs : DataFrame of shape (n_rows, n_columns)
        Not modified.
    labels : DataFrame of shape (n_labels, n_key + 1)
        A null target is an outcome that never came (a cancelled flight): its row is left out.
    positive
        ``task.positive``: the label that is 1, the others are 0. None means labels are numbers as they are.
    classes
        ``task.classes``: a label becomes its number among them. Empty of any task but ``multiclass``.

    Returns
    -------
    DataFrame of shape (n_labelled, n_columns + 1)
        In the order of ``inputs``.

    Raises
    ------
    DataRejected
        If ``inputs`` have a column of the target's name.
    """
    if target in inputs.columns:
        raise DataRejected(f"inputs have a column {target!r}, which is the target; rename it in the source")
    outcomes = labels.loc[labels[target].notna(), [*key, target]]
    outcomes = outcomes.assign(**{target: coded(outcomes[target], positive, classes)})
    return merge_exactly(inputs, outcomes, key, how="inner", validate="one_to_one")
