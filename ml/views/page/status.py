"""Where things stand now: who serves, how it does, whether the data are fresh, and what is under way."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ml.adapters import layout
from ml.core.champions import tenures
from ml.core.data.excluded import periods
from ml.core.monitoring import health, policy
from ml.core.monitoring.day_summary import Facts, plain
from ml.core.monitoring.finding_order import most_important_first
from ml.views import charts
from ml.views.page import demo, serving
from ml.views.page.model_list import about_task
from ml.views.page.status_sources import LOOK_BACK_DAYS, StatusSources
from ml.views.page.version_charts import holdout
from ml.wiring import Services

NEEDED = ("decisions", "champion", "data", "monitor")
"""Parts without which nobody knows where things stand."""


def now(services: Services, *, today: date | datetime) -> dict[str, Any]:
    """Gather where things stand.

    A part that cannot be read is None and named under ``problems``; the others are shown all the same.

    Parameters
    ----------
    today
        The present instant (aware), or the newest day that is due by now.

    Returns
    -------
    dict
        ``task`` (name, kind, target, and the gate's metric); ``at``; ``state`` (``calm``, ``watching``, ``alarm`` or
        ``unknown``) with a ``sentence``; ``champion`` (``version``, ``since``, ``days``, ``kind`` of the decision
        that made it, ``replayed``, ``requested_by``, ``approved_by``, ``reasons``, ``decision_id``, ``window``,
        ``previous_version``, ``run_id``, ``card``, ``warning`` if its alias was moved by hand); ``performance``
        (``status``, ``reason``, ``figures`` beside what the gate saw, ``confidence`` of their intervals, ``window``,
        ``estimated``, ``estimate_reason``, ``label_coverage``, ``slice_reason``, ``shift_reason``);
        ``before_live``, what is known while no live figure is (``holdout``:
        `ml.views.page.version_charts.holdout`; ``first_day``, when the first one comes, after ``labelled_days``, None
        where Monitor says it; None where a live figure is known); ``rejected``, the deliveries of late whose newest
        answer is a rejection (``what``, ``message`` with the next move, ``report``); ``withdrawn`` days of late;
        ``excluded``, the periods of late that are not learned from;
        ``data`` (``status``: ``fresh``, ``due``, ``late`` or ``none``; days and a ``sentence``); ``score``, the newest
        day that was scored;
        ``monitor``, the newest that was watched; ``alarm`` (``since``, ``days``); ``episodes``, the alarms that
        people were mailed of and that are not over (``family``, ``subject``, ``first_day``, ``snoozed_until``,
        ``notes``); ``findings`` of that day;
        ``request`` that no judgement has answered yet; ``challenger``; ``shadow``; ``next``, what is due next;
        ``hint`` (``message``, and ``action``: ``ingest`` or ``retrain``); ``starting``, whether `make up` is at work;
        ``first_look``, whether these are the demo's data (`ml.views.page.demo`); ``problems`` (``part``, ``message``).
    """
    facts: dict[str, Any] = plain(_facts(StatusSources(services, today)))
    return facts


def _facts(sources: StatusSources) -> Facts:
    champion = sources.part("champion", lambda: serving.champion(sources))
    newest = sources.newest.facts if sources.newest else None
    data = sources.part("data", lambda: _data(sources))
    since = sources.open_since or health.alarm_since(sources.days)
    behind = sources.inventory.newer_than(sources.newest.day) if sources.newest else 0
    state, sentence = health.state_of(
        newest,
        since=since,
        serves=champion is not None,
        days_behind=behind,
        data=sources.freshness,
        rejected=[record["what"] for record in sources.rejected],
        open_since=sources.open_since,
        starting=sources.starting,
    )
    blind = [problem["message"] for problem in sources.problems if problem["part"] in NEEDED]
    blind += [
        day.problem for day in sources.days if day.problem and (not newest or day.day.isoformat() > newest["day"])
    ]
    if blind:
        state, sentence = "unknown", "; ".join(blind)
    return {
        "task": about_task(sources.services),
        "at": sources.today,
        "state": state,
        "sentence": sentence,
        "champion": champion,
        "performance": _performance(sources, newest),
        "before_live": sources.part("holdout", lambda: _before_live(sources, champion, newest)),
        "data": data,
        "rejected": sources.rejected,
        "withdrawn": [
            {"asset": record.asset, "day": record.day, "reason": record.reason}
            for (_, day), record in sorted(sources.out.withdrawn.items())
            if day > sources.due - timedelta(days=LOOK_BACK_DAYS)
        ],
        "excluded": [
            period
            for period in periods(sources.inventory.excluded)
            if period["last_day"] > str(sources.due - timedelta(days=LOOK_BACK_DAYS))
        ],
        "score": sources.part("score", lambda: _score(sources)),
        "monitor": _monitor(sources, newest, behind),
        "alarm": {"since": since, "days": (sources.newest.day - since).days + 1} if since and sources.newest else None,
        "episodes": sources.episodes,
        "findings": most_important_first(newest["findings"]) if newest else [],
        "request": serving.request(sources),
        "challenger": sources.part("challenger", lambda: serving.challenger(sources)),
        "shadow": sources.part("shadow", lambda: serving.shadow(sources)),
        "next": _next(sources),
        "hint": _hint(sources, champion),
        "starting": sources.starting,
        "first_look": demo.offered(sources.services),
        "problems": sources.problems,
    }


def _performance(sources: StatusSources, newest: Facts | None) -> Facts | None:
    live = (newest or {}).get("performance")
    if not newest or not live:
        return None
    estimated = {
        "day": live["estimated_day"],
        "value": live["estimated"],
        "error": live["estimate_error"],
        "low": live.get("estimated_low"),
        "high": live.get("estimated_high"),
    }
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
        "figures": charts.figures(live, metric=sources.services.settings.gate.metric),
        "confidence": sources.services.settings.performance.confidence,
        "estimated": estimated if live["estimated"] is not None else None,
        "estimate_reason": live.get("estimate_reason") or None,
        "label_coverage": live["label_coverage"],
        "slice_reason": live.get("slice_reason") or None,
        "shift_reason": live.get("shift_reason") or None,
    }


def _before_live(sources: StatusSources, champion: Facts | None, newest: Facts | None) -> Facts | None:
    """Return what is known of a champion that no live figure is known of yet, and when the first one comes."""
    live = (newest or {}).get("performance") or {}
    if champion is None or live.get("status") in ("fine", "decay"):
        return None
    settings = sources.services.settings
    first = policy.first_figure(champion["since"], settings)
    return {
        "holdout": holdout(sources.services, champion["version"]),
        "first_day": first if newest is None and first > sources.due else None,
        "labelled_days": settings.performance.min_days,
    }


def _data(sources: StatusSources) -> Facts:
    newest, due = sources.inventory.newest, sources.due
    freshness = sources.freshness
    span = [due - timedelta(days=n) for n in range(LOOK_BACK_DAYS)]
    missing = [day for day in span if newest and day not in sources.inventory.inputs]
    gone = sources.out.withdrawn_days("inputs")
    rejected = [
        day
        for day in sorted(missing)
        if ("inputs", day) in sources.out.rejected
        or (
            day not in gone
            and sources.services.storage_folder(layout.ingest.quarantine("inputs", day)).has(
                layout.ingest.REJECTED_PARTITION
            )
        )
    ]
    refusal = f"; rejected: {', '.join(map(str, rejected))}" if rejected else ""
    withdrawn = [str(day) for day in gone if day in missing and day not in rejected]
    refusal += f"; withdrawn: {', '.join(withdrawn)}" if withdrawn else ""
    version = sources.inventory.versions[0] if sources.inventory.versions else None
    return {
        "status": freshness.status,
        "newest_day": newest,
        "due_day": due,
        "days_late": freshness.days_late,
        "labelled_day": sources.inventory.labelled,
        "rejected_days": rejected,
        "version": version.rev if version else None,
        "committed_at": version.committed_at if version else None,
        "sentence": freshness.sentence + refusal,
    }


def _score(sources: StatusSources) -> Facts | None:
    """Find the newest day that was scored."""
    for day in reversed(sources.inventory.newest_days(LOOK_BACK_DAYS)):
        stored = sources.services.storage_folder(layout.scoring.predictions(day))
        versions = layout.scoring.published_versions(stored.names())
        if not versions:
            continue
        tenure, _ = tenures.champion_of(day, sources.changes)
        version = tenure.version if tenure and tenure.version in versions else max(versions)
        try:
            facts = json.loads(stored.objects.get_bytes(stored.name(layout.scoring.version_facts(version))))
        except ValueError:
            facts = {}
        late = sources.inventory.newer_than(day)
        rows = facts.get("rows")
        counted = f"{rows:,} rows" if isinstance(rows, int) else "an unknown number of rows"
        behind = f"; {late} newer days are not scored" if late > 1 else ""
        return {
            "day": day,
            "version": version,
            "rows": rows,
            "written_at": facts.get("written_at"),
            "days_late": late,
            "report": f"{layout.ingest.validation('predictions', day)}/{layout.scoring.version_report(version)}"
            if facts.get("report")
            else None,
            "run_id": facts.get("airflow_run"),
            "sentence": f"Version {version} scored {counted} of {day}{behind}",
        }
    return None


def _monitor(sources: StatusSources, newest: Facts | None, behind: int) -> Facts | None:
    if newest is None:
        return None
    drift = newest["drift"]
    return {
        **{name: newest[name] for name in ("day", "state", "action", "reasons", "version")},
        "days_late": behind,
        "drift": {"status": drift["status"], "reason": drift["reason"], "report": charts.report_of(newest)}
        if drift
        else None,
    }


def _next(sources: StatusSources) -> Facts:
    """Return which day is due next; score and monitor follow it."""
    task, hour = sources.services.settings.task, sources.services.settings.land.due_hour
    first = sources.newest_calendar_day + timedelta(days=1)
    coming = [first + timedelta(days=n) for n in range(LOOK_BACK_DAYS)]
    day = next((day for day in coming if not sources.rests(day)), first)
    at = datetime.combine(day, time(hour), ZoneInfo(task.timezone)).astimezone(ZoneInfo("UTC"))
    local = f"{hour:02}:00 {task.timezone}" + ("" if task.timezone == "UTC" else f" ({at:%H:%M} UTC)")
    sentence = f"the data of {day} are due at {local}; score and monitor follow them"
    return {"day": day, "at": at, "sentence": sentence}


def _hint(sources: StatusSources, champion: Facts | None) -> dict[str, str] | None:
    if champion is not None or sources.log is None:
        return None
    labelled = len(sources.inventory.inputs.keys() & sources.inventory.labels.keys())
    least = sources.services.settings.pull.min_days
    return health.first_move(labelled_days=labelled, least=least, starting=sources.starting)
