"""From the facts of a day to what monitoring asks for, with reasons in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ml.records import Decision, DriftReport, RetrainRequest
from ml.settings import Retrain


@dataclass(frozen=True)
class ChampionFacts:
    """What the policy knows of the champion: None fields are unknown, never assumed."""

    version: int
    promoted_on: date


def decide(
    drift: DriftReport,
    *,
    champion: ChampionFacts | None,
    newest_day: date,
    last_judged: date | None,
    policy: Retrain,
    anyone_serves: bool = False,
    no_champion_reason: str = "no champion serves yet",
) -> Decision:
    """Say whether a challenger is asked for.

    Only the newest day asks, or raises an alarm: on behalf of a day that is backfilled nothing is
    trained today. No champion asks at once. Drift and age ask unless a challenger was judged less than
    ``cooldown_days`` before ``drift.day``. Drift that could not be measured asks for nothing; its
    reason is reported.

    Parameters
    ----------
    champion
        The one that may judge ``drift.day``; None if none may.
    anyone_serves
        Whether there is a champion at all, if only one that may not judge that day.
    last_judged
        Day of the newest judgement (promotion or hold) not after ``drift.day``; None if none.
    """
    day = drift.day
    if day < newest_day:
        said = f"{day} is not the newest day ({newest_day}), so nothing is asked for on its behalf: {drift.reason}"
        return Decision(day=day, action="nothing", reasons=(said,), alarm=False)
    if champion is None and anyone_serves:
        return Decision(day=day, action="nothing", reasons=(f"drift unknown: {no_champion_reason}",), alarm=False)
    if champion is None:
        return _retrain(day, (no_champion_reason,), alarm=False)
    age = (day - champion.promoted_on).days
    wishes: list[str] = []
    alarm = drift.status == "drift"
    if alarm and policy.on_drift:
        wishes.append(f"drift: {drift.reason}")
    if policy.max_age_days is not None and age > policy.max_age_days:
        wishes.append(f"age: version {champion.version} has served {age} days, more than {policy.max_age_days}")
    if not wishes:
        return Decision(day=day, action="nothing", reasons=(_calm(drift, age),), alarm=alarm)
    if last_judged is not None and 0 <= (day - last_judged).days < policy.cooldown_days:
        waits = f"waiting: a challenger was judged on {last_judged}, cooldown is {policy.cooldown_days} days"
        return Decision(day=day, action="nothing", reasons=(*wishes, waits), alarm=alarm)
    return _retrain(day, tuple(wishes), alarm=alarm)


def _calm(drift: DriftReport, age: int) -> str:
    if drift.status == "unknown":
        return f"drift unknown: {drift.reason}"
    if drift.status == "drift":
        return f"drift, but retrain.on_drift is off: {drift.reason}"
    return f"{drift.reason}; the champion has served {age} days"


def _retrain(day: date, reasons: tuple[str, ...], *, alarm: bool) -> Decision:
    request = RetrainRequest(asked_by=f"monitor of {day}", reasons=reasons)
    return Decision(day=day, action="retrain", reasons=reasons, alarm=alarm, request=request)
