"""Where things stand now: who serves, how it does, whether the data are fresh, and what is under way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from ml.core import dossier, history, overview, rivalry, standing
from ml.core.daybook import Day, Facts, plain
from ml.core.features import days_between
from ml.core.rest_days import rest_reason
from ml.errors import EvergreenError, MissingArtifact, UntrustedModel
from ml.records import Logged
from ml.steps import recorded_models, succession
from ml.steps.overview import days as monitored
from ml.steps.overview.lineup import about_task
from ml.steps.overview.log import card_of
from ml.steps.overview.sources import Holdings, decided, held, registered
from ml.wiring import Services

T = TypeVar("T")
LOOK_BACK_DAYS = 14
ALARM_DAYS = 60
"""An alarm is followed back for so long."""

GRACE_HOURS = 2
"""A day that was due no longer ago than this is on its way, not late."""

NEEDED = ("decisions", "champion", "data", "monitor")
"""Parts without which nobody knows where things stand."""

SIDECAR = re.compile(r"version=(\d+)\.json")


def now(services: Services, *, today: date | datetime) -> dict[str, Any]:
    """Gather where things stand.

    A part that cannot be read is None and named under ``problems``; the others are told all the same.

    Parameters
    ----------
    today
        The present instant (aware), or the newest day that is due by now.

    Returns
    -------
    dict
        ``task`` (name, kind, target, and the gate's metric); ``at``; ``state`` (``calm``, ``watching``, ``alarm`` or
        ``unknown``) with a ``sentence``; ``champion`` (``version``, ``since``, ``days``, ``kind`` of the decision
        that made it, ``asked_by``, ``approved_by``, ``reasons``, ``decision_id``, ``window``,
        ``previous_version``, ``run_id``, ``card``, ``warning`` if its alias was moved by hand); ``performance``
        (``status``, ``reason``, ``figures`` beside what the gate promised, ``window``, ``estimated``,
        ``label_coverage``); ``data`` (``status``: ``fresh``, ``due``, ``late`` or ``none``; days and a
        ``sentence``); ``score``, the newest day that was scored; ``monitor``, the newest that was watched;
        ``alarm`` (``since``, ``days``); ``findings`` of that day; ``request`` that no judgement has answered yet;
        ``challenger``; ``shadow``; ``next``, what is due next; ``hint`` (``said``, and ``action``: ``ingest`` or
        ``retrain``); ``problems`` (``part``, ``said``).
    """
    found: dict[str, Any] = plain(_Present(services, today).facts())
    return found


@dataclass
class _Present:
    """What `now` tells of, each source read once and when it is asked for; one that fails is a problem."""

    services: Services
    today: date | datetime
    problems: list[dict[str, str]] = field(default_factory=list)

    def facts(self) -> Facts:
        champion = self.part("champion", self.champion)
        newest = self.newest.facts if self.newest else None
        data = self.part("data", self.data)
        since = standing.alarm_since(self.days)
        behind = self.holdings.newer_than(self.newest.day) if self.newest else 0
        state, sentence = standing.standing(
            newest, since=since, serves=champion is not None, days_behind=behind, data=self.freshness
        )
        blind = [problem["said"] for problem in self.problems if problem["part"] in NEEDED]
        blind += [
            day.problem for day in self.days if day.problem and (not newest or day.day.isoformat() > newest["day"])
        ]
        if blind:
            state, sentence = "unknown", "; ".join(blind)
        return {
            "task": about_task(self.services),
            "at": self.today,
            "state": state,
            "sentence": sentence,
            "champion": champion,
            "performance": self.performance(newest),
            "data": data,
            "score": self.part("score", self.score),
            "monitor": self.monitor(newest, behind),
            "alarm": {"since": since, "days": (self.newest.day - since).days + 1} if since and self.newest else None,
            "findings": newest["findings"] if newest else [],
            "request": self.request(),
            "challenger": self.part("challenger", self.challenger),
            "shadow": self.part("shadow", self.shadow),
            "next": self.next(),
            "hint": self.hint(champion),
            "problems": self.problems,
        }

    def part(self, name: str, compute: Callable[[], T]) -> T | None:
        """Compute a part, or say why it cannot be."""
        try:
            return compute()
        except EvergreenError as err:
            if not any(problem["said"] == str(err) for problem in self.problems):
                self.problems.append({"part": name, "said": str(err)})
            return None

    # -- sources -----------------------------------------------------------------------------------

    @cached_property
    def decisions(self) -> list[Logged] | None:
        """Give all decisions; None if MLflow does not answer, which is not the same as none."""
        return self.part("decisions", lambda: decided(self.services))

    @cached_property
    def holdings(self) -> Holdings:
        """Give what the registry holds; nothing if it does not answer, which is a problem."""
        return self.part("data", lambda: held(self.services)) or Holdings({}, {}, ())

    @cached_property
    def days(self) -> Sequence[Day]:
        """Give the newest days as monitoring left them, oldest first."""

        def read() -> list[Day]:
            found = monitored.read(self.services, self.holdings.newest_days(ALARM_DAYS))
            if any(day.facts for day in found):
                return found
            return monitored.read(self.services, self.holdings.newest_days(None))

        return self.part("monitor", read) or ()

    @cached_property
    def newest(self) -> Day | None:
        """Give the newest day that was monitored."""
        return next((day for day in reversed(self.days) if day.facts), None)

    @property
    def freshness(self) -> standing.Freshness:
        """Hold the newest day against the newest that is due."""
        newest, labelled = self.holdings.newest, self.holdings.labelled
        rest = [] if newest is None else [day for day in days_between(newest, self.due) if self.rests(day)]
        return standing.freshness(newest, labelled, due=self.due, just_due=self.just_due, rest=rest)

    @property
    def due(self) -> date:
        """Give the newest day that should be in the registry by now; days without data are passed over."""
        day = self.newest_calendar_day
        while self.rests(day) and (self.newest_calendar_day - day).days < LOOK_BACK_DAYS:
            day -= timedelta(days=1)
        return day

    @property
    def newest_calendar_day(self) -> date:
        """Give the newest day that is due by now, whether data are expected on it or not."""
        if isinstance(self.today, datetime):
            return self.services.settings.newest_due_day(self.today)
        return self.today

    def rests(self, day: date) -> bool:
        """Say whether no data are expected on a day, and there are none."""
        have = self.holdings.inputs
        return day not in have and bool(rest_reason(day, have, self.services.settings.land))

    # -- parts -------------------------------------------------------------------------------------

    def champion(self) -> Facts | None:
        entry = history.crowned_on(None, self.decisions or ())
        if entry is None or entry.effective_day is None:
            return None
        told, version = history.tell(entry), int(entry.payload["version"])
        approval = entry.payload.get("approval") or {}
        of_it = next((one for one in registered(self.services) if one.version == version), None)
        tags = of_it.tags if of_it else {}
        reigns = tuple(one for one in self.decisions or () if one.kind in history.REIGNS)
        seat = succession.Seat(entry, self.services.tracking.alias("champion"), reigns)
        return {
            "version": version,
            "since": entry.effective_day,
            "days": max(((self.holdings.newest or self.due) - entry.effective_day).days + 1, 0),
            "kind": entry.kind,
            "asked_by": told.asked_by or tags.get("asked_by"),
            "approved_by": approval.get("by") if approval.get("approved") else None,
            "reasons": told.reasons,
            "decision_id": told.decision_id,
            "decided_at": told.decided_at,
            "window": {"first_day": tags.get("window_first_day"), "last_day": entry.payload.get("window_last_day")},
            "previous_version": told.against,
            "run_id": of_it.run_id if of_it else None,
            "card": card_of(version),
            "warning": self.distrust(seat) if seat.alias == seat.version else succession.moved_by_hand(seat),
        }

    def distrust(self, seat: succession.Seat) -> str | None:
        """Return why the champion may not serve; None if the storage records its decision and its promotion."""
        reign = seat.reign
        if reign is None or reign.effective_day is None or seat.version is None:
            return None
        try:
            recorded_models.check_champion(seat.version, reign.effective_day, seat.decisions, self.services)
        except (UntrustedModel, MissingArtifact) as err:
            return str(err)
        return None

    def performance(self, newest: Facts | None) -> Facts | None:
        live = (newest or {}).get("performance")
        if not newest or not live:
            return None
        estimated = {"day": live["estimated_day"], "value": live["estimated"], "error": live["estimate_error"]}
        return {
            "day": newest["day"],
            "version": live["champion_version"],
            "status": live["status"] or "unknown",
            "reason": live["reason"],
            "labelled_day": live["labelled_day"],
            "window": {
                "first_day": live["window_first_day"],
                "days": live["window_days"],
                "rows": live["window_rows"],
            },
            "figures": overview.figures(live, metric=self.services.settings.gate.metric),
            "estimated": estimated if live["estimated"] is not None else None,
            "label_coverage": live["label_coverage"],
        }

    def data(self) -> Facts:
        newest, due = self.holdings.newest, self.due
        found = self.freshness
        span = [due - timedelta(days=n) for n in range(LOOK_BACK_DAYS)]
        missing = [day for day in span if newest and day not in self.holdings.inputs]
        refusal = ""
        refused = [
            day
            for day in sorted(missing)
            if self.services.shelf(f"quarantine/inputs/day={day}").has("partition.parquet")
        ]
        if refused:
            refusal = f"; refused by their contract: {', '.join(map(str, refused))}"
        version = self.holdings.versions[0] if self.holdings.versions else None
        return {
            "status": found.status,
            "newest_day": newest,
            "due_day": due,
            "days_late": found.days_late,
            "labelled_day": self.holdings.labelled,
            "refused_days": refused,
            "version": version.rev if version else None,
            "committed_at": version.committed_at if version else None,
            "sentence": found.sentence + refusal,
        }

    @property
    def just_due(self) -> bool:
        """Say whether the newest due day may be on its way."""
        if not isinstance(self.today, datetime):
            return False
        settings = self.services.settings
        hour = self.today.astimezone(ZoneInfo(settings.task.timezone)).hour
        return 0 <= hour - settings.land.due_hour < GRACE_HOURS

    def score(self) -> Facts | None:
        """Find the newest day that was scored."""
        decisions = self.decisions or []
        for day in reversed(self.holdings.newest_days(LOOK_BACK_DAYS)):
            shelf = self.services.shelf(f"predictions/day={day}")
            kept = {int(found[1]): name for name in shelf.names() if (found := SIDECAR.fullmatch(name))}
            if not kept:
                continue
            reign, _ = history.champion_of(day, decisions)
            version = reign.version if reign and reign.version in kept else max(kept)
            try:
                facts = json.loads(shelf.objects.get_bytes(shelf.name(kept[version])))
            except ValueError:
                facts = {}
            late = self.holdings.newer_than(day)
            rows = facts.get("rows")
            counted = f"{rows:,} rows" if isinstance(rows, int) else "an unknown number of rows"
            behind = f"; {late} newer days are not scored" if late > 1 else ""
            return {
                "day": day,
                "version": version,
                "rows": rows,
                "written_at": facts.get("written_at"),
                "days_late": late,
                "report": f"validation/predictions/day={day}/version={version}.html" if facts.get("report") else None,
                "run_id": facts.get("airflow_run"),
                "sentence": f"Version {version} scored {counted} of {day}{behind}",
            }
        return None

    def monitor(self, newest: Facts | None, behind: int) -> Facts | None:
        if newest is None:
            return None
        drift = newest["drift"]
        return {
            **{name: newest[name] for name in ("day", "state", "action", "reasons")},
            "days_late": behind,
            "drift": {"status": drift["status"], "reason": drift["reason"], "report": overview.report_of(newest)}
            if drift
            else None,
        }

    def request(self) -> Facts | None:
        entry = dossier.open_request(self.decisions or ())
        if entry is None:
            return None
        told = history.tell(entry)
        return {
            "decision_id": told.decision_id,
            "day": entry.effective_day,
            "asked_by": told.asked_by,
            "reasons": told.reasons,
            "run_id": f"monitor__{entry.effective_day}",
        }

    def challenger(self) -> Facts | None:
        version = self.services.tracking.alias("challenger") if self.decisions is not None else None
        if version is None or self.decisions is None:
            return None
        about = dossier.about(version, self.decisions)
        return {
            "version": version,
            "outcome": dossier.outcome(version, self.decisions),
            "reasons": history.tell(about[-1]).reasons if about else (),
            "decision_id": about[-1].decision_id if about else None,
        }

    def shadow(self) -> Facts | None:
        day = self.holdings.newest
        reign = history.crowned_on(day, self.decisions or ()) if day else None
        if day is None or reign is None:
            return None
        watched = self.services.settings.rollback.watch_days
        watch, reason = rivalry.watch_of(day, int(reign.payload["version"]), self.decisions or (), days=watched)
        if watch is None or watch.last_day < day:
            return None
        present = history.crowned_on(None, self.decisions or ())
        if present is not None and int(present.payload["version"]) == watch.rival:
            return None  # it came back: from tomorrow on it serves, and nobody is watched
        return {"version": watch.rival, "last_day": watch.last_day, "reason": reason}

    def next(self) -> Facts:
        """Say which day is due next; score and monitor follow it."""
        task, hour = self.services.settings.task, self.services.settings.land.due_hour
        first = self.newest_calendar_day + timedelta(days=1)
        coming = [first + timedelta(days=n) for n in range(LOOK_BACK_DAYS)]
        day = next((day for day in coming if not self.rests(day)), first)
        at = datetime.combine(day, time(hour), ZoneInfo(task.timezone)).astimezone(ZoneInfo("UTC"))
        sentence = f"{day} is due at {hour:02}:00 ({task.timezone}); score and monitor follow it"
        return {"day": day, "at": at, "sentence": sentence}

    def hint(self, champion: Facts | None) -> dict[str, str] | None:
        if champion is not None or self.decisions is None:
            return None
        labelled = len(self.holdings.inputs.keys() & self.holdings.labels.keys())
        return standing.first_move(labelled_days=labelled, least=self.services.settings.pull.min_days)
