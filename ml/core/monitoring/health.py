"""Where things stand, in a word and a sentence: calm only if all of it is known to be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from ml.core.counting import counted
from ml.core.monitoring.day_summary import Day, Facts
from ml.next_moves import ingest_past, retrain, switch_on

State = Literal["calm", "watching", "alarm", "unknown"]
NO_CHAMPION = f"No champion serves yet: once enough labelled days are in the registry, {retrain()}."
STARTING = (
    "Evergreen is starting: it lands the history, trains a first champion and scores the newest day by itself, which "
    "takes some minutes. Nothing is to be done."
)
STARTING_DAYS = (
    "Evergreen is starting: a champion serves, and the days come in by themselves, one after the other. Nothing is to "
    "be done."
)
STARTING_PART = "Evergreen is starting: this fills by itself within some minutes. Nothing is to be done."
NOT_MONITORED = f"No day was monitored yet: {switch_on('monitor')}, then it follows each Ingest."
UNKNOWN_PERFORMANCE = "performance unknown"
"""How the policy's reason begins where live performance could not be measured."""
MOST_BEHIND = 1
"""So many days may be in the registry that Monitor has not come to: it may be at work on the newest."""


@dataclass(frozen=True)
class Freshness:
    """Whether the newest day that is due is in; ``days_late`` is None where no day ever was."""

    status: Literal["fresh", "due", "late", "none"]
    days_late: int | None
    sentence: str


def state_of(
    newest: Facts | None,
    *,
    since: date | None,
    serves: bool,
    days_behind: int,
    data: Freshness,
    rejected: Sequence[str] = (),
    open_since: date | None = None,
    starting: bool = False,
) -> tuple[State, str]:
    """Return in one word and one sentence where things stand.

    Parameters
    ----------
    newest
        The newest monitored day (`ml.core.monitoring.day_summary.summarise`); None if there is none.
    since
        The first day of an alarm that lasts.
    serves
        Whether there is a champion.
    days_behind
        So many days of the registry are newer than the newest monitored one.
    rejected
        Names the deliveries whose newest answer is a rejection, as "labels of 2013-04-01".
    open_since
        The first day of an alarm that is not over; neither a promotion nor data that are late end it.
    starting
        Whether `make up` is at work: it brings about the first champion, and the days that are due, by itself.
    """
    if not serves:
        return "unknown", STARTING if starting else NO_CHAMPION
    if newest is None:
        return "unknown", STARTING_DAYS if starting else NOT_MONITORED
    day, state, reason = newest["day"], newest["state"], "; ".join(newest["reasons"]) or "no reason was kept"
    if state == "alarm":
        return "alarm", f"Alarm since {since or day}: {reason}"
    if days_behind > MOST_BEHIND:
        behind = f"Monitor is {days_behind} days behind, at {day}"
        return "unknown", f"{behind}: {switch_on('monitor')}, or look at its newest run"
    named = f"Rejected: {', '.join(rejected)}, see below" if rejected else ""
    lacking = _joined(named, data.sentence if data.status == "late" else "")
    return _as_monitored(newest, reason, open_since, lacking)


def _as_monitored(newest: Facts, reason: str, open_since: date | None, lacking: str) -> tuple[State, str]:
    """Return where things stand by a day that raises no alarm by itself; ``lacking`` says what data do not come."""
    day, state = newest["day"], newest["state"]
    if open_since is not None and state == "watching":
        return "alarm", _joined(f"Alarm since {open_since}, and not over: {reason}", lacking)
    if open_since is not None and state == "calm":
        sentence = f"Watching on {day}: nothing was found, and the alarm since {open_since} is not over yet"
        return "watching", _joined(sentence, lacking)
    if state in ("calm", "watching") and lacking:
        return "watching", lacking
    unmeasured = _unmeasured(newest)
    if state == "calm" and unmeasured:
        others = [other for other in newest["reasons"] if other != unmeasured]
        return "watching", f"Watching on {day}: {'; '.join([f'live {unmeasured}', *others])}"
    states: dict[str, State] = {"calm": "calm", "watching": "watching"}
    current_state = states.get(state, "unknown")
    return current_state, f"{current_state.capitalize()} on {day}: {reason}"


def _joined(*sentences: str) -> str:
    return "; ".join(filter(None, sentences))


def _unmeasured(newest: Facts) -> str:
    """Return the reason that speaks of a performance that nobody knows yet; empty where it is known."""
    return next((reason for reason in newest["reasons"] if reason.startswith(UNKNOWN_PERFORMANCE)), "")


def alarm_since(days: Sequence[Day]) -> date | None:
    """Find the first day of the alarm that the newest monitored day is in; None if it is in none.

    Days that were not monitored, or cannot be read, neither end an alarm nor begin one.

    Parameters
    ----------
    days
        Oldest first.
    """
    first = None
    for day in reversed([day for day in days if day.facts]):
        if day.facts is None or day.facts["state"] != "alarm":
            break
        first = day.day
    return first


def freshness(
    newest: date | None,
    labelled: date | None,
    *,
    due: date,
    just_due: bool,
    rest: Collection[date] = (),
    starting: bool = False,
) -> Freshness:
    """Compare the newest day of the registry with the newest that should be there.

    Parameters
    ----------
    labelled
        The newest day that has labels.
    just_due
        Whether ``due`` came due so short a time ago that it may be on its way.
    rest
        Days up to ``due`` on which no data are expected.
    starting
        Whether `make up` is at work: it brings the days that are due by itself.
    """
    if newest is None:
        return Freshness("none", None, f"No day is in the data registry yet: {ingest_past()}.")
    late = max((due - newest).days - sum(newest < day <= due for day in rest), 0)
    if late == 0:
        labels = f"labels have arrived up to {labelled}" if labelled else "no labels have arrived"
        return Freshness("fresh", 0, f"The newest day is {newest}, as due; {labels}")
    if starting:
        return Freshness("due", late, f"Evergreen is starting: days come in by themselves up to {due}, now at {newest}")
    if late == 1 and just_due:
        return Freshness("due", 1, f"{due} has just come due and is not in yet; the newest day is {newest}")
    sentence = f"The newest day is {newest}, and {due} is due: look at the newest run of Ingest"
    return Freshness("late", late, sentence)


def first_move(*, labelled_days: int, least: int, starting: bool = False) -> dict[str, str]:
    """Return what to do while nothing serves: ``message``, and ``action`` (``ingest``, ``retrain`` or ``wait``).

    Parameters
    ----------
    labelled_days
        So many days have inputs and labels.
    least
        As many as a training wants (``pull.min_days``).
    starting
        Whether `make up` is bringing about the first champion by itself.
    """
    if starting:
        return {"message": STARTING, "action": "wait"}
    if labelled_days < least:
        message = f"No champion yet, and {counted(labelled_days, 'labelled day')} of the {least} that a training needs"
        return {"message": f"{message}: {ingest_past()}, then {retrain()}.", "action": "ingest"}
    message = f"No champion yet, and {counted(labelled_days, 'labelled day')} to train on: {retrain()}."
    return {"message": message, "action": "retrain"}
