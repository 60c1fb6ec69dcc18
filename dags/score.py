"""Score a day as soon as its inputs are in the registry.

``resolve → predict → publish → shadow``

**resolve** finds the champion of that day in the decision history, once; **predict** scores it batch by
batch; **publish** validates the predictions and writes them whole or not at all. A day without a champion
is skipped, with the reason; clear the run once there is one. Scoring a day again gives the same bytes.
**shadow** then scores the day with the version that served before (for some days after a promotion) and
with a held challenger (if `score.shadow_challenger`). Shadow predictions are kept apart and never served;
**shadow** failing takes nothing back.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import PartitionedAssetTimetable, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.assets import INPUTS, PREDICTIONS
from evergreen.defaults import DEFAULT_ARGS, TAGS
from evergreen.links import with_links
from evergreen.stepping import Facts, partition_day, step


@dag(
    schedule=PartitionedAssetTimetable(assets=INPUTS),
    catchup=False,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=pendulum.duration(hours=2),
    tags=[*TAGS, "predictions"],
    doc_md=__doc__,
    dag_display_name="Score: the day's predictions",
)
def score() -> None:
    @task(task_display_name="Resolve the day's champion")
    def resolve() -> Facts:
        from ml.steps import resolve

        champion = step(resolve.run, partition_day())
        if champion["version"] is None:
            raise AirflowSkipException(f"not scored: {champion['reason']}")
        return champion

    @task(task_display_name="Predict")
    def predict(champion: Facts) -> Facts:
        from ml.records import Champion
        from ml.steps import predict

        return step(predict.run, Champion.model_validate(champion))

    @task(task_display_name="Validate and publish", outlets=[PREDICTIONS])
    def publish(champion: Facts, scoring: Facts) -> Facts:
        from ml.records import Champion, Scoring
        from ml.steps import publish

        return step(publish.run, Champion.model_validate(champion), Scoring.model_validate(scoring))

    @task(task_display_name="Score in shadow")
    def shadow(champion: Facts) -> Facts:
        from ml.records import Champion
        from ml.steps import shadow

        shadows = step(shadow.run, Champion.model_validate(champion))
        if not shadows["versions"]:
            raise AirflowSkipException(f"nothing to score in shadow: {shadows['reason']}")
        return shadows

    champion = resolve()
    publish(champion, predict(champion)) >> shadow(champion)


with_links(score())
