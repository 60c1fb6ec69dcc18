"""Which days an alarm stood on, by what was measured and decided: limits are not learned from them.

Whether anybody was notified does not count: days that were replayed, or whose mails failed, had their alarms too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from ml.core.data.days import days_between
from ml.core.monitoring.alarm_conditions import KINDS
from ml.core.monitoring.episodes import Day, Episode, Family, follow
from ml.records import Decision, DriftReport, Finding, LivePerformance
from ml.settings import Settings

LONGEST_WINDOWS = 4
"""An alarm of drift that stands for more than so many windows is the new normal: limits learn from its days again."""


def days_in_alarm(episodes: Iterable[Episode], *, window_days: int, longest_days: int) -> set[date]:
    """Return the days that alarms speak of, without those of alarms that lasted too long.

    Drift is measured over a window: the days before an alarm that its first window holds may have the fault already.

    Parameters
    ----------
    episodes
        As they were left.
    window_days
        So many calendar days a window has.
    longest_days
        An alarm that stands for longer is no fault that passes: the world has changed, and its days are the new normal.
    """
    lead = timedelta(days=window_days - 1)
    passed = [one for one in episodes if (one.day - one.first_day).days < longest_days]
    return {day for episode in passed for day in days_between(episode.first_day - lead, episode.day)}


def in_training(days: Iterable[Day], wanted: Collection[date], settings: Settings) -> set[date]:
    """Return the days of a training window on which an alarm of drift stood: limits are not learned from them.

    Parameters
    ----------
    days
        Those of the window that were monitored, in order.
    wanted
        The days of the window.
    """
    land, declared = settings.land, settings.drift
    window_days = land.calendar_days(declared.window_days)
    alarms = of_days(days, family="drift", alarm_days=declared.alarm_days, every_days=land.every_days)
    return set(wanted) & days_in_alarm(alarms, window_days=window_days, longest_days=LONGEST_WINDOWS * window_days)


def findings_of(
    findings: Sequence[Finding], statuses: Mapping[Family, str], reasons: Mapping[Family, str]
) -> tuple[Finding, ...]:
    """Return what an episode counts of a day; a verdict that came without a finding of its kind is one itself.

    Parameters
    ----------
    findings
        As they are in the day's decision.
    statuses, reasons
        The status and the reason of the drift report, and those of live performance. Columns that moved count where
        they made up ``drift``.
    """
    counted = [finding for finding in findings if finding.kind != "drift" or statuses["drift"] == "drift"]
    alarming = {finding.kind for finding in counted if finding.severity == "alarm"}
    if statuses["drift"] == "drift" and not alarming & set(KINDS["drift"]):
        counted.append(Finding(kind="drift", severity="alarm", message=reasons["drift"]))
    if statuses["decay"] == "decay" and "decay" not in alarming:
        counted.append(Finding(kind="decay", severity="alarm", message=reasons["decay"]))
    return tuple(counted)


def measured(statuses: Mapping[Family, str]) -> frozenset[Family]:
    """Return of which families the day could be measured."""
    return frozenset(family for family, status in statuses.items() if status != "unknown")


def of_days(days: Iterable[Day], *, family: Family, alarm_days: tuple[int, int], every_days: int = 1) -> list[Episode]:
    """Return the episodes of days that were monitored, as they were left, whoever was notified of them.

    Parameters
    ----------
    days
        In order.
    """
    newest: dict[str, Episode] = {}
    episode: Episode | None = None
    earlier: list[Day] = []
    for day in days:
        events = follow(episode, day, earlier, family=family, alarm_days=alarm_days, every_days=every_days)
        if events:
            episode = events[-1].episode
            newest[episode.id] = episode
        earlier = [*earlier, day][-alarm_days[1] :]
    return list(newest.values())


def day_of(summary: Mapping[str, Any]) -> Day:
    """Read a day as episodes count it, from its summary (`ml.core.monitoring.day_summary`)."""
    parts: dict[Family, Mapping[str, Any]] = {
        "drift": summary["drift"] or {},
        "decay": summary["performance"] or {},
    }
    statuses = {family: str(part.get("status", "unknown")) for family, part in parts.items()}
    findings = tuple(Finding.model_validate(finding) for finding in summary["findings"])
    return Day(
        date.fromisoformat(summary["day"]),
        summary["version"],
        findings_of(findings, statuses, {family: str(part.get("reason", "")) for family, part in parts.items()}),
        summary["alarm"],
        summary["action"],
        measured(statuses),
    )


def day_from(drift: DriftReport, performance: LivePerformance, decision: Decision) -> Day:
    """Return a day as episodes count it, from the records that monitoring left of it."""
    statuses: dict[Family, str] = {"drift": drift.status, "decay": performance.status}
    findings = findings_of(decision.findings, statuses, {"drift": drift.reason, "decay": performance.reason})
    version = decision.champion_version
    return Day(decision.day, version, findings, decision.alarm, decision.action, measured(statuses))
