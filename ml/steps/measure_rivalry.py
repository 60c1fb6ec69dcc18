"""Hold the champion against the version that served before, on the days that both have scored."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import pandas as pd

from ml.adapters.rows import count_rows, share_within, thinned
from ml.core import history, rivalry
from ml.core.features import days_between, join_labels
from ml.core.keys import merge_exactly
from ml.records import Champion, Rivalry
from ml.settings import Settings
from ml.wiring import Services

logger = logging.getLogger(__name__)
COLUMNS = ["day", "target", "champion", "rival"]


def run(champion: Champion, *, settings: Settings, services: Services) -> Rivalry:
    """Compare what was served with the shadow of the version before, where labels have arrived.

    A day counts only if both predictions are there and are of the same rows. What cannot be
    compared has no ``gain``, with the reason: missing evidence speaks against nobody.
    """
    logger.info("measure_rivalry: %s", champion.day)
    found = _measure(champion, settings, services)
    services.shelf(f"monitor/day={champion.day}").write_json("rivalry.json", found.model_dump(mode="json"))
    logger.info("measure_rivalry: %s", found.reason)
    return found


def _measure(champion: Champion, settings: Settings, services: Services) -> Rivalry:
    day, delay = champion.day, settings.task.label_delay_days
    decisions = services.tracking.decisions(kinds=history.REIGNS)
    watch, reason = rivalry.watch_of(day, champion.version, decisions, days=settings.rollback.watch_days)
    if watch is None:
        return _nothing(champion, reason)
    if day > watch.last_day + timedelta(days=delay + settings.land.catch_up_days):
        return _nothing(champion, f"the watch over version {watch.champion} ended on {watch.last_day}")
    last = min(watch.last_day, day - timedelta(days=delay))
    if last < watch.first_day:
        return _nothing(champion, f"no day since {watch.first_day} has its labels yet{_never(settings)}")
    labels = services.registry.open(
        "labels", rev=champion.data_version, first_day=watch.first_day, last_day=last, may_be_empty=True
    )
    if not labels:
        return _nothing(champion, f"no labels from {watch.first_day} to {last} have arrived")
    key, target = list(settings.task.key), settings.task.target
    share = share_within(labels.values(), settings.performance.max_rows)
    parts, missing = [], []
    for each in days_between(watch.first_day, last):
        rows = _pair(each, watch, share, settings, services) if each in labels else None
        if rows is None:
            missing.append(each)
            continue
        outcome = thinned(labels[each], [*key, target], key=key, share=share)
        joined = join_labels(rows, outcome, key=key, target=target, positive=settings.task.positive)
        parts.append(joined.rename(columns={target: "target"})[COLUMNS])
    together = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    return rivalry.compare(
        day,
        watch,
        together,
        gate=settings.gate,
        rollback=settings.rollback,
        seed=settings.fit.seed,
        left_out=f"; left out: {', '.join(map(str, missing))}" if missing else "",
    )


def _never(settings: Settings) -> str:
    """Say so where a champion is replaced by age before its labels could take it back."""
    delay, age = settings.task.label_delay_days, settings.retrain.max_age_days
    if age is None or delay + settings.rollback.min_days <= age:
        return ""
    return (
        f"; task.label_delay_days ({delay}) is longer than retrain.max_age_days ({age}) lets a champion serve, so "
        "that a rollback comes by hand ('evergreen rollback')"
    )


def _pair(day: date, watch: rivalry.Watch, share: float, settings: Settings, services: Services) -> pd.DataFrame | None:
    """Put both predictions of a day, or a share of them, side by side; None if one is missing, or is of other rows."""
    key = list(settings.task.key)
    served, shadow = services.shelf(f"predictions/day={day}"), services.shelf(f"shadow/day={day}")
    names = f"version={watch.champion}.parquet", f"version={watch.rival}.parquet"
    if not (served.has(names[0]) and shadow.has(names[1])):
        return None
    with served.local(names[0]) as ours, shadow.local(names[1]) as theirs:
        columns = [*key, "prediction", "raw_prediction"]
        first, second = (thinned(path, columns, key=key, share=share) for path in (ours, theirs))
        same = count_rows(ours) == count_rows(theirs)
    alike = ("raw_prediction" in first) == ("raw_prediction" in second)
    sides = _scores(first, key, "champion", raw=not alike), _scores(second, key, "rival", raw=not alike)
    both = merge_exactly(*sides, key, how="inner", validate="one_to_one")
    return both if same and len(both) == len(first) == len(second) else None


def _scores(frame: pd.DataFrame, key: list[str], name: str, *, raw: bool) -> pd.DataFrame:
    """Take a version's scores; ``raw`` undoes ``score.adapt`` where only one of the two files was adapted."""
    column = "raw_prediction" if raw and "raw_prediction" in frame else "prediction"
    return frame[[*key, column]].rename(columns={column: name})


def _nothing(champion: Champion, reason: str) -> Rivalry:
    return Rivalry(
        day=champion.day,
        champion_version=champion.version,
        rival_version=None,
        days=0,
        rows=0,
        gain=None,
        low=None,
        high=None,
        reason=reason,
    )
