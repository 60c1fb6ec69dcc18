"""How predictions on request did, once their labels have arrived: by version, each key once.

Of a key that was asked several times the first answer counts, whoever gave it: somebody acted on that one. A client
that asks again, also after a promotion, or when the outcome is known already, weighs no more and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pandas as pd

from ml.core.monitoring.performance import window_metrics
from ml.records import AnswersOfVersion, RequestPerformance
from ml.settings import Settings

ASKED_AT, REQUEST = "requested_at", "request"


def first_answers(answers: pd.DataFrame, key: Sequence[str]) -> pd.DataFrame:
    """Keep of each key the answer that was given first; of two at one instant always the same.

    Parameters
    ----------
    answers : DataFrame of shape (n_answers, n_columns)
        With the key, ``requested_at`` and ``request``; not modified.
    """
    order = answers.sort_values([ASKED_AT, REQUEST], kind="stable")
    return order.drop_duplicates(list(key), keep="first").reset_index(drop=True)


def report_on(
    day: date, first: date, last: date, rows: pd.DataFrame, *, asked: int, settings: Settings
) -> RequestPerformance:
    """Measure answers beside their outcomes, by version.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``day``, ``version``, ``target`` and ``prediction`` of the first answers whose labels have arrived.
    asked
        How many keys were answered on the days from ``first`` to ``last``.
    """
    versions = sorted({int(version) for version in rows["version"].unique()}, reverse=True)
    if not asked:
        reason = f"no prediction was asked for from {first} to {last}"
    elif not versions:
        reason = f"none of the {asked} keys that were answered from {first} to {last} has its label yet"
    else:
        reason = f"{len(rows)} of the {asked} keys that were answered from {first} to {last} have their labels"
    return RequestPerformance(
        day=day,
        first_day=first,
        last_day=last,
        asked=asked,
        rows=len(rows),
        versions=tuple(_of_version(version, rows, settings) for version in versions),
        reason=reason,
    )


def _of_version(version: int, rows: pd.DataFrame, settings: Settings) -> AnswersOfVersion:
    own = rows.loc[rows["version"] == version]
    days = int(own["day"].nunique())
    return AnswersOfVersion(version=version, days=days, rows=len(own), metrics=window_metrics(own, settings))
