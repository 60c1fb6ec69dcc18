"""Mark days as not to be learned from (a broken feed, a strike), list them, or let them count again.

``evergreen exclude 2026-11-03..2026-11-07 --reason "..."``. From the next training on, training windows, holdouts,
references and limits of drift leave these days out; drift and live performance are measured without them. The days stay
in the data registry, are scored and shown, and lagged target means go on looking back on them. Who marked them, and
why, is in the decision log, and which days are marked is part of the data version.
"""

from __future__ import annotations

import argparse
import getpass
import hashlib
import logging
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from ml.command_line import execute, iso_day, parser
from ml.core.data import windows
from ml.core.data.days import days_between, spans, spans_in_words
from ml.core.data.excluded import periods
from ml.core.data.rest_days import rest_reason
from ml.errors import EvergreenError, MissingArtifact
from ml.records import DataVersion, DayMark, Exclusion, ExclusionRequest, Logged
from ml.settings import Settings
from ml.wiring import Services, open_services

logger = logging.getLogger(__name__)
MOST_DAYS = 3660
"""A longer period is a slip of the pen."""


def run(request: ExclusionRequest, *, settings: Settings, services: Services) -> Exclusion:
    """Mark the days of a period, or let them count again; the same again changes nothing.

    Raises
    ------
    EvergreenError
        If there is no reason, or the period is none; see `days_of`.
    MissingArtifact, Unavailable
        As `exclude` and `include` do.
    """
    reason = " ".join(request.reason.split())
    if not reason:
        raise EvergreenError("the reason is empty: say why nothing should be learned from these days")
    days = days_of(request.first_day, request.last_day or request.first_day)
    act = include if request.undo else exclude
    version = act(days, reason=reason, requested_by=request.requested_by, settings=settings, services=services)
    return Exclusion(
        days=spans_in_words(days), reason=reason, undo=request.undo, data_version=version.rev, changed=version.changed
    )


def exclude(
    days: Sequence[date], *, reason: str, requested_by: str, settings: Settings, services: Services
) -> DataVersion:
    """Mark days as not to be learned from; the same again changes nothing.

    Days that are marked already keep who marked them, and why. A call that was killed is finished by the same call.

    Raises
    ------
    MissingArtifact
        If an end of a period is no day of the data registry, or too few days would be left to train on.
    Unavailable
        If the decision cannot be written down: nothing is marked then.
    """
    head = services.registry.head()
    marks = services.registry.day_marks(head)
    additional = [day for day in days if not _is_excluded(day, marks)]
    _check_known(additional, head, settings, services)
    _check_enough(additional, head, settings, services)
    return _mark(days, additional, True, reason, requested_by, marks, head, services)


def include(
    days: Sequence[date], *, reason: str, requested_by: str, settings: Settings, services: Services
) -> DataVersion:
    """Let days count again, from the next training on; the same again changes nothing.

    Raises
    ------
    MissingArtifact
        If none of the days was ever marked.
    Unavailable
        If the decision cannot be written down: nothing changes then.
    """
    del settings
    head = services.registry.head()
    marks = services.registry.day_marks(head)
    if not any(day in marks for day in days):
        marked = spans_in_words(day for day in marks if marks[day].excluded) or "none"
        raise MissingArtifact(f"{spans_in_words(days)} is not excluded; the days that are: {marked}")
    changed = [day for day in days if _is_excluded(day, marks)]
    return _mark(days, changed, False, reason, requested_by, marks, head, services)


def listed(services: Services) -> list[dict[str, str]]:
    """List the periods that are not learned from, oldest first."""
    return periods(services.registry.excluded_days())


def _is_excluded(day: date, marks: Mapping[date, DayMark]) -> bool:
    return day in marks and marks[day].excluded


def _check_known(days: Sequence[date], head: str, settings: Settings, services: Services) -> None:
    """Refuse periods that begin or end on a day that the registry does not know, or after its newest day."""
    inputs, labels = (services.registry.days(asset, head).keys() for asset in ("inputs", "labels"))
    held = inputs | labels
    newest = max(held, default=None)
    for first, last in spans(days):
        if newest is None or last > newest:
            raise MissingArtifact(
                f"{last} is after the newest day of the data registry ({newest or 'it is empty'}): a day is excluded "
                "once its data are there; exclude it then, or name days up to the newest"
            )
        for end in (first, last):
            if end not in held and not _explained(end, inputs, settings):
                near = ", ".join(map(str, sorted(held, key=lambda other: abs((other - end).days))[:2]))
                raise MissingArtifact(
                    f"the data registry holds nothing of {end}, so that nothing is learned from it anyway; the nearest "
                    f"days that it holds: {near}. Let the period begin and end on days that it holds"
                )


def _explained(day: date, inputs: Collection[date], settings: Settings) -> bool:
    """Return whether no data are expected on a day: a period may well end with a week-end."""
    return bool(rest_reason(day, inputs, settings.land))


def _check_enough(days: Sequence[date], head: str, settings: Settings, services: Services) -> None:
    """Refuse what would leave too few days to train on, where there are enough without it."""
    inputs, labels = (services.registry.days(asset, head) for asset in ("inputs", "labels"))
    labelled, excluded = inputs.keys() & labels.keys(), services.registry.excluded_days(head).keys()
    try:
        windows.choose_by(settings, labelled, excluded)
    except MissingArtifact:  # too few already: to exclude more makes nothing worse that works today
        return
    try:
        windows.choose_by(settings, labelled, {*excluded, *days})
    except MissingArtifact as err:
        raise MissingArtifact(f"nothing was excluded, since no training would be possible then: {err}") from err


def _mark(
    days: Sequence[date],
    changed: Sequence[date],
    excluded: bool,
    reason: str,
    requested_by: str,
    marks: Mapping[date, DayMark],
    head: str,
    services: Services,
) -> DataVersion:
    """Write the decision down, then the marks, then close it; finish what was killed between."""
    for decision_id in sorted({marks[day].decision_id for day in days if day in marks}):
        decided = services.tracking.recover_decision(decision_id)
        if decided is not None:  # else 'evergreen doctor' writes it again
            _close(decided, services)
    if not changed:
        return services.registry.history(1)[0].model_copy(update={"changed": False})
    named = spans_in_words(changed)
    decision = _open_decision(changed, excluded, reason, requested_by, head, services)
    version = services.registry.mark_days(
        [
            DayMark(
                day=day, excluded=excluded, requested_by=requested_by, reason=reason, decision_id=decision.decision_id
            )
            for day in changed
        ],
        message=f"{'Exclude' if excluded else 'Let'} {named} {'from learning' if excluded else 'count again'}, "
        f"by {requested_by}: {reason}",
    )
    _close(decision, services)
    logger.info("exclude: data version %s, %s: %s", version.rev, "excluded" if excluded else "counts again", named)
    return version


def _open_decision(
    days: Sequence[date], excluded: bool, reason: str, requested_by: str, head: str, services: Services
) -> Logged:
    """Write down who marks days, before they are marked; on the same data version the first record is found again."""
    kind = "day_exclusion" if excluded else "day_inclusion"
    payload = {"reason": reason, "requested_by": requested_by, "days": [str(day) for day in days], "data_version": head}
    digest = hashlib.sha256(" ".join(map(str, [*days, requested_by, reason])).encode()).hexdigest()[:12]
    key = f"{kind.replace('_', ' ')} {days[0]} to {days[-1]} {digest} on {head[:12]}"
    return services.tracking.open_decision(kind, key, fingerprint=None, effective_day=days[0], payload=payload)


def _close(decision: Logged, services: Services) -> None:
    if not decision.finished:
        services.tracking.close_decision(decision)


def days_of(first: date, last: date) -> list[date]:
    """Return the days of a period, both ends inclusive.

    Raises
    ------
    EvergreenError
        If it ends before it begins, or is longer than `MOST_DAYS`.
    """
    if not 0 <= (last - first).days < MOST_DAYS:
        raise EvergreenError(
            f"{first} to {last} is not a period of 1 to {MOST_DAYS} days: name its first and its last day"
        )
    return days_between(first, last)


def period(text: str) -> list[date]:
    """Read ``2026-11-03`` or ``2026-11-03..2026-11-07``; argparse turns the error into exit code 2."""
    first, dots, last = text.partition("..")
    try:
        return days_of(iso_day(first), iso_day(last if dots else first))
    except EvergreenError as err:
        raise argparse.ArgumentTypeError(str(err)) from err


def _days(named: Iterable[Collection[date]]) -> list[date]:
    return sorted({day for days in named for day in days})


def main(argv: list[str] | None = None) -> int:
    """Mark the days that are named, let them count again, or list those that are marked."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "period", nargs="*", type=period, help="a day, or FIRST..LAST such as 2026-11-03..2026-11-07"
    )
    arguments.add_argument("--reason", help="why; kept in the decision log and with the data version")
    arguments.add_argument("--by", help="who decides so; without it your user name")
    what = arguments.add_mutually_exclusive_group()
    what.add_argument("--undo", action="store_true", help="let these days count again, from the next training on")
    what.add_argument("--list", action="store_true", help="the periods that are not learned from, and why")
    options = arguments.parse_args(argv)
    if options.list and (options.period or options.reason):
        arguments.error("--list takes no days and no reason")
    if not options.list and not (options.period and (options.reason or "").strip()):
        arguments.error("name the days, and say why with --reason; or ask for --list")

    def work() -> Any:
        services = open_services()
        if options.list:
            return listed(services)
        act = include if options.undo else exclude
        return act(
            _days(options.period),
            reason=" ".join(options.reason.split()),
            requested_by=options.by or getpass.getuser(),
            settings=services.settings,
            services=services,
        )

    return execute(work)


if __name__ == "__main__":
    sys.exit(main())
