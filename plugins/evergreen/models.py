"""Draw each Dag once for each configured model, and tell from a Dag's id whose it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pendulum
from airflow.sdk import DAG, Asset, CronPartitionTimetable, TaskGroup, dag, get_current_context

from evergreen.alerts.kinds.failure import alert_failure

if TYPE_CHECKING:
    from ml.settings import Settings

DAGS = ("ingest", "retrain", "score", "monitor", "rollback")
"""The last part of a Dag's id; the first is the name of its model."""

BY_HAND = ("note", "exclude")
"""Dags besides those of `DAGS` that only a person triggers."""

TAG = "evergreen"


def dag_id(model: str, verb: str) -> str:
    """Return the id of a model's Dag."""
    return f"{model}.{verb}"


def model_of(dag_id: str) -> str:
    """Return the name of the model that a Dag belongs to."""
    return dag_id.rpartition(".")[0]


def verb_of(dag_id: str) -> str:
    """Return which of a model's Dags it is; empty if it is none of `DAGS` or `BY_HAND`."""
    model, _, verb = dag_id.rpartition(".")
    return verb if model and verb in (*DAGS, *BY_HAND) else ""


def current_model() -> str:
    """Return the name of the model whose Dag runs in this process."""
    return model_of(get_current_context()["dag"].dag_id)


@dataclass(frozen=True)
class Model:
    """A model whose Dags are drawn, with its settings."""

    name: str
    settings: Settings

    @property
    def inputs(self) -> Asset:
        """Return the asset whose event of a partition key says: the inputs of that day are in the data registry."""
        return self._asset("inputs")

    @property
    def predictions(self) -> Asset:
        """Return the asset whose event of a partition key says: the predictions of that day are served."""
        return self._asset("predictions")

    def _asset(self, what: str) -> Asset:
        return Asset(name=f"{self.name}.{what}", uri=f"evergreen://{self.name}/{what}", group=self.name)

    @property
    def start(self) -> pendulum.DateTime:
        """Return the earliest day that can be ingested."""
        return pendulum.datetime(1970, 1, 1, tz=self.settings.task.timezone)

    def daily(self) -> CronPartitionTimetable:
        """Return when a day is ingested: its partition key is the day in the model's time zone."""
        cron = self.settings.schedule.cron or f"0 {self.settings.land.due_hour} * * *"
        return CronPartitionTimetable(
            cron, timezone=self.settings.task.timezone, key_format="%Y-%m-%d", run_immediately=True
        )

    def dag(
        self,
        verb: str,
        title: str,
        doc: str | None,
        tag: str,
        *,
        schedule: Any,
        dagrun_timeout: timedelta = timedelta(hours=2),
        **options: Any,
    ) -> Callable[..., Any]:
        """Decorate the function that draws a Dag: with the model's id, owner, retries, pool, priority and mail."""
        run = self.settings.schedule
        drawn: Callable[..., Any] = dag(
            dag_id=dag_id(self.name, verb),
            dag_display_name=f"{self.name}: {title}",
            doc_md=doc,
            tags=[TAG, self.name, tag],
            default_args={
                "owner": run.owner,
                "retries": run.retries,
                "retry_delay": timedelta(seconds=run.retry_seconds),
                "retry_exponential_backoff": True,
                "max_retry_delay": timedelta(minutes=10),
                "execution_timeout": timedelta(minutes=run.timeout_minutes),
                "pool": run.pool,
                "priority_weight": run.priority,
                "on_failure_callback": [alert_failure],
            },
            schedule=schedule,
            catchup=False,
            dagrun_timeout=dagrun_timeout,
            **options,
        )
        return drawn


def stage(group_id: str, name: str) -> TaskGroup:
    """Put tasks into one box of the graph; their ids stay as they are."""
    return TaskGroup(group_id, prefix_group_id=False, group_display_name=name)


def draw_each(draw: Callable[[Model], DAG | None]) -> None:
    """Draw a Dag for each configured model that has it.

    A model whose settings are wrong has no Dags, and stops no other's; `report_wrong_settings` says so.
    """
    from ml.settings import load_models

    for model in load_models().models:
        draw(Model(model.name, model.settings))


def draw_first(draw: Callable[[Model], DAG | None]) -> None:
    """Draw a Dag for the first configured model that has it: what is made once an installation."""
    from ml.settings import load_models

    for model in load_models().models:
        if draw(Model(model.name, model.settings)) is not None:
            return


def report_wrong_settings() -> None:
    """Let the file that calls this have an import error that names each model without Dags, its file and key.

    What the timetable of a Dag says that Airflow cannot take becomes the import error, without a traceback.
    """
    from airflow.sdk.exceptions import AirflowTimetableInvalid

    from ml.settings import load_models

    problems = load_models().problems
    if not problems:
        return
    message = "\n".join(f"model {name} has no Dags: {problem}" for name, problem in problems.items())

    class WrongSettings(CronPartitionTimetable):
        def validate(self) -> None:
            raise AirflowTimetableInvalid(message)

    timetable = WrongSettings("@daily", timezone="UTC", key_format="%Y-%m-%d")
    with DAG("evergreen.wrong_settings", schedule=timetable):
        """No task: nobody sees this Dag."""
