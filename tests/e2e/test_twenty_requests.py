"""Twenty retrain requests at once, through a real scheduler: one training, and one promotion.

They are asked for while the Dag is paused, so that the scheduler finds all of them waiting at the same moment.
The servers are the embedded stack's own; the history is 45 of 2013's days, so that the outcome is always the same.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from mlflow.tracking import MlflowClient

from embedded.airflow_api import AirflowApi, Run
from embedded.config import DAGS, Stack, dag_id
from embedded.environment import stack_environment
from embedded.prepare import prepare
from embedded.servers import AIRFLOW, STORES, describe_server
from embedded.supervise import Supervisor
from ml import settings
from ml.core.champions.tenures import JUDGED
from ml.errors import EvergreenError, Unavailable
from ml.settings import PROJECT_ROOT, Environment
from ml.wiring import Services
from tests.e2e.test_loop import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
REQUESTS = tuple(f"request-{number:02}" for number in range(1, 21))
HISTORY = ("--from-date", "2013-05-01", "--to-date", "2013-06-14")
FIRST_TASKS = {"pull", "validate", "split", "tune", "fit", "evaluate", "register", "check", "gate", "promote"}


@dataclass(frozen=True)
class Twenty:
    """What came of twenty requests: the Dag runs, their tasks' states by run, and who keeps the facts."""

    runs: tuple[Run, ...]
    tasks: dict[str, dict[str, str]]
    windows: dict[str, Any]
    services: Services

    def did(self, task: str) -> list[str]:
        """List the runs in which a task was not skipped."""
        return [run_id for run_id, states in self.tasks.items() if states[task] != "skipped"]


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An empty home, free ports, and the project's params.yaml on 2013's own days."""
    home = tmp_path_factory.mktemp("twenty")
    params = yaml.safe_load((PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["source"]["replay"] = False
    params["pull"]["min_days"], params["split"]["holdout_days"] = 21, 10
    (home / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    ports = dict(zip(("AIRFLOW", "MLFLOW", "SMTP"), free_ports(3), strict=True))
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "EVERGREEN", "MLFLOW"))},
        **{f"EVERGREEN_{name}_PORT": str(port) for name, port in ports.items()},
        "EVERGREEN_HOME": str(home),
        "EVERGREEN_PARAMS": str(home / "params.yaml"),
        "EVERGREEN_DEVELOPMENT": "1",
    }


@pytest.fixture(scope="module")
def twenty(environ: dict[str, str]) -> Iterator[Twenty]:
    stack = Stack.load(environ)
    prepare(stack)
    env = stack_environment(stack, environ)
    with Supervisor() as supervisor, pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):  # the test asks MLflow itself, too
            patch.setenv(name, env[name])
        for name, arguments in {
            "seed": ("-m", "ml.steps.ingest.seed", *HISTORY),
            "migrate": ("-m", "airflow", "db", "migrate"),
        }.items():
            supervisor.run(
                name, (sys.executable, *arguments), env=env, cwd=stack.project,
                log=stack.logs / f"{name}.log", out=stack.logs / f"{name}.out",
            )  # fmt: skip
        supervisor.wait_until(lambda: {"seed", "migrate"} <= supervisor.exits.keys(), seconds=300, what="the history")
        assert [supervisor.exits[name].code for name in ("seed", "migrate")] == [0, 0], stack.logs
        for name in (*STORES, *AIRFLOW):
            supervisor.start(describe_server(stack, name, environ), cwd=stack.home)
        api = AirflowApi(stack.airflow_url, user="admin", password=stack.password())
        supervisor.wait_until(lambda: is_up(api, stack), seconds=180, what="the start of the servers")
        # Airflow's API writes its log on the event loop, which on SQLite waits for other requests: one by one.
        for run_id in REQUESTS:
            conf = {"reason": f"this is {run_id}", "requested_by": "a test"}
            asked = partial(api.trigger, "flight-delay.retrain", run_id=run_id, conf=conf)
            supervisor.wait_until(partial(answered, asked), seconds=120, what=run_id)
        supervisor.wait_until(
            partial(answered, partial(api.unpause, "flight-delay.retrain")), seconds=120, what="retrain, unpaused"
        )
        supervisor.wait_until(lambda: all_ended(api), seconds=600, what="the end of twenty retrains")
        runs = api.runs("flight-delay.retrain")
        yield Twenty(
            runs=runs,
            tasks={run.run_id: api.tasks(run) for run in runs},
            windows={run.run_id: api.returned(run, "pull") for run in runs},
            services=Services(settings.load(Path(environ["EVERGREEN_PARAMS"])), Environment.load(env)),
        )


def is_up(api: AirflowApi, stack: Stack) -> bool:
    try:
        if not requests.get(stack.mlflow_url + "/health", timeout=5).ok:
            return False
        requests.get(stack.airflow_url + "/execution/health", timeout=180).raise_for_status()
        return "scheduler" in api.health() and {dag_id("flight-delay", verb) for verb in DAGS} <= set(api.dags())
    except (EvergreenError, requests.RequestException):
        return False


def answered(ask: Callable[[], None]) -> bool:
    """Ask Airflow for what changes nothing if it was done before: while its database is locked it answers 500."""
    try:
        ask()
    except Unavailable:
        return False
    return True


def all_ended(api: AirflowApi) -> bool:
    try:
        runs = api.runs("flight-delay.retrain")
    except EvergreenError:
        return False
    return len(runs) == len(REQUESTS) and all(run.finished for run in runs)


def test_every_request_is_answered_and_all_are_green(twenty: Twenty) -> None:
    assert sorted(run.run_id for run in twenty.runs) == list(REQUESTS)
    assert {run.run_id: run.state for run in twenty.runs} == dict.fromkeys(REQUESTS, "success")


def test_there_is_one_training_and_the_others_do_nothing_but_find_that_out(twenty: Twenty) -> None:
    (trained,) = twenty.did("fit")
    states = twenty.tasks[trained]
    assert {states[task] for task in FIRST_TASKS} == {"success"}
    others = [set(states.values()) for run_id, states in twenty.tasks.items() if run_id != trained]
    assert others == [{"skipped"}] * (len(REQUESTS) - 1)

    tracking = twenty.services.tracking
    client = MlflowClient(tracking.uri)
    experiment = client.get_experiment_by_name(tracking.name)
    fingerprint = twenty.windows[trained]["fingerprint"]
    of_this = client.search_runs([experiment.experiment_id], f"tags.`evergreen.fingerprint` = '{fingerprint}'")
    assert [run.info.status for run in of_this] == ["FINISHED"]


def test_there_is_one_decision_and_it_is_what_serves(twenty: Twenty) -> None:
    tracking = twenty.services.tracking
    (decision,) = tracking.decisions(kinds=JUDGED)
    assert decision.kind == "promotion"
    assert decision.payload["requested_because"] == [f"this is {twenty.did('promote')[0]}"]
    assert tracking.alias("champion") == decision.payload["version"]
