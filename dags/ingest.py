"""Bring a day into the data registry; what breaks its contract stays out, and only that.

``land → screen → commit → report_rejected``

Once a day. **land** fetches the day's inputs and the labels that have newly arrived or were corrected; **screen**
holds each day of each against its Great Expectations contract and sets bad rows aside; **commit** makes what passed a
new data version (Git and DVC), which *Score* and *Monitor* follow. It is red if the day's inputs were rejected or are
absent, and skipped on days without data (`land.calendar`). **report_rejected** is red, once, if labels were rejected:
inputs never wait for labels. Mend the source and clear the run; later runs ask for such labels again by themselves.

Past days: `airflow backfill create --dag-id ingest --from-date DAY --to-date DAY`
"""

from __future__ import annotations

import pendulum
from airflow.sdk import CronPartitionTimetable, TriggerRule, dag, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.assets import INPUTS
from evergreen.defaults import DEFAULT_ARGS, INGEST_CRON, TAGS, TIMEZONE
from evergreen.links import with_links
from evergreen.stepping import Facts, now, partition_day, step


@dag(
    schedule=CronPartitionTimetable(INGEST_CRON, timezone=TIMEZONE, key_format="%Y-%m-%d", run_immediately=True),
    start_date=pendulum.datetime(2013, 1, 1, tz=TIMEZONE),
    catchup=False,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=pendulum.duration(hours=2),
    tags=[*TAGS, "data"],
    doc_md=__doc__,
    dag_display_name="Ingest: the day's data",
)
def ingest() -> None:
    @task(task_display_name="Land the day")
    def land() -> Facts:
        from ml.steps import land

        return step(land.run, partition_day(), now=now())

    @task(task_display_name="Hold it against its contracts")
    def screen(landing: Facts) -> Facts:
        from ml.records import Landing
        from ml.steps import screen

        return step(screen.run, Landing.model_validate(landing))

    @task(task_display_name="Commit a data version", outlets=[INPUTS])
    def commit(screening: Facts) -> Facts:
        from ml.records import Screening
        from ml.steps import commit

        ingested = step(commit.run, Screening.model_validate(screening), defer_labels=True)
        if ingested["rest"]:
            raise AirflowSkipException(ingested["rest"])
        return ingested

    @task(task_display_name="Report rejected labels", trigger_rule=TriggerRule.NONE_FAILED)
    def report_rejected(screening: Facts) -> None:
        from evergreen.notifications import mail_lost_labels

        from ml.records import Screening
        from ml.steps import report_rejected

        screened = Screening.model_validate(screening)
        mail_lost_labels(screened)
        step(report_rejected.run, screened)

    screening = screen(land())
    commit(screening) >> report_rejected(screening)


with_links(ingest())
