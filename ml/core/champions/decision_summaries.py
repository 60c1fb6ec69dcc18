"""One decision as people read it: what it was about, who asked, why, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ml.core.champions.tenures import CHAMPION_CHANGES
from ml.core.data.days import spans_in_words
from ml.records import Logged


@dataclass(frozen=True)
class DecisionSummary:
    """One decision as people read it; ``version`` is what it was about, ``against`` what it was weighed against.

    ``version`` is the one returned to in a rollback, and ``against`` the one that it removed.
    ``in_force_from`` is None for what changes no champion.
    """

    decision_id: str
    decided_at: datetime
    kind: str
    version: int | None
    against: int | None
    in_force_from: date | None
    requested_by: str | None
    reasons: tuple[str, ...]
    evidence: dict[str, Any]


def summarise(entry: Logged) -> DecisionSummary:
    """Put one decision into a reader's words; nothing of its payload is lost, ``evidence`` holds the rest."""
    facts = dict(entry.payload)
    version = facts.pop("version", None)
    against = facts.get("from_version", facts.get("previous_version", facts.get("champion_version")))
    return DecisionSummary(
        decision_id=entry.decision_id,
        decided_at=entry.decided_at,
        kind=entry.kind,
        version=version,
        against=against,
        in_force_from=entry.effective_day if entry.kind in CHAMPION_CHANGES else None,
        requested_by=facts.pop("requested_by", None),
        reasons=_reasons(entry, facts),
        evidence=facts,
    )


def _reasons(entry: Logged, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why: what a person said goes before what was measured."""
    if entry.kind == "label_acceptance":
        return (f"labels of {entry.effective_day} let in: {facts.get('reason')}", *map(str, facts.get("doubts") or ()))
    if entry.kind in ("day_exclusion", "day_inclusion"):
        does = "excluded from learning" if entry.kind == "day_exclusion" else "counts again for learning"
        return (f"{spans_in_words(map(date.fromisoformat, facts.get('days') or ()))} {does}: {facts.get('reason')}",)
    if entry.kind in ("acknowledgement", "snooze", "comment"):
        until = f" until {facts['until']}" if facts.get("until") else ""
        about = f"alarm of {facts.get('family')}{until}" if facts.get("family") else f"on the {facts.get('about_kind')}"
        return (f"{about.replace('_', ' ')}: {facts.get('note')}",)
    verdict, approval = facts.get("verdict"), facts.get("approval")
    reasons = [str(facts["reason"])] if facts.get("reason") else []
    if isinstance(approval, Mapping):
        reasons.append(approval_in_words(approval))
    if isinstance(verdict, Mapping) and entry.kind != "rejection":
        reasons += [str(reason) for reason in verdict.get("reasons", ())]
    if not reasons:
        reasons += [str(reason) for reason in facts.get("reasons", ())]
    return tuple(reasons)


def approval_in_words(approval: Mapping[str, Any]) -> str:
    """Return who decided, when and why, out of an `ml.records.Approval` that was written down."""
    at = str(approval.get("at"))[:16].replace("T", " ")
    if approval.get("timed_out"):
        return f"nobody answered until {at}: that means no"
    reason = f": {approval['reason']}" if approval.get("reason") else ""
    return f"{'approved' if approval.get('approved') else 'rejected'} by {approval.get('by')} at {at}{reason}"
