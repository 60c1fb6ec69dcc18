"""The embedded stack on a fresh copy of the project, and a real Chromium that is led through Airflow as people go.

The history ends some days before today, so that days with a champion can follow; `EVERGREEN_TOUR_DAYS` gives more of
them, for pictures that show something.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import requests
import yaml

from embedded.airflow_api import AirflowApi, Run
from embedded.config import DAGS, Stack, dag_id
from embedded.environment import stack_environment
from embedded.prepare import prepare
from embedded.servers import AIRFLOW, STORES, describe_server
from embedded.supervise import Supervisor
from ml import settings
from ml.errors import EvergreenError
from ml.settings import PROJECT_ROOT, Environment
from ml.wiring import Services

LOGIN = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
TOUR_DAYS = int(os.environ.get("EVERGREEN_TOUR_DAYS") or 0)
SERVED_DAYS = TOUR_DAYS or 4
"""So many days have a champion: half of them the first, half of them the second."""

HISTORY_DAYS = 90 if TOUR_DAYS else 45


MODEL = "flight-delay"


def dag(verb: str) -> str:
    """Give the id of one of the model's Dags."""
    return f"{MODEL}.{verb}"


@dataclass
class Running:
    """A running stack, with what its settings say now."""

    stack: Stack
    supervisor: Supervisor
    api: AirflowApi
    environ: dict[str, str]

    @property
    def url(self) -> str:
        return self.stack.airflow_url

    @property
    def services(self) -> Services:
        params = self.stack.project / "params.yaml"
        return Services(settings.load(params), Environment.load({**self.environ, "EVERGREEN_PARAMS": str(params)}))

    @property
    def newest_day(self) -> date:
        return settings.load(self.stack.project / "params.yaml").newest_due_day(datetime.now(UTC))

    def command(self, name: str, *arguments: str, seconds: float = 300) -> None:
        """Run a Python module as a part of the stack, and wait for its end."""
        self.supervisor.run(
            name, (sys.executable, *arguments), env=self.environ, cwd=self.stack.project,
            log=self.stack.logs / f"{name}.log", out=self.stack.logs / f"{name}.out",
        )  # fmt: skip
        self.supervisor.wait_until(lambda: name in self.supervisor.exits, seconds=seconds, what=f"the end of {name}")
        ended = self.supervisor.exits[name]
        assert ended.code == 0, (self.stack.logs / f"{name}.log").read_text(encoding="utf-8")[-4000:]

    def wait(self, look: Callable[[], Any], what: str, seconds: float = 240) -> Any:
        """Ask until there is an answer, and notice a server that dies meanwhile."""
        found: list[Any] = []

        def asked() -> bool:
            try:
                found[:] = [look()]
            except (EvergreenError, requests.RequestException):
                return False
            return bool(found[0])

        self.supervisor.wait_until(asked, seconds=seconds, what=what)
        return found[0]

    def ended(self, dag_id: str, run_id: str) -> Run:
        """Wait for the end of a run."""
        return self.wait(
            lambda: next((r for r in self.api.runs(dag_id) if r.run_id == run_id and r.finished), None),
            f"the end of {dag_id} {run_id}",
        )

    def backfilling(self, dag_id: str) -> bool:
        """Say whether a backfill of a Dag is not over."""
        found = self.api._send("GET", "/api/v2/backfills", params={"dag_id": dag_id})
        return any(backfill["completed_at"] is None for backfill in found["backfills"])

    def live(self, first: date, last: date) -> None:
        """Let days come to pass one after the other, so that each brings the labels of the one before.

        Ingested as the README says, then scored and monitored by themselves.
        """
        keys = {(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)}
        # Airflow takes one backfill of a Dag at a time, and looks every half minute whether one is over.
        self.wait(lambda: not self.backfilling(dag("ingest")), "the end of the backfill before", 120)
        self.command(
            f"days-until-{last}", "-m", "airflow", "backfill", "create", "--dag-id", dag("ingest"),
            "--from-date", str(first), "--to-date", str(last + timedelta(days=1)), "--max-active-runs", "1",
        )  # fmt: skip

        def over() -> bool:
            runs = [run for run in self.api.runs(limit=100) if run.partition_key in keys and run.finished]
            return all({run.partition_key for run in runs if run.dag_id == dag_id} == keys for dag_id in DAILY)

        self.wait(over, f"the days {first} to {last}", 120 + 90 * len(keys))


DAILY = tuple(map(dag, ("ingest", "score", "monitor")))


def copy_of_project(folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy what belongs to the project as it lies here, change its settings, and commit all of it."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=PROJECT_ROOT, check=True, capture_output=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (source := PROJECT_ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    set_params(folder, change)
    # Switched on, Ingest would bring today in at once, before the days that come first here.
    later, drawn = datetime.now(UTC) + timedelta(days=2), folder / "plugins" / "evergreen" / "models.py"
    begins = drawn.read_text(encoding="utf-8")
    assert "pendulum.datetime(1970, 1, 1," in begins
    starts_later = begins.replace("pendulum.datetime(1970, 1, 1,", f"pendulum.datetime({later:%Y, %-m, %-d},")
    drawn.write_text(starts_later, encoding="utf-8")
    who = ("-c", "user.name=A test", "-c", "user.email=test@example.com")
    for command in (("init", "--quiet"), ("add", "--all"), (*who, "commit", "--quiet", "-m", "As it is tested")):
        subprocess.run(["git", *command], cwd=folder, check=True, timeout=60)
    return folder


def set_params(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def ask_a_person(params: dict[str, Any]) -> None:
    """Let every winner wait for a person, and any honest challenger win on whatever days the demo shows today.

    For the tour most of the gate stays as it is delivered.
    """
    params["gate"]["approval"] = "required"
    # An alarm here is looked at, and asks for nothing; a refit would have seen all days but the newest few.
    params["retrain"] |= {"cooldown_days": 60, "refit": "never"}
    rules = params["gate"]["rules"]
    del rules["base rate"]
    rules["discrimination"]["at_least"] = 0.5
    if TOUR_DAYS:
        return
    rules["discrimination"]["at_least"] = 0.0
    # In the storms of December the interval of a gain reaches 0.2 to either side, and refreshes lose.
    rules["champion"] = {"kind": "champion", "max_loss": 5.0}
    rules["slices"]["max_loss"] = 5.0
    rules["calibration"] |= {"max_error": 0.5, "max_gap": 0.5}
    rules["package"]["max_ms_per_1000_rows"] = 60_000


def plant(project: Path, day: date, folder: Path) -> None:
    """Point the source at files that hold the demo's day, with every destination under another code."""
    from ml.adapters.sources.demo import DemoSource

    demo = DemoSource(replay=True)
    for asked in (day, day - timedelta(days=1)):
        inputs = demo.inputs(asked)
        inputs["dest"] = inputs["dest"].str[::-1]
        inputs.to_parquet(folder / f"inputs-{asked}.parquet", index=False)
        demo.labels(asked).to_parquet(folder / f"labels-{asked}.parquet", index=False)
    tables = {table: str(folder / f"{table}-{{day}}.parquet") for table in ("inputs", "labels")}
    set_params(project, lambda params: params.update(source={"kind": "files", **tables}))


@contextmanager
def started(folder: Path, ports: Sequence[int], given: Mapping[str, str] | None = None) -> Iterator[Running]:
    """Start the stack with a history and no champion; stop all of it at the end."""
    project = copy_of_project(folder / "evergreen", ask_a_person)
    environ = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "EVERGREEN", "MLFLOW"))},
        **{f"EVERGREEN_{name}_PORT": str(p) for name, p in zip(("AIRFLOW", "MLFLOW", "SMTP"), ports, strict=True)},
        "EVERGREEN_HOME": str(project / "var"),
        **(given or {}),
    }
    stack = replace(Stack.load(environ), project=project)
    prepare(stack)
    env = stack_environment(stack, environ)
    login = {name: value for name, value in env.items() if name in LOGIN}
    with mock.patch.dict(os.environ, login), Supervisor() as supervisor:  # the tests ask MLflow too
        api = AirflowApi(stack.airflow_url, user="admin", password=stack.password())
        running = Running(stack, supervisor, api, env)
        last = running.newest_day - timedelta(days=SERVED_DAYS)
        for name in STORES:
            supervisor.start(describe_server(stack, name, environ), cwd=stack.home)
        running.command("migrate", "-m", "airflow", "db", "migrate")
        for name in AIRFLOW:
            supervisor.start(describe_server(stack, name, environ), cwd=stack.home)
        first = last - timedelta(days=HISTORY_DAYS - 1)
        running.command("seed", "-m", "ml.steps.ingest.seed", "--from-date", str(first), "--to-date", str(last))
        running.wait(lambda: is_up(running), "the start of the servers", 180)
        yield running


def is_up(running: Running) -> bool:
    if not requests.get(running.stack.mlflow_url + "/health", timeout=5).ok:
        return False
    requests.get(running.stack.airflow_url + "/execution/health", timeout=180).raise_for_status()
    awaited = {dag_id("flight-delay", verb) for verb in DAGS}
    return "scheduler" in running.api.health() and awaited <= set(running.api.dags())


def chromium() -> str | None:
    """Find the system's browser: Playwright's own is not downloaded."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
