"""Alert people to what became of a challenger: who serves since when, why, and the evidence of every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.alerts.first_lines import NAME, FirstLines, capitalised
from evergreen.alerts.links import card_link
from evergreen.approval import ruling_row, version_link

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from ml.records import Judgement, Logged, Promotion, Verdict, Window
    from ml.settings import Gate, MailKind
    from ml.wiring import Services

OUTCOME = "outcome"
"""XCom of ``promote``: an `ml.records.Promotion`; a hold leaves it as well, though it skips that task."""

MISSING = (
    "Evidence is missing, and what is unknown never promotes: put right what its line below says, then train again."
)
UNKNOWN = "Read the reason above."
BY_HAND = "A person said no, or nobody answered in time: train again when the reason is gone."


def alert_outcome(window: Mapping[str, Any], judgement: Mapping[str, Any]) -> None:
    """Alert people that a challenger was promoted or held, once for each decision.

    Raises
    ------
    AirflowSkipException
        If ``promote`` left no outcome: it was marked by hand.
    """
    from airflow.sdk import get_current_context
    from airflow.sdk.exceptions import AirflowSkipException

    from evergreen.alerts import outbox
    from evergreen.alerts.links import run_link
    from evergreen.models import current_model
    from ml.adapters.tracking.decision_log import DecisionLog, merged
    from ml.records import Judgement, Promotion, Window
    from ml.views import next_challenger
    from ml.wiring import open_services

    context = get_current_context()
    outcome = context["ti"].xcom_pull(task_ids="promote", key=OUTCOME)
    if outcome is None:
        raise AirflowSkipException("nobody is notified: 'promote' left no outcome, it was marked by hand")
    services = open_services(run=window["workspace"], model=current_model())
    promotion = Promotion.model_validate(outcome)
    record = Window.model_validate(window)
    decision_log = DecisionLog(services.tracking)
    recorded = decision_log.find(promotion.decision_id) if promotion.decision_id else None
    days = next_challenger.budget_days(recorded) if recorded else None
    decisions = merged(
        decision_log.changes, decision_log.on_days(*days) if days else (), [recorded] if recorded else ()
    )
    facts = verdict_facts(record, Judgement.model_validate(judgement), promotion, services, decisions)
    kind: MailKind = "promoted" if promotion.promoted else "held"
    links = [*facts["links"], ("This Airflow run", run_link(context))]
    run = outbox.key_part(context["dag_run"].run_id)
    about = f"decision={promotion.decision_id}" if promotion.decision_id else f"run={run}"
    alert = outbox.compose(
        kind,
        f"{kind}/{about}",
        "verdict",
        facts["headline"],
        facts | {"links": links},
        services,
        day=record.last_day,
    )
    outbox.enqueue(alert, services)


def verdict_facts(
    window: Window, judgement: Judgement, promotion: Promotion, services: Services, decisions: Sequence[Logged]
) -> dict[str, Any]:
    """Return what the alert of a promotion or of a hold says.

    Parameters
    ----------
    promotion
        What came of it in the end: a verdict to promote may have been rejected, or overtaken.
    decisions
        What changed the champion, the decision of this promotion, which holds the verdict that counted, and those of
        the days on which requests may make the next challenger wait.
    """
    from ml.core.champions import tenures
    from ml.records import Verdict
    from ml.views import next_challenger

    recorded = next((entry for entry in decisions if entry.decision_id == promotion.decision_id), None)
    recorded_verdict = recorded.payload.get("verdict") if recorded is not None else None
    verdict = Verdict.model_validate(recorded_verdict) if recorded_verdict else judgement.verdict
    champion_tenures = tenures.champion_tenures(decisions) if tenures.promoted_on(None, decisions) else []
    settings, version = services.settings, promotion.version
    promoted = promotion.promoted
    serving = champion_tenures[-1].version if champion_tenures else promotion.previous_version
    headline = _promoted(promotion) if promoted else _held(version, verdict, recorded)
    reasons = _reasons(verdict, recorded, promotion, settings.gate)
    todo = [] if promoted else advice(verdict, rejected=_kind(recorded) == "rejection")
    coming = next_challenger.after(recorded, decisions, settings) if recorded is not None else None
    happened = " ".join(f"{sentence.rstrip('.')}." for sentence in [headline, *reasons[:2]])
    if promoted:
        lines = FirstLines(
            happened=happened,
            harm=_harm(promotion, verdict),
            done=_serves(promotion, recorded.effective_day if recorded else None),
            todo="nothing. If you know better, trigger Rollback: the version before comes back.",
        )
    else:
        lines = FirstLines(
            happened=happened,
            harm=_stays(champion_tenures),
            done=f"{'The challenger' if version is None else f'Version {version}'} does not serve; the decision is "
            "kept with the evidence of every rule.",
            todo=_todo(todo),
        )
    facts: dict[str, Any] = {
        "task": settings.task.name,
        "promoted": promoted,
        "version": version,
        "headline": headline,
        NAME: lines,
        "more": [*([f"{coming}."] if coming else []), *reasons[2:]],
        "requested": _requested(recorded),
        "trained": (
            f"Trained on {window.first_day} to {window.last_day} ({window.days} days, {window.rows:,} rows), "
            f"data version {window.data_version[:12]}."
        ),
        "rulings": [ruling_row(ruling) for ruling in verdict.rulings],
        "advice": todo,
        "links": [
            *_decision_link(promotion, services),
            *card_link(version, services),
            *version_link("Promoted" if promoted else "Held", version, services),
        ],
    }
    if serving is not None and serving != version:
        facts["links"] += version_link("Champion", serving, services)
    return facts


def advice(verdict: Verdict, *, rejected: bool) -> list[str]:
    """Return what to do about each rule that held, once where several ask for the same."""
    if rejected:
        return [BY_HAND]
    sentences = []
    for ruling in verdict.rulings:
        if ruling.passed is not True:
            todo = MISSING if ruling.passed is None else advice_of(ruling.kind)
            sentences.append(f"{ruling.rule}: {todo[0].lower()}{todo[1:]}")
    return list(dict.fromkeys(sentences)) or ["Read the reason above: every rule passed, and something else held it."]


def advice_of(kind: str) -> str:
    """Return what to do where a rule of a kind did not pass."""
    from ml.core.gate import OWN_ADVICE
    from ml.errors import SettingsError
    from ml.settings import RULES

    if kind in OWN_ADVICE:
        return OWN_ADVICE[kind]
    try:
        return RULES.load(kind).advice
    except SettingsError:  # of a package that is gone since
        return UNKNOWN


def _reasons(verdict: Verdict, recorded: Logged | None, promotion: Promotion, gate: Gate) -> list[str]:
    """Return why in few sentences, the gain first; as the page says it."""
    from ml.views import gain

    if recorded is not None:
        sentences = gain.reasons_of(recorded, gate)
    else:
        sentences = gain.in_short([ruling.model_dump() for ruling in verdict.rulings], gate) or [promotion.reason]
    if not promotion.promoted and verdict.rulings and all(ruling.passed for ruling in verdict.rulings):
        sentences = list(dict.fromkeys([promotion.reason, *sentences]))  # something else than a rule held it
    return [capitalised(sentence) for sentence in sentences]


def _todo(sentences: Sequence[str]) -> str:
    """Return what to do in one line; where several rules held it, they follow as a list."""
    if len(sentences) > 1:
        return "what each rule asks for that did not pass:"
    rule, _, todo = sentences[0].partition(": ")
    todo = todo if rule and " " not in rule else sentences[0]
    return f"{todo[:1].lower()}{todo[1:]}"


def _harm(promotion: Promotion, verdict: Verdict) -> str:
    """Return what a promotion means for predictions."""
    if promotion.previous_version is None:
        return "No harm is known: nobody served before, so that there was nothing to be worse than."
    if any(ruling.comparison is not None for ruling in verdict.rulings):
        return (
            f"No harm is expected: on the same days it was not worse than version {promotion.previous_version} by more "
            "than the gate allows."
        )
    return "No harm is expected: every rule of the gate passed."


def _requested(recorded: Logged | None) -> str:
    """Return who asked for the training and why, in a sentence; empty where nobody wrote it down."""
    requester = recorded.payload.get("requested_by") if recorded is not None else None
    because = recorded.payload.get("requested_because") if recorded is not None else None
    if not requester:
        return ""
    reasons = "; ".join(map(str, [because] if isinstance(because, str) else because or ()))
    return f"Requested by {requester}{f': {reasons}' if reasons else ''}"


def _decision_link(promotion: Promotion, services: Services) -> list[tuple[str, str]]:
    from evergreen.link_builder import LinkBuilder

    link = LinkBuilder.of(services).decision(promotion.decision_id)
    return [("This decision, rule by rule", link)] if link else []


def _kind(recorded: Logged | None) -> str:
    return recorded.kind if recorded is not None else ""


def _promoted(promotion: Promotion) -> str:
    replaced = f", instead of version {promotion.previous_version}" if promotion.previous_version is not None else ""
    return f"Version {promotion.version} was promoted{replaced}"


def _held(version: int | None, verdict: Verdict, recorded: Logged | None) -> str:
    name = "A challenger" if version is None else f"Version {version}"
    if _kind(recorded) == "rejection":
        return f"{name} was not approved"
    by = [ruling.rule for ruling in verdict.rulings if ruling.passed is not True]
    if not by:
        return f"{name} was held"
    named = f"{', '.join(by[:-1])} and {by[-1]}" if by[1:] else by[0]
    return f"{name} was held: {'rules' if by[1:] else 'rule'} {named} did not pass"


def _serves(promotion: Promotion, since: date | None) -> str:
    first = f"the days from {since} on" if since else "the days to come"
    return f"It serves {first}; predictions already served stay as they are."


def _stays(champion_tenures: Sequence[Any]) -> str:
    if not champion_tenures:
        return "Nobody serves yet: no day is scored until a challenger passes every rule of the gate."
    newest = champion_tenures[-1]
    return (
        f"Predictions do not change. Version {newest.version} goes on serving; it is champion since "
        f"{newest.effective_day}."
    )
