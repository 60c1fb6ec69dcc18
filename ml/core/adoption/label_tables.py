"""Put the outcomes of a table of labels beside the inputs."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pandas as pd

from ml.core.adoption.amounts import amount
from ml.core.adoption.answers import Answers
from ml.core.adoption.samples import Sample, typed_columns
from ml.core.adoption.times import TimeColumn, find_time
from ml.errors import SettingsError
from ml.settings import TypeName

DAY = "day"


def with_labels(
    table: pd.DataFrame, sample: Sample, answers: Answers, time: TimeColumn, clocks: ZoneInfo
) -> tuple[pd.DataFrame, TypeName, list[str], int, list[str]]:
    """Put the outcomes of a table of labels beside the inputs of the same time and key.

    Returns
    -------
    tuple
        The table, the type of the target, what had to be changed in the labels, how many of them have no row, and
        which are not looked at.
    """
    assert sample.labels is not None
    target = answers.target
    is_text = sample.is_text if sample.labels_are_text is None else sample.labels_are_text
    labels, types, changed = typed_columns(Sample(sample.labels, is_text))
    for column in (target,) if sample.dated else (time.name, target):
        if column not in labels:
            what = "the time of the row that a label is of" if column == time.name else "the target"
            raise SettingsError(
                f"--labels: there is no column {column} ({what}); there are: {', '.join(map(str, labels))}; add it, or "
                "put both into one table"
            )
    if not sample.dated:
        labels_time = find_time(labels, name=time.name)
        labels = labels.assign(**{DAY: labels_time.local(clocks).dt.strftime("%Y-%m-%d")})
    shared = [column for column in labels if column in table and (column == DAY or column not in (target, time.name))]
    if time.has_clock and time.name in labels and time.name != DAY:
        shared.append(time.name)
    for column in map(str, shared):
        if pd.api.types.is_numeric_dtype(labels[column]) != pd.api.types.is_numeric_dtype(table[column]):
            raise SettingsError(
                f"--labels: {column} holds {'numbers' if pd.api.types.is_numeric_dtype(labels[column]) else 'text'} "
                "there and not in the data, so that no row finds its label; write it alike in both"
            )
    once = labels.drop_duplicates(subset=[*shared, target])[[*shared, target]]
    differ = once.duplicated(subset=shared, keep=False)
    unclear = []
    if differ.any():  # the loop quarantines them, since nobody can say which is right
        keys = amount(len(once.loc[differ].drop_duplicates(subset=shared)), "row")
        unclear.append(f"the labels of {keys} are there more than once and differ: none of them is looked at")
        once = once.loc[~differ]
    inputs = table.drop(columns=[target], errors="ignore")
    joined = inputs.reset_index().merge(once, on=shared, how="left").drop_duplicates("index").set_index("index")
    if joined[target].notna().sum() == 0:
        raise SettingsError(f"--labels: no row has the values of a row of the data in {', '.join(map(str, shared))}")
    once = once.loc[once[DAY] >= inputs[DAY].min()]  # older ones may have rows that were not read
    both = once.merge(inputs[shared].drop_duplicates(), on=shared, how="left", indicator=True)
    return joined, types.get(target, "string"), changed, int((both["_merge"] == "left_only").sum()), unclear
