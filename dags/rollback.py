"""Let an earlier champion serve again, and tell people.

``rollback → tell``

Asked for by a person (Trigger: to which version, and why), or by **monitor** while the version that
served before does better than the champion on the same days. **rollback** moves one alias and writes the
decision down; the version that it takes away is barred: the same data, parameters and code are not
promoted again. Predictions already served stay as they are. If there is nothing to move, **tell** is
skipped and the run is green.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException
from evergreen.defaults import DEFAULT_ARGS, TAGS
from evergreen.forms import ROLLBACK
from evergreen.links import with_links
from evergreen.stepping import Facts, asker, step


@dag(
    schedule=None,
    max_active_runs=1,
    params=ROLLBACK,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=pendulum.duration(hours=2),
    tags=[*TAGS, "model"],
    doc_md=__doc__,
    dag_display_name="Rollback: an earlier champion",
)
def rollback() -> None:
    @task(task_display_name="Move the alias back")
    def rollback() -> Facts:
        from ml.records import RollbackRequest
        from ml.steps import rollback

        form = get_current_context()["params"]
        request = RollbackRequest(
            asked_by=asker(form),
            why=form["why"],
            to_version=form["to_version"],
            from_version=form["from_version"],
            evidence=form["evidence"] or {},
        )
        done = step(rollback.run, request)
        # What an attempt did that was killed right after is told too: the mail goes out once for a rollback.
        if done["version"] == done["from_version"]:
            raise AirflowSkipException(f"nothing moved: {done['reason']}")
        return done | {"request": request.model_dump(mode="json")}

    @task(task_display_name="Mail what was done")
    def tell(facts: Facts) -> None:
        from evergreen.notifications import mail_rollback

        from ml.records import Rollback, RollbackRequest

        done = {name: value for name, value in facts.items() if name != "request"}
        mail_rollback(Rollback.model_validate(done), RollbackRequest.model_validate(facts["request"]))

    tell(rollback())


with_links(rollback())
