"""Let the demo's last month happen before its newest day, so that a newcomer meets a loop that has a past.

Only on the demo source, and only where nothing was landed yet: data of your own have days of their own
(`evergreen replay` is there for them). The plan is a file until the days have happened, so that a start that was
interrupted goes on where it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from ml.adapters.local_files import write_atomically
from ml.errors import SettingsError
from ml.settings import Environment, Settings

VARIABLE = "EVERGREEN_DEMO_DAYS"
DAYS = 30
MOST_DAYS = 300
HISTORY_DAYS = 60
"""At least so many days are landed before them: ``pull.min_days`` let a champion be trained, more let it know drift."""

PLAN, DATES = "demo-days.json", ("history_from", "first_day", "last_day")


@dataclass(frozen=True)
class PastDays:
    """Which days are landed as history, and which happen after them."""

    history_from: date
    first_day: date
    last_day: date
    file: Path

    @property
    def history_to(self) -> date:
        return self.first_day - timedelta(days=1)

    @property
    def count(self) -> int:
        return (self.last_day - self.first_day).days + 1

    def over(self) -> None:
        """Forget the plan: its days have happened."""
        self.file.unlink(missing_ok=True)


def days_wanted(environ: Mapping[str, str] = os.environ, *, default: int = DAYS) -> int:
    """Read how many days shall happen before the newest one; 0 for none."""
    value = environ.get(VARIABLE) or str(default)
    if not value.isdecimal() or int(value) > MOST_DAYS:
        raise SettingsError(f"{VARIABLE}={value!r} is not a number of days; give one from 0 to {MOST_DAYS}")
    return int(value)


def planned(environment: Environment, settings: Settings, *, days: int, now: datetime) -> PastDays | None:
    """Return the days that shall happen before the newest one, as planned now or by an earlier start.

    Parameters
    ----------
    days
        How many; 0 plans none, and forgets what an earlier start has planned.

    Returns
    -------
    PastDays or None
        None where there is nothing to replay: another source, days that were landed already, an approval that only a
        person gives, or none wanted.

    Raises
    ------
    SettingsError
        If the plan of an earlier start is damaged.
    """
    file = environment.home / PLAN
    if days == 0 or settings.source.kind != "demo" or not getattr(settings.source, "replay", False):
        file.unlink(missing_ok=True)
        return None
    if file.exists():
        return _read(file)
    if settings.gate.approval != "none" or _has_registry(environment):
        return None
    newest = settings.newest_due_day(now)
    first = newest - timedelta(days=days)
    history = max(settings.land.history_days - days, min(settings.land.history_days, HISTORY_DAYS))
    past = PastDays(first - timedelta(days=history), first, newest - timedelta(days=1), file)
    plan = json.dumps({name: str(getattr(past, name)) for name in DATES})
    write_atomically(file, lambda written: written.write(plan.encode()))
    return past


def _read(file: Path) -> PastDays:
    """Read the plan of an earlier start.

    Raises
    ------
    SettingsError
        If it is damaged: which days were to happen is then not known.
    """
    try:
        dates = json.loads(file.read_text(encoding="utf-8"))
        history_from, first, last = (date.fromisoformat(dates[name]) for name in DATES)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise SettingsError(
            f"{file} is damaged ({type(err).__name__}: {err}): it holds which past days of the demo are still to be "
            "replayed. Delete it to go on without them, or begin again with an empty home ('make clean')"
        ) from err
    return PastDays(history_from, first, last, file)


def _has_registry(environment: Environment) -> bool:
    """Return whether days may have been landed; one that is not a folder of this machine may hold some."""
    registry = Path(environment.registry)
    return not registry.is_absolute() or registry.exists()
