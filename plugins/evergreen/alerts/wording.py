"""Put what monitoring found, and what was done about it, into words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.alerts.first_lines import FirstLines, capitalised

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from ml.core.monitoring import episodes
    from ml.records import ColumnDrift, Decision, DriftReport, Finding, Interval, LivePerformance, Logged

WORST_COLUMNS = 6
FIRST_SENTENCES = 2
"""So many new findings are named in the first line of an alarm that got worse."""
MOST_SENTENCES = 6
"""So many findings have a sentence of their own in a mail."""

FIGURES = {
    "gap": "mean prediction − observed",
    "skill": "gain over the base rate",
    "interval_coverage": "outcomes inside of their interval",
}


def subject_of(episode: episodes.Episode) -> str:
    """Name the thread of an episode: what was found when it opened, since when."""
    if episode.subject:
        return episode.subject
    names = list(dict.fromkeys(name.partition(":")[2] or name.replace("_", " ") for name in episode.notified))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{title_of(episode)} since {episode.first_day}: {', '.join(names[:3])}{more}"


def title_of(episode: episodes.Episode) -> str:
    """Return in a word or two what an episode is about, by what was found when it opened."""
    from ml.core.monitoring.alarm_conditions import KINDS

    kinds = {name.partition(":")[0] for name in episode.notified}
    if episode.family == "drift":
        titles = {"unmeasured drift": "Drift cannot be measured", "broken data": "Broken data"}
        return next((title for name, title in titles.items() if kinds <= set(KINDS[name])), "Drift")
    if "decay" in kinds:
        return "Decay"
    if "outcome_shift" in kinds:
        return "Outcomes shifted"
    if "slice_change" in kinds:
        return "A part of the data changed"
    if "interval_coverage" in kinds:
        return "Intervals too narrow"
    return "Performance unknown" if kinds <= {"unknown_performance"} else "Labels or predictions missing"


def worst_first(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Order columns by how far they are over their limit, structural ones first."""

    def rank(column: ColumnDrift) -> tuple[bool, float]:
        return column.role == "environment", -(column.score or 0.0) / (column.limit or 1.0)

    return sorted(columns, key=rank)[:WORST_COLUMNS]


def column_row(column: ColumnDrift, used: frozenset[str]) -> dict[str, Any]:
    """Return one row of the table of columns, in words."""
    matters = {True: "matters", False: "matters little", None: ""}[column.matters]
    if column.role in ("structural", "environment") and column.column not in used:
        matters = "not used by the model"
    return {
        "column": column.column,
        "what": ", ".join(part for part in (column.role, matters) if part),
        "changed": column.changed,
        "distance": _number(column.score),
        "limit": _number(column.limit),
        "baseline_range": None if column.baseline_range is None else _number(column.baseline_range),
        "over": column.drifted,
    }


def figures(performance: LivePerformance) -> list[dict[str, str]]:
    """Return the rows of the table of live figures: what the gate expected, and what came of it."""
    return [
        {
            "name": FIGURES.get(name, name.replace("_", " ")),
            "expected": f"{performance.expected[name]:.3f}" if name in performance.expected else "unknown",
            "live": f"{live.value:.3f}",
            "interval": _interval(live),
        }
        for name, live in sorted(performance.window.items(), key=lambda item: (item[0] not in FIGURES, item[0]))
    ]


def alarm_lines(
    event: episodes.Event, own: Sequence[Finding], drift: DriftReport, performance: LivePerformance, decision: Decision
) -> FirstLines:
    """Return the first lines of an alarm that opened, got worse or still stands."""
    worse = "It got worse: " if event.what == "escalated" and event.news else ""
    because = f"{capitalised(event.reason)}." if event.reason else ""
    sentence = happened(own, drift, event.episode.family, event.news if worse else ())
    return FirstLines(
        happened=f"{worse}{sentence} {because}".strip(),
        harm=harm(performance),
        done=sentence_of_action(decision),
        todo=next_move(own, decision),
    )


def resolved_lines(event: episodes.Event, performance: LivePerformance) -> FirstLines:
    """Return the first lines of an alarm that is over."""
    return FirstLines(
        happened=f"Resolved: {event.reason}.",
        harm=harm(performance),
        done="This alarm is closed; what was decided while it lasted is listed below.",
        todo="nothing. If a feed was broken, exclude its days from learning (evergreen exclude).",
    )


def happened(own: Sequence[Finding], drift: DriftReport, family: str, news: Sequence[str] = ()) -> str:
    """Return in few words what was found on the day; where an alarm got worse, what is new of it.

    Parameters
    ----------
    news
        What was not notified before, as `ml.core.monitoring.episodes.signature` names it.
    """
    from ml.core.monitoring.episodes import signature
    from ml.core.monitoring.finding_order import most_important_first

    raised = most_important_first([finding for finding in own if finding.severity == "alarm"])
    new = [finding for finding in raised if signature(finding) in news]
    if not raised:
        return "Nothing new was found today."
    if len(raised) == 1 or len(new) == 1:
        return _sentence((new or raised)[0].message)
    if not new and family == "drift" and drift.status == "drift":
        moved = [
            column.column for column in worst_first(drift.columns) if column.drifted and column.role == "structural"
        ]
        return _sentence(": ".join(filter(None, [drift.reason.partition(":")[0], ", ".join(moved)])))
    listed = new or raised
    others = len(listed) - FIRST_SENTENCES
    more = f" {others} more finding{'' if others == 1 else 's'} below." if others > 0 else ""
    return " ".join(_sentence(finding.message) for finding in listed[:FIRST_SENTENCES]) + more


def sentence_of_action(decision: Decision) -> str:
    """Return what the system did about it."""
    if decision.action == "rollback" and decision.rollback:
        back = decision.rollback.to_version
        return f"Version {back or 'that served before'} comes back: {decision.rollback.reason}"
    if decision.action == "retrain":
        return "A challenger has been requested; it will serve only if it passes every rule of the gate."
    reason = [reason for reason in decision.reasons if reason.startswith("waiting") or reason.endswith("is off)")]
    return "No challenger was requested: " + ("; ".join(reason) or "this alone is no reason for one") + "."


def harm(performance: LivePerformance) -> str:
    """Return whether predictions are worse for it, as far as labels tell."""
    if performance.status == "decay":
        return "Predictions are worse than expected."
    if performance.status == "fine":
        return "Predictions are not worse than expected, beyond noise, on the days that have labels."
    by = f" before {performance.expected_by}" if performance.expected_by else " yet"
    return f"Whether predictions are worse is not known{by}: too few of their days have labels."


def next_move(own: Sequence[Finding], decision: Decision) -> str:
    """Return what a person should do about an alarm."""
    from ml.core.monitoring.alarm_conditions import KINDS

    kinds = {finding.kind for finding in own if finding.severity == "alarm"}
    if decision.action == "rollback":
        return "nothing at once; look why the version that served was worse."
    if kinds & {*KINDS["missing predictions"], *KINDS["missing labels"], *KINDS["label coverage"]}:
        return "see why predictions or labels are missing, and bring them in."
    if kinds & set(KINDS["broken data"]):
        return "fix the feed, deliver the days again, or exclude them from learning (evergreen exclude)."
    if decision.action == "retrain":
        return "nothing, unless a feed is broken: then fix it, and exclude its days (evergreen exclude)."
    return "see whether a feed is broken or the world has changed; retrain by hand if it has changed for good."


def lasted(episode: episodes.Episode) -> str:
    """Return how long an episode was."""
    days = (episode.day - episode.first_day).days
    return f"It lasted {days} day{'' if days == 1 else 's'}, from {episode.first_day} to {episode.day}."


def meanwhile(episode: episodes.Episode, decisions: Sequence[Logged]) -> list[str]:
    """Return what was decided while an episode lasted, in order."""
    dated = []
    for entry in decisions:
        on = entry.payload.get("judged_on") or (entry.effective_day and entry.effective_day.isoformat())
        if on and episode.first_day.isoformat() <= str(on) <= episode.day.isoformat():
            dated.append((str(on), _decided(entry)))
    return [f"{on}: {sentence}" for on, sentence in sorted(dated, key=lambda item: item[0])]


def _decided(entry: Logged) -> str:
    version, other = entry.payload.get("version"), entry.payload.get("from_version")
    return {
        "retrain_request": "a challenger was requested",
        "promotion": f"version {version} was promoted",
        "hold": f"version {version} was held by the gate",
        "rejection": f"version {version} was rejected by a person",
        "rollback": f"version {version} came back instead of version {other}",
        "withdrawal": f"version {other} was withdrawn, and nobody serves",
    }[entry.kind]


def family(finding: Finding) -> str:
    """Return whose mails a finding belongs to."""
    from ml.core.monitoring import episodes

    return episodes.family_of(finding)


def sentences(findings: Sequence[Finding], severity: str, in_table: set[str]) -> list[str]:
    """Return the sentences of findings that neither the table of columns nor the first line shows.

    Of many the first ones by weight, and one for each kind of the rest.
    """
    from ml.core.monitoring.finding_order import folded, most_important_first

    alone = [finding for finding in findings if finding.severity == "alarm"]
    if severity == "alarm" and len(alone) == 1:
        return []
    shown = ("drift", "prediction_drift", "label_drift")
    listed = [f for f in findings if f.severity == severity and not (f.kind in shown and f.column in in_table)]
    ordered = most_important_first(listed)
    most = MOST_SENTENCES if len(ordered) > MOST_SENTENCES + 1 else len(ordered)
    return [_sentence(words) for words in (*(finding.message for finding in ordered[:most]), *folded(ordered[most:]))]


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _sentence(words: str) -> str:
    """End words with a full stop; they may start with a column's name: that stays as it is."""
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _interval(live: Interval) -> str:
    return "" if live.low is None or live.high is None else f"{live.low:.3f} to {live.high:.3f}"


def path(days: dict[date, float]) -> str:
    """Return where a line of a chart starts and ends."""
    return f"from {days[min(days)]:.2g} to {days[max(days)]:.2g}"
