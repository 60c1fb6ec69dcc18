"""Mail what monitoring found, on a change of state only: one thread an episode, told once."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evergreen import outbox, wording
from evergreen.notifications import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.core import episodes
    from ml.records import Decision, DriftReport, Finding, LivePerformance, Logged
    from ml.wiring import Services

log = logging.getLogger(__name__)
LEDGER = "episodes"
CHARTED_COLUMNS, CHARTED_DAYS = 3, 14
MEANWHILE = ("retrain_request", "promotion", "hold", "rejection", "rollback", "withdrawal")


@dataclass(frozen=True)
class Watch:
    """The newest day, as it was measured and as the policy judged it."""

    drift: DriftReport
    performance: LivePerformance
    decision: Decision
    services: Services
    links: tuple[tuple[str, str], ...] = ()

    def tell(self) -> None:
        """Follow the episodes of both families, write to people where one changes, and send what waits.

        Killed anywhere and run again, each mail is written once: the ledger moves on after it.
        """
        from ml.core import episodes

        alarm_days = self.services.settings.drift.alarm_days
        for family in episodes.FAMILIES:
            before = self.newest_told(family)
            happened = episodes.follow(before, self.today, self.earlier, family=family, alarm_days=alarm_days)
            for event in happened:
                log.info("monitoring: %s %s", event.episode.id, event.what)
                if event.what != "repeat":
                    self.write_to_people(event)
            if happened:
                self.keep(happened[-1].episode)
        outbox.flush(self.services.storage)

    @cached_property
    def today(self) -> episodes.Day:
        """Give the newest day as `ml.core.episodes` reads it."""
        known: dict[episodes.Family, str] = {"drift": self.drift.status, "decay": self.performance.status}
        return replace(
            _day(self.decision),
            champion_version=self.decision.champion_version or self.drift.champion_version,
            findings=tuple(self.findings),
            known=frozenset(family for family, status in known.items() if status != "unknown"),
        )

    @cached_property
    def findings(self) -> list[Finding]:
        """Give what was found today; a verdict that came without a finding is one itself."""
        from ml.core.signs import KINDS
        from ml.records import Finding

        found = [f for f in self.decision.findings if f.kind != "drift" or self.drift.status == "drift"]
        alarming = {f.kind for f in found if f.severity == "alarm"}
        if self.drift.status == "drift" and not alarming & set(KINDS["drift"]):
            found.append(Finding(kind="drift", severity="alarm", said=self.drift.reason))
        if self.performance.status == "decay" and "decay" not in alarming:
            found.append(Finding(kind="decay", severity="alarm", said=self.performance.reason))
        return found

    @cached_property
    def earlier(self) -> list[episodes.Day]:
        """Give the decisions of the days before, as far back as an alarm counts days."""
        from ml.records import Decision

        span = self.services.settings.drift.alarm_days[1]
        shelves = [self.services.shelf(f"monitor/day={day}") for day in _days_before(self.decision.day, span - 1)]
        known = [shelf.read_json("decision.json") for shelf in shelves if shelf.has("decision.json")]
        return [_day(Decision.model_validate(facts)) for facts in known]

    def newest_told(self, family: episodes.Family) -> episodes.Episode | None:
        """Read how the family's newest episode was left; None if there never was one."""
        from ml.core import episodes

        shelf = self.services.shelf(f"{LEDGER}/{family}")
        names = shelf.names()
        return episodes.Episode.model_validate(shelf.read_json(names[-1])) if names else None

    def keep(self, episode: episodes.Episode) -> None:
        """Write down what people know by now; the newest day's entry is the one that counts."""
        told = episode.model_copy(update={"subject": wording.subject_of(episode)})
        shelf = self.services.shelf(f"{LEDGER}/{episode.family}")
        shelf.write_json(f"day={episode.day}.json", told.model_dump(mode="json"))

    def write_to_people(self, event: episodes.Event) -> None:
        """Put one mail about an episode into the outbox."""
        episode = event.episode
        opening = f"{episode.family}/{episode.id}/opened_{episode.opened_on}"
        subject, first = wording.subject_of(episode), event.what == "opened"
        facts = self.facts(event)
        picture = None if event.what == "resolved" else self.picture(episode.family)
        facts |= {"alt": picture[1] if picture else "", "cid": picture[0].name if picture else ""}
        html, text = render("resolved" if event.what == "resolved" else "alarm", {"subject": subject, **facts})
        letter = outbox.Letter(
            kind=episode.family,
            name=opening if first else f"{episode.family}/{episode.id}/{event.what}_{self.decision.day}",
            subject=subject if first else f"Re: {subject}",
            html=html,
            text=text,
            pictures=(picture[0],) if picture else (),
            thread=None if first else opening,
        )
        outbox.post(letter, self.services)

    def facts(self, event: episodes.Event) -> dict[str, Any]:
        """Give what a mail about an episode says."""
        episode, settings = event.episode, self.services.settings
        columns = wording.worst_first(self.drift.columns) if episode.family == "drift" else []
        own = [finding for finding in self.findings if wording.family(finding) == episode.family]
        in_table = {column.column for column in columns}
        told = {
            "task": settings.task.name,
            "family": episode.family,
            "title": wording.title_of(episode),
            "event": event,
            "episode": episode,
            "day": self.decision.day,
            "did": wording.sentence_of_action(self.decision),
            "links": list(self.links),
            "told": f"notify.kinds.{episode.family}" if episode.family in settings.notify.kinds else "notify.to",
        }
        if event.what == "resolved":
            return told | {
                "lasted": wording.lasted(episode),
                "meanwhile": wording.meanwhile(episode, self.log_of_decisions),
            }
        return told | {
            "happened": wording.happened(own, self.drift, episode.family),
            "drift": self.drift,
            "performance": self.performance,
            "rows": [wording.column_row(column, self.used) for column in columns],
            "figures": wording.figures(self.performance) if episode.family == "decay" else [],
            "findings": wording.sentences(own, "alarm", in_table),
            "warnings": wording.sentences(own, "warning", in_table),
        }

    @property
    def used(self) -> frozenset[str]:
        """Name the columns that the model sees, if only by their past."""
        features = self.services.settings.features
        past = [column for feature in features.history for column in feature.by]
        return frozenset([*features.categorical, *features.numeric, *features.spline, *past])

    @cached_property
    def log_of_decisions(self) -> list[Logged]:
        """Read what was decided, whenever."""
        return self.services.tracking.decisions(kinds=MEANWHILE)

    def picture(self, family: episodes.Family) -> tuple[outbox.Picture, str] | None:
        """Draw the last days, and say in words what is seen; None where there is nothing to draw.

        A picture that cannot be drawn keeps no mail back.
        """
        try:
            return self.distances() if family == "drift" else self.gaps()
        except Exception:
            log.exception("the chart of %s could not be drawn", family)
            return None

    def distances(self) -> tuple[outbox.Picture, str] | None:
        """Draw how far the worst columns were over the last days, in multiples of their limit."""
        from ml.adapters.plots import distances_png

        worst = [c for c in wording.worst_first(self.drift.columns) if c.score is not None and c.limit]
        names = [c.column for c in [c for c in worst if c.drifted] or worst][:CHARTED_COLUMNS]
        found: dict[str, dict[date, float]] = {name: {} for name in names}
        for facts in self._past(
            f"version={self.drift.champion_version}/drift.json", self.drift.model_dump(mode="json")
        ):
            for column in facts["columns"]:
                if column["column"] in found and column["score"] is not None and column["limit"]:
                    there = found[column["column"]]
                    there[date.fromisoformat(facts["day"])] = column["score"] / column["limit"]
        if not names or len(found[names[0]]) < 2:
            return None
        said = "; ".join(f"{name} {wording.path(days)}" for name, days in found.items() if days)
        return outbox.Picture("chart", distances_png(found)), f"Distance as a multiple of its limit by day: {said}."

    def gaps(self) -> tuple[outbox.Picture, str] | None:
        """Draw the live gap over the last days."""
        from ml.adapters.plots import gap_png

        found: dict[date, tuple[float, float, float]] = {}
        for facts in self._past("performance.json", self.performance.model_dump(mode="json")):
            gap = facts.get("window", {}).get("gap")
            if gap is not None:
                ends = (gap["low"], gap["high"])
                low, high = (gap["value"] if end is None else end for end in ends)
                found[date.fromisoformat(facts["day"])] = (gap["value"], low, high)
        if len(found) < 2:
            return None
        label = wording.FIGURES["gap"]
        png = gap_png(found, bound=self.services.settings.performance.max_gap, label=label)
        said = wording.path({day: gap[0] for day, gap in found.items()})
        return outbox.Picture("chart", png), f"{label} by day: {said}."

    def _past(self, name: str, newest: dict[str, Any]) -> Iterable[dict[str, Any]]:
        for day in reversed(_days_before(self.decision.day, CHARTED_DAYS - 1)):
            shelf = self.services.shelf(f"monitor/day={day}")
            if shelf.has(name):
                yield shelf.read_json(name)
        yield newest


def _day(decision: Decision) -> episodes.Day:
    from ml.core import episodes

    return episodes.Day(
        decision.day, decision.champion_version, decision.findings, decision.alarm, decision.action
    )  # fmt: skip


def _days_before(day: date, count: int) -> list[date]:
    return [day - timedelta(days=back) for back in range(1, count + 1)]
