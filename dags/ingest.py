"""Bring a day into the data registry, or keep all of it out.

``land → screen → commit``

Once a day. **land** fetches the day's inputs and the labels that have newly arrived; **screen** holds
them against their Great Expectations contracts and sets bad rows aside; **commit** makes them a new
data version (Git and DVC). A partition that breaks its contract turns this run red and leaves the
registry as it was: mend the source and clear the run.

Past days: `airflow backfill create --dag-id ingest --from-date DAY --to-date DAY`
"""

from __future__ import annotations

import pendulum
from airflow.sdk import CronPartitionTimetable, dag, task
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

        return step(commit.run, Screening.model_validate(screening))

    commit(screen(land()))


with_links(ingest())
