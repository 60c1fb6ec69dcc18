"""Alert people, once, if the predictions of the day that is due are not published by `score.due_by`.

``check_deadline``

It looks at that time of each day, and is drawn only for models that have a deadline. The mail has the cause: the
source is late, the data were rejected, nobody serves, or a task failed. When the predictions come *Score* mails it.
"""

from __future__ import annotations

from airflow.sdk import DAG, CronTriggerTimetable, task
from evergreen.links import with_links
from evergreen.models import Model, draw_each
from evergreen.stepping import now, step


def draw(model: Model) -> DAG | None:
    if model.settings.score.due_by is None:
        return None
    hour, minute = map(int, model.settings.score.due_by.split(":"))
    daily = CronTriggerTimetable(
        f"{minute} {hour} * * *", timezone=model.settings.task.timezone, run_immediately=True
    )  # fmt: skip

    @model.dag(
        "deadline", "look whether predictions are late", __doc__, "predictions",
        schedule=daily, start_date=model.start, is_paused_upon_creation=False,
    )  # fmt: skip
    def deadline() -> None:
        @task(task_display_name="Alert the team if predictions are late")
        def check_deadline() -> None:
            from evergreen.alerts.kinds.late import alert_timeliness

            from ml.steps.score import check_deadline

            alert_timeliness(step(check_deadline.run, now=now()))

        check_deadline()

    return with_links(deadline())


draw_each(draw)
