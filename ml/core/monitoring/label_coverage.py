"""Whether what was predicted ever meets its outcome: labels that are missing, and rows that got none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ml.records import Finding
from ml.settings import Settings


@dataclass(frozen=True)
class ServedDay:
    """How many rows of a day were predicted, and of how many the outcome is known; None: nothing is there."""

    day: date
    predicted: int | None
    labelled: int | None


def label_findings(day: date, days: Sequence[ServedDay], settings: Settings) -> tuple[Finding, ...]:
    """Return which labels should long be there, and whether enough predicted rows got one.

    Missing are labels that are due and that nobody asks for any more (``land.catch_up_days``): a warning, and
    an alarm where no later day has any either.
    """
    due_by = day - timedelta(days=settings.task.label_delay_days + settings.land.catch_up_days)
    due = [served_day for served_day in days if served_day.day < due_by]
    missing = [served_day.day for served_day in due if served_day.labelled is None]
    findings = []
    if missing:
        dried_up = all(served_day.labelled is None for served_day in days if served_day.day >= due[-1].day)
        named = ", ".join(map(str, missing[:3])) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        message = (
            f"no labels of {named}, and {settings.land.catch_up_days} days of asking for them are over; "
            "look at the source of labels, then run ingest again for the days with which they are due; or, if they "
            "came and are in doubt, let them in (evergreen labels accept DAY)"
        )
        findings.append(Finding(kind="missing_labels", severity="alarm" if dried_up else "warning", message=message))
    share, least = coverage(days), settings.performance.min_label_coverage
    if share is not None and share < least:
        message = (
            f"only {share:.1%} of the rows predicted on labelled days since {days[0].day} have an outcome, "
            f"performance.min_label_coverage is {least:.0%}; the figures speak of those rows alone: look at the "
            "source of labels"
        )
        findings.append(Finding(kind="label_coverage", severity="alarm", message=message, score=share, limit=least))
    return tuple(findings)


def coverage(days: Sequence[ServedDay]) -> float | None:
    """Return the share of predicted rows of labelled days whose outcome is known; None without any."""
    counts = [
        (served_day.predicted, served_day.labelled)
        for served_day in days
        if served_day.predicted and served_day.labelled is not None
    ]
    return sum(labelled or 0 for _, labelled in counts) / sum(rows or 0 for rows, _ in counts) if counts else None


def absent(days: Sequence[ServedDay]) -> str:
    """Return what the newest of the days lacks; empty if it has both predictions and labels."""
    if not days or (days[-1].predicted is not None and days[-1].labelled is not None):
        return ""
    last = days[-1]
    if last.predicted is None:
        return f"; no predictions were served for {last.day}"
    return f"; the labels of {last.day} have not arrived"
