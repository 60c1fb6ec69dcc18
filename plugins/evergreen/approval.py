"""Ask a person before a winner may serve: whether one must be asked, in which words, and what was answered."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from ml.records import Approval, Judgement, Ruling, Window
    from ml.settings import Gate
    from ml.wiring import Services

QUESTION = "question"
"""XCom of ``ask``: what is asked, or None if nobody need be."""

ANSWER = "answer"
"""XCom of ``approve``: an `ml.records.Approval`."""

COMMENT = "comment"
"""The field of the question in which whoever answers may say why."""

LONGEST_HOURS = 168
"""The most that ``gate.approval_hours`` may say; the Dag run's own time limit must be longer."""


def needs_person(judgement: Judgement, gate: Gate) -> bool:
    """Return whether a verdict waits for a person: only one to promote does, and only if ``gate.approval`` says so."""
    if judgement.verdict.decision != "promote" or judgement.version is None:
        return False
    if gate.approval == "required_if_champion_exists":
        return judgement.champion_version is not None
    return gate.approval == "required"


def question(window: Window, judgement: Judgement, services: Services, *, requested_by: str) -> dict[str, Any]:
    """Put the question in words: what Airflow shows and what the mail says.

    Returns
    -------
    dict
        ``subject``; ``body`` (Markdown with the table of evidence); ``hours`` within which an
        answer counts; ``gain``, ``claim``, ``trained``, ``rulings`` and ``links`` for the mail and the page; `figures`,
        ``version`` and ``champion_version`` for the page.
    """
    gate = services.settings.gate
    facts: dict[str, Any] = {
        "subject": f"{services.identity}: may version {judgement.version} serve?",
        "hours": gate.approval_hours,
        "claim": claim(judgement),
        "gain": lead(judgement, gate),
        "figures": figures(judgement, gate),
        "version": judgement.version,
        "champion_version": judgement.champion_version,
        "trained": (
            f"Trained on {window.first_day} to {window.last_day} ({window.days} days, {window.rows:,} rows), "
            f"data version {window.data_version[:12]}, requested by {requested_by}."
        ),
        "rulings": [ruling_row(ruling) for ruling in judgement.verdict.rulings],
        "links": model_links(judgement, services),
    }
    return facts | {"body": markdown(facts)}


def claim(judgement: Judgement) -> str:
    """Return who wants whose place."""
    judged, version = judgement.judged_version, judgement.version
    refit = judged is not None and judged != version
    own = f"Version {version}, which is version {judged} fitted again on the whole window," if refit else (
        f"Version {version}"
    )  # fmt: skip
    request = f"take the place of version {judgement.champion_version}" if judgement.champion_version else "serve"
    nobody = "" if judgement.champion_version else " Nobody serves yet."
    return f"{own} passed every rule of the gate and asks to {request}.{nobody}"


def lead(judgement: Judgement, gate: Gate) -> str:
    """Return the gain over the champion with its interval and margin; the base rate where nobody serves."""
    from ml.views import gain

    sentences = gain.in_short([ruling.model_dump() for ruling in judgement.verdict.rulings], gate)
    return f"{sentences[0][:1].upper()}{sentences[0][1:]}." if len(sentences) > 1 else ""


def figures(judgement: Judgement, gate: Gate) -> dict[str, Any] | None:
    """Return the gain over the champion, both ends of its interval, and the margin; None where nobody serves."""
    from ml.core.monitoring.day_summary import plain
    from ml.views import gain

    compared = gain.of([ruling.model_dump() for ruling in judgement.verdict.rulings], gate)
    facts: dict[str, Any] | None = plain(
        {name: compared[name] for name in ("gain", "low", "high", "margin")} if compared else None
    )
    return facts


def ruling_row(ruling: Ruling) -> dict[str, str]:
    """Return one row of the table of evidence."""
    passed = {True: "yes", False: "no", None: "unknown"}[ruling.passed]
    return {"rule": ruling.rule, "passed": passed, "reason": ruling.reason}


def model_links(judgement: Judgement, services: Services) -> list[tuple[str, str]]:
    """Return the pages of MLflow that show the contestants; none where MLflow has no web page."""
    judged = judgement.judged_version if judgement.judged_version != judgement.version else None
    roles = {"Challenger": judgement.version, "Judged model": judged, "Champion": judgement.champion_version}
    return [link for role, version in roles.items() for link in version_link(role, version, services)]


def version_link(role: str, version: int | None, services: Services) -> list[tuple[str, str]]:
    """Return the page of a model version, named by its role; empty where there is none."""
    from evergreen.link_builder import LinkBuilder, mlflow_url

    page = LinkBuilder("", mlflow_url(services), "", services.identity).version(version)
    return [(f"{role}: version {version} in MLflow", page)] if page else []


def markdown(facts: Mapping[str, Any]) -> str:
    """Write the body of the question as Airflow shows it; values cannot break out of their cell."""
    stays = "the champion then stays" if facts["champion_version"] else "then nobody serves"
    rows = [f"| {_cell(row['rule'])} | {row['passed']} | {_cell(row['reason'])} |" for row in facts["rulings"]]
    links = [f"- [{name}]({target})" for name, target in facts["links"]]
    parts = [
        facts.get("gain", ""),
        facts["claim"],
        facts["trained"],
        "\n".join(["| rule | passed | what was found |", "| --- | --- | --- |", *rows]),
        "\n".join(links),
        f"No answer within {facts['hours']:g} hours means no: {stays}, and the run ends green.",
    ]
    return "\n\n".join(part for part in parts if part)


def _cell(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())


class Approve(ApprovalOperator):
    """Wait for a person, for as long as the settings of this very training say.

    Airflow's operator takes its time limit when the Dag is parsed, where ``params.yaml`` may not be
    read and a run's pinned settings are not known; and after *Reject* it skips what follows without
    handing on its answer. Both are mended here.

    Parameters
    ----------
    hours
        Template of the hours within which an answer counts; none by then is a *Reject*.
    """

    template_fields = (*ApprovalOperator.template_fields, "hours")

    def __init__(self, *, hours: str, **kwargs: Any) -> None:
        # Airflow takes an execution_timeout for the time to wait: the one of default_args must not become it. And it
        # hands on the form of the Dag, which asks something else.
        comment = Param(
            None, type=["null", "string"], title="Why", source="task",
            description="In a sentence, for those who read the decision later: it is kept with it.",
        )  # fmt: skip
        own = {"execution_timeout": None, "response_timeout": None, "retries": 0}
        super().__init__(defaults=[self.REJECT], **own | kwargs | {"params": {COMMENT: comment}})
        self.hours = hours

    def execute(self, context: Context) -> None:
        """Put the question and stop: no process runs while it is thought about."""
        self.response_timeout = timedelta(hours=float(self.hours))
        super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Keep who answered what and when, then let pass or skip what follows."""
        if "error" not in event:
            context["ti"].xcom_push(ANSWER, self.answer(event))
        return super().execute_complete(context, event)

    def answer(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of an `ml.records.Approval`."""
        timed_out = bool(event.get("timedout"))
        return {
            "approved": event["chosen_options"] == [self.APPROVE],
            "by": f"nobody, within {float(self.hours):g} hours" if timed_out else _name(event.get("responded_by_user")),
            "at": event["responded_at"].isoformat(),
            "timed_out": timed_out,
            "reason": " ".join(str((event.get("params_input") or {}).get(COMMENT) or "").split()),
        }


def _name(user: Mapping[str, str] | None) -> str:
    """Name who answered: by name, and by id where that says more."""
    if not user:
        return "somebody whom Airflow does not name"
    return user["name"] if user["name"] == user["id"] else f"{user['name']} ({user['id']})"


def answer_of(context: Context) -> Approval | None:
    """Read what a person said in this run; None if nobody had to be asked.

    Raises
    ------
    AirflowFailException
        If one had to be asked and no answer is there: ``approve`` was marked by hand.
    """
    from ml.records import Approval

    instance = context["ti"]
    if instance.xcom_pull(task_ids="ask", key=QUESTION) is None:
        return None
    answer = instance.xcom_pull(task_ids="approve", key=ANSWER)
    if answer is None:
        raise AirflowFailException(
            "a person had to be asked, and 'approve' left no answer: it was marked by hand; clear 'approve' and answer"
        )
    return Approval.model_validate(answer)
