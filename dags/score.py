"""Score a day as soon as its inputs are in the registry.

``resolve → predict → publish → shadow``

**resolve** finds the champion of that day in the decision history, once, and cuts the day into shards of
`score.rows_per_shard` rows; **predict** scores one batch by batch, on whatever worker is free, and is retried
or cleared by itself; **publish** validates them all and writes one file, whole or not at all. A day without a
champion is skipped, with the reason; clear the run once there is one. Scoring a day again gives the same bytes,
however many shards and workers.
**shadow** then scores the day with the version that served before (for some days after a promotion) and
with a held challenger (if `score.shadow_challenger`). Shadow predictions are kept apart and never served;
**shadow** failing takes nothing back.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

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
    def resolve() -> list[Facts]:
        from ml.records import Champion
        from ml.steps import plan, resolve

        champion = step(resolve.run, partition_day())
        if champion["version"] is None:
            raise AirflowSkipException(f"not scored: {champion['reason']}")
        return list(step(plan.run, Champion.model_validate(champion))["shards"])

    @task(task_display_name="Predict", map_index_template="from row {{ task.op_kwargs['shard']['first_row'] }}")
    def predict(shard: Facts) -> Facts:
        from ml.records import Shard
        from ml.steps import predict

        return step(predict.run, Shard.model_validate(shard))

    @task(task_display_name="Validate and publish", outlets=[PREDICTIONS])
    def publish(shards: list[Facts], scorings: Iterable[Facts]) -> Facts:
        from ml.records import Plan, Scoring
        from ml.steps import publish

        plan = Plan.model_validate({"shards": shards})
        # Of a run that was cut into more shards before it was cleared, Airflow keeps what those left.
        own = islice(scorings, len(shards))
        return step(publish.run, plan, [Scoring.model_validate(scoring) for scoring in own])

    @task(task_display_name="Score in shadow")
    def shadow(shards: list[Facts]) -> Facts:
        from ml.records import Champion
        from ml.steps import shadow

        shadows = step(shadow.run, Champion.model_validate(shards[0]["champion"]))
        if not shadows["versions"]:
            raise AirflowSkipException(f"nothing to score in shadow: {shadows['reason']}")
        return shadows

    shards = resolve()
    publish(shards, predict.expand(shard=shards)) >> shadow(shards)


with_links(score())
