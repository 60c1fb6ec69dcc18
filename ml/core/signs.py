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
    "broken data": ("null_share", "constant", "type_change"),
    "unmeasured drift": ("unmeasured_drift",),
    "missing predictions": ("missing_predictions",),
    "missing labels": ("missing_labels",),
    "label coverage": ("label_coverage",),
    "unknown performance": ("unknown_performance",),
}
"""Findings that count together over the days; of these, drift and decay may ask for a challenger."""


@dataclass(frozen=True)
class Sign:
    """Findings of one name in `KINDS`, the days on which there were any, and all of it in a sentence."""

    name: str
    days: tuple[date, ...]
    alarm: bool
    said: str


def signs(today: Sequence[Measured], earlier: Sequence[Measured], *, alarm_days: tuple[int, int]) -> tuple[Sign, ...]:
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
    day, version = today[0].day, today[0].champion_version
    now = [one for one in today if one.champion_version in (version, None)]
    recent = [one for one in earlier if 0 < (day - one.day).days < alarm_days[1]]
    known = [*now, *(one for one in recent if version is not None and one.champion_version == version)]
    found = (_sign(name, day, known, alarm_days) for name in KINDS)
    return tuple(sign for sign in found if sign.days)


def _sign(name: str, day: date, known: Sequence[Measured], alarm_days: tuple[int, int]) -> Sign:
    k, n = alarm_days
    days = tuple(sorted({one.day for one in known if _says(one, name) or _counted(one, name)}))
    if day not in days:
        return Sign(name, days, alarm=False, said=f"{name} on {listed(days)}, no more on {day}")
    today = [one for one in known if one.day == day]
    found = [finding for one in today for finding in _counted(one, name)]
    alarm = len(days) >= k or any(finding.at_once for finding in found)
    counted = f"{name} on {len(days)} of the newest {n} days" if n > 1 else name
    reasons = [one.reason for one in today if _says(one, name)]
    beside = [finding.said for finding in found if finding.kind != name or not reasons]
    reasons += [said for said in beside if not any(said in reason for reason in reasons)]
    needed = "" if alarm else f", an alarm needs {k}"
    return Sign(name, days, alarm=alarm, said=f"{counted}{needed}: {'; '.join(reasons)}")


def _says(measured: Measured, name: str) -> bool:
    """Say whether the day's own verdict is ``name``, and not for findings of another name alone."""
    loud = {finding.kind for finding in measured.findings if finding.severity == "alarm"}
    return measured.status == name and (not loud or not loud.isdisjoint(KINDS[name]))


def _counted(measured: Measured, name: str) -> list[Finding]:
    found = [finding for finding in measured.findings if finding.severity == "alarm" and finding.kind in KINDS[name]]
    return [finding for finding in found if finding.kind != "drift" or measured.status == "drift"]


def listed(days: Sequence[date]) -> str:
    """Name days, in order and once."""
    return ", ".join(str(day) for day in sorted(set(days)))
