"""Whether the version that served before does better than the one that replaced it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from ml.core.champions import tenures
from ml.core.counting import counted
from ml.core.data.days import days_between
from ml.core.gate.comparison import paired_gain
from ml.core.metrics import label
from ml.records import Champion, Logged, PreviousChampionComparison
from ml.settings import Gate, Rollback, Settings

COLUMNS = ["day", "target", "champion", "previous"]


@dataclass(frozen=True)
class Watch:
    """The days, both ends inclusive, on which a promoted champion is held against its predecessor."""

    champion: int
    previous: int
    first_day: date
    last_day: date


def watch_of(day: date, version: int | None, decisions: Sequence[Logged], *, days: int) -> tuple[Watch | None, str]:
    """Find the watch over the champion of ``day``, which may have ended; say why, or why there is none.

    The decisions are asked, not the alias ``previous_champion``: a day that is scored again later is
    held against the version that was replaced then. A version that came back by rollback is not
    watched, or the two would change places for ever.

    Parameters
    ----------
    version
        The version that was resolved for ``day``; None if nothing serves it.
    days
        How many days a watch lasts, from the day on which the promotion took effect.
    """
    if version is None:
        return None, f"no champion serves {day}"
    start = tenures.promoted_on(day, decisions)
    if start is None or start.effective_day is None or int(start.payload["version"]) != version:
        return None, f"version {version} was not the champion in force on {day}"
    payload = start.payload
    if start.kind != "promotion":
        return None, f"version {version} came back by rollback: nobody is watched"
    if payload.get("previous_version") in (None, version):
        return None, f"no other version served before version {version}"
    unseen = date.fromisoformat(str(payload["window_last_day"])) + timedelta(days=1)
    last = start.effective_day + timedelta(days=days - 1)
    watch = Watch(version, int(payload["previous_version"]), max(start.effective_day, unseen), last)
    return watch, f"version {watch.previous} served before version {version}, which is watched until {last}"


def measure(
    champion: Champion,
    decisions: Sequence[Logged],
    *,
    labelled: Callable[[date, date], Collection[date]],
    pair: Callable[[Watch, date], pd.DataFrame | None],
    settings: Settings,
) -> PreviousChampionComparison:
    """Compare the champion of a day with the version before, on the days of its watch whose labels have arrived.

    What cannot be compared has no ``gain``, with the reason: missing evidence speaks against nobody.

    Parameters
    ----------
    labelled
        Returns the days from one to another, both inclusive, whose labels have arrived.
    pair
        Returns both predictions of a labelled day beside outcomes (``day``, ``target``, ``champion``, ``previous``);
        None if one is missing, or is of other rows.
    """
    day, delay = champion.day, settings.task.label_delay_days
    watched_days = settings.land.calendar_days(settings.rollback.watch_days)
    watch, reason = watch_of(day, champion.version, decisions, days=watched_days)
    if watch is None:
        return _nothing(champion, reason)
    if day > watch.last_day + timedelta(days=delay + settings.land.catch_up_days):
        return _nothing(champion, f"the watch over version {watch.champion} ended on {watch.last_day}")
    last = min(watch.last_day, day - timedelta(days=delay))
    if last < watch.first_day:
        return _nothing(champion, f"no day since {watch.first_day} has its labels yet{_never(settings)}")
    arrived = labelled(watch.first_day, last)
    if not arrived:
        return _nothing(champion, f"no labels from {watch.first_day} to {last} have arrived")
    pairs = {
        labelled_day: pair(watch, labelled_day) if labelled_day in arrived else None
        for labelled_day in days_between(watch.first_day, last)
    }
    missing = [str(labelled_day) for labelled_day, rows in pairs.items() if rows is None]
    parts = [rows[COLUMNS] for rows in pairs.values() if rows is not None]
    return compare(
        day,
        watch,
        pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS),
        gate=settings.gate,
        rollback=settings.rollback,
        seed=settings.fit.seed,
        left_out=f"; left out: {', '.join(missing)}" if missing else "",
    )


def _never(settings: Settings) -> str:
    """Return a note where a champion is replaced by age before its labels could take it back."""
    delay, age = settings.task.label_delay_days, settings.retrain.max_age_days
    if age is None or delay + settings.rollback.min_days <= age:
        return ""
    return (
        f"; task.label_delay_days ({delay}) is longer than retrain.max_age_days ({age}) lets a champion serve, so "
        "that a rollback comes by hand ('evergreen rollback')"
    )


def _nothing(champion: Champion, reason: str) -> PreviousChampionComparison:
    return PreviousChampionComparison(day=champion.day, champion_version=champion.version, reason=reason)


def compare(
    day: date, watch: Watch, rows: pd.DataFrame, *, gate: Gate, rollback: Rollback, seed: int, left_out: str = ""
) -> PreviousChampionComparison:
    """Compare champion and previous champion on the labelled days of a watch that both have scored.

    The interval holds with ``rollback.confidence`` at each look, and a watch is looked at once for each
    new day. That all looks together still take back an equal champion in less than 5 % of promotions is
    what ``bench/rollback_errors.py`` measures.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target``, ``champion`` and ``previous``: both predictions of the same rows; not modified.
    gate
        Says in which metric, and how often days are resampled.
    left_out
        What to say of days that are missing.
    """
    days = int(rows["day"].nunique())
    comparison = None
    if days >= rollback.min_days:
        comparison = paired_gain(
            rows,
            metric=gate.metric,
            confidence=rollback.confidence,
            n_resamples=gate.bootstrap_rounds,
            seed=seed,
            challenger="previous",
        )
    if comparison is not None:
        reason = (
            f"version {watch.previous}, which served before, has a {label(gate.metric)} lower by {comparison.gain:.4f} "
            f"[{comparison.low:.4f}, {comparison.high:.4f}] than version {watch.champion} on {comparison.days} days "
            f"and {comparison.rows} rows since {watch.first_day}"
        )
    elif days < rollback.min_days:
        reason = (
            f"both versions scored {counted(days, 'labelled day')} of the {rollback.min_days} that a rollback needs"
        )
    else:
        reason = f"some prediction on the {days} labelled days is not a number: there is nothing to compare"
    return PreviousChampionComparison(
        day=day,
        champion_version=watch.champion,
        previous_version=watch.previous,
        days=days,
        rows=len(rows),
        gain=comparison.gain if comparison else None,
        low=comparison.low if comparison else None,
        high=comparison.high if comparison else None,
        reason=reason + left_out,
    )
