"""Train a challenger, judge it, and let it serve if it wins.

``pull → validate → split → tune → fit → evaluate → register → check → gate → refit → (ask, describe)
→ approve → approved → promote → tell``

Asked for by **monitor** (drift, age, no champion), by a person (Trigger), or from the command line. A
challenger that loses is a result: the run is green, **promote** is skipped, and the decision with every
rule's evidence is in MLflow's decisions experiment. Where `gate.approval` wants a person, **ask** mails the
approvers and **approve** waits for them; a *Reject*, and no answer in time, keep the champion. **tell** mails
who serves from now on, and why. The same data, parameters and code are never trained twice, unless forced:
the run then ends at **pull** and names the first one's outcome.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.approval import LONGEST_HOURS, QUESTION, Approve, answer_of
from evergreen.defaults import DEFAULT_ARGS, TAGS, stage
from evergreen.forms import RETRAIN
from evergreen.links import with_links
from evergreen.stepping import Facts, asker, step
from evergreen.verdicts import OUTCOME


@dag(
    schedule=None,
    max_active_runs=1,
    params=RETRAIN,
    default_args=DEFAULT_ARGS,
    # Six hours of work, and the longest that a person may be waited for: the wait must not be cut short.
    dagrun_timeout=pendulum.duration(hours=6 + LONGEST_HOURS),
    tags=[*TAGS, "model"],
    doc_md=__doc__,
    dag_display_name="Retrain: a challenger",
)
def retrain() -> None:  # noqa: PLR0915  sixteen boxes
    @task(task_display_name="Pull the window")
    def pull() -> Facts:
        from ml.records import RetrainRequest
        from ml.steps import pull

        context = get_current_context()
        form = context["params"]
        request = RetrainRequest(
            asked_by=asker(form),
            reasons=(form["why"],),
            days=form["days"],
            last_day=form["last_day"],
            force=form["force"],
            request_id=context["run_id"],
        )
        window = step(pull.run, request)
        if window["seen_before"] and not request.force:
            raise AirflowSkipException(f"judged before: see fingerprint {window['fingerprint']} among the decisions")
        return window

    @task(task_display_name="Validate the window")
    def validate(window: Facts) -> Facts:
        return _on_window("validate", window)

    @task(task_display_name="Split in time")
    def split(window: Facts) -> Facts:
        return _on_window("split", window)

    @task(task_display_name="Tune")
    def tune(window: Facts) -> Facts:
        return _on_window("tune", window)

    @task(task_display_name="Fit")
    def fit(window: Facts) -> Facts:
        return _on_window("fit", window)

    @task(task_display_name="Evaluate on the holdout")
    def evaluate(window: Facts) -> Facts:
        return _on_window("evaluate", window, meet_champion=True)

    @task(task_display_name="Register the challenger")
    def register(window: Facts, evaluation: Facts) -> Facts:
        from ml.records import Evaluation

        return _on_window("register", window, Evaluation.model_validate(evaluation))

    @task(task_display_name="Check the package")
    def check(window: Facts, challenger: Facts) -> Facts:
        from ml.records import Challenger

        return _on_window("check", window, challenger=Challenger.model_validate(challenger))

    @task(task_display_name="Quality gate")
    def gate(window: Facts, challenger: Facts) -> Facts:
        from ml.records import Challenger

        return _on_window("gate", window, challenger=Challenger.model_validate(challenger))

    @task(task_display_name="Refit the winner")
    def refit(window: Facts, judgement: Facts) -> Facts:
        from ml.records import Judgement

        return _on_window("refit", window, Judgement.model_validate(judgement))

    @task(task_display_name="Describe (model card)")
    def describe(window: Facts, judgement: Facts) -> Facts:
        from ml.records import Judgement

        return _on_window("describe", window, Judgement.model_validate(judgement))

    @task.branch(task_display_name="Ask a person, if need be")
    def ask(window: Facts, judgement: Facts) -> str:
        from evergreen.notifications import mail_approval

        asked = mail_approval(window, judgement)
        get_current_context()["ti"].xcom_push(QUESTION, asked)
        return "approve" if asked else "promote"

    # A rejection leads here too, to be written down; what never came to a verdict does not.
    @task(task_display_name="Promote the winner", trigger_rule="none_failed_min_one_success")
    def promote(window: Facts, judgement: Facts) -> Facts:
        from ml.records import Judgement

        judged, context = Judgement.model_validate(judgement), get_current_context()
        promotion = _on_window("promote", window, judged, approval=answer_of(context))
        context["ti"].xcom_push(OUTCOME, promotion)
        if not promotion["promoted"]:
            raise AirflowSkipException(f"held: {promotion['reason']}")
        return promotion

    # A hold is told too, though promote is skipped then; what failed before it stays red.
    @task(task_display_name="Mail what came of it", trigger_rule="none_failed_min_one_success")
    def tell(window: Facts, judgement: Facts) -> None:
        from evergreen.notifications import mail_outcome

        mail_outcome(window, judgement)

    with stage("prepare", "Prepare the data"):
        window = pull()
        parts = split(window)
        validate(window) >> parts
    with stage("train", "Train"):
        fitted, evaluation = fit(window), evaluate(window)
        parts >> tune(window) >> fitted >> evaluation
    with stage("judge", "Judge"):
        challenger = register(window, evaluation)
        verdict = gate(window, challenger)
        check(window, challenger) >> verdict
        judgement = refit(window, verdict)
        describe(window, judgement)
    with stage("settle", "Settle who serves"):
        asked, promotion = ask(window, judgement), promote(window, judgement)
        approve = Approve(
            task_id="approve",
            task_display_name="Wait for a person",
            subject=f"{{{{ ti.xcom_pull(task_ids='ask', key='{QUESTION}')['subject'] }}}}",
            body=f"{{{{ ti.xcom_pull(task_ids='ask', key='{QUESTION}')['body'] }}}}",
            hours=f"{{{{ ti.xcom_pull(task_ids='ask', key='{QUESTION}')['hours'] }}}}",
        )
        # A rejection skips what comes right behind it: not promote, which has to write it down.
        asked >> approve >> EmptyOperator(task_id="approved", task_display_name="Approved") >> promotion
        asked >> promotion >> tell(window, judgement)


def _on_window(verb: str, window: Facts, *records: object, **options: object) -> Facts:
    """Run the step ``verb`` with the settings that ``pull`` pinned for this training."""
    import importlib

    from ml.records import Window

    run = importlib.import_module(f"ml.steps.{verb}").run
    return step(run, Window.model_validate(window), *records, workspace=window["workspace"], **options)


with_links(retrain())
