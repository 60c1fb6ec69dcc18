"""Watch a day: say whether the inputs moved, how the predictions do, and what follows.

``resolve → (measure_drift, measure_performance, measure_rivalry) → decide → (act, alert)
→ (trigger_retrain, trigger_rollback)``

Evidently compares the trailing window with what the champion was trained on; labels that have arrived meet the
predictions. **decide** applies the policy of `params.yaml`: no champion, drift or decay on several days, age or
enough new labels ask for a challenger; broken data, a training that was tried, cooldown and budget make it wait.
If the version that served before does better on the same labelled days, beyond noise, it is asked back.
**alert** runs every day and mails when the state changes. A person's *Retrain* needs no leave from here.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import PartitionedAssetTimetable, dag, task
from evergreen.assets import INPUTS
from evergreen.defaults import DEFAULT_ARGS, TAGS
from evergreen.links import with_links
from evergreen.stepping import Facts, partition_day, step


@dag(
    schedule=PartitionedAssetTimetable(assets=INPUTS),
    catchup=False,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=pendulum.duration(hours=2),
    tags=[*TAGS, "monitoring"],
    doc_md=__doc__,
    dag_display_name="Monitor: drift and performance",
)
def monitor() -> None:
    @task(task_display_name="Resolve the day's champion")
    def resolve() -> Facts:
        from ml.steps import resolve

        return step(resolve.run, partition_day())

    @task(task_display_name="Measure drift (Evidently)")
    def measure_drift(champion: Facts) -> Facts:
        from ml.records import Champion
        from ml.steps import measure_drift

        return step(measure_drift.run, Champion.model_validate(champion))

    @task(task_display_name="Measure live performance")
    def measure_performance(champion: Facts) -> Facts:
        from ml.records import Champion
        from ml.steps import measure_performance

        return step(measure_performance.run, Champion.model_validate(champion))

    @task(task_display_name="Compare with the version before")
    def measure_rivalry(champion: Facts) -> Facts:
        from ml.records import Champion
        from ml.steps import measure_rivalry

        return step(measure_rivalry.run, Champion.model_validate(champion))

    @task(task_display_name="Decide")
    def decide(champion: Facts, drift: Facts, performance: Facts, rivalry: Facts) -> Facts:
        from ml.records import Champion, DriftReport, LivePerformance, Rivalry
        from ml.steps import decide

        return step(
            decide.run,
            Champion.model_validate(champion),
            DriftReport.model_validate(drift),
            LivePerformance.model_validate(performance),
            Rivalry.model_validate(rivalry),
        )

    @task.branch(task_display_name="Act on it")
    def act(decision: Facts) -> list[str]:
        wanted = {
            "trigger_retrain": decision["request"] is not None,
            "trigger_rollback": decision["rollback"] is not None,
        }
        return [task_id for task_id, needed in wanted.items() if needed]

    @task(task_display_name="Mail a change of state")
    def alert(drift: Facts, performance: Facts, decision: Facts) -> None:
        from evergreen.notifications import mail_monitoring

        from ml.records import Decision, DriftReport, LivePerformance

        mail_monitoring(
            DriftReport.model_validate(drift),
            LivePerformance.model_validate(performance),
            Decision.model_validate(decision),
        )

    champion = resolve()
    drift, performance = measure_drift(champion), measure_performance(champion)
    decision = decide(champion, drift, performance, measure_rivalry(champion))
    action = act(decision)
    # Not behind the branch: what was decided is told whatever is triggered, and so is that all is calm again.
    alert(drift, performance, decision)
    trigger_retrain = TriggerDagRunOperator(
        task_id="trigger_retrain",
        task_display_name="Trigger retrain",
        trigger_dag_id="retrain",
        trigger_run_id="monitor__{{ partition_key }}",
        conf={
            "why": "{{ ti.xcom_pull(task_ids='decide')['request']['reasons'] | join('; ') }}",
            "asked_by": "monitor of {{ partition_key }}",
        },
        skip_when_already_exists=True,
    )
    trigger_rollback = TriggerDagRunOperator(
        task_id="trigger_rollback",
        task_display_name="Trigger rollback",
        trigger_dag_id="rollback",
        trigger_run_id="monitor__{{ partition_key }}",
        # As JSON, which the operator reads: a templated number would reach the form as text.
        conf="{{ ti.xcom_pull(task_ids='decide')['rollback'] | tojson }}",
        skip_when_already_exists=True,
    )
    # Side by side: Airflow never skips what lies behind a chosen branch.
    action >> [trigger_retrain, trigger_rollback]


with_links(monitor())
