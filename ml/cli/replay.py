"""Let past days happen one after the other, as the loop would live through them, without Airflow.

    evergreen replay --days 30
    evergreen replay --days 30 --from 2012-06-01 --speed 10

Each day is ingested, scored and monitored, challengers are trained, judged and promoted, and versions rolled back, by
the same steps; only mails are not sent. It begins after the newest day of the data registry. Where that is empty, it
lands ``land.history_days`` of history first. What is done is not done again: interrupted, run it again, and it goes on.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from ml.adapters import layout
from ml.adapters.replayed_days import ReplayLog
from ml.cli.replayed_day import Day, retrain
from ml.command_line import execute, iso_day, parser
from ml.core.data.days import days_between
from ml.errors import MissingArtifact, SettingsError
from ml.records import ReplayedDay, ReplayPeriod, RetrainRequest
from ml.settings import Settings
from ml.steps.ingest import seed
from ml.wiring import Services, open_services

MINUTE = 60.0
Show = Callable[[str], object]


def run(
    days: int,
    *,
    first: date | None = None,
    last: date | None = None,
    speed: float | None = None,
    approve: bool = False,
    now: datetime | None = None,
    show: Show = sys.stderr.write,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Live through ``days`` days, or through those that are left of a period that was begun.

    Parameters
    ----------
    first
        Where to begin; None goes on where an interrupted replay was, or after the newest day that there is.
    last
        Where to end, instead of after ``days``: nothing is left to do where the registry holds that day.
    speed
        At most so many days a minute; None for as many as can be.
    approve
        Whether a winner may serve although ``gate.approval`` asks a person: here is nobody to ask.

    Returns
    -------
    dict
        ``first_day``, ``last_day``, ``days``, ``promoted``, ``held``, ``alarms`` (days), ``problems`` and ``champion``.

    Raises
    ------
    SettingsError
        If the days are not all past, or lie before what the data registry holds.
    Unavailable
        If something does not answer; what was done stays.
    """
    services = open_services()
    settings = services.settings
    if settings.gate.approval != "none" and not approve:
        raise SettingsError(
            f"gate.approval is {settings.gate.approval!r}, and a replay has nobody to ask: give --approve to let each "
            "challenger serve that passes the gate"
        )
    log = ReplayLog(services.storage_folder(layout.ingest.REPLAYED))
    period = _period(days, first, last, now or datetime.now(UTC), services, log)
    if period and log.day(period[0]) is None:
        log.begin(period[0], datetime.now(UTC))  # the first champion is of the replay, too
        _prepare(period[0], settings, services, show)
    for number, day in enumerate(period, start=1):
        replayed = log.day(day)
        if replayed is None:
            began, began_at = time.monotonic(), log.begin(day, datetime.now(UTC))
            lived = Day(day).live()
            replayed = lived.model_copy(update={"began_at": began_at, "ended_at": datetime.now(UTC)})
            log.finish(replayed)
            show(f"{number:>4}/{len(period)}  {line(replayed)}\n")
            if speed is not None and number < len(period):
                sleep(max(0.0, MINUTE / speed - (time.monotonic() - began)))
        else:
            show(f"{number:>4}/{len(period)}  {day}  done before\n")
    return _summary(period, log, services)


def _period(
    days: int, first: date | None, last: date | None, now: datetime, services: Services, log: ReplayLog
) -> list[date]:
    """Return the days to live through, and remember them: an interrupted replay is one period."""
    begun = log.period()
    if first is None and begun is not None:
        period = days_between(begun.first_day, begun.last_day)
        if any(log.day(day) is None for day in period) or (last is not None and last <= begun.last_day):
            return period
    due = services.settings.newest_due_day(now)
    held = _held(services)
    newest = max(held) if held else None
    start = first or ((last or due) - timedelta(days=days - 1) if newest is None else newest + timedelta(days=1))
    end = last or start + timedelta(days=days - 1)
    if end < start:
        return []
    if end > due:
        raise SettingsError(
            f"{(end - start).days + 1} days from {start} on end on {end}, and the newest past day is {due}: "
            f"{_other_days(start, due, services.settings)}"
        )
    if newest is not None and start <= newest and not (first and log.day(newest)):
        raise SettingsError(
            f"the data registry holds days up to {newest}, and a replay goes on after them: begin in an empty home "
            "(EVERGREEN_HOME) to live through earlier days"
        )
    log.write_period(ReplayPeriod(first_day=start, last_day=end))
    return days_between(start, end)


def _other_days(start: date, due: date, settings: Settings) -> str:
    """Say how to live through days that there are: so many as are left, or in a home where nothing was landed."""
    left = (due - start).days + 1
    fewer = f"ask for --days {left}, or " if left > 0 else "all of them are in the data registry; "
    return (
        f"{fewer}begin in an empty home, such as EVERGREEN_HOME=var/past evergreen replay --model {settings.task.name} "
        "(it lands its own history), or with 'evergreen seed' of older days only"
    )


def _held(services: Services) -> list[date]:
    try:
        return list(services.registry.days("inputs"))
    except MissingArtifact:
        return []


def _prepare(first: date, settings: Settings, services: Services, show: Show) -> None:
    """Land the history, and train a first champion, where there is none."""
    eve = first - timedelta(days=1)
    if not _held(services):
        oldest = first - timedelta(days=settings.land.history_days)
        show(f"landing the history of {oldest} to {eve}\n")
        seed.run(oldest, eve, settings=settings, services=services)
    if services.tracking.alias("champion") is None and max(_held(services)) < first:
        show("training a first champion\n")
        event = retrain(RetrainRequest(requested_by="replay", reasons=("nobody serves yet",)))
        show(f"{_first(event)}\n")


def line(replayed: ReplayedDay) -> str:
    """Return what came of a day, for people who watch."""
    parts = [str(replayed.day)]
    if replayed.rest:
        parts.append(f"no data expected: {replayed.rest}")
    if replayed.rows is not None:
        parts.append(f"{replayed.rows:>7,} rows")
        parts.append(f"version {replayed.version}" if replayed.version else "nobody serves")
        parts.append(replayed.state or "not monitored")
    measured = [(name.replace("_", " "), value) for name, value in replayed.metrics.items() if value is not None]
    parts += [f"{name} {value:.4g}" for name, value in measured[:1]]
    if replayed.event:
        parts.append(f"→ {'; '.join(replayed.reasons)} → {_first(replayed.event)}")
    parts += [f"! {problem}" for problem in replayed.problems]
    return "  ".join(parts)


def _first(event: str) -> str:
    """Return what happened with the first of its reasons; all of them are with the decision."""
    return event.partition("; ")[0]


def _summary(period: list[date], log: ReplayLog, services: Services) -> dict[str, Any]:
    lived = [day for day in map(log.day, period) if day is not None]
    return {
        "first_day": str(period[0]) if period else None,
        "last_day": str(period[-1]) if period else None,
        "days": len(lived),
        "promoted": sum(day.event.startswith("promoted") for day in lived),
        "held": sum(day.event.startswith("held") for day in lived),
        "alarms": sum(day.state == "alarm" for day in lived),
        "problems": [f"{day.day}: {problem}" for day in lived for problem in day.problems],
        "champion": services.tracking.alias("champion"),
    }


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        if (speed := float(text)) > 0:
            return speed
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number of days a minute nor max")


def main(argv: list[str] | None = None) -> int:
    """Live through past days and print what came of them."""
    arguments = parser(__doc__)
    arguments.add_argument("--days", type=int, default=30, help="how many; default: 30")
    arguments.add_argument("--from", dest="first", type=iso_day, metavar="DAY", help="the first of them")
    arguments.add_argument("--to", dest="last", type=iso_day, metavar="DAY", help="the last of them, instead of --days")
    arguments.add_argument("--speed", type=_speed, default=None, help="at most so many days a minute; default: max")
    arguments.add_argument("--approve", action="store_true", help="do not ask a person, whatever gate.approval says")
    arguments.add_argument("--verbose", action="store_true", help="show what each step logs, too")
    options = arguments.parse_args(argv)
    if options.days < 1:
        arguments.error("--days must be 1 or more")

    def work() -> dict[str, Any]:
        if not options.verbose:
            logging.getLogger("ml").setLevel(logging.ERROR)
        return run(options.days, first=options.first, last=options.last, speed=options.speed, approve=options.approve)

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
