"""From the facts of a day to what monitoring asks for, with reasons in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from ml.core.monitoring import refit_gain, waiting
from ml.core.monitoring.alarm_conditions import AlarmCondition, Measured, alarm_conditions_of, persistent
from ml.records import (
    Decision,
    DriftReport,
    Finding,
    LivePerformance,
    PreviousChampionComparison,
    RefitComparison,
    RetrainRequest,
    RollbackRequest,
)
from ml.settings import Retrain, Rollback, Settings

State = Literal["calm", "watching", "alarm", "unknown"]
Tried = Literal["judged", "blocked"]


@dataclass(frozen=True)
class ChampionFacts:
    """What the policy knows of the champion: None fields are unknown, never assumed."""

    version: int
    promoted_on: date
    serves_now: bool = True
    window_last_day: date | None = None


@dataclass(frozen=True)
class Facts:
    """What is known on the day of ``drift``; what is left out speaks for nothing.

    Parameters
    ----------
    drift, performance
        What was measured on the day; ``performance`` None if it was not.
    newest_day
        The newest day of the data registry.
    champion
        The one that may judge the day; None if none may, for which ``no_champion_reason`` says why.
        Whoever has been replaced since (not ``serves_now``) is not rolled back.
    anyone_serves
        Whether there is a champion at all, if only one that may not judge the day.
    earlier
        What was measured on earlier days, in any order; those of other versions, and those not among the newest
        ``drift.alarm_days`` calendar days, are passed over.
    comparison
        How the version before would have done; None rolls nothing back.
    last_judged
        Day of the newest judgement not after the day; None if none. One before the cooldown need not be known.
    rolled_back_on
        Day of the newest of them that is a rollback; None if none.
    requests
        Days on behalf of which challengers were asked for; only those of the week before the day count.
    new_days
        Days labelled since the champion's training window.
    absent_days
        Days whose data were rejected, or are missing.
    tried
        Whether the very training that would follow was judged, or rolled back, before; None if not.
    refit, usual_gain
        What refits in shadow did beside the champion, and what refreshes of its recipe gained before; None if unknown.
    before
        What was decided last, on one of the newest days; None if nothing.
    """

    drift: DriftReport
    newest_day: date
    champion: ChampionFacts | None
    performance: LivePerformance | None = None
    anyone_serves: bool = False
    no_champion_reason: str = "no champion serves yet"
    earlier: tuple[Measured, ...] = ()
    comparison: PreviousChampionComparison | None = None
    last_judged: date | None = None
    rolled_back_on: date | None = None
    requests: tuple[date, ...] = ()
    new_days: int = 0
    absent_days: tuple[date, ...] = ()
    tried: Tried | None = None
    refit: RefitComparison | None = None
    usual_gain: refit_gain.UsualGain | None = None
    before: Decision | None = None

    @property
    def day(self) -> date:
        """Return the day that is decided about."""
        return self.drift.day

    @property
    def today(self) -> tuple[Measured, ...]:
        """Return what was measured on the day itself."""
        return (self.drift, self.performance) if self.performance else (self.drift,)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what was noticed on the day itself."""
        return tuple(finding for measured in self.today for finding in measured.findings)


def decide(facts: Facts, *, settings: Settings) -> Decision:
    """Return whether the version that served before is asked back, a challenger is asked for, or nothing.

    Only the newest day asks, or raises an alarm: on behalf of a day that is monitored later nothing is trained today.
    No champion at all asks at once. A champion that does worse than the version before it, beyond noise, goes before
    all wishes for a challenger. Drift, decay, age and newly labelled days ask for one, unless the data are broken,
    the same training was judged before, cooldown or budget want it to wait, or a refit would not gain: each that does
    is said, with the day on which it no longer does. What could not be measured asks for nothing, and is said. A
    person's request does not come here: it goes straight to *Retrain*.
    """
    day, champion = facts.day, facts.champion
    conditions = (
        ()
        if champion is None
        else alarm_conditions_of(facts.today, facts.earlier, alarm_days=waiting.alarm_days(settings))
    )
    state = _state(facts, conditions, settings)
    if day < facts.newest_day:
        reason = f"{day} is not the newest day ({facts.newest_day}), so nothing is requested for it"
        return _decision(facts, "watching" if state == "alarm" else state, (f"{reason}: {facts.drift.reason}",))
    if champion is None:
        return _without_champion(facts, state)
    if facts.comparison is not None and _does_worse(champion, facts.comparison, settings.rollback):
        back = _back(day, facts.comparison)
        decision = _decision(
            facts, state, (*(condition.message for condition in conditions if condition.alarm), back.reason)
        )
        return decision.model_copy(update={"action": "rollback", "rollback": back})
    asked = _retrain_reasons(facts, champion, conditions, settings)
    retrain_reasons = tuple(asked.values())
    other_findings = tuple(
        _condition_sentence(condition, settings.retrain)
        for condition in conditions
        if condition.message not in retrain_reasons
    )
    if not retrain_reasons:
        return _decision(facts, state, (*other_findings, *_otherwise(facts, champion, settings)))
    asking_since = waiting.asking_since(facts, [condition for condition in conditions if condition.name in asked])
    put_off = waiting.put_off(facts, asked, asking_since, settings)
    wait_reasons = (*waiting.reasons(facts, conditions, settings), *put_off.reasons)
    if wait_reasons:
        decision = _decision(facts, state, (*retrain_reasons, *other_findings, *wait_reasons))
        return decision.model_copy(update={"asking_since": asking_since, "put_off_since": put_off.since})
    retrain = _retrain(facts, state, retrain_reasons, (*other_findings, *put_off.in_spite))
    return retrain.model_copy(update={"asking_since": asking_since})


def _without_champion(facts: Facts, state: State) -> Decision:
    if facts.anyone_serves:
        return _decision(facts, state, (f"drift unknown: {facts.no_champion_reason}",))
    return _retrain(facts, state, (facts.no_champion_reason,))


def _state(facts: Facts, conditions: Sequence[AlarmCondition], settings: Settings) -> State:
    """Sum the newest days up; what could not be measured is unknown, but for a champion too new for it."""
    if any(condition.alarm for condition in conditions):
        return "alarm"
    unmeasured = facts.performance is not None and facts.performance.status == "unknown"
    if facts.champion is None or facts.drift.status == "unknown" or (unmeasured and not _too_new(facts, settings)):
        return "unknown"
    return "watching" if conditions else "calm"


def _too_new(facts: Facts, settings: Settings) -> bool:
    """Return whether there cannot be ``performance.min_days`` labelled days yet of what was served."""
    if facts.champion is None:
        return False
    return facts.day < _first_figure(facts, facts.champion, settings)


def _retrain_reasons(
    facts: Facts, champion: ChampionFacts, conditions: Sequence[AlarmCondition], settings: Settings
) -> dict[str, str]:
    """Return the reasons for which a challenger is wanted, each by its name."""
    policy = settings.retrain
    wanted = {"drift": policy.on_drift, "decay": policy.on_decay}
    asked: dict[str, str] = {}
    if gain := waiting.gain(facts, settings):
        asked["gain"] = gain
    elif gain := waiting.past_gain(facts, settings):
        asked["past gain"] = gain
    asked |= {
        condition.name: condition.message for condition in conditions if condition.alarm and wanted.get(condition.name)
    }
    if policy.on_decay and "decay" not in asked:
        worse = persistent(facts.today, facts.earlier, "decay", alarm_days=waiting.alarm_days(settings))
        if worse:
            asked["decay"] = f"decay, too little for an alarm: {'; '.join(finding.message for finding in worse)}"
    age = (facts.day - champion.promoted_on).days
    if policy.max_age_days is not None and age > policy.max_age_days:
        asked["age"] = f"age: version {champion.version} has served {age} days, more than {policy.max_age_days}"
    if policy.min_new_days is not None and facts.new_days >= policy.min_new_days:
        since = f" since {champion.window_last_day}" if champion.window_last_day else ""
        asked["new data"] = (
            f"new data: {facts.new_days} days were labelled{since}, retrain.min_new_days is {policy.min_new_days}"
        )
    return asked


def _condition_sentence(condition: AlarmCondition, policy: Retrain) -> str:
    is_off = {"drift": not policy.on_drift, "decay": not policy.on_decay}.get(condition.name, False)
    return (
        f"{condition.message} (retrain.on_{condition.name} is off)" if condition.alarm and is_off else condition.message
    )


def _otherwise(facts: Facts, champion: ChampionFacts, settings: Settings) -> tuple[str, ...]:
    """Return what is calm, and what could not be measured."""
    reasons = [] if facts.drift.status == "drift" else [facts.drift.reason]
    if facts.drift.status == "unknown":
        reasons = [f"drift unknown: {facts.drift.reason}"]
    if facts.performance is not None and facts.performance.status == "unknown":
        first = _first_figure(facts, champion, settings)
        least = settings.performance.min_days
        then = f"the first live figure comes on {first}, after {least} labelled days; " if first > facts.day else ""
        reasons.append(f"performance unknown: {then}{facts.performance.reason}")
    reasons += [facts.refit.reason] if facts.refit is not None and facts.refit.gain is not None else []
    return (*reasons, _served(champion, facts.day))


def _first_figure(facts: Facts, champion: ChampionFacts, settings: Settings) -> date:
    """Return the first day on which ``performance.min_days`` days of what was served can be labelled."""
    if facts.performance is not None and facts.performance.expected_by is not None:
        return facts.performance.expected_by
    return first_figure(champion.promoted_on, settings)


def first_figure(served_from: date, settings: Settings) -> date:
    """Return the first day on which a version that serves from ``served_from`` on can have a live figure."""
    days = settings.task.label_delay_days + settings.land.calendar_days(settings.performance.min_days) - 1
    return served_from + timedelta(days=days)


def _served(champion: ChampionFacts, day: date) -> str:
    """Return how long the champion had served by ``day``; it may have come to serve only after a day that it scored."""
    days = (day - champion.promoted_on).days
    if days < 0:
        return f"version {champion.version} serves from {champion.promoted_on} on"
    return f"version {champion.version} has served {days} day{'' if days == 1 else 's'}"


def _does_worse(champion: ChampionFacts, comparison: PreviousChampionComparison, rollback: Rollback) -> bool:
    """Return whether the evidence is whole, is about the champion that serves, and is beyond noise."""
    about_it = champion.serves_now and comparison.champion_version == champion.version
    enough = comparison.previous_version is not None and comparison.days >= rollback.min_days
    return rollback.automatic and about_it and enough and comparison.low is not None and comparison.low > 0


def _back(day: date, comparison: PreviousChampionComparison) -> RollbackRequest:
    evidence = {"gain": comparison.gain, "low": comparison.low, "high": comparison.high}
    return RollbackRequest(
        requested_by=f"monitor of {day}",
        reason=comparison.reason,
        to_version=comparison.previous_version,
        from_version=comparison.champion_version,
        evidence={**evidence, "days": float(comparison.days), "rows": float(comparison.rows)},
    )


def _retrain(
    facts: Facts, state: State, retrain_reasons: tuple[str, ...], other_findings: tuple[str, ...] = ()
) -> Decision:
    request = RetrainRequest(requested_by=f"monitor of {facts.day}", reasons=retrain_reasons)
    return _decision(facts, state, (*retrain_reasons, *other_findings)).model_copy(
        update={"action": "retrain", "request": request}
    )


def _decision(facts: Facts, state: State, reasons: tuple[str, ...]) -> Decision:
    return Decision(
        day=facts.day,
        action="nothing",
        reasons=reasons,
        alarm=state == "alarm",
        state=state,
        champion_version=facts.champion.version if facts.champion else None,
        findings=facts.findings,
    )
