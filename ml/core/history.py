"""Who was champion on a day, since when and why, read out of the decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ml.records import Logged

REIGNS = ("promotion", "rollback", "withdrawal")
"""Decisions that change who serves; after a withdrawal nobody does."""

JUDGED = ("promotion", "hold", "rejection", "rollback")
"""Decisions after which nobody needs to ask at once for a challenger, nor train on the same data again."""


@dataclass(frozen=True)
class Reign:
    """A version, the day from which it serves, and the last day that its training had seen."""

    version: int
    effective_day: date
    window_last_day: date


def reigns(decisions: Sequence[Logged]) -> list[Reign]:
    """List who came to serve, in the order in which it was decided; the last of a day wins.

    Decisions without a version or a day are evidence of nothing and are left out.
    """
    return [
        Reign(int(entry.payload["version"]), day, date.fromisoformat(str(entry.payload["window_last_day"])))
        for entry in crownings(decisions)
        if (day := entry.effective_day) is not None
    ]


def reign_on(version: int, day: date, known: Sequence[Reign]) -> Reign:
    """Find the reign in which a version serves on ``day``: its newest that had begun by then, else its first to come.

    A version that comes back from tomorrow on has served until today all the same.

    Raises
    ------
    IndexError
        If the version never came to serve.
    """
    of_it = [reign for reign in known if reign.version == version]
    return ([reign for reign in of_it if reign.effective_day <= day] or of_it[:1])[-1]


def crownings(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions by which a version came to serve, in their order; see `reigns`."""
    return [
        entry
        for entry in decisions
        if entry.kind in REIGNS
        and entry.effective_day is not None
        and all(entry.payload.get(fact) is not None for fact in ("version", "window_last_day"))
    ]


def changes(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions that changed who serves, in their order: a version came to serve, or nobody does since."""
    return [
        entry
        for entry in decisions
        if crownings([entry]) or (entry.kind == "withdrawal" and entry.effective_day is not None)
    ]


def crowned_on(day: date | None, decisions: Sequence[Logged]) -> Logged | None:
    """Find the decision by which the champion of ``day`` serves (None: of now); None before the first.

    Who was champion, that is; who may score a day that it was trained on is `champion_of`'s question.
    """
    found = [
        entry
        for entry in changes(decisions)
        if day is None or (entry.effective_day is not None and entry.effective_day <= day)
    ]
    return found[-1] if found and found[-1].kind != "withdrawal" else None


def available(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions by which a version came to serve that can still serve: it was not withdrawn since.

    A version is withdrawn (``withdrawn_version``) when MLflow lost it. Its number may come again, of another model.
    After a withdrawal nobody serves: no version before it could serve either.
    """
    found: list[Logged] = []
    for entry in changes(decisions):
        gone = entry.payload.get("withdrawn_version")
        found = [earlier for earlier in found if earlier.payload["version"] != gone and entry.kind != "withdrawal"]
        found += crownings([entry])
    return found


def champion_before(decisions: Sequence[Logged], *, without: Collection[int] = ()) -> Logged | None:
    """Find the reign that a rollback without a named version returns to; None if there is none.

    The newest one of another version that was not itself rolled back: a second rollback goes one
    further back, and never to the version that the first one removed.

    Parameters
    ----------
    without
        Versions that cannot serve, and are passed over.
    """
    known = available(decisions)
    bad = barred(decisions)
    reign = crowned_on(None, decisions)
    present = reign.payload["version"] if reign else None
    for entry in reversed(known):
        if entry.payload["version"] in without:
            continue
        if entry.payload["version"] != present and (entry.fingerprint is None or entry.fingerprint not in bad):
            return entry
    return None


def champion_of(day: date, decisions: Sequence[Logged], *, allow_future: bool = False) -> tuple[Reign | None, str]:
    """Find the version that may score ``day``, and say why, or why there is none.

    The champion of that day, if there was one. For a day before the first champion: the newest
    whose training window ended before it. Never one that was trained on the day or its future,
    unless ``allow_future``.

    Returns
    -------
    tuple of Reign or None, and str
    """
    known = reigns(available(decisions))
    if not known and changes(decisions):
        return None, "every champion so far was withdrawn, since MLflow lost its model; run the retrain Dag"
    if not known:
        return None, "no champion has been promoted yet"
    in_force = [reign for reign in known if reign.effective_day <= day]
    if in_force:
        reign = in_force[-1]
        if reign.window_last_day < day or allow_future:
            return reign, f"version {reign.version} is champion since {reign.effective_day}"
    honest = [reign for reign in known if reign.window_last_day < day]
    if honest:
        reign = honest[-1]
        when = "promoted later" if reign.effective_day > day else "an earlier champion"
        return reign, f"version {reign.version}: {when}, but trained on days up to {reign.window_last_day} only"
    if allow_future:
        return known[0], f"version {known[0].version}: forced, although it was trained on days after {day}"
    first = min(reign.window_last_day for reign in known)
    return None, (
        f"every champion was trained on days up to {first} or later, so none may score {day}; "
        "set score.force_future_model to score it all the same"
    )


def last_judged(decisions: Sequence[Logged], *, until: date) -> date | None:
    """Give the newest day, not after ``until``, on which a model was judged; None if never.

    A rollback judges too: the champion was found worse than the one before it.
    """
    days = [
        date.fromisoformat(str(entry.payload["judged_on"]))
        for entry in decisions
        if entry.kind in JUDGED and entry.payload.get("judged_on")
    ]
    return max((day for day in days if day <= until), default=None)


def barred(decisions: Sequence[Logged]) -> set[str]:
    """Give the fingerprints that were rolled back, and were not rolled back to since."""
    found: set[str] = set()
    for entry in decisions:
        if entry.kind == "rollback":
            found |= {str(entry.payload["barred_fingerprint"])} if entry.payload.get("barred_fingerprint") else set()
            found -= {entry.fingerprint or ""}
    return found


@dataclass(frozen=True)
class Told:
    """One decision as people read it; ``version`` is what it was about, ``against`` what it was weighed against.

    ``version`` is the one returned to in a rollback, and ``against`` the one that it removed.
    ``in_force_from`` is None for what changes nobody's reign.
    """

    decision_id: str
    decided_at: datetime
    kind: str
    version: int | None
    against: int | None
    in_force_from: date | None
    asked_by: str | None
    reasons: tuple[str, ...]
    evidence: dict[str, Any]


def tell(entry: Logged) -> Told:
    """Put one decision into a reader's words; nothing of its payload is lost, ``evidence`` holds the rest."""
    facts = dict(entry.payload)
    version = facts.pop("version", None)
    against = facts.get("from_version", facts.get("previous_version", facts.get("champion_version")))
    return Told(
        decision_id=entry.decision_id,
        decided_at=entry.decided_at,
        kind=entry.kind,
        version=version,
        against=against,
        in_force_from=entry.effective_day if entry.kind in REIGNS else None,
        asked_by=facts.pop("asked_by", None),
        reasons=_reasons(entry.kind, facts),
        evidence=facts,
    )


def _reasons(kind: str, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Say why: what a person said goes before what was measured."""
    verdict, approval = facts.get("verdict"), facts.get("approval")
    said = [str(facts["why"])] if facts.get("why") else []
    if isinstance(approval, Mapping):
        said.append(approval_in_words(approval))
    if isinstance(verdict, Mapping) and kind != "rejection":
        said += [str(reason) for reason in verdict.get("reasons", ())]
    if not said:
        said += [str(reason) for reason in facts.get("reasons", ())]
    return tuple(said)


def approval_in_words(approval: Mapping[str, Any]) -> str:
    """Say who decided and when, out of an `ml.records.Approval` that was written down."""
    at = str(approval.get("at"))[:16].replace("T", " ")
    if approval.get("timed_out"):
        return f"nobody answered until {at}: that means no"
    return f"{'approved' if approval.get('approved') else 'rejected'} by {approval.get('by')} at {at}"
