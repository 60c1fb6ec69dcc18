"""Decide which week a digest is about, and what its first lines say: what happened, what was done, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ml.settings import WEEKDAYS

Facts = Mapping[str, Any]
DAYS = 7
NEEDS = {
    "alarm": "in alarm",
    "watching": "watched",
    "unknown": "not known to be well",
    "misconfigured": "misconfigured",
}
DONE = {
    "promotion": ("challenger was promoted", "challengers were promoted"),
    "hold": ("was held", "were held"),
    "rejection": ("was not approved", "were not approved"),
    "rollback": ("rollback", "rollbacks"),
    "withdrawal": ("champion was withdrawn", "champions were withdrawn"),
}


def due_day(now: datetime, weekday: str, timezone: str) -> date:
    """Return the newest day whose digest is due at an instant (aware): the declared weekday, today included.

    Examples
    --------
    >>> from datetime import UTC
    >>> due_day(datetime(2026, 11, 25, 12, tzinfo=UTC), "monday", "UTC")
    datetime.date(2026, 11, 23)
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    return today - timedelta(days=(today.weekday() - WEEKDAYS.index(weekday)) % DAYS)


def week_before(day: date, timezone: str) -> tuple[datetime, datetime]:
    """Return the week that ends where a day begins, as instants: the first inclusive, the last exclusive."""
    end = datetime.combine(day, time(), ZoneInfo(timezone))
    return datetime.combine(day - timedelta(days=DAYS), time(), ZoneInfo(timezone)), end


def headline(models: Sequence[Facts]) -> str:
    """Return the subject: how many models are calm, and how much waits for a person."""
    calm = sum(model["state"] == "calm" for model in models)
    waits = sum(len(model["waits"]) for model in models)
    all_calm = f"all {len(models)} models calm" if len(models) > 1 else "calm"
    some = f"{calm} of {len(models)} models calm" if len(models) > 1 else NEEDS.get(models[0]["state"], "calm")
    return f"{all_calm if calm == len(models) else some}, {_things(waits)} for you"


def first_lines(models: Sequence[Facts]) -> tuple[str, str, str, str]:
    """Return how the models are, whether predictions suffer, what the system did, and what a person should do."""
    return _condition(models), _harm(models), _done(models), _next(models)


def _condition(models: Sequence[Facts]) -> str:
    calm = [model["name"] for model in models if model["state"] == "calm"]
    parts = [f"{_names(calm, len(models))} calm"] if calm else []
    for state, words in NEEDS.items():
        names = [model["name"] for model in models if model["state"] == state]
        parts += [f"{_names(names, len(models))} {words}"] if names else []
    return f"{'; '.join(parts)}."


def _harm(models: Sequence[Facts]) -> str:
    below = [model["name"] for model in models if (model["performance"] or {}).get("status") == "decay"]
    if below:
        return f"Live performance of {_listed(below)} is below what was expected."
    measured = [model for model in models if (model["performance"] or {}).get("value") is not None]
    return "No measured performance is below what was expected." if measured else "No performance is measured yet."


def _names(names: Sequence[str], total: int) -> str:
    if len(names) == total > 1:
        return f"All {total} models are"
    return f"{_listed(names)} {'is' if len(names) == 1 else 'are'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _done(models: Sequence[Facts]) -> str:
    counts = {kind: sum(model["counts"].get(kind, 0) for model in models) for kind in DONE}
    parts = [f"{count} {words[count > 1]}" for kind, words in DONE.items() if (count := counts[kind])]
    if counts["hold"] and not counts["promotion"]:
        parts = [
            part.replace("was held", "challenger was held").replace("were held", "challengers were held")
            for part in parts
        ]
    opened, resolved = (sum(model["counts"].get(what, 0) for model in models) for what in ("opened", "resolved"))
    alarms = [
        f"{count} {'alarm' if count == 1 else 'alarms'} {what}"
        for count, what in ((opened, "opened"), (resolved, "ended"))
        if count
    ]
    return f"In this week {', '.join([*(parts or ['no challenger was judged']), *(alarms or ['no alarm opened'])])}."


def _next(models: Sequence[Facts]) -> str:
    waits = {model["name"]: len(model["waits"]) for model in models if model["waits"]}
    if not waits:
        return "nothing; nothing waits for you."
    where = "" if len(models) == 1 else f" ({', '.join(f'{name} {count}' for name, count in waits.items())})"
    return f'{_things(sum(waits.values()))} for you{where}: see "Waits for you" below.'


def _things(count: int) -> str:
    return "nothing waits" if not count else "1 thing waits" if count == 1 else f"{count} things wait"
