"""Mail what the week brought, of all models on one screen, once a week.

``alert``

It is drawn for the first model that has `notify.digest`, looks once a day, and sends the digest of the newest declared
weekday unless that was sent: a scheduler that was down that morning sends it when it is back, and nobody gets it twice.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, task
from evergreen.models import Model, draw_first
from evergreen.stepping import now


def draw(model: Model) -> DAG | None:
    if model.settings.notify.digest is None:
        return None
    daily = CronTriggerTimetable("0 7 * * *", timezone=model.settings.task.timezone, run_immediately=True)

    @model.dag(
        "digest", "mail what the week brought", __doc__, "alerts",
        schedule=daily, start_date=model.start, is_paused_upon_creation=False,
    )  # fmt: skip
    def digest() -> None:
        @task(task_display_name="Mail what the week brought")
        def alert() -> None:
            from evergreen.alerts.kinds.digest import alert_digest

            alert_digest(now())

        alert()

    drawn: DAG = digest()
    return drawn


draw_first(draw)
