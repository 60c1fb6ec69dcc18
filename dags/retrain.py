"""Train a challenger, judge it, and let it serve if it wins.

``pull → validate → split → tune → fit → (evaluate, check) → register → gate → refit → (ask, describe)
→ approve → approved → promote → alert``

Requested by **monitor** (drift, age, no champion), by a person (Trigger), or from the command line. A
challenger that loses is a result: the run is green, **promote** is skipped, and the decision with every
rule's evidence is in MLflow's decisions experiment. Where `gate.approval` wants a person, **ask** mails the
approvers and **approve** waits for them; a *Reject*, and no answer in time, keep the champion. **alert** mails
who serves from now on, and why. The same data, parameters and code are never trained twice, unless forced:
the run then ends at **pull** and names the first one's outcome.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.alerts.kinds.verdict import OUTCOME
from evergreen.approval import LONGEST_HOURS, QUESTION, Approve, answer_of
from evergreen.forms import RETRAIN
from evergreen.links import with_links
from evergreen.models import Model, draw_each, stage
from evergreen.stepping import Facts, requester, step


def draw(model: Model) -> DAG:  # noqa: PLR0915  a drawing
    @model.dag(
        "retrain", "train and judge a challenger", __doc__, "model", schedule=None, max_active_runs=1, params=RETRAIN,
        # Six hours of work, and the longest that a person may be waited for: the wait must not be cut short.
        dagrun_timeout=pendulum.duration(hours=6 + LONGEST_HOURS),
    )  # fmt: skip
    def retrain() -> None:
        @task(task_display_name="Pull the window")
        def pull() -> Facts:
            from ml.records import RetrainRequest
            from ml.steps.retrain import pull

            context = get_current_context()
            form = context["params"]
            request = RetrainRequest(
                requested_by=requester(form),
                reasons=(form["reason"],),
                days=form["days"],
                last_day=form["last_day"],
                force=form["force"],
                request_id=context["run_id"],
            )
            window = step(pull.run, request)
            if window["seen_before"] and not request.force:
                raise AirflowSkipException(
                    f"judged before: see fingerprint {window['fingerprint']} among the decisions"
                )
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
            return _on_window("register", window, evaluation)

        @task(task_display_name="Check the package")
        def check(window: Facts) -> Facts:
            return _on_window("check", window)

        @task(task_display_name="Quality gate")
        def gate(window: Facts, challenger: Facts) -> Facts:
            return _on_window("gate", window, challenger=challenger)

        @task(task_display_name="Refit the winner")
        def refit(window: Facts, judgement: Facts) -> Facts:
            return _on_window("refit", window, judgement)

        @task(task_display_name="Describe (model card)")
        def describe(window: Facts, judgement: Facts) -> Facts:
            return _on_window("describe", window, judgement)

        @task.branch(task_display_name="Ask a person, if need be")
        def ask(window: Facts, judgement: Facts) -> str:
            from evergreen.alerts.kinds.approval import alert_approval

            question = alert_approval(window, judgement)
            get_current_context()["ti"].xcom_push(QUESTION, question)
            return "approve" if question else "promote"

        # A rejection leads here too, to be written down; what never came to a verdict does not.
        @task(task_display_name="Promote the winner", trigger_rule="none_failed_min_one_success")
        def promote(window: Facts, judgement: Facts) -> Facts:
            context = get_current_context()
            promotion = _on_window("promote", window, judgement, approval=answer_of(context))
            context["ti"].xcom_push(OUTCOME, promotion)
            if not promotion["promoted"]:
                raise AirflowSkipException(f"held: {promotion['reason']}")
            return promotion

        # A hold is mailed too, though promote is skipped then; what failed before it stays red.
        @task(task_display_name="Alert the team of the outcome", trigger_rule="none_failed_min_one_success")
        def alert(window: Facts, judgement: Facts) -> None:
            from evergreen.alerts.kinds.verdict import alert_outcome

            alert_outcome(window, judgement)

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
            # What the run holds is what is registered: *promote* compares the file's hash with the one that was tried.
            fitted >> check(window) >> verdict
            judgement = refit(window, verdict)
            describe(window, judgement)
        with stage("decide", "Decide who serves"):
            branch, promotion = ask(window, judgement), promote(window, judgement)
            approve = Approve(
                task_id="approve",
                task_display_name="Wait for a person",
                subject=f"{{{{ ti.xcom_pull(task_ids='ask', key='{QUESTION}')['subject'] }}}}",
                body=f"{{{{ ti.xcom_pull(task_ids='ask', key='{QUESTION}')['body'] }}}}",
                hours=f"{{{{ ti.xcom_pull(task_ids='ask', key='{QUESTION}')['hours'] }}}}",
            )
            # A rejection skips what comes right behind it: not promote, which has to write it down.
            branch >> approve >> EmptyOperator(task_id="approved", task_display_name="Approved") >> promotion
            branch >> promotion >> alert(window, judgement)

    return with_links(retrain())


def _on_window(verb: str, window: Facts, *records: object, **options: object) -> Facts:
    """Run the step ``verb`` with the settings that ``pull`` pinned for this training."""
    import importlib

    run = importlib.import_module(f"ml.steps.retrain.{verb}").run
    return step(run, window, *records, workspace=window["workspace"], **options)


draw_each(draw)
