"""Build what the policy decides by, out of the decisions so far and the days that are there.

Monitoring and the backtest both call these functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from datetime import date, timedelta

from ml.core.champions import tenures
from ml.core.data.rest_days import rest_reason
from ml.core.monitoring import policy, refit_gain
from ml.core.monitoring.alarm_conditions import Measured
from ml.records import (
    Asset,
    Champion,
    Decision,
    DriftReport,
    LivePerformance,
    Logged,
    PreviousChampionComparison,
    RefitComparison,
)
from ml.settings import Settings

DECIDED_DAYS = 7


def facts_on(
    champion: Champion,
    drift: DriftReport,
    performance: LivePerformance,
    comparison: PreviousChampionComparison | None,
    *,
    changes: Sequence[Logged],
    recent: Sequence[Logged],
    inputs: Collection[date],
    labels: Collection[date],
    rejected: Mapping[Asset, Container[date]],
    earlier: Sequence[Measured],
    tried: policy.Tried | None,
    settings: Settings,
    refit: RefitComparison | None = None,
    before: Decision | None = None,
    excluded: Collection[date] = (),
) -> policy.Facts:
    """Collect what is known on a day.

    Parameters
    ----------
    champion
        Who was resolved for the day.
    changes, recent
        All decisions that changed the champion, and at least those whose judgement or request may still make a
        challenger wait; both oldest first.
    inputs, labels
        The days that the data registry holds.
    rejected
        Days whose data were rejected by their contract at any time, by asset.
    earlier
        What was measured on the days of `earlier_days`.
    tried
        What `tried` returned.
    refit, before
        See `ml.core.monitoring.policy.Facts`; what was decided about another champion is passed over.
    excluded
        Days that are not learned from: they are no new days.
    """
    day, newest = drift.day, max(inputs)
    present = champion_facts(champion, changes)
    last = present.window_last_day if present else None
    labelled = (set(inputs) & set(labels)) - set(excluded)
    return policy.Facts(
        drift=drift,
        performance=performance,
        newest_day=newest,
        champion=present,
        anyone_serves=tenures.promoted_on(None, changes) is not None,
        no_champion_reason=champion.reason,
        earlier=tuple(earlier),
        comparison=comparison,
        last_judged=tenures.last_judged(recent, until=day),
        rolled_back_on=tenures.last_judged(recent, until=day, kinds=("rollback",)),
        requests=tuple(entry.effective_day for entry in requests(recent) if entry.effective_day),
        new_days=sum(labelled_day > last for labelled_day in labelled) if last else 0,
        absent_days=absent_days(day, inputs, labels, rejected, settings),
        tried=tried,
        refit=refit if refit is not None and refit.champion_version == champion.version else None,
        usual_gain=refit_gain.usual_gain(changes),
        before=before if before is not None and before.champion_version == champion.version else None,
    )


def champion_facts(champion: Champion, decisions: Sequence[Logged]) -> policy.ChampionFacts | None:
    """Return since when a champion serves and what it was trained on; None if none may judge the day."""
    if champion.version is None:
        return None
    tenure = tenures.tenure_on(champion.version, champion.day, tenures.champion_tenures(decisions))
    now = tenures.promoted_on(None, decisions)
    return policy.ChampionFacts(
        version=champion.version,
        promoted_on=tenure.effective_day,
        serves_now=now is not None and int(now.payload["version"]) == champion.version,
        window_last_day=tenure.window_last_day,
    )


def requests(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions that asked for a challenger."""
    return [entry for entry in decisions if entry.kind == "retrain_request"]


def earlier_days(day: date, settings: Settings) -> list[date]:
    """List the days that an alarm of ``day`` counts beside it, the newest first."""
    return [day - timedelta(days=back) for back in range(1, settings.land.calendar_days(settings.drift.alarm_days[1]))]


def decided_days(day: date, settings: Settings) -> list[date]:
    """List the days of whose decisions the newest says since when a challenger is asked for, the newest first."""
    return [day - timedelta(days=back) for back in range(1, settings.land.calendar_days(DECIDED_DAYS) + 1)]


def absent_days(
    day: date,
    inputs: Collection[date],
    labels: Collection[date],
    rejected: Mapping[Asset, Container[date]],
    settings: Settings,
) -> tuple[date, ...]:
    """List the days of the drift window that are missing, and days in or after it that were rejected and not corrected.

    A day on which no data are expected is not missing.
    """
    days = settings.land.calendar_days(settings.drift.window_days)
    around = [day + timedelta(days=n) for n in range(1 - days, days + 1)]
    sides: tuple[tuple[Asset, Collection[date]], ...] = (("inputs", inputs), ("labels", labels))
    not_accepted = {
        other for asset, held in sides for other in around if other not in held and other in rejected[asset]
    }
    missing = {*not_accepted, *gaps(inputs, last_day=day, days=days)}
    return tuple(sorted(other for other in missing if other in inputs or not rest_reason(other, inputs, settings.land)))


def gaps(held: Collection[date], *, last_day: date, days: int) -> list[date]:
    """Name the days of the window that ends at ``last_day`` which are missing though they were to be expected.

    A day is expected if its weekday was there in both of the two weeks before the window: a business that rests on
    Sundays misses none, and a young registry misses nothing.
    """
    first = last_day - timedelta(days=days - 1)
    missing = [day for n in range(days) if (day := first + timedelta(days=n)) not in held]
    return [
        day for day in missing if all(day - timedelta(weeks=(day - first).days // 7 + more) in held for more in (1, 2))
    ]


def tried(
    fingerprint: str | None, changes: Sequence[Logged], *, judged: Callable[[str], Collection[Logged]]
) -> policy.Tried | None:
    """Return what became of a training; None if it is a new one, or there is none.

    Parameters
    ----------
    fingerprint
        Names the training that would follow now; None if there can be none.
    judged
        Returns the decisions that judged a training.
    """
    if fingerprint is None:
        return None
    if fingerprint in tenures.blocked(changes):
        return "blocked"
    return "judged" if judged(fingerprint) else None
