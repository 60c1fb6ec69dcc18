"""Who was champion on a day, read out of the decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from ml.records import Logged

REIGNS = ("promotion", "rollback")
JUDGED = ("promotion", "hold")


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
    found = []
    for entry in decisions:
        version, last = entry.payload.get("version"), entry.payload.get("window_last_day")
        if entry.kind in REIGNS and version is not None and last is not None and entry.effective_day is not None:
            found.append(Reign(int(version), entry.effective_day, date.fromisoformat(str(last))))
    return found


def champion_of(day: date, decisions: Sequence[Logged], *, allow_future: bool = False) -> tuple[Reign | None, str]:
    """Find the version that may score ``day``, and say why, or why there is none.

    The champion of that day, if there was one. For a day before the first champion: the newest
    whose training window ended before it. Never one that was trained on the day or its future,
    unless ``allow_future``.

    Returns
    -------
    tuple of Reign or None, and str
    """
    known = reigns(decisions)
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
    """Give the newest day, not after ``until``, on which a challenger was judged; None if never."""
    days = [
        date.fromisoformat(str(entry.payload["judged_on"]))
        for entry in decisions
        if entry.kind in JUDGED and entry.payload.get("judged_on")
    ]
    return max((day for day in days if day <= until), default=None)
