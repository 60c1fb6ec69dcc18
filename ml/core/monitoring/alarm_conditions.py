"""What the newest days show together: k of n days, or one finding that speaks for itself, make an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ml.records import DriftReport, Finding, FindingKind, LivePerformance

Measured = DriftReport | LivePerformance
KINDS: dict[str, tuple[FindingKind, ...]] = {
    "drift": ("drift", "new_category", "vanished_category", "prediction_drift", "label_drift"),
    "decay": ("decay",),
    "broken data": ("null_share", "constant", "type_change", "out_of_range"),
    "unmeasured drift": ("unmeasured_drift",),
    "missing predictions": ("missing_predictions",),
    "missing labels": ("missing_labels",),
    "label coverage": ("label_coverage",),
    "interval coverage": ("interval_coverage",),
    "slice change": ("slice_change",),
    "outcome shift": ("outcome_shift",),
    "unknown performance": ("unknown_performance",),
}
"""Findings that count together over the days; of these, drift and decay may ask for a challenger."""


@dataclass(frozen=True)
class AlarmCondition:
    """Findings of one name in `KINDS`, the days on which there were any, and all of it in a sentence."""

    name: str
    days: tuple[date, ...]
    alarm: bool
    message: str


def alarm_conditions_of(
    today: Sequence[Measured], earlier: Sequence[Measured], *, alarm_days: tuple[int, int]
) -> tuple[AlarmCondition, ...]:
    """Count what was found over the newest days, name by name; names without any finding are left out.

    A warning never counts. Columns that moved count together, on days whose ``status`` is drift. What is missing or
    unknown is no finding, and no proof of calm either.

    Parameters
    ----------
    today
        What was measured on the newest day: at least the drift report.
    earlier
        What was measured before, in any order; what is about another champion is passed over, and so are
        days that are not among the newest n calendar days.
    alarm_days
        k and n: an alarm needs findings on k of the newest n days, the newest among them.
    """
    same_version = _of_the_champion(today, earlier, alarm_days)
    conditions = (_condition(name, today[0].day, same_version, alarm_days) for name in KINDS)
    return tuple(condition for condition in conditions if condition.days)


def persistent(
    today: Sequence[Measured], earlier: Sequence[Measured], kind: FindingKind, *, alarm_days: tuple[int, int]
) -> tuple[Finding, ...]:
    """Return today's findings of a kind, warnings too, if there were any on k of the newest n days; else none."""
    same_version = _of_the_champion(today, earlier, alarm_days)
    days = {measured.day for measured in same_version if any(finding.kind == kind for finding in measured.findings)}
    if len(days) < alarm_days[0]:
        return ()
    return tuple(finding for measured in today for finding in measured.findings if finding.kind == kind)


def _of_the_champion(
    today: Sequence[Measured], earlier: Sequence[Measured], alarm_days: tuple[int, int]
) -> list[Measured]:
    day, version = today[0].day, today[0].champion_version
    now = [measured for measured in today if measured.champion_version in (version, None)]
    recent = [measured for measured in earlier if 0 < (day - measured.day).days < alarm_days[1]]
    return [*now, *(measured for measured in recent if version is not None and measured.champion_version == version)]


def _condition(name: str, day: date, days_measured: Sequence[Measured], alarm_days: tuple[int, int]) -> AlarmCondition:
    k, n = alarm_days
    days = tuple(
        sorted({measured.day for measured in days_measured if _says(measured, name) or _counted(measured, name)})
    )
    if day not in days:
        return AlarmCondition(name, days, alarm=False, message=f"{name} on {listed(days)}, no more on {day}")
    today = [measured for measured in days_measured if measured.day == day]
    findings = [finding for measured in today for finding in _counted(measured, name)]
    alarm = len(days) >= k or any(finding.at_once for finding in findings)
    counted = f"{name} on {len(days)} of the newest {n} days" if n > 1 else name
    reasons = [measured.reason for measured in today if _says(measured, name)]
    messages = [finding.message for finding in findings if finding.kind != name or not reasons]
    reasons += [message for message in messages if not any(message in reason for reason in reasons)]
    needed = "" if alarm else f", an alarm needs {k}"
    return AlarmCondition(name, days, alarm=alarm, message=f"{counted}{needed}: {'; '.join(reasons)}")


def _says(measured: Measured, name: str) -> bool:
    """Return whether the day's own verdict is ``name``, and not for findings of another name alone."""
    loud = {finding.kind for finding in measured.findings if finding.severity == "alarm"}
    return measured.status == name and (not loud or not loud.isdisjoint(KINDS[name]))


def _counted(measured: Measured, name: str) -> list[Finding]:
    findings = [finding for finding in measured.findings if finding.severity == "alarm" and finding.kind in KINDS[name]]
    return [finding for finding in findings if finding.kind != "drift" or measured.status == "drift"]


def listed(days: Sequence[date]) -> str:
    """Name days, in order and once."""
    return ", ".join(str(day) for day in sorted(set(days)))
