"""Hold the champion against the version that served before, on the days that both have scored."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date
from pathlib import Path

import pandas as pd

from ml.adapters import layout
from ml.adapters.rows import count_rows, sampled, sampling_share
from ml.core.champions import previous_champion, tenures
from ml.core.data.keys import merge_exactly
from ml.core.predictions import PREDICTION, RAW, gathered, names
from ml.core.training.features import join_labels
from ml.records import Champion, PreviousChampionComparison
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)


def run(champion: Champion, *, settings: Settings, services: Services) -> PreviousChampionComparison:
    """Compare what was served with the shadow of the version before, where labels have arrived.

    A day counts only if both predictions are there and are of the same rows. What cannot be
    compared has no ``gain``, with the reason: missing evidence speaks against nobody.
    """
    logger.info("compare_with_previous: %s", champion.day)
    decisions = services.tracking.decisions(kinds=tenures.CHAMPION_CHANGES)
    pairs = _Pairs(champion, settings, services)
    comparison = previous_champion.measure(
        champion, decisions, labelled=pairs.labelled, pair=pairs.pair, settings=settings
    )
    services.storage_folder(layout.monitoring.day_dir(champion.day)).write_json(
        layout.monitoring.COMPARISON, comparison.model_dump(mode="json")
    )
    logger.info("compare_with_previous: %s", comparison.reason)
    return comparison


class _Pairs:
    """What both champions predicted, and the labels that have arrived, a share of the rows of each day if many."""

    def __init__(self, champion: Champion, settings: Settings, services: Services) -> None:
        self.champion, self.settings, self.services = champion, settings, services
        self.labels: dict[date, Path] = {}

    def labelled(self, first: date, last: date) -> Collection[date]:
        registry, rev = self.services.registry, self.champion.data_version
        labels = registry.open("labels", rev=rev, first_day=first, last_day=last, may_be_empty=True)
        excluded = registry.excluded_days(rev or None)
        self.labels = {day: path for day, path in labels.items() if day not in excluded}
        return self.labels

    def pair(self, watch: previous_champion.Watch, day: date) -> pd.DataFrame | None:
        task = self.settings.task
        share = sampling_share(self.labels.values(), self.settings.performance.max_rows)
        rows = _pair(day, watch, share, self.settings, self.services)
        if rows is None:
            return None
        outcome = sampled(self.labels[day], [*task.key, task.target], key=task.key, share=share)
        joined = join_labels(
            rows, outcome, key=task.key, target=task.target, positive=task.positive, classes=task.classes
        )
        return joined.rename(columns={task.target: "target"})


def _pair(
    day: date, watch: previous_champion.Watch, share: float, settings: Settings, services: Services
) -> pd.DataFrame | None:
    """Put both predictions of a day, or a share of them, side by side; None if one is missing, or is of other rows."""
    key = list(settings.task.key)
    served, shadow = (
        services.storage_folder(layout.scoring.predictions(day)),
        services.storage_folder(layout.scoring.shadow(day)),
    )
    tables = layout.scoring.version_table(watch.champion), layout.scoring.version_table(watch.previous)
    if not (served.has(tables[0]) and shadow.has(tables[1])):
        return None
    with served.local(tables[0]) as ours, shadow.local(tables[1]) as theirs:
        columns = [*key, *names(settings.task), RAW]
        first, second = (
            gathered(sampled(path, columns, key=key, share=share), settings.task) for path in (ours, theirs)
        )
        same = count_rows(ours) == count_rows(theirs)
    alike = (RAW in first) == (RAW in second)
    sides = _scores(first, key, "champion", raw=not alike), _scores(second, key, "previous", raw=not alike)
    both = merge_exactly(*sides, key, how="inner", validate="one_to_one")
    return both if same and len(both) == len(first) == len(second) else None


def _scores(frame: pd.DataFrame, key: list[str], name: str, *, raw: bool) -> pd.DataFrame:
    """Take a version's scores; ``raw`` undoes ``score.adapt`` where only one of the two files was adapted."""
    column = RAW if raw and RAW in frame else PREDICTION
    return frame[[*key, column]].rename(columns={column: name})
