"""A small real Evergreen in a temporary folder, and Airflow running its real Dags in this process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import yaml

from ml.wiring import Services, open_services
from tests.dags.airflow_home import PROJECT
from tests.dags.postbox import Postbox, smtp_connection, smtp_server

if TYPE_CHECKING:
    import pandas as pd
    from fastapi.testclient import TestClient

MODEL = "flight-delay"
"""The model at the top of the project, whose settings `World.open` copies."""

Change = Callable[["pd.DataFrame"], "pd.DataFrame"]


@dataclass(frozen=True)
class Ran:
    """What came of one Dag run."""

    run_id: str
    state: str
    states: dict[str, str | None]
    tries: dict[str, int]
    records: dict[str, Any]
    """What each task handed on."""
    mails: list[EmailMessage]
    """What arrived while it ran."""


@dataclass
class World:
    """Everything of one installation below ``home``; its source is a folder of files, one a day."""

    home: Path
    postbox: Postbox = field(default_factory=Postbox)

    def open(self, monkeypatch: pytest.MonkeyPatch, smtp_port: int) -> None:
        """Write params.yaml and lead this process's environment here."""
        params = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
        source = self.home / "source"
        params["source"] = {
            "kind": "files",
            "inputs": str(source / "inputs" / "{day}.parquet"),
            "labels": str(source / "labels" / "{day}.parquet"),
        }
        for folder in (source / "inputs", source / "labels"):
            folder.mkdir(parents=True)
        (self.home / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        for name in [name for name in os.environ if name.startswith(("EVERGREEN_", "AWS_"))]:
            if not name.startswith("EVERGREEN_TEST_AIRFLOW_"):
                monkeypatch.delenv(name)
        monkeypatch.setenv("EVERGREEN_HOME", str(self.home))
        monkeypatch.setenv("EVERGREEN_DEVELOPMENT", "1")
        monkeypatch.setenv("EVERGREEN_PARAMS", str(self.home / "params.yaml"))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", smtp_connection(smtp_port))

    @property
    def services(self) -> Services:
        return open_services()

    @contextmanager
    def with_params(self, change: Callable[[dict[str, Any]], object]) -> Iterator[None]:
        """Let params.yaml be what ``change`` makes of it, in place, for as long as the context lasts."""
        path = self.home / "params.yaml"
        kept = path.read_text(encoding="utf-8")
        params = yaml.safe_load(kept)
        change(params)
        path.write_text(yaml.safe_dump(params), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(kept, encoding="utf-8")

    def deliver(self, first: date, last: date, change: Change | None = None) -> None:
        """Put the real flights of some days of 2013 into the source folder, with ``change`` made to the inputs."""
        from ml.adapters.sources.demo import DemoSource

        demo = DemoSource(replay=False)
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            inputs = demo.inputs(day)
            (change(inputs) if change else inputs).to_parquet(self.home / f"source/inputs/{day}.parquet")
            demo.labels(day).to_parquet(self.home / f"source/labels/{day}.parquet")

    def seed(self, first: date, last: date) -> dict[str, Any]:
        """Bring days into the registry the quick way: one data version."""
        from ml.steps.ingest import seed

        services = self.services
        return seed.run(first, last, settings=services.settings, services=services)

    def decisions(self, *kinds: str) -> list[dict[str, Any]]:
        """List the payloads of what was decided."""
        return [entry.payload | {"kind": entry.kind} for entry in self.services.tracking.decisions(kinds=kinds)]

    @cached_property
    def dags(self) -> Mapping[str, Any]:
        from airflow.dag_processing.dagbag import DagBag

        dags = DagBag(str(PROJECT / "dags")).dags
        for dag in dags.values():
            dag.params = deepcopy(dag.params)  # a run in this process leaves its answers in the form
        for task in (task for dag in dags.values() for task in dag.tasks):
            task.retry_delay = timedelta(milliseconds=10)  # what fails here shows at once
            task.retry_exponential_backoff = False
        return dags

    def run(
        self,
        verb: str,
        *,
        day: date | None = None,
        conf: dict[str, Any] | None = None,
        again: Ran | None = None,
        user: str | None = None,
        meanwhile: Callable[[str], None] | None = None,
    ) -> Ran:
        """Run one of the model's Dags to its end with ``dag.test()``, for a partition.

        ``again`` is a run that is cleared and run anew. ``user`` is who triggered it; ``meanwhile`` is called
        with the run's id, again and again, while the run waits for a person.

        ``dag.test()`` of Airflow 3.3.2 takes no partition key, so the Dag run itself is created here, as the
        scheduler creates one: with the key and without a logical date.
        """
        from airflow.models import dagrun

        before, dag_id = len(self.postbox.messages), f"{MODEL}.{verb}"
        started = datetime.now(UTC)
        run_id = again.run_id if again else f"test__{started.isoformat()}"

        def create(*, dag: Any, session: Any, run_after: datetime, conf: Any, triggered_by: Any, **_: Any) -> Any:
            if again is not None:
                dag.clear(run_id=again.run_id, dag_run_state=dagrun.DagRunState.RUNNING, session=session)
                found = session.query(dagrun.DagRun).filter_by(dag_id=dag.dag_id, run_id=again.run_id).one()
                session.refresh(found)
                found.dag = dag
                return found
            return dag.create_dagrun(
                run_id=run_id,
                run_after=run_after,
                conf=conf,
                run_type=dagrun.DagRunType.MANUAL,
                state=dagrun.DagRunState.RUNNING,
                triggered_by=triggered_by,
                start_date=run_after,
                partition_key=day.isoformat() if day else None,
                triggering_user_name=user,
                session=session,
            )

        sleep = time.sleep

        def wait(seconds: float) -> None:
            # dag.test() looks once a second whether an answer has come, and Airflow sleeps elsewhere too.
            if sys._getframe(1).f_globals["__name__"] == "airflow.sdk.definitions.dag" and self._wait_reasons(run_id):
                assert meanwhile is not None, f"{dag_id} waits for a person who never comes"
                meanwhile(run_id)
            sleep(min(seconds, 0.2))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(dagrun, "get_or_create_dagrun", create)
            patched.setattr(time, "sleep", wait)
            ended = self.dags[dag_id].test(logical_date=started, run_conf=conf)
        return self._facts(dag_id, ended.run_id, before)

    @cached_property
    def api(self) -> TestClient:
        """Open Airflow's real API as a person who may do everything."""
        from airflow.api_fastapi.app import create_app
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
        from fastapi.testclient import TestClient

        app = create_app(apps="core")
        token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="anna", role="ADMIN"))
        return TestClient(app, base_url="http://airflow.test", headers={"Authorization": f"Bearer {token}"})

    def question(self, run_id: str) -> tuple[str, dict[str, Any]]:
        """Read what a retrain asks, and where an answer goes."""
        where = f"/api/v2/dags/{MODEL}.retrain/dagRuns/{quote(run_id, safe='')}/taskInstances/approve/-1/hitlDetails"
        found = self.api.get(where)
        assert found.status_code == 200, found.text
        return where, found.json()

    def answer(self, run_id: str, option: str, comment: str | None = None) -> None:
        """Answer a retrain's question as the page does."""
        where, asked = self.question(run_id)
        if not asked["response_received"]:
            given = {} if comment is None else {"comment": comment}
            sent = self.api.patch(where, json={"chosen_options": [option], "params_input": given})
            assert sent.status_code == 200, sent.text

    def let_time_pass(self, run_id: str) -> None:
        """Do what the scheduler does every few seconds for questions whose time is over."""
        from airflow.jobs.job import Job
        from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

        del run_id
        SchedulerJobRunner(Job()).check_awaiting_input_timeouts()

    def _wait_reasons(self, run_id: str) -> bool:
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.session import create_session

        with create_session() as session:
            waiting = session.query(TaskInstance).filter_by(run_id=run_id, state="awaiting_input")
            return waiting.count() > 0

    def _facts(self, dag_id: str, run_id: str, mails_before: int) -> Ran:
        from airflow.models.dagrun import DagRun
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.query(DagRun).filter_by(dag_id=dag_id, run_id=run_id).one()
            instances = found.get_task_instances(session=session)
            xcoms = session.query(XComModel).filter_by(dag_id=dag_id, run_id=run_id, key="return_value").all()
            return Ran(
                run_id=run_id,
                state=str(found.state),
                states={instance.task_id: instance.state for instance in instances},
                tries={instance.task_id: instance.try_number for instance in instances},
                records={x.task_id: XComModel.deserialize_value(x) for x in xcoms},
                mails=self.postbox.messages[mails_before:],
            )

    def queued(self, verb: str) -> dict[str, dict[str, Any]]:
        """Give the runs of one of the model's Dags that wait for a scheduler, with what they were asked with."""
        from airflow.models.dagrun import DagRun
        from airflow.utils.session import create_session

        with create_session() as session:
            found = session.query(DagRun).filter_by(dag_id=f"{MODEL}.{verb}", state="queued").all()
            return {run.run_id: run.conf for run in found}

    def events(self) -> list[tuple[str, str | None]]:
        """List asset events: the asset's name, and the partition it speaks of."""
        from airflow.models.asset import AssetEvent
        from airflow.utils.session import create_session

        with create_session() as session:
            events = session.query(AssetEvent).order_by(AssetEvent.id).all()
            return [(event.name, event.partition_key) for event in events]


@contextmanager
def running_world(home: Path) -> Iterator[tuple[World, pytest.MonkeyPatch]]:
    """Yield a world below ``home`` with Airflow's database and a mail server, and the patch of the environment."""
    from airflow.utils.db import initdb
    from evergreen import warm

    warm.import_all(warm.HEAVY_MODULES)  # as the scheduler does; their warnings are upstream's
    initdb()
    world = World(home)
    server = smtp_server(world.postbox)
    server.start()
    try:
        with pytest.MonkeyPatch.context() as environment:
            world.open(environment, server.port)
            yield world, environment
    finally:
        server.stop()
