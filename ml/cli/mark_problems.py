"""Look for days that are excluded from learning, or count again, without a decision that says so."""

from __future__ import annotations

from collections.abc import Callable

from ml.core.data.days import spans_in_words
from ml.records import DayMark
from ml.wiring import Services

KINDS = ("day_exclusion", "day_inclusion")


def undecided(services: Services) -> tuple[str, str, Callable[[], object]] | None:
    """Return what is inconsistent, what the repair does, and the repair; None if each mark has its decision.

    The marks lie in the data registry, with who made them and why: a decision that MLflow has lost is written again.
    """
    marks = services.registry.day_marks()
    if not marks:
        return None
    decided = services.tracking.decisions(kinds=KINDS)
    ids = {name for entry in decided for name in (entry.decision_id, entry.payload.get("instead_of"))}
    lost = {day: mark for day, mark in marks.items() if mark.decision_id not in ids}
    if not lost:
        return None

    def repair() -> None:
        for decision_id in sorted({mark.decision_id for mark in lost.values()}):
            _decide_again([mark for mark in lost.values() if mark.decision_id == decision_id], services)

    return (
        f"{spans_in_words(lost)} changed whether nothing is learned from it, and MLflow does not hold the decision",
        "close the decision, or write it again from the data registry",
        repair,
    )


def _decide_again(marks: list[DayMark], services: Services) -> None:
    """Close the decision of some marks, or write it again from them if MLflow has none."""
    mark = marks[0]
    decision = services.tracking.recover_decision(mark.decision_id)
    if decision is None:
        payload = {
            "reason": mark.reason,
            "requested_by": mark.requested_by,
            "days": [str(other.day) for other in marks],
            "instead_of": mark.decision_id,
        }
        kind = KINDS[0] if mark.excluded else KINDS[1]
        decision = services.tracking.open_decision(
            kind, f"{kind} {mark.decision_id}", fingerprint=None, effective_day=mark.day, payload=payload
        )
    if not decision.finished:
        services.tracking.close_decision(decision)
