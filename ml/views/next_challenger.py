"""When the next challenger comes after one that was held, in a sentence that follows from settings and decisions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ml.core.champions import tenures
from ml.core.champions.tenures import Tenure
from ml.core.counting import counted
from ml.core.monitoring.alarm_conditions import listed
from ml.core.monitoring.policy_facts import requests
from ml.core.monitoring.waiting import BUDGET_DAYS, counting_requests
from ml.next_moves import retrain
from ml.records import Logged
from ml.settings import Settings

HELD = ("hold", "rejection")


def after(entry: Logged, decisions: Sequence[Logged], settings: Settings) -> str | None:
    """Return when a challenger is requested next, and how many labelled days are missing to compare it.

    The day is that of the age of the champion, not before the cooldown is over and the week's budget has room. Drift,
    decay, a gain or new data may ask sooner, and broken data make it later: neither is known in advance, so that the
    sentence names them.

    Parameters
    ----------
    entry
        The decision about the challenger, the newest by which one was judged.
    decisions
        What changed the champion, and what was decided on the days of `budget_days`; oldest first. Others do no harm.

    Returns
    -------
    str or None
        None for what held no challenger, and where the decision does not say on which day it was made.

    Examples
    --------
    *The next challenger is requested with the data of 2013-07-04 at the latest (age: version 3 will have served more
    than 14 days; later if data are broken or missing), and from 2013-06-27 on if drift or decay asks for it. You need
    not wait: run Retrain*
    """
    judged_on = _day(entry.payload.get("judged_on"))
    if entry.kind not in HELD or judged_on is None:
        return None
    serving = tenures.champion_tenures(decisions) if tenures.promoted_on(None, decisions) else []
    if not serving:
        sentences = ["Nobody serves, so the next challenger is requested with the next day that comes in"]
    else:
        spent = _spent(judged_on, decisions, settings)
        sentences = [
            _requested(judged_on, serving[-1], spent, settings),
            *_missing(entry, serving[-1], settings),
            *_budget(judged_on, spent, settings),
        ]
    return ". ".join([*sentences, f"You need not wait: {retrain()}"])


def budget_days(entry: Logged) -> tuple[date, date] | None:
    """Return the first and the last day whose requests may make the challenger after a decision wait; None if none."""
    judged_on = _day(entry.payload.get("judged_on"))
    if entry.kind not in HELD or judged_on is None:
        return None
    return judged_on - timedelta(days=BUDGET_DAYS - 1), judged_on + timedelta(days=BUDGET_DAYS)


def _after_cooldown(judged_on: date, settings: Settings) -> date:
    return judged_on + timedelta(days=max(settings.retrain.cooldown_days, 1))


def _spent(judged_on: date, decisions: Sequence[Logged], settings: Settings) -> list[date]:
    """Return the days of requests that take up the budget of the first day after the cooldown; none if it has room."""
    days = [entry.effective_day for entry in requests(decisions) if entry.effective_day is not None]
    counting = counting_requests(days, _after_cooldown(judged_on, settings))
    per_week = settings.retrain.max_retrains_per_week
    return counting[-per_week:] if len(counting) >= per_week else []


def _soonest(judged_on: date, spent: Sequence[date], settings: Settings) -> date:
    """Return the first day on which neither cooldown nor budget makes a challenger wait."""
    return spent[0] + timedelta(days=BUDGET_DAYS) if spent else _after_cooldown(judged_on, settings)


def _budget(judged_on: date, spent: Sequence[date], settings: Settings) -> Iterator[str]:
    if spent:
        yield (
            f"Challengers were requested on {listed(spent)}, which is all that a week may have "
            f"(retrain.max_retrains_per_week: {settings.retrain.max_retrains_per_week}): the next one waits until "
            f"{_soonest(judged_on, spent, settings)}"
        )


def _requested(judged_on: date, champion: Tenure, spent: Sequence[date], settings: Settings) -> str:
    """Return on which day at the latest, and from which on, a challenger is requested by itself."""
    policy = settings.retrain
    soonest = _soonest(judged_on, spent, settings)
    asking = _asking(settings)
    sooner = f"from {soonest} on if {' or '.join(asking)} asks for it" if asking else ""
    if policy.max_age_days is None:
        if not sooner:
            return "The next challenger is not requested by itself: no setting under retrain asks for one"
        return f"The next challenger is requested {sooner}; retrain.max_age_days names no latest day"
    aged = champion.effective_day + timedelta(days=policy.max_age_days + 1)
    latest = max(aged, soonest) + timedelta(days=policy.shadow_refit.max_wait_days)
    by_age = f"age: version {champion.version} will have served more than {counted(policy.max_age_days, 'day')}"
    late = "later if data are broken or missing"
    words = f"The next challenger is requested with the data of {latest} at the latest ({by_age}; {late})"
    return f"{words}, and {sooner}" if sooner and soonest < latest else words


def _asking(settings: Settings) -> list[str]:
    policy = settings.retrain
    reasons = {
        "drift": policy.on_drift,
        "decay": policy.on_decay,
        "a gain in shadow": policy.on_gain,
        "the past gain of newer data": policy.on_past_gain,
        "new data": policy.min_new_days is not None,
    }
    return [name for name, wanted in reasons.items() if wanted]


def _missing(entry: Logged, champion: Tenure, settings: Settings) -> Iterator[str]:
    """Yield how many labelled days more are needed, where days or rows were too few to compare on."""
    missing = max((_missing_days(ruling, entry, champion, settings) for ruling in _unknown(entry)), default=0)
    if missing > 0:
        due = (
            f", with labels that come {counted(delay, 'day')} later"
            if (delay := settings.task.label_delay_days)
            else ""
        )
        yield f"To be compared it needs about {counted(missing, 'labelled day')} more than this one had{due}"


def _unknown(entry: Logged) -> Iterator[Mapping[str, Any]]:
    """Yield the rulings that too few days can explain."""
    verdict = entry.payload.get("verdict")
    rulings = verdict.get("rulings") if isinstance(verdict, Mapping) else None
    for ruling in rulings or ():
        if not isinstance(ruling, Mapping) or ruling.get("passed") is True:
            continue
        if ruling.get("kind") == "holdout_size" or (ruling.get("kind") == "champion" and ruling.get("passed") is None):
            yield ruling


def _missing_days(ruling: Mapping[str, Any], entry: Logged, champion: Tenure, settings: Settings) -> int:
    gate = settings.gate
    measured = ruling.get("comparison") or (ruling.get("evidence") if ruling.get("kind") == "holdout_size" else None)
    if isinstance(measured, Mapping) and measured.get("days"):
        days, rows = float(measured["days"]), float(measured.get("rows") or 0)
        by_rows = math.ceil((gate.min_rows - rows) * days / rows) if rows else 0
        return max(math.ceil(gate.min_days - days), by_rows, 0)
    last_day = _day(entry.payload.get("window_last_day"))
    if last_day is None:
        return 0
    new = max((last_day - champion.window_last_day).days, 0) // settings.land.every_days
    return max(gate.min_days - new, 0)


def _day(text: object) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None
