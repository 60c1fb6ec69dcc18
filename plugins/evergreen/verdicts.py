"""Mail what became of a challenger: who serves since when, why, and the evidence of every rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.approval import ruling_row, version_link

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from ml.records import Judgement, Logged, Promotion, Verdict, Window
    from ml.settings import Settings
    from ml.wiring import Services

OUTCOME = "outcome"
"""XCom of ``promote``: an `ml.records.Promotion`; a hold leaves it as well, though it skips that task."""

ADVICE = {
    "bound": "The model is too weak by itself: look at the features, the window and the labels of these days.",
    "base_rate": "The features say next to nothing on the newest days: look at them, and at the labels.",
    "champion": "Nothing: as far as these days can tell, the champion is as good.",
    "slices": "Look at the slice in the model card: that group would be served worse.",
    "slice_gap": "Look at the groups in the model card: they would be served too differently.",
    "calibration": "The scores are off as a whole: a shorter window, or newer days, may put them right.",
    "leakage": "Look at the features that are named, or at what is new since the champion: one may know the outcome. "
    "If a person has made sure that none does, raise the bound that is named in params.yaml and retrain with force.",
    "package": "The model does not work where it has to run: read the log of the task check.",
}
"""What to do where a rule of a kind did not pass."""
MISSING = "Evidence is missing, which never promotes: read the log of the task gate."
BY_HAND = "A person said no, or nobody answered in time: train again when the reason is gone."


def verdict_facts(
    window: Window, judgement: Judgement, promotion: Promotion, services: Services, decisions: Sequence[Logged]
) -> dict[str, Any]:
    """Give what the mail of a promotion or of a hold says.

    Parameters
    ----------
    promotion
        What came of it in the end: a verdict to promote may have been rejected, or overtaken.
    decisions
        All that was decided; that of this promotion holds the verdict that counted.
    """
    from ml.core import history
    from ml.records import Verdict

    recorded = next((entry for entry in decisions if entry.decision_id == promotion.decision_id), None)
    kept = recorded.payload.get("verdict") if recorded is not None else None
    verdict = Verdict.model_validate(kept) if kept else judgement.verdict
    asked = recorded.payload.get("asked_by") if recorded is not None else None
    reigns = history.reigns(decisions) if history.crowned_on(None, decisions) else []
    settings, version = services.settings, promotion.version
    promoted = promotion.promoted
    serving = reigns[-1].version if reigns else promotion.previous_version
    facts: dict[str, Any] = {
        "task": settings.task.name,
        "promoted": promoted,
        "version": version,
        "headline": _promoted(promotion) if promoted else _held(version, verdict, recorded),
        "serves": _serves(promotion, recorded.effective_day if recorded else None) if promoted else _stays(reigns),
        "reason": promotion.reason,
        "trained": (
            f"Trained on {window.first_day} to {window.last_day} ({window.days} days, {window.rows:,} rows), "
            f"data version {window.data_version[:12]}{f', asked for by {asked}' if asked else ''}. "
            "The model card is with its run in MLflow: card/model_card.html."
        ),
        "rulings": [ruling_row(ruling) for ruling in verdict.rulings],
        "advice": [] if promoted else advice(verdict, settings, rejected=_kind(recorded) == "rejection"),
        "links": [*version_link("Promoted" if promoted else "Held", version, services)],
    }
    if serving is not None and serving != version:
        facts["links"] += version_link("Champion", serving, services)
    return facts


def advice(verdict: Verdict, settings: Settings, *, rejected: bool) -> list[str]:
    """Say what to do about each rule that held, once where several ask for the same."""
    if rejected:
        return [BY_HAND]
    said = []
    for ruling in verdict.rulings:
        if ruling.passed is not True:
            rule = settings.gate.rules.get(ruling.rule)
            known = ADVICE.get(rule.kind, "") if rule is not None else ""
            todo = MISSING if ruling.passed is None or not known else known
            said.append(f"{ruling.rule}: {todo[0].lower()}{todo[1:]}")
    return list(dict.fromkeys(said)) or ["Read the reason above: every rule passed, and something else held it."]


def _kind(recorded: Logged | None) -> str:
    return recorded.kind if recorded is not None else ""


def _promoted(promotion: Promotion) -> str:
    place = f", instead of version {promotion.previous_version}" if promotion.previous_version is not None else ""
    return f"Version {promotion.version} was promoted{place}"


def _held(version: int | None, verdict: Verdict, recorded: Logged | None) -> str:
    name = "A challenger" if version is None else f"Version {version}"
    if _kind(recorded) == "rejection":
        return f"{name} was not approved"
    by = [ruling.rule for ruling in verdict.rulings if ruling.passed is not True]
    return f"{name} was held" + (f" by {', '.join(by)}" if by else "")


def _serves(promotion: Promotion, since: date | None) -> str:
    first = f"the days from {since} on" if since else "the days to come"
    return f"It serves {first}; predictions already served stay as they are."


def _stays(reigns: Sequence[Any]) -> str:
    if not reigns:
        return "Nobody serves yet: no day is scored until a challenger passes every rule."
    newest = reigns[-1]
    return f"Version {newest.version} goes on serving; it is champion since {newest.effective_day}."
