"""When people are notified of drift and of decay: at the start of an episode, when it gets worse, and at its end.

An alarm that lasts is notified once, as on-call practice asks (Beyer et al., *Site Reliability Engineering*, 2016,
ch. 6: a page wants a person to act; what only repeats is noise). What was notified is stored, a day at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from ml.core.monitoring.alarm_conditions import KINDS
from ml.records import Finding, Record

Family = Literal["drift", "decay"]
What = Literal["opened", "escalated", "repeat", "resolved"]
FAMILIES: tuple[Family, ...] = ("drift", "decay")
CONDITIONS: dict[Family, tuple[str, ...]] = {
    "drift": ("drift", "broken data", "unmeasured drift"),
    "decay": (
        "decay",
        "missing predictions",
        "missing labels",
        "label coverage",
        "interval coverage",
        "slice change",
        "outcome shift",
        "unknown performance",
    ),
}
"""Which of the policy's signs (`ml.core.monitoring.alarm_conditions.KINDS`) belong to whose mails."""


@dataclass(frozen=True)
class Day:
    """What monitoring found on a day.

    ``alarm`` is the policy's word on the newest days together; ``known`` names the families that could
    be measured: what could not neither starts an episode nor ends one.
    """

    day: date
    champion_version: int | None
    findings: tuple[Finding, ...] = ()
    alarm: bool = False
    action: str = "nothing"
    known: frozenset[Family] = frozenset(FAMILIES)


class Episode(Record):
    """One alarm from its start to its end, as people were notified of it up to ``day``.

    It goes on when another version comes to serve: ``champion_version`` served when it opened, ``serving_version`` is
    the newest that people know of (None: the same).

    ``notified`` and ``actions`` are what they know already; ``repeats`` counts the days in alarm since the
    newest mail, ``suppressed`` all of them; ``clean_days`` the measured days in a row without a finding;
    ``snoozes_over`` the decisions of snoozes that have ended (see `ml.core.monitoring.snoozes`).
    """

    family: Family
    first_day: date
    opened_on: date
    champion_version: int
    day: date
    open: bool = True
    notified: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    repeats: int = 0
    suppressed: int = 0
    clean_days: int = 0
    subject: str = ""
    serving_version: int | None = None
    snoozes_over: tuple[str, ...] = ()

    @property
    def serves(self) -> int:
        """Return the version that serves, as far as people know."""
        return self.champion_version if self.serving_version is None else self.serving_version

    @property
    def id(self) -> str:
        """Name the episode, the same whenever it is asked for."""
        return f"{self.family}_{self.first_day}_v{self.champion_version}"


@dataclass(frozen=True)
class Event:
    """What became of an episode on a day.

    ``news`` names what was not notified before; ``repeats`` the days in alarm that nobody was notified of since the
    mail before this one; ``reason`` says in words why an episode ended, or that it goes on under another champion.
    """

    what: What
    episode: Episode
    news: tuple[str, ...] = ()
    repeats: int = 0
    reason: str = ""


def family_of(finding: Finding) -> Family:
    """Return whose mails a finding belongs to."""
    return "drift" if any(finding.kind in KINDS[name] for name in CONDITIONS["drift"]) else "decay"


def signature(finding: Finding) -> str:
    """Name what a finding is about, the same from day to day."""
    return f"{finding.kind}:{finding.column}" if finding.column else finding.kind


def alarms(day: Day, family: Family) -> tuple[Finding, ...]:
    """Return the findings of a day that can raise an alarm."""
    return tuple(f for f in day.findings if f.severity == "alarm" and family_of(f) == family)


def follow(
    before: Episode | None,
    today: Day,
    earlier: Sequence[Day],
    *,
    family: Family,
    alarm_days: tuple[int, int],
    every_days: int = 1,
) -> tuple[Event, ...]:
    """Return what became of a family's episode on the newest day.

    An episode opens when the policy raises an alarm and this family's findings carry it: on k of the newest n
    days with the newest among them, or at once. It ends after n - k + 1 measured days in a row without one (so
    that one quiet day inside an alarm is no end), whoever serves: a promotion proves nothing about the data. Decay
    that is a warning by now is no quiet day. If the alarm stands under another champion too, people are alerted of that
    once. The same day, judged twice, gives the same events or none.

    Parameters
    ----------
    before
        The newest episode of the family, open or ended, as it was left; None if there was none.
    today
        The newest day in the registry; days that arrive late are never followed.
    earlier
        Days before ``today``, in any order; those of another version are not counted.
    alarm_days
        k and n, as ``drift.alarm_days``.
    every_days
        As ``land.every_days``: n counts days with data.

    Returns
    -------
    tuple of Event
        Nothing on a calm day. The last one's ``episode`` is what has to be kept.
    """
    if before is not None and before.day > today.day:
        return ()
    if before is None or not before.open:
        opened = _opened(before, today, earlier, family, alarm_days, every_days)
        return () if opened is None else (opened,)
    return _goes_on(before, today, earlier, alarm_days, every_days)


def _opened(
    last: Episode | None,
    today: Day,
    earlier: Sequence[Day],
    family: Family,
    alarm_days: tuple[int, int],
    every_days: int = 1,
) -> Event | None:
    version, now = today.champion_version, alarms(today, family)
    if version is None or not now or not today.alarm:
        return None
    days = _newest(today, earlier, alarm_days[1] * every_days)
    carried = [day for day in days if alarms(day, family)]
    # An alarm that neither family explains (earlier days were lost, say): the family with a finding today
    # notifies.
    explained = any(_raised(days, other, alarm_days) for other in FAMILIES)
    if explained and not _raised(days, family, alarm_days):
        return None
    start = carried[0].day if len(carried) >= alarm_days[0] else today.day
    if last is not None:
        start = min(max(start, last.day), today.day)
    news = tuple(dict.fromkeys(signature(finding) for day in carried for finding in alarms(day, family)))
    episode = Episode(
        family=family,
        first_day=start,
        opened_on=today.day,
        champion_version=version,
        day=today.day,
        notified=news,
        actions=_acted(today),
    )
    return Event("opened", episode, news)


def _goes_on(
    before: Episode, today: Day, earlier: Sequence[Day], alarm_days: tuple[int, int], every_days: int
) -> tuple[Event, ...]:
    again = before.day == today.day
    now = alarms(today, before.family)
    if not now:
        if before.family not in today.known or today.champion_version is None:
            return (Event("repeat", before.model_copy(update={"day": today.day})),)
        if _lingers(before, today):
            return (Event("repeat", before.model_copy(update={"day": today.day, "clean_days": 0})),)
        clean = before.clean_days + (0 if again and before.clean_days else 1)
        quiet = before.model_copy(update={"day": today.day, "clean_days": clean})
        if clean > alarm_days[1] - alarm_days[0]:
            return (_closed(quiet, today, f"nothing was found on {_days(clean)} in a row"),)
        return (Event("repeat", quiet),)
    days = _newest(today, earlier, alarm_days[1] * every_days)
    signatures = {signature(finding): finding.at_once for finding in now}
    news = tuple(
        name
        for name, at_once in signatures.items()
        if name not in before.notified and (at_once or _count(days, name) >= alarm_days[0])
    )
    acted = tuple(action for action in _acted(today) if action not in before.actions)
    since = _goes_on_under(before, today)
    if not news and not acted and not since:
        counted = 0 if again else 1
        repeated = {
            "day": today.day,
            "clean_days": 0,
            "repeats": before.repeats + counted,
            "suppressed": before.suppressed + counted,
        }
        return (Event("repeat", before.model_copy(update=repeated), repeats=before.repeats + counted),)
    grown = {
        "day": today.day,
        "clean_days": 0,
        "notified": before.notified + news,
        "actions": before.actions + acted,
        "repeats": 0,
        "serving_version": today.champion_version if since else before.serving_version,
    }
    return (Event("escalated", before.model_copy(update=grown), news, before.repeats, since),)


def _lingers(before: Episode, today: Day) -> bool:
    """Return whether decay that was alarmed of goes on, too little for an alarm by now: nothing is resolved then."""
    lingering = {signature(finding) for finding in today.findings if finding.kind == "decay"}
    return bool(lingering & {*before.notified})


def _goes_on_under(before: Episode, today: Day) -> str:
    """Return that the alarm stands under a champion that people have not been alerted of; empty if it does not."""
    if not today.alarm or today.champion_version in (None, before.serves):
        return ""
    return f"version {today.champion_version} serves instead of version {before.serves}, and the alarm goes on"


def _closed(before: Episode, today: Day, reason: str) -> Event:
    update = {"day": today.day, "open": False, "repeats": 0, "serving_version": today.champion_version}
    ended = before.model_copy(update=update)
    return Event("resolved", ended, repeats=before.repeats, reason=reason)


def _newest(today: Day, earlier: Sequence[Day], days: int) -> list[Day]:
    """Return the newest ``days`` days of today's version, today last."""
    near = [
        day
        for day in earlier
        if 0 < (today.day - day.day).days < days and day.champion_version == today.champion_version
    ]
    return [*sorted(near, key=lambda day: day.day), today]


def _raised(days: Sequence[Day], family: Family, alarm_days: tuple[int, int]) -> bool:
    """Return whether a family raises an alarm by itself; ``days`` end with the newest."""
    for kinds in (KINDS[name] for name in CONDITIONS[family]):
        findings_by_day = [[finding for finding in alarms(day, family) if finding.kind in kinds] for day in days]
        enough = sum(map(bool, findings_by_day)) >= alarm_days[0]
        if findings_by_day[-1] and (enough or any(finding.at_once for finding in findings_by_day[-1])):
            return True
    return False


def _count(days: Sequence[Day], name: str) -> int:
    return sum(name in {signature(f) for f in day.findings if f.severity == "alarm"} for day in days)


def _acted(today: Day) -> tuple[str, ...]:
    return () if today.action == "nothing" else (today.action,)


def _days(count: int) -> str:
    return "1 day" if count == 1 else f"{count} days"
