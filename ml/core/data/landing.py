"""Which days' labels a partition brings, and which it asks for again."""

from __future__ import annotations

from datetime import date, timedelta

from ml.settings import Settings


def due_day(day: date, settings: Settings) -> date:
    """Return the day whose labels are due with the partition of ``day``."""
    return day - timedelta(days=settings.task.label_delay_days)


def requested_label_days(day: date, *, settings: Settings, newest: date) -> list[date]:
    """List the days whose labels a partition asks for: the one that is due, and those that may have changed.

    Parameters
    ----------
    newest
        The newest day with inputs. A partition that is run again so late that the labels of its own day are due asks
        for those too: who corrects a day ingests it again.
    """
    due = due_day(day, settings)
    earlier = [due - timedelta(days=n) for n in range(settings.land.catch_up_days, 0, -1)]
    own = [day] if due < day <= due_day(newest, settings) else []
    return [*earlier, due, *own]
