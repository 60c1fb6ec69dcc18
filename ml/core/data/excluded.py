"""Put the days that a person excluded from learning together to periods, as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from ml.core.data.days import spans
from ml.records import DayMark


def periods(marks: Mapping[date, DayMark]) -> list[dict[str, str]]:
    """List the periods of some excluded days, oldest first: days in a row of one decision are one period.

    Returns
    -------
    list of dict
        ``first_day``, ``last_day`` (both inclusive), ``reason``, ``requested_by`` and ``decision_id`` of each.
    """
    by_decision: dict[str, list[date]] = {}
    for day, mark in marks.items():
        by_decision.setdefault(mark.decision_id, []).append(day)
    listed = [
        {
            "first_day": first.isoformat(),
            "last_day": last.isoformat(),
            "reason": marks[first].reason,
            "requested_by": marks[first].requested_by,
            "decision_id": decision_id,
        }
        for decision_id, days in by_decision.items()
        for first, last in spans(days)
    ]
    return sorted(listed, key=lambda period: period["first_day"])
