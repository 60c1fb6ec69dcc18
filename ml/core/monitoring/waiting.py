"""What keeps a challenger that is asked for from being trained, until when, and what a refit would gain."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from ml.core.metrics import mean_loss
from ml.core.monitoring import refit_gain
from ml.core.monitoring.alarm_conditions import AlarmCondition, listed
from ml.settings import Settings

if TYPE_CHECKING:
    from ml.core.monitoring.policy import Facts

BUDGET_DAYS = 7
MAY_WAIT = {"drift", "decay", "age"}
"""The reasons that ask for a challenger whether or not it would gain; of these, age needs no data that moved."""


@dataclass(frozen=True)
class PutOff:
    """Why a challenger waits for a refit to gain, and since when; ``in_spite`` says that it has waited long enough."""

    since: date | None = None
    reasons: tuple[str, ...] = ()
    in_spite: tuple[str, ...] = ()


def alarm_days(settings: Settings) -> tuple[int, int]:
    """Return on how many days, of how many calendar days, an alarm needs findings."""
    enough, newest = settings.drift.alarm_days
    return enough, settings.land.calendar_days(newest)


def reasons(facts: Facts, conditions: Sequence[AlarmCondition], settings: Settings) -> tuple[str, ...]:
    """Return all that keeps a challenger from being trained, whatever it would gain, and until when it does."""
    day, policy = facts.day, settings.retrain
    wait_reasons: list[tuple[date, int, str]] = []
    broken = [
        broken_day for condition in conditions if condition.name == "broken data" for broken_day in condition.days
    ]
    if broken:
        reason = f"nobody retrains on broken data, found on {listed(broken)}; correct these days to ask sooner"
        wait_reasons.append((max(broken), alarm_days(settings)[1], reason))
    if facts.absent_days:
        reason = f"data of {listed(facts.absent_days)} are rejected or missing; bring these days in to ask sooner"
        window_days = settings.land.calendar_days(settings.drift.window_days)
        wait_reasons.append((max(facts.absent_days), window_days, reason))
    if facts.tried:
        outcome = {"judged": "judged", "blocked": "rolled back"}[facts.tried]
        wait_reasons.append((day, 1, f"nothing new to train on, this very training was {outcome} before"))
    if facts.last_judged is not None and 0 <= (day - facts.last_judged).days < policy.cooldown_days:
        rolled_back = facts.rolled_back_on == facts.last_judged
        what = "the champion was rolled back" if rolled_back else "a challenger was judged"
        reason = f"{what} on {facts.last_judged}, cooldown is {policy.cooldown_days} days"
        wait_reasons.append((facts.last_judged, policy.cooldown_days, reason))
    request_days = counting_requests(facts.requests, day)
    if len(request_days) >= policy.max_retrains_per_week:
        reason = (
            f"challengers were requested on {listed(request_days)}, retrain.max_retrains_per_week is "
            f"{policy.max_retrains_per_week}"
        )
        wait_reasons.append((request_days[-policy.max_retrains_per_week], BUDGET_DAYS, reason))
    return tuple(f"waiting until {since + timedelta(days=days)}: {reason}" for since, days, reason in wait_reasons)


def counting_requests(request_days: Collection[date], day: date) -> list[date]:
    """Return the days on behalf of which challengers were requested that count in a day's budget, in order."""
    return sorted(request_day for request_day in set(request_days) if 0 < (day - request_day).days < BUDGET_DAYS)


def asking_since(facts: Facts, asking: Sequence[AlarmCondition]) -> date | None:
    """Return the first day of the drift or decay that asks for a challenger without a break; None if neither does.

    Parameters
    ----------
    asking
        The conditions that ask today.
    """
    if not asking:
        return None
    before = facts.before.asking_since if facts.before is not None else None
    return min([day for condition in asking for day in condition.days] + ([before] if before else []))


def gain(facts: Facts, settings: Settings) -> str | None:
    """Return why a challenger is wanted for what a refit would gain; None if it would not, or nobody knows."""
    policy, refit, champion = settings.retrain, facts.refit, facts.champion
    if not policy.on_gain or refit is None or champion is None or refit.gain is None:
        return None
    if policy.cost is not None:
        saved = _saved(facts, settings)
        if saved is None or saved <= policy.cost:
            return None
        return (
            f"gain: refits would have saved {saved:.6g} since version {champion.version} serves, more than "
            f"retrain.cost ({policy.cost:g}); {refit.reason}"
        )
    if not refit_gain.gains(refit, settings):
        return None
    return f"gain: refits in shadow do better than version {champion.version}: {refit_gain.in_words(refit, settings)}"


def past_gain(facts: Facts, settings: Settings) -> str | None:
    """Return why a challenger is wanted for what refreshes of the recipe gained in its past; None if it is not.

    Where a training has a cost, or a refit in shadow shows that nothing would be gained, what is shown decides.
    """
    policy, usual, champion = settings.retrain, facts.usual_gain, facts.champion
    if not policy.on_past_gain or policy.cost is not None or usual is None or champion is None:
        return None
    expected = refit_gain.expected_gain(usual, facts.new_days)
    if expected <= 0 or expected < refit_gain.worthwhile(settings):
        return None
    if facts.refit is not None and refit_gain.gains_nothing(facts.refit, settings):
        return None
    return (
        f"past gain: {facts.new_days} days were labelled since version {champion.version} was trained, and by its "
        f"recipe's past newer data by so many days gain {expected:+.4g} {mean_loss(settings.gate.metric)}"
    )


def put_off(facts: Facts, asked: Collection[str], onset: date | None, settings: Settings) -> PutOff:
    """Say whether a challenger waits because a refit would not gain.

    Only what drift, decay or age ask for waits, and only on evidence: a refit that had not seen the data that moved
    says nothing of learning from them, and too few days never make anybody wait. After
    ``retrain.shadow_refit.max_wait_days`` it is trained all the same.

    Parameters
    ----------
    asked
        The names of the reasons to retrain.
    onset
        What `asking_since` returned.
    """
    longest = settings.retrain.shadow_refit.max_wait_days
    reason = None if set(asked) - MAY_WAIT or not longest else _no_gain(facts, onset, settings)
    if reason is None:
        return PutOff()
    before = facts.before.put_off_since if facts.before is not None else None
    began = before or facts.day
    until = began + timedelta(days=longest)
    if facts.day >= until:
        waited = f"{reason}; it has waited since {began}, which is long enough (retrain.shadow_refit.max_wait_days)"
        return PutOff(began, in_spite=(waited,))
    return PutOff(began, reasons=(f"waiting until {until} at the latest: {reason}",))


def _no_gain(facts: Facts, onset: date | None, settings: Settings) -> str | None:
    if facts.refit is None:
        return None
    policy = settings.retrain
    if policy.cost is not None:
        saved = _saved(facts, settings)
        if saved is None or len(facts.refit.days) < policy.shadow_refit.min_days or saved > policy.cost:
            return None
        return (
            f"a training would not pay yet: refits would have saved {saved:.6g} of retrain.cost ({policy.cost:g}); "
            f"{facts.refit.reason}"
        )
    seen = refit_gain.since(facts.refit, onset, settings)
    if not refit_gain.gains_nothing(seen, settings):
        return None
    after = f" that had seen data since {onset}" if onset is not None else ""
    return f"a refit would not have gained: refits in shadow{after} {refit_gain.in_words(seen, settings)}"


def _saved(facts: Facts, settings: Settings) -> float | None:
    """Return what refits are believed to have saved, in the unit of ``retrain.cost``; None if nothing is known."""
    value, champion = settings.retrain.loss_value, facts.champion
    if value is None or facts.refit is None or champion is None or champion.window_last_day is None:
        return None
    if not facts.refit.days:
        return None
    return value * refit_gain.saved(facts.refit, facts.usual_gain, champion.window_last_day)
