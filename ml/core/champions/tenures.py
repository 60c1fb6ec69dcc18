"""Who was champion on a day, since when and why, read out of the decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from ml.next_moves import retrain
from ml.records import Logged

CHAMPION_CHANGES = ("promotion", "rollback", "withdrawal")
"""Decisions that change who serves; after a withdrawal nobody does."""

OTHER_KINDS = (
    "hold",
    "rejection",
    "retrain_request",
    "label_acceptance",
    "split_hold",
    "split_stop",
    "split_resumption",
    "day_exclusion",
    "day_inclusion",
    "acknowledgement",
    "snooze",
    "comment",
    "adoption",
    "unrecorded",
)
"""Decisions that leave the champion where it is."""

JUDGED = ("promotion", "hold", "rejection", "rollback")
"""Decisions after which nobody needs to ask at once for a challenger, nor train on the same data again."""


@dataclass(frozen=True)
class Tenure:
    """A version, the day from which it serves, and the last day that its training had seen."""

    version: int
    effective_day: date
    window_last_day: date


def champion_tenures(decisions: Sequence[Logged]) -> list[Tenure]:
    """List who came to serve, in the order in which it was decided; the last of a day wins.

    Decisions without a version or a day are evidence of nothing and are left out.
    """
    return [
        Tenure(int(entry.payload["version"]), day, date.fromisoformat(str(entry.payload["window_last_day"])))
        for entry in promotions_and_returns(decisions)
        if (day := entry.effective_day) is not None
    ]


def tenure_on(version: int, day: date, champion_tenures: Sequence[Tenure]) -> Tenure:
    """Find the reign in which a version serves on ``day``: its newest that had begun by then, else its first to come.

    A version that comes back from tomorrow on has served until today all the same.

    Raises
    ------
    IndexError
        If the version never came to serve.
    """
    of_it = [tenure for tenure in champion_tenures if tenure.version == version]
    return ([tenure for tenure in of_it if tenure.effective_day <= day] or of_it[:1])[-1]


def promotions_and_returns(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions by which a version came to serve, in their order; see `champion_tenures`."""
    return [
        entry
        for entry in decisions
        if entry.kind in CHAMPION_CHANGES
        and entry.effective_day is not None
        and all(entry.payload.get(fact) is not None for fact in ("version", "window_last_day"))
    ]


def changes(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions that changed who serves, in their order: a version came to serve, or nobody does since."""
    return [
        entry
        for entry in decisions
        if promotions_and_returns([entry]) or (entry.kind == "withdrawal" and entry.effective_day is not None)
    ]


def promoted_on(day: date | None, decisions: Sequence[Logged]) -> Logged | None:
    """Find the decision by which the champion of ``day`` serves (None: of now); None before the first.

    Who was champion, that is; who may score a day that it was trained on is `champion_of`'s question.
    """
    entries = [
        entry
        for entry in changes(decisions)
        if day is None or (entry.effective_day is not None and entry.effective_day <= day)
    ]
    return entries[-1] if entries and entries[-1].kind != "withdrawal" else None


def available(decisions: Sequence[Logged]) -> list[Logged]:
    """List the decisions by which a version came to serve that can still serve: it was not withdrawn since.

    A version is withdrawn (``withdrawn_version``) when MLflow lost it. Its number may come again, of another model.
    After a withdrawal nobody serves: no version before it could serve either.
    """
    entries: list[Logged] = []
    for entry in changes(decisions):
        gone = entry.payload.get("withdrawn_version")
        entries = [earlier for earlier in entries if earlier.payload["version"] != gone and entry.kind != "withdrawal"]
        entries += promotions_and_returns([entry])
    return entries


def champion_before(decisions: Sequence[Logged], *, without: Collection[int] = ()) -> Logged | None:
    """Find the reign that a rollback without a named version returns to; None if there is none.

    The newest one of another version that was not itself rolled back: a second rollback goes one
    further back, and never to the version that the first one removed.

    Parameters
    ----------
    without
        Versions that cannot serve, and are passed over.
    """
    entries = available(decisions)
    bad = blocked(decisions)
    tenure = promoted_on(None, decisions)
    present = tenure.payload["version"] if tenure else None
    for entry in reversed(entries):
        if entry.payload["version"] in without:
            continue
        if entry.payload["version"] != present and (entry.fingerprint is None or entry.fingerprint not in bad):
            return entry
    return None


def champion_of(day: date, decisions: Sequence[Logged], *, allow_future: bool = False) -> tuple[Tenure | None, str]:
    """Find the version that may score ``day``, and say why, or why there is none.

    The champion of that day, if there was one. For a day before the first champion: the newest
    whose training window ended before it. Never one that was trained on the day or its future,
    unless ``allow_future``.

    Returns
    -------
    tuple of Reign or None, and str
    """
    tenures = champion_tenures(available(decisions))
    if not tenures and changes(decisions):
        return None, f"every champion so far was withdrawn, since MLflow lost its model; {retrain()}"
    if not tenures:
        return None, "no champion has been promoted yet"
    in_force = [tenure for tenure in tenures if tenure.effective_day <= day]
    if in_force:
        tenure = in_force[-1]
        if tenure.window_last_day < day or allow_future:
            return tenure, f"version {tenure.version} is champion since {tenure.effective_day}"
    honest = [tenure for tenure in tenures if tenure.window_last_day < day]
    if honest:
        tenure = honest[-1]
        when = "promoted later" if tenure.effective_day > day else "an earlier champion"
        return tenure, f"version {tenure.version}: {when}, but trained on days up to {tenure.window_last_day} only"
    if allow_future:
        return tenures[0], f"version {tenures[0].version}: forced, although it was trained on days after {day}"
    first = min(tenure.window_last_day for tenure in tenures)
    return None, (
        f"every champion was trained on days up to {first} or later, so none may score {day}; "
        "set score.force_future_model to score it all the same"
    )


def last_judged(decisions: Sequence[Logged], *, until: date, kinds: Sequence[str] = JUDGED) -> date | None:
    """Return the newest day, not after ``until``, on which a model was judged; None if never.

    A rollback judges too: the champion was found worse than the one before it. Only decisions of ``kinds`` count.
    """
    days = [
        date.fromisoformat(str(entry.payload["judged_on"]))
        for entry in decisions
        if entry.kind in kinds and entry.payload.get("judged_on")
    ]
    return max((day for day in days if day <= until), default=None)


def judged_version(version: int, decisions: Sequence[Logged]) -> int:
    """Find the version that was weighed in the place of ``version``: another one only where it is a refit."""
    versions = [
        entry.payload["judged_version"]
        for entry in decisions
        if entry.payload.get("version") == version and entry.payload.get("judged_version") is not None
    ]
    return int(versions[-1]) if versions else version


def anchor_of(version: int, decisions: Sequence[Logged]) -> int:
    """Find the last version that won by superiority on the way to ``version``; the first champion counts as one.

    A refresh, the same recipe on newer data, is no such version unless it was better beyond noise than the one before.
    """
    promotions = {
        int(entry.payload["version"]): entry for entry in promotions_and_returns(decisions) if entry.kind == "promotion"
    }
    chain = [version]
    while (entry := promotions.get(chain[-1])) is not None:
        before = entry.payload.get("previous_version")
        if before is None or before in chain or not _refreshed(entry):
            break
        chain.append(int(before))
    anchor = chain[-1]
    for before, later in zip(chain[::-1], chain[-2::-1], strict=False):
        if _superior(promotions[later], "anchor") or (before == anchor and _superior(promotions[later], "champion")):
            anchor = later
    return anchor


def rulings(entry: Logged, kind: str) -> list[Mapping[str, Any]]:
    """Return what rules of a kind said of a challenger; empty without a verdict."""
    verdict = entry.payload.get("verdict")
    stored = verdict.get("rulings", ()) if isinstance(verdict, Mapping) else ()
    return [ruling for ruling in stored if isinstance(ruling, Mapping) and ruling.get("kind") == kind]


def _refreshed(entry: Logged) -> bool:
    """Return whether a promotion was of a refresh, which is allowed to lose a little; without a verdict it was."""
    stored = rulings(entry, "champion")
    return not stored or any("refresh_max_loss" in (ruling.get("evidence") or {}) for ruling in stored)


def _superior(entry: Logged, kind: str) -> bool:
    return any((ruling.get("evidence") or {}).get("superior") == 1 for ruling in rulings(entry, kind))


def blocked(decisions: Sequence[Logged]) -> set[str]:
    """Return the fingerprints that were rolled back, and were not rolled back to since."""
    fingerprints: set[str] = set()
    for entry in decisions:
        if entry.kind == "rollback":
            fingerprints |= (
                {str(entry.payload["blocked_fingerprint"])} if entry.payload.get("blocked_fingerprint") else set()
            )
            fingerprints -= {entry.fingerprint or ""}
    return fingerprints
