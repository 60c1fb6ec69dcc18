"""Say when outcomes are known, and set the rows apart that come after the last one by too much to be waiting for it."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd

from ml.core.adoption.amounts import amount
from ml.core.adoption.answers import Answers
from ml.core.adoption.targets import Delay, measure_delay

DAY = "day"
MOST_WAITING, LEAST_DAYS = 0.5, 31
"""Outcomes of a larger share of all days, and of more days, are no outcomes that are still to come."""


def until_outcomes_end(
    table: pd.DataFrame, answers: Answers, *, newest_inputs: str
) -> tuple[pd.DataFrame, Delay, list[str]]:
    """Return the rows up to the last outcome if outcomes ended, all rows else; the label delay, and what is left out.

    Outcomes ended where more than half of all days lie after the last one: with such a delay nothing can be trained.

    Parameters
    ----------
    newest_inputs
        The newest day of the inputs, where labels are a table of their own.
    """
    if answers.label_delay_days is not None:
        return table, Delay(answers.label_delay_days, "as you say", True), []
    target = answers.target
    delay = measure_delay(table[DAY], table[target], newest_inputs=newest_inputs)
    first, last = date.fromisoformat(str(table[DAY].min())), date.fromisoformat(newest_inputs)
    if not delay.is_certain or delay.days <= max(MOST_WAITING * (last - first).days, LEAST_DAYS):
        return table, delay, []
    ended = (last - timedelta(days=delay.days)).isoformat()
    known = table.loc[table[DAY] <= ended]
    words = (
        f"{amount(len(table) - len(known), 'row')} after {ended} have no {target}, of more than half of all days: "
        "outcomes seem to have ended there, and these rows are not looked at; if they are still to come, say after how "
        "many days with --label-delay-days"
    )
    return known, measure_delay(known[DAY], known[target]), [words]
