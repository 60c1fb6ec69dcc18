"""Mark days as not to be learned from (a broken feed, a strike), or let them count again.

``exclude``

Trigger it by hand: Airflow asks who may, and names who did. From the next training on, training, holdout, drift and
live performance leave these days out; they stay in the data registry, are scored and shown. It is a decision in the
log, and part of the data version.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task
from evergreen.forms import EXCLUDE
from evergreen.links import with_links
from evergreen.models import Model, draw_each
from evergreen.stepping import Facts, requester, step


def draw(model: Model) -> DAG:
    @model.dag(
        "exclude", "exclude days from learning", __doc__, "data",
        schedule=None, max_active_runs=1, params=EXCLUDE, is_paused_upon_creation=False,
    )  # fmt: skip
    def exclude() -> None:
        @task(task_display_name="Mark the days")
        def exclude() -> Facts:
            from ml.records import ExclusionRequest
            from ml.steps import exclude

            form = get_current_context()["params"]
            fields = {name: form[name] for name in ("first_day", "last_day", "reason", "undo")}
            return step(exclude.run, ExclusionRequest(requested_by=requester(form), **fields))

        exclude()

    return with_links(exclude())


draw_each(draw)
