"""Alert the approvers that a promotion waits for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evergreen.alerts.first_lines import NAME, FirstLines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.records import Judgement


def alert_approval(window: Mapping[str, Any], judgement: Mapping[str, Any]) -> dict[str, Any] | None:
    """Alert the approvers to what a promotion waits for, once for each time that it is asked.

    Returns
    -------
    dict or None
        The question in words (`evergreen.approval.question`), or None if nobody need be asked.
    """
    from airflow.sdk import get_current_context

    from evergreen import approval
    from evergreen.alerts import outbox
    from evergreen.alerts.links import card_link, question_link
    from evergreen.models import current_model
    from ml.records import Judgement, Window
    from ml.wiring import open_services

    services = open_services(run=window["workspace"], model=current_model())
    judged = Judgement.model_validate(judgement)
    if not approval.needs_person(judged, services.settings.gate):
        return None
    context = get_current_context()
    requested_by = services.workspace(window["workspace"]).read_json("request.json")["requested_by"]
    record = Window.model_validate(window)
    facts = approval.question(record, judged, services, requested_by=requested_by)
    run = context["dag_run"]
    alert = outbox.compose(
        "approval",
        f"approval/run={outbox.key_part(run.run_id)}/clearing={run.clear_number}/version={judged.version}",
        "approval",
        facts["subject"].removeprefix(f"{services.settings.task.name}: "),
        facts
        | {
            NAME: first_lines(judged, facts),
            "links": [
                ("Answer in Airflow", question_link(context)),
                *card_link(judged.version, services),
                *facts["links"],
            ],
        },
        services,
        severity="warning",
        day=record.last_day,
    )
    outbox.enqueue(alert, services)
    return facts


def first_lines(judged: Judgement, facts: Mapping[str, Any]) -> FirstLines:
    """Return the first lines of a question, in the words that `evergreen.approval.question` put it in."""
    from evergreen import approval

    champion, hours = judged.champion_version, f"{facts['hours']:g}"
    waits = f"version {champion} goes on serving" if champion is not None else "nobody serves, and no day is scored"
    stays = "the champion then stays" if champion is not None else "then nobody serves"
    return FirstLines(
        happened=" ".join(filter(None, [approval.claim(judged), facts["gain"]])),
        harm=f"While this waits, {waits}.",
        done=f"The gate has judged it, and the training waits. No answer within {hours} hours means no: {stays}.",
        todo="answer in Airflow, by the first link below.",
    )
