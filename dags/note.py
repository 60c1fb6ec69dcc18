"""Write a person's note on an alarm or a decision: acknowledge it, snooze its mails, or comment.

``note``

Trigger it by hand: Airflow asks who may, and names who did. The note is a decision in the log, is shown on the page,
and stands in the mails of the alarm. A snooze keeps mails of that alarm back until its day comes, or it gets worse.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task
from evergreen.forms import NOTE
from evergreen.models import Model, draw_each
from evergreen.stepping import Facts, requester, step


def draw(model: Model) -> DAG:
    @model.dag(
        "note", "acknowledge, snooze or comment", __doc__, "alerts",
        schedule=None, params=NOTE, is_paused_upon_creation=False,
    )  # fmt: skip
    def note() -> None:
        @task(task_display_name="Write the note down")
        def note() -> Facts:
            from ml.records import NoteRequest
            from ml.steps import note

            form = get_current_context()["params"]
            fields = {name: form[name] for name in ("kind", "alarm", "until", "decision", "note")}
            return step(note.run, NoteRequest(requested_by=requester(form), **fields))

        note()

    drawn: DAG = note()
    return drawn


draw_each(draw)
