"""Bring a day into the data registry; what breaks its contract stays out, and only that.

``land → screen → commit → report_rejected``

Once a day. **land** fetches the day's inputs and the labels that have newly arrived or were corrected; **screen**
validates each day of each against its Great Expectations suite and quarantines bad rows; **commit** makes what passed a
new data version (Git and DVC), which *Score* and *Monitor* follow. It is red if the day's inputs were rejected or are
absent, and skipped on days without data (`land.calendar`). **report_rejected** is red, once, if labels were rejected:
inputs never wait for labels. Fix the source and clear the run; later runs ask for such labels again by themselves.

Past days: `airflow backfill create --dag-id MODEL.ingest --from-date DAY --to-date DAY`
"""

from __future__ import annotations

from airflow.sdk import DAG, TriggerRule, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.links import with_links
from evergreen.models import Model, draw_each
from evergreen.stepping import Facts, now, partition_day, step


def draw(model: Model) -> DAG:
    @model.dag(
        "ingest", "ingest the day's data", __doc__, "data",
        schedule=model.daily(), start_date=model.start,
    )  # fmt: skip
    def ingest() -> None:
        @task(task_display_name="Land the day")
        def land() -> Facts:
            from ml.steps.ingest import land

            return step(land.run, partition_day(), now=now())

        @task(task_display_name="Validate against the suites")
        def screen(landing: Facts) -> Facts:
            from ml.steps.ingest import screen

            return step(screen.run, landing)

        @task(task_display_name="Commit a data version", outlets=[model.inputs])
        def commit(screening: Facts) -> Facts:
            from ml.steps.ingest import commit

            ingested = step(commit.run, screening, defer_labels=True)
            if ingested["rest"]:
                raise AirflowSkipException(ingested["rest"])
            return ingested

        @task(task_display_name="Report rejected labels", trigger_rule=TriggerRule.NONE_FAILED)
        def report_rejected(screening: Facts) -> None:
            from evergreen.alerts.kinds.lost_labels import alert_lost_labels

            from ml.records import Screening
            from ml.steps.ingest import report_rejected

            alert_lost_labels(Screening.model_validate(screening))
            step(report_rejected.run, screening)

        screening = screen(land())
        commit(screening) >> report_rejected(screening)

    return with_links(ingest())


draw_each(draw)
