"""Compare challenger and champion on the requests of each labelled day, keep what each day gave, and end bad splits."""

from __future__ import annotations

import logging
from collections.abc import Container, Iterator
from datetime import date

import pandas as pd

from ml.adapters import layout, request_parts
from ml.champions import split_control
from ml.core.gate import randomised
from ml.core.monitoring import split_evidence
from ml.core.predictions import PREDICTION, gathered, names
from ml.records import SplitDay, SplitEvidence
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def keep(day: date, rows: pd.DataFrame, settings: Settings, services: Services) -> list[SplitDay]:
    """Compare both sides on a day, and keep it: the log is cut one day, and the comparison goes on.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        The first answers of the day beside their outcomes, with what the log says of a challenger.
    """
    compared = list(_compared(day, rows, settings))
    for split_day in compared:
        folder = layout.serving.split_days(split_day.kind, split_day.champion, split_day.challenger)
        services.storage_folder(folder).write_json(layout.days.day_json(day), split_day.model_dump(mode="json"))
    return compared


def _compared(day: date, rows: pd.DataFrame, settings: Settings) -> Iterator[SplitDay]:
    """Yield what a day says: nothing of a day on which champion or challenger changed."""
    metric, version = settings.gate.metric, "version"
    divided = rows[rows[request_parts.ARM].notna()]
    champions = set(divided.loc[divided[request_parts.ARM] == "champion", version])
    challengers = set(divided.loc[divided[request_parts.ARM] == "challenger", version]) - champions
    if len(champions) == len(challengers) == 1:
        pair = {"champion": int(champions.pop()), "challenger": int(challengers.pop())}
        result = split_evidence.day_of(day, divided, kind="randomised", metric=metric, **pair)
        if result is not None:
            yield result
    shadowed = rows[rows[request_parts.SHADOW_VERSION].notna()]
    pairs = shadowed[[version, request_parts.SHADOW_VERSION]].drop_duplicates()
    if len(pairs) == 1:
        champion, challenger = map(int, pairs.iloc[0])
        shadow = {f"{request_parts.SHADOW}{name}": name for name in names(settings.task)}
        other = gathered(shadowed[list(shadow)].rename(columns=shadow), settings.task)[PREDICTION]
        result = split_evidence.day_of(
            day, shadowed.assign(other=other), kind="paired", metric=metric, champion=champion, challenger=challenger
        )
        if result is not None:
            yield result


def weigh(
    champion: int | None, last: date, settings: Settings, services: Services, *, excluded: Container[date] = ()
) -> tuple[SplitEvidence, ...]:
    """Weigh all days that are kept of the champion and the challenger, and end the split of one that does worse.

    Parameters
    ----------
    excluded
        Days that do not count.
    """
    challenger = services.tracking.alias("challenger") if settings.serving.traffic != "champion" else None
    if champion is None or challenger is None:
        return ()
    after = split_control.counts_after(challenger, services)
    evidence = []
    for kind in split_evidence.KINDS:
        folder = services.storage_folder(layout.serving.split_days(kind, champion, challenger))
        days = [SplitDay.model_validate(folder.read_json(name)) for name in folder.names()]
        days = [day for day in days if day.day <= last and day.day not in excluded]
        counted = [day for day in days if after is None or day.day > after]
        weighed = split_evidence.weigh(counted, metric=settings.gate.metric, confidence=settings.performance.confidence)
        if weighed is None:
            continue
        if kind == "randomised":
            rulings = randomised.ask(days, settings.gate, label_delay_days=settings.task.label_delay_days)
            weighed = weighed.model_copy(update={"gate": rulings})
        evidence.append(weighed)
        if weighed.is_worse and split_control.stop(weighed, services):
            logger.warning("measure_requests: the split is stopped: %s", weighed.reason)
    return tuple(evidence)
