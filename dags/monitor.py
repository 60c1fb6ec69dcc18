"""Watch a day: say whether the inputs moved, how the predictions do, and what follows.

``resolve → (measure_drift, measure_performance, measure_rivalry) → decide → act
→ (trigger_retrain, trigger_rollback, alert)``

Evidently compares the trailing window with what the champion was trained on. **decide** applies the policy
of `params.yaml`: no champion, drift or age ask for a challenger, unless one was judged a short while ago.
If the version that served before does better on the same labelled days, beyond noise, it is asked back.
**alert** mails what moved, how far, and what was done about it.
"""

from __future__ import annotations

import pendulum
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import PartitionedAssetTimetable, dag, task
from evergreen.assets import INPUTS
from evergreen.defaults import DEFAULT_ARGS, TAGS
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
    def decide(champion: Facts, drift: Facts, rivalry: Facts) -> Facts:
        from ml.records import Champion, DriftReport, Rivalry
        from ml.steps import decide

        known = Champion.model_validate(champion), DriftReport.model_validate(drift)
        return step(decide.run, *known, Rivalry.model_validate(rivalry))

    @task.branch(task_display_name="Act on it")
    def act(decision: Facts) -> list[str]:
        wanted = {
            "trigger_retrain": decision["request"] is not None,
            "trigger_rollback": decision["rollback"] is not None,
            "alert": decision["alarm"],
        }
        return [task_id for task_id, needed in wanted.items() if needed]

    @task(task_display_name="Mail the alarm")
    def alert(drift: Facts, performance: Facts, decision: Facts) -> None:
        from evergreen.notifications import mail_drift

        from ml.records import Decision, DriftReport, LivePerformance

        mail_drift(
            DriftReport.model_validate(drift),
            LivePerformance.model_validate(performance),
            Decision.model_validate(decision),
        )

    champion = resolve()
    drift, performance = measure_drift(champion), measure_performance(champion)
    decision = decide(champion, drift, measure_rivalry(champion))
    action, mail = act(decision), alert(drift, performance, decision)
    trigger_retrain = TriggerDagRunOperator(
        task_id="trigger_retrain",
        task_display_name="Trigger retrain",
        trigger_dag_id="retrain",
        trigger_run_id="monitor__{{ partition_key }}",
        conf={
            "why": "{{ ti.xcom_pull(task_ids='decide')['reasons'] | join('; ') }}",
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
    # Side by side: Airflow never skips what lies behind a chosen branch, so one behind the other would
    # mail an alarm whenever a challenger is asked for.
    action >> [trigger_retrain, trigger_rollback, mail]


monitor()
