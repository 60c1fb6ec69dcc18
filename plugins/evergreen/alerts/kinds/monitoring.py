"""Alert people to what monitoring found, on a change of state only: one thread an episode."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evergreen.alerts import outbox, wording
from evergreen.alerts.first_lines import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml.core.monitoring import episodes
    from ml.records import Attachment, Decision, DriftReport, Finding, LivePerformance, Logged
    from ml.wiring import Services

log = logging.getLogger(__name__)
CHARTED_COLUMNS, CHARTED_DAYS = 3, 14
MEANWHILE = ("retrain_request", "promotion", "hold", "rejection", "rollback", "withdrawal")


def alert_monitoring(drift: DriftReport, performance: LivePerformance, decision: Decision) -> None:
    """Alert people to what changed in the state of monitoring, if anything did, and deliver what waits.

    Only the newest day is worth an alert: what is found on a day that arrives late is in its report.
    """
    from airflow.sdk import get_current_context

    from evergreen.alerts.kinds.serving import alert_serving
    from evergreen.alerts.links import readable, retrain_link, run_link
    from evergreen.approval import version_link
    from evergreen.models import current_model
    from ml.wiring import open_services

    services = open_services(model=current_model())
    alert_serving(services)
    newest = max(services.registry.days("inputs"))
    if decision.day < newest:
        log.info("nobody is notified of %s: it is not the newest day, %s is", decision.day, newest)
        outbox.flush(services)
        return
    links = [
        ("This Airflow run", run_link(get_current_context())),
        ("The retrain", retrain_link(drift) if decision.action == "retrain" else ""),
        ("Evidently report", readable(drift.report_uri or "", services)),
        *version_link("Champion", decision.champion_version, services),
    ]
    Watch(drift, performance, decision, services, tuple(links)).alert()


@dataclass(frozen=True)
class Watch:
    """The newest day, as it was measured and as the policy judged it."""

    drift: DriftReport
    performance: LivePerformance
    decision: Decision
    services: Services
    links: tuple[tuple[str, str], ...] = ()

    def alert(self) -> None:
        """Follow the episodes of both families, alert people where one changes, and deliver what waits.

        Killed anywhere and run again, each alert is made once: the ledger moves on after it.
        """
        from ml.core.monitoring import episodes

        alarm_days, every = self.services.settings.drift.alarm_days, self.services.settings.land.every_days
        for family in episodes.FAMILIES:
            before = self.newest_episode(family)
            happened = episodes.follow(
                before, self.today, self.earlier, family=family, alarm_days=alarm_days, every_days=every
            )
            happened = tuple(self.quietened(event, before) for event in happened)
            for event in happened:
                log.info("monitoring: %s %s", event.episode.id, event.what)
                if event.what != "repeat":
                    self.enqueue(event)
            if happened:
                self.record(happened[-1].episode)
        outbox.flush(self.services)

    @cached_property
    def today(self) -> episodes.Day:
        """Return the newest day as `ml.core.monitoring.episodes` reads it."""
        from ml.core.monitoring import alarm_days

        return replace(
            _day(self.decision),
            champion_version=self.decision.champion_version or self.drift.champion_version,
            findings=self.findings,
            known=alarm_days.measured(self._statuses),
        )

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Return what was found today; a verdict that came without a finding is one itself."""
        from ml.core.monitoring import alarm_days

        reasons: dict[episodes.Family, str] = {"drift": self.drift.reason, "decay": self.performance.reason}
        return alarm_days.findings_of(self.decision.findings, self._statuses, reasons)

    @property
    def _statuses(self) -> dict[episodes.Family, str]:
        return {"drift": self.drift.status, "decay": self.performance.status}

    @cached_property
    def earlier(self) -> list[episodes.Day]:
        """Return the decisions of the days before, as far back as an alarm counts days."""
        from ml.adapters import layout
        from ml.records import Decision

        settings = self.services.settings
        span = settings.land.calendar_days(settings.drift.alarm_days[1])
        folders = [
            self.services.storage_folder(layout.monitoring.day_dir(day))
            for day in _days_before(self.decision.day, span - 1)
        ]
        decisions = [
            stored.read_json(layout.monitoring.DECISION) for stored in folders if stored.has(layout.monitoring.DECISION)
        ]
        return [_day(Decision.model_validate(facts)) for facts in decisions]

    def newest_episode(self, family: episodes.Family) -> episodes.Episode | None:
        """Read how the family's newest episode was left; None if there never was one."""
        from ml.adapters import layout
        from ml.core.monitoring import episodes

        stored = self.services.storage_folder(layout.alerts.episodes(family))
        names = stored.names()
        return episodes.Episode.model_validate(stored.read_json(names[-1])) if names else None

    @cached_property
    def notes(self) -> list[Logged]:
        """Read what people said of alarms; where it cannot be read nothing is snoozed, and the mail goes out."""
        from ml.core.monitoring import snoozes
        from ml.errors import EvergreenError

        try:
            return self.services.tracking.decisions(kinds=snoozes.KINDS)
        except EvergreenError as err:
            log.warning("nothing is snoozed: what people said of alarms cannot be read: %s", err)
            return []

    def quietened(self, event: episodes.Event, before: episodes.Episode | None) -> episodes.Event:
        """Return what people are notified of where somebody has snoozed the episode."""
        from ml.core.monitoring import snoozes

        if before is None or event.what == "opened":
            return event
        return snoozes.quieten(event, before, self.today, snoozes.snooze_of(before, self.notes))

    def record(self, episode: episodes.Episode) -> None:
        """Write down what people were notified of by now; the newest day's entry is the one that counts."""
        from ml.adapters import layout

        entry = episode.model_copy(update={"subject": wording.subject_of(episode)})
        stored = self.services.storage_folder(layout.alerts.episodes(episode.family))
        stored.write_json(layout.days.day_json(episode.day), entry.model_dump(mode="json"))

    def enqueue(self, event: episodes.Event) -> None:
        """Put one alert about an episode into the outbox."""
        episode, first = event.episode, event.what == "opened"
        opening = f"{episode.family}/{episode.id}/opened_{episode.opened_on}"
        resolved = event.what == "resolved"
        chart = None if resolved else self.chart(episode.family)
        alert = outbox.compose(
            episode.family,
            opening if first else f"{episode.family}/{episode.id}/{event.what}_{self.decision.day}",
            "resolved" if resolved else "alarm",
            wording.subject_of(episode),
            self.facts(event),
            self.services,
            severity="info" if resolved else "alarm",
            day=self.decision.day,
            thread=None if first else opening,
            resolves=resolved,
            attachments=(chart,) if chart else (),
        )
        outbox.enqueue(alert, self.services)

    def facts(self, event: episodes.Event) -> dict[str, Any]:
        """Return what an alert about an episode says."""
        from ml.core.monitoring import snoozes

        episode, settings = event.episode, self.services.settings
        columns = wording.worst_first(self.drift.columns) if episode.family == "drift" else []
        own = [finding for finding in self.findings if wording.family(finding) == episode.family]
        in_table = {column.column for column in columns}
        facts = {
            "task": settings.task.name,
            "family": episode.family,
            "title": wording.title_of(episode),
            "event": event,
            "episode": episode,
            "serves": self.decision.champion_version or episode.serves,
            "day": self.decision.day,
            "links": list(self.links),
            "notes": [snoozes.in_words(entry) for entry in snoozes.of_episode(episode, self.notes)],
        }
        if event.what == "resolved":
            return facts | {
                NAME: wording.resolved_lines(event, self.performance),
                "lasted": wording.lasted(episode),
                "meanwhile": wording.meanwhile(episode, self.decided_during(episode)),
            }
        return facts | {
            NAME: wording.alarm_lines(event, own, self.drift, self.performance, self.decision),
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
        history_columns = [column for feature in features.history for column in feature.by]
        return frozenset([*features.categorical, *features.numeric, *features.spline, *history_columns])

    def decided_during(self, episode: episodes.Episode) -> list[Logged]:
        """Read what was decided for, or judged on, the days of an episode."""
        from ml.adapters.tracking.decision_log import DecisionLog

        decisions = DecisionLog(self.services.tracking).on_days(episode.first_day, episode.day)
        return [entry for entry in decisions if entry.kind in MEANWHILE]

    def chart(self, family: episodes.Family) -> Attachment | None:
        """Draw the last days, and say in words what is seen; None where there is nothing to draw.

        A chart that cannot be drawn keeps no alert back.
        """
        try:
            return self.distances_chart() if family == "drift" else self.gap_chart()
        except Exception:
            log.exception("the chart of %s could not be drawn", family)
            return None

    def distances_chart(self) -> Attachment | None:
        """Draw how far the worst columns were over the last days, in multiples of their limit."""
        from ml.adapters import layout
        from ml.records import Attachment
        from ml.views.plots import distances_png

        worst = [c for c in wording.worst_first(self.drift.columns) if c.score is not None and c.limit]
        names = [c.column for c in [c for c in worst if c.drifted] or worst][:CHARTED_COLUMNS]
        distances: dict[str, dict[date, float]] = {name: {} for name in names}
        for facts in self._past(
            layout.monitoring.drift_result(self.drift.champion_version), self.drift.model_dump(mode="json")
        ):
            for column in facts["columns"]:
                if column["column"] in distances and column["score"] is not None and column["limit"]:
                    by_day = distances[column["column"]]
                    by_day[date.fromisoformat(facts["day"])] = column["score"] / column["limit"]
        if not names or len(distances[names[0]]) < 2:
            return None
        text = "; ".join(f"{name} {wording.path(days)}" for name, days in distances.items() if days)
        return Attachment(
            name="chart",
            content=distances_png(distances),
            text=f"Distance as a multiple of its limit by day: {text}.",
        )

    def gap_chart(self) -> Attachment | None:
        """Draw the live gap over the last days."""
        from ml.adapters import layout
        from ml.records import Attachment
        from ml.views.plots import gap_png

        gaps: dict[date, tuple[float, float, float]] = {}
        for facts in self._past(layout.monitoring.PERFORMANCE, self.performance.model_dump(mode="json")):
            gap = facts.get("window", {}).get("gap")
            if gap is not None:
                ends = (gap["low"], gap["high"])
                low, high = (gap["value"] if end is None else end for end in ends)
                gaps[date.fromisoformat(facts["day"])] = (gap["value"], low, high)
        if len(gaps) < 2:
            return None
        label = wording.FIGURES["gap"]
        png = gap_png(gaps, bound=self.services.settings.performance.max_gap, label=label)
        text = wording.path({day: gap[0] for day, gap in gaps.items()})
        return Attachment(name="chart", content=png, text=f"{label} by day: {text}.")

    def _past(self, name: str, newest: dict[str, Any]) -> Iterable[dict[str, Any]]:
        from ml.adapters import layout

        for day in reversed(_days_before(self.decision.day, CHARTED_DAYS - 1)):
            stored = self.services.storage_folder(layout.monitoring.day_dir(day))
            if stored.has(name):
                yield stored.read_json(name)
        yield newest


def _day(decision: Decision) -> episodes.Day:
    from ml.core.monitoring import episodes

    return episodes.Day(
        decision.day, decision.champion_version, decision.findings, decision.alarm, decision.action
    )  # fmt: skip


def _days_before(day: date, count: int) -> list[date]:
    return [day - timedelta(days=back) for back in range(1, count + 1)]
