"""Let an earlier champion serve again, and tell people.

``rollback → alert``

Requested by a person (Trigger: to which version, and why), or by **monitor** while the version that
served before does better than the champion on the same days. **rollback** moves one alias and writes the
decision down; the version that it takes away is blocked: the same data, parameters and code are not
promoted again. Predictions already served stay as they are. If there is nothing to move, **alert** is
skipped and the run is green.
"""

from __future__ import annotations

from airflow.sdk import DAG, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.forms import ROLLBACK
from evergreen.links import with_links
from evergreen.models import Model, draw_each
from evergreen.stepping import Facts, requester, step


def draw(model: Model) -> DAG:
    @model.dag(
        "rollback",
        "roll back to an earlier champion",
        __doc__,
        "model",
        schedule=None,
        max_active_runs=1,
        params=ROLLBACK,
    )
    def rollback() -> None:
        @task(task_display_name="Move the alias back")
        def rollback() -> Facts:
            from ml.records import RollbackRequest
            from ml.steps import rollback

            form = get_current_context()["params"]
            request = RollbackRequest(
                requested_by=requester(form),
                reason=form["reason"],
                to_version=form["to_version"],
                from_version=form["from_version"],
                evidence=form["evidence"] or {},
            )
            done = step(rollback.run, request)
            # What an attempt did that was killed right after is mailed too: the mail goes out once for a rollback.
            if done["version"] == done["from_version"]:
                raise AirflowSkipException(f"nothing moved: {done['reason']}")
            return done | {"request": request.model_dump(mode="json")}

        @task(task_display_name="Alert the team of it")
        def alert(facts: Facts) -> None:
            from evergreen.alerts.kinds.rollback import alert_rollback

            from ml.records import Rollback, RollbackRequest

            done = {name: value for name, value in facts.items() if name != "request"}
            alert_rollback(Rollback.model_validate(done), RollbackRequest.model_validate(facts["request"]))

        alert(rollback())

    return with_links(rollback())


draw_each(draw)
