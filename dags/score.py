"""Score a day as soon as its inputs are in the registry.

``resolve → predict → publish → shadow``

**resolve** finds the champion of that day in the decision history, once, and cuts the day into shards of
`score.rows_per_shard` rows; **predict** scores one batch by batch, on whatever worker is free, and is retried
or cleared by itself; **publish** validates them all and writes one file, whole or not at all. A day without a
champion is skipped, with the reason; clear the run once there is one. Scoring a day again gives the same bytes,
however many shards and workers.
**shadow** then scores the day with the version that served before (for some days after a promotion) and
with a held challenger (if `score.shadow_challenger`). Shadow predictions are kept apart and never served;
**shadow** failing takes nothing back. Where `score.sink` names a database, **export** writes the day to its table too,
in one transaction; it is retried and cleared by itself, and the file stays whatever comes of it.
Where `score.due_by` is set, **check_deadline** resolves the alert of late predictions when they came.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from airflow.sdk import DAG, PartitionedAssetTimetable, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.links import with_links
from evergreen.models import Model, draw_each
from evergreen.stepping import Facts, now, partition_day, step


def draw(model: Model) -> DAG:
    @model.dag(
        "score", "score the day", __doc__, "predictions", schedule=PartitionedAssetTimetable(assets=model.inputs)
    )
    def score() -> None:
        @task(task_display_name="Resolve the day's champion")
        def resolve() -> list[Facts]:
            from ml.steps.score import plan, resolve

            champion = step(resolve.run, partition_day())
            if champion["version"] is None:
                raise AirflowSkipException(f"not scored: {champion['reason']}")
            return list(step(plan.run, champion)["shards"])

        @task(task_display_name="Predict", map_index_template="from row {{ task.op_kwargs['shard']['first_row'] }}")
        def predict(shard: Facts) -> Facts:
            from ml.steps.score import predict

            return step(predict.run, shard)

        @task(task_display_name="Validate and publish", outlets=[model.predictions])
        def publish(shards: list[Facts], scorings: Iterable[Facts]) -> Facts:
            from ml.steps.score import publish

            # Of a run that was cut into more shards before it was cleared, Airflow keeps what those left.
            own = islice(scorings, len(shards))
            return step(publish.run, {"shards": shards}, list(own))

        @task(task_display_name="Score in shadow")
        def shadow(shards: list[Facts]) -> Facts:
            from ml.steps.score import shadow

            shadows = step(shadow.run, shards[0]["champion"])
            if not shadows["versions"]:
                raise AirflowSkipException(f"nothing to score in shadow: {shadows['reason']}")
            return shadows

        @task(task_display_name="Export to the database")
        def export(scoring: Facts) -> Facts:
            from ml.steps.score import export

            return step(export.run, scoring["day"], scoring["version"])

        @task(task_display_name="Alert the team if late predictions came")
        def check_deadline() -> None:
            from evergreen.alerts.kinds.late import alert_timeliness

            from ml.steps.score import check_deadline

            alert_timeliness(step(check_deadline.run, now=now()))

        shards = resolve()
        published = publish(shards, predict.expand(shard=shards))
        published >> shadow(shards)
        if model.settings.score.sink is not None:
            export(published)
        if model.settings.score.due_by is not None:
            published >> check_deadline()

    return with_links(score())


draw_each(draw)
