"""Watch a day: say whether the inputs moved, how the predictions do, and what follows.

``resolve → (measure_drift, measure_performance, compare_with_previous, measure_requests) → decide
→ (act, alert, score_refit) → (trigger_retrain, trigger_rollback)``

Evidently compares the trailing window with what the champion was trained on; labels that have arrived meet the
predictions. **decide** applies the policy of `params.yaml`: no champion, drift or decay on several days, age or
enough new labels ask for a challenger, and so does what a refit would gain; broken data, a training that was tried,
cooldown, budget, and a refit that would not gain make it wait.
If the version that served before does better on the same labelled days, beyond noise, it is asked back.
**measure_requests** lets labels meet what was answered over HTTP, by version, and ends a split whose challenger does
worse beyond noise; nothing waits for it.
**alert** runs every day and mails when the state changes. **score_refit** fits the champion's recipe again every week,
in shadow, and scores each new labelled day by it: whether a refit would help is known from the next day on. A
person's *Retrain* needs no leave from here.
"""

from __future__ import annotations

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, PartitionedAssetTimetable, task
from evergreen.links import with_links
from evergreen.models import Model, dag_id, draw_each
from evergreen.stepping import Facts, partition_day, step


def draw(model: Model) -> DAG:
    @model.dag(
        "monitor",
        "monitor drift and performance",
        __doc__,
        "monitoring",
        schedule=PartitionedAssetTimetable(assets=model.inputs),
    )
    def monitor() -> None:
        @task(task_display_name="Resolve the day's champion")
        def resolve() -> Facts:
            from ml.steps.score import resolve

            return step(resolve.run, partition_day())

        @task(task_display_name="Measure drift (Evidently)")
        def measure_drift(champion: Facts) -> Facts:
            from ml.steps.monitor import measure_drift

            return step(measure_drift.run, champion)

        @task(task_display_name="Measure live performance")
        def measure_performance(champion: Facts) -> Facts:
            from ml.steps.monitor import measure_performance

            return step(measure_performance.run, champion)

        @task(task_display_name="Compare with the version before")
        def compare_with_previous(champion: Facts) -> Facts:
            from ml.steps.monitor import compare_with_previous

            return step(compare_with_previous.run, champion)

        @task(task_display_name="Measure predictions on request")
        def measure_requests(champion: Facts) -> Facts:
            from evergreen.alerts.kinds.serving import alert_of_run

            from ml.steps.monitor import measure_requests

            measured = step(measure_requests.run, champion)
            alert_of_run()
            return measured

        @task(task_display_name="Decide")
        def decide(champion: Facts, drift: Facts, performance: Facts, comparison: Facts) -> Facts:
            from ml.steps.monitor import decide

            return step(decide.run, champion, drift, performance, comparison)

        @task(task_display_name="Score a refit in shadow")
        def score_refit(champion: Facts) -> Facts:
            from ml.steps.monitor import score_refit

            return step(score_refit.run, champion)

        @task.branch(task_display_name="Act on it")
        def act(decision: Facts) -> list[str]:
            wanted = {
                "trigger_retrain": decision["request"] is not None,
                "trigger_rollback": decision["rollback"] is not None,
            }
            return [task_id for task_id, needed in wanted.items() if needed]

        @task(task_display_name="Alert the team of a change")
        def alert(drift: Facts, performance: Facts, decision: Facts) -> None:
            from evergreen.alerts.kinds.monitoring import alert_monitoring

            from ml.records import Decision, DriftReport, LivePerformance

            alert_monitoring(
                DriftReport.model_validate(drift),
                LivePerformance.model_validate(performance),
                Decision.model_validate(decision),
            )

        champion = resolve()
        drift, performance = measure_drift(champion), measure_performance(champion)
        measure_requests(champion)
        decision = decide(champion, drift, performance, compare_with_previous(champion))
        action = act(decision)
        # Not behind the branch: people are alerted to what was decided whatever is triggered, and to calm again.
        alert(drift, performance, decision)
        # Last, so that nothing waits for a fit, or stops where it cannot be made.
        decision >> score_refit(champion)
        trigger_retrain = TriggerDagRunOperator(
            task_id="trigger_retrain",
            task_display_name="Trigger retrain",
            trigger_dag_id=dag_id(model.name, "retrain"),
            trigger_run_id="monitor__{{ partition_key }}",
            conf={
                "reason": "{{ ti.xcom_pull(task_ids='decide')['request']['reasons'] | join('; ') }}",
                "requested_by": "monitor of {{ partition_key }}",
            },
            skip_when_already_exists=True,
        )
        trigger_rollback = TriggerDagRunOperator(
            task_id="trigger_rollback",
            task_display_name="Trigger rollback",
            trigger_dag_id=dag_id(model.name, "rollback"),
            trigger_run_id="monitor__{{ partition_key }}",
            # As JSON, which the operator reads: a templated number would reach the form as text.
            conf="{{ ti.xcom_pull(task_ids='decide')['rollback'] | tojson }}",
            skip_when_already_exists=True,
        )
        # Side by side: Airflow never skips what lies behind a chosen branch.
        action >> [trigger_retrain, trigger_rollback]

    return with_links(monitor())


draw_each(draw)
