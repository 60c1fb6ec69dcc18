"""Number the rows of each day, where no column names them: the number is their key."""

from __future__ import annotations

import pandas as pd

from ml.core.adoption.answers import Answers
from ml.core.adoption.samples import Sample, free_name
from ml.errors import SettingsError

NUMBER = "row_of_day"


def with_numbers(
    sample: Sample, table: pd.DataFrame, answers: Answers, changed: list[str]
) -> tuple[pd.DataFrame, str | None, list[str]]:
    """Return a table whose rows are numbered within their day as they stand there, the column, and what was changed.

    Where nobody asks for that, the table as it is, and None. A copy of more data gives the rows of a day the same
    numbers, as long as new ones stand behind them.

    Parameters
    ----------
    table : DataFrame of shape (n_rows, n_columns)
        With ``day``, in the order of the file; not modified.

    Raises
    ------
    SettingsError
        If rows are of a file a day or have labels in a table of their own, neither of which a copy holds, or if
        columns are named as the key too.
    """
    if not answers.number_rows:
        return table, None, changed
    if answers.key:
        raise SettingsError("--number-rows: the number alone is the key; leave --key out")
    if sample.labels is not None:
        raise SettingsError(
            "--number-rows: labels in a table of their own are found by the key, and no number says which row they are "
            "of; add the number to both tables, or give one table that holds the target"
        )
    if sample.dated:
        raise SettingsError("--number-rows: a file a day is taken as it is; give the folder as one table")
    name = free_name(NUMBER, table)
    numbers = table.groupby("day").cumcount() + 1
    words = f"the rows of each day are numbered, in their order: {name} (add new rows behind those that are there)"
    return table.assign(**{name: numbers}), name, [*changed, words]
