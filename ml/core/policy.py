"""From the facts of a day to what monitoring asks for, with reasons in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from ml.records import Decision, DriftReport, RetrainRequest, Rivalry, RollbackRequest
from ml.settings import Retrain, Rollback


@dataclass(frozen=True)
class ChampionFacts:
    """What the policy knows of the champion: None fields are unknown, never assumed."""

    version: int
    promoted_on: date
    serves_now: bool = True


def decide(
    drift: DriftReport,
    *,
    champion: ChampionFacts | None,
    newest_day: date,
    last_judged: date | None,
    policy: Retrain,
    rivalry: Rivalry | None = None,
    rollback: Rollback | None = None,
    anyone_serves: bool = False,
    no_champion_reason: str = "no champion serves yet",
) -> Decision:
    """Say whether the version that served before is asked back, or a challenger is asked for.

    Only the newest day asks, or raises an alarm: on behalf of a day that is backfilled nothing is
    trained today. No champion asks at once. Drift and age ask unless a challenger was judged less than
    ``cooldown_days`` before ``drift.day``. Drift that could not be measured asks for nothing; its
    reason is reported. A champion that does worse than the version before it, beyond noise, goes before
    all wishes: no challenger is asked for at the same time.

    Parameters
    ----------
    champion
        The one that may judge ``drift.day``; None if none may. Whoever has been replaced since
        (not ``serves_now``) is not rolled back.
    anyone_serves
        Whether there is a champion at all, if only one that may not judge that day.
    last_judged
        Day of the newest judgement (promotion or hold) not after ``drift.day``; None if none.
    rivalry, rollback
        How the version before would have done, and when that is enough; None for either rolls
        nothing back.
    """
    day = drift.day
    if day < newest_day:
        said = f"{day} is not the newest day ({newest_day}), so nothing is asked for on its behalf: {drift.reason}"
        return Decision(day=day, action="nothing", reasons=(said,), alarm=False)
    if champion is None:
        unknown = Decision(day=day, action="nothing", reasons=(f"drift unknown: {no_champion_reason}",), alarm=False)
        return unknown if anyone_serves else _retrain(day, (no_champion_reason,), alarm=False)
    alarm = drift.status == "drift"
    if rivalry is not None and rollback is not None and _does_worse(champion, rivalry, rollback):
        moved = (f"drift: {drift.reason}",) if alarm else ()
        back = _back(day, rivalry)
        return Decision(day=day, action="rollback", reasons=(*moved, back.why), alarm=alarm, rollback=back)
    age = (day - champion.promoted_on).days
    wishes: list[str] = []
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


def _does_worse(champion: ChampionFacts, rivalry: Rivalry, rollback: Rollback) -> bool:
    """Say whether the evidence is whole, is about the champion that serves, and is beyond noise."""
    about_it = champion.serves_now and rivalry.champion_version == champion.version
    enough = rivalry.rival_version is not None and rivalry.days >= rollback.min_days
    return rollback.automatic and about_it and enough and rivalry.low is not None and rivalry.low > 0


def _back(day: date, rivalry: Rivalry) -> RollbackRequest:
    evidence = {"gain": rivalry.gain, "low": rivalry.low, "high": rivalry.high}
    return RollbackRequest(
        asked_by=f"monitor of {day}",
        why=rivalry.reason,
        to_version=rivalry.rival_version,
        from_version=rivalry.champion_version,
        evidence={**evidence, "days": float(rivalry.days), "rows": float(rivalry.rows)},
    )


def _calm(drift: DriftReport, age: int) -> str:
    if drift.status == "unknown":
        return f"drift unknown: {drift.reason}"
    if drift.status == "drift":
        return f"drift, but retrain.on_drift is off: {drift.reason}"
    return f"{drift.reason}; the champion has served {age} days"


def _retrain(day: date, reasons: tuple[str, ...], *, alarm: bool) -> Decision:
    request = RetrainRequest(asked_by=f"monitor of {day}", reasons=reasons)
    return Decision(day=day, action="retrain", reasons=reasons, alarm=alarm, request=request)
