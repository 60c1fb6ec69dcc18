"""Whether the version that served before does better than the one that replaced it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from ml.core import history
from ml.core.comparison import paired_gain
from ml.records import Logged, Rivalry
from ml.settings import Gate, Rollback


@dataclass(frozen=True)
class Watch:
    """The days, both ends inclusive, on which a promoted champion is held against its predecessor."""

    champion: int
    rival: int
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
    start = history.crowned_on(day, decisions)
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
    return watch, f"version {watch.rival} served before version {version}, which is watched until {last}"


def compare(
    day: date, watch: Watch, rows: pd.DataFrame, *, gate: Gate, rollback: Rollback, seed: int, left_out: str = ""
) -> Rivalry:
    """Weigh champion against rival on the labelled days of a watch that both have scored.

    The interval holds with ``rollback.confidence`` at each look, and a watch is looked at once for each
    new day. That all looks together still take back an equal champion in less than 5 % of promotions is
    what ``bench/rollback_errors.py`` measures.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        ``day``, ``target``, ``champion`` and ``rival``: both predictions of the same rows; not modified.
    gate
        Says in which metric, and how often days are resampled.
    left_out
        What to say of days that are missing.
    """
    days = int(rows["day"].nunique())
    found = None
    if days >= rollback.min_days:
        found = paired_gain(
            rows,
            metric=gate.metric,
            confidence=rollback.confidence,
            rounds=gate.bootstrap_rounds,
            seed=seed,
            challenger="rival",
        )
    if found is not None:
        reason = (
            f"version {watch.rival}, which served before, has a {gate.metric} lower by {found.gain:.4f} "
            f"[{found.low:.4f}, {found.high:.4f}] than version {watch.champion} on {found.days} days "
            f"and {found.rows} rows since {watch.first_day}"
        )
    elif days < rollback.min_days:
        reason = f"{days} labelled days were scored by both versions, rollback.min_days is {rollback.min_days}"
    else:
        reason = f"some prediction on the {days} labelled days is no number: there is nothing to compare"
    return Rivalry(
        day=day,
        champion_version=watch.champion,
        rival_version=watch.rival,
        days=days,
        rows=len(rows),
        gain=found.gain if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
        reason=reason + left_out,
    )
