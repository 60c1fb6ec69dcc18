"""Train a challenger, judge it, and let it serve if it wins.

``pull → validate → split → fit → evaluate → register → gate → promote``

Asked for by **monitor** (drift, age, no champion), by a person (Trigger), or from the command line. A
challenger that loses is a result: the run is green, **promote** is skipped, and the decision with every
rule's evidence is in MLflow's decisions experiment. The same data, parameters and code are never
trained twice, unless forced: the run then ends at **pull** and names the first one's outcome.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.defaults import DEFAULT_ARGS, TAGS
from evergreen.forms import RETRAIN
from evergreen.stepping import Facts, step


@dag(
    schedule=None,
    max_active_runs=1,
    params=RETRAIN,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=pendulum.duration(hours=6),
    tags=[*TAGS, "model"],
    doc_md=__doc__,
    dag_display_name="Retrain: a challenger",
)
def retrain() -> None:
    @task(task_display_name="Pull the window")
    def pull() -> Facts:
        from ml.records import RetrainRequest
        from ml.steps import pull

        context = get_current_context()
        form = context["params"]
        request = RetrainRequest(
            asked_by=form["asked_by"],
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

    @task(task_display_name="Quality gate")
    def gate(window: Facts, challenger: Facts) -> Facts:
        from ml.records import Challenger

        return _on_window("gate", window, challenger=Challenger.model_validate(challenger))

    @task(task_display_name="Promote the winner")
    def promote(window: Facts, judgement: Facts) -> Facts:
        from ml.records import Judgement

        promotion = _on_window("promote", window, Judgement.model_validate(judgement))
        if not promotion["promoted"]:
            raise AirflowSkipException(f"held: {promotion['reason']}")
        return promotion

    window = pull()
    evaluation = evaluate(window)
    validate(window) >> split(window) >> fit(window) >> evaluation
    promote(window, gate(window, register(window, evaluation)))


def _on_window(verb: str, window: Facts, *records: object, **options: object) -> Facts:
    """Run the step ``verb`` with the settings that ``pull`` pinned for this training."""
    import importlib

    from ml.records import Window

    run = importlib.import_module(f"ml.steps.{verb}").run
    return step(run, Window.model_validate(window), *records, workspace=window["workspace"], **options)


retrain()
