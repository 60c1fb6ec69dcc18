"""The full stack as containers: one whole loop, then parts of it are killed and restarted, lost and brought back.

Needs Docker with compose, and half an hour; not a part of ``make test`` or ``make e2e``::

    make compose-test

Where images cannot be pulled, tests/deploy/standin/build.sh makes stand-ins first, and ``COMPOSE_FILE`` names their
override.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from deploy import compose, env
from embedded.airflow_api import AirflowApi, Refused, Run
from ml.adapters.tracking import Tracking
from ml.core.champions.tenures import JUDGED
from ml.errors import EvergreenError
from tests.e2e.test_loop import free_ports

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.compose, pytest.mark.timeout(3600)]
TOGETHER = (
    ("redis", "postgres", "s3"),
    ("airflow-scheduler", "airflow-apiserver", "mlflow"),
    ("airflow-worker", "airflow-dag-processor", "airflow-triggerer", "mailpit"),
)
"""Services that are restarted one after the other while one training runs, each when it has reached a task of `AT`."""
AT = ("tune", "evaluate", "check", "refit")
READ_OBJECTS = """
import hashlib, json, sys
from ml.wiring import open_services
storage = open_services().storage
names = storage.list(sys.argv[1])
json.dump({name: hashlib.sha256(storage.get_bytes(name)).hexdigest() for name in names}, sys.stdout)
"""


@dataclass
class FullStack:
    """One installation of the full stack, with names, ports and volumes of its own."""

    folder: Path
    environ: dict[str, str]
    window: int = 70
    outputs: list[str] = field(default_factory=list)

    def make(self, *arguments: str) -> str:
        """Call make as a person would; what it said, if it ended well."""
        done = subprocess.run(
            ["make", *arguments], cwd=self.folder, env=self.environ, text=True, timeout=2400, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        sys.stdout.write(done.stdout)
        assert done.returncode == 0, f"make {' '.join(arguments)}:\n{done.stdout[-6000:]}"
        return done.stdout

    def compose(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self.command, *arguments], cwd=self.folder, env=self.environ, text=True, timeout=900, check=False,
            capture_output=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def command(self) -> list[str]:
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        return ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.environ[f'EVERGREEN_{name}_PORT']}"

    def api(self, user: str = "admin") -> AirflowApi:
        password = env.read(self.folder / ".env")[f"EVERGREEN_{user.upper()}_PASSWORD"]
        return AirflowApi(self.url("AIRFLOW"), user=user, password=password)

    @property
    def tracking(self) -> Tracking:
        password = env.read(self.folder / ".env")["EVERGREEN_MLFLOW_PASSWORD"]
        os.environ.update(MLFLOW_TRACKING_USERNAME="admin", MLFLOW_TRACKING_PASSWORD=password)
        return Tracking(self.url("MLFLOW"), "flight-delay")

    def objects(self, prefix: str) -> dict[str, str]:
        """Give the SHA-256 of every object under a prefix of the storage."""
        output = self.compose("exec", "-T", "airflow-triggerer", "python", "-c", READ_OBJECTS, prefix)
        found: dict[str, str] = json.loads(output.strip().splitlines()[-1])
        return found

    def predictions(self) -> dict[str, str]:
        """Give what is served, without the sidecars, which say when and where."""
        return {name: sha for name, sha in self.objects("predictions/").items() if name.endswith(".parquet")}

    def three_workers(self) -> None:
        """Have three workers, those that were killed among them."""
        self.compose("up", "--detach", "--no-deps", "--no-recreate", "--scale", "airflow-worker=3", "airflow-worker")
        self.wait_healthy()

    def wait_healthy(self) -> None:
        wait_for(lambda: None if self.unhealthy() else True, "every service to be healthy", 600)

    def unhealthy(self) -> list[str]:
        ids = self.compose("ps", "-q").split()
        containers = json.loads(subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout)
        services = [one for one in containers if one["Config"]["Labels"]["com.docker.compose.service"] != compose.BUILT]
        return [one["Name"] for one in services if one["State"].get("Health", {}).get("Status") != "healthy"]

    def request(self, reason: str) -> Run:
        """Ask for a training that none was before: each has a window of its own."""
        self.window -= 1
        run_id = f"test-{self.window}"
        conf = {"reason": reason, "requested_by": "a test", "days": self.window}
        patiently(
            lambda: self.api().trigger("flight-delay.retrain", run_id=run_id, conf=conf), "the trigger of a training"
        )
        return Run("flight-delay.retrain", run_id, "queued")

    def state(self, run: Run) -> Run | None:
        return next((one for one in self.api().runs(run.dag_id) if one.run_id == run.run_id), None)

    def wait_task(self, run: Run, task: str, seconds: float = 600) -> dict[str, Any]:
        """Wait until a task of a run runs, and give it."""

        def running() -> dict[str, Any] | None:
            found = self.instances(run, task)
            return next((one for one in found if one["state"] == "running" and one["hostname"]), None)

        return wait_for(running, f"{run.dag_id}.{task} to run", seconds, every=0.1)

    def wait_reached(self, run: Run, task: str) -> None:
        """Wait until a task of a run has begun."""
        wait_for(
            lambda: next((one for one in self.instances(run, task) if one["start_date"]), None),
            f"{run.dag_id}.{task} to begin", 600, every=0.3,
        )  # fmt: skip

    def instances(self, run: Run, task: str) -> list[dict[str, Any]]:
        api = self.api()
        api.dags()
        answer = api._session.get(
            f"{api.url}/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances", params={"limit": 100}, timeout=30
        )
        answer.raise_for_status()
        return [one for one in answer.json()["task_instances"] if one["task_id"] == task]

    def wait_end(self, run: Run, seconds: float = 1200) -> Run:
        """Wait until a run has ended, and give it."""

        def ended() -> Run | None:
            found = self.state(run)
            return found if found is not None and found.finished else None

        return wait_for(ended, f"the end of {run.dag_id} {run.run_id}", seconds)

    def judged(self, run: Run) -> list[str]:
        """List the kinds of the decisions that this training came to."""
        fingerprint = patiently(lambda: self.api().returned(run, "pull"), "what pull returned")
        assert isinstance(fingerprint, dict)
        return [entry.kind for entry in self.tracking.decisions(kinds=JUDGED, fingerprint=fingerprint["fingerprint"])]

    def clear(self, run: Run) -> None:
        """Let a run do all its work again."""
        api = self.api()
        api.dags()
        body = {"dag_run_id": run.run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        answer = api._session.post(f"{api.url}/api/v2/dags/{run.dag_id}/clearTaskInstances", json=body, timeout=60)
        answer.raise_for_status()
        wait_for(
            lambda: None if (state := self.state(run)) is None or state.finished else state, "the run to be cleared"
        )


def wait_for(look: Callable[[], T | None], what: str, seconds: float = 240, every: float = 1.0) -> T:
    """Look until there is something to see; a server that does not answer is asked again."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if (found := look()) is not None:
                return found
        except (EvergreenError, requests.RequestException):
            pass
        time.sleep(every)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


def patiently(do: Callable[[], T], what: str) -> T:
    """Do something as soon as the servers answer."""
    return wait_for(lambda: (do(),), what)[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FullStack]:
    """Clone what is committed, draw keys, start everything, close one loop; at the end remove all of it."""
    if shutil.which("docker") is None:
        pytest.skip("Docker is not installed")
    folder = tmp_path_factory.mktemp("compose") / f"evergreen-test-{uuid.uuid4().hex[:6]}"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True, timeout=120)
    ports = dict(zip(("AIRFLOW", "MLFLOW", "MAIL", "SERVING"), free_ports(4), strict=True))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "EVERGREEN", "MLFLOW", "COMPOSE_PROJ"))}
    environ = {
        **kept,
        **{f"EVERGREEN_{name}_PORT": str(port) for name, port in ports.items()},
        "EVERGREEN_IMAGE": os.environ.get("EVERGREEN_IMAGE", "evergreen:test"),
    }
    made = FullStack(folder, environ)
    try:
        made.make("compose-env")
        made.outputs.append(made.make("compose-up"))
        made.outputs.append(made.make("compose-demo"))
        yield made
    finally:
        subprocess.run(
            [*made.command, "logs", "--no-color", "--tail", "200"], cwd=folder, env=environ, check=False, timeout=300
        )
        subprocess.run(
            [*made.command, "down", "--volumes", "--remove-orphans"], cwd=folder, env=environ, check=False, timeout=300
        )


def test_one_whole_loop_closes(stack: FullStack) -> None:
    assert "the loop is whole" in stack.outputs[-1]
    assert stack.unhealthy() == []
    assert stack.tracking.alias("champion") == 2  # the refit of the first version that was judged
    assert len(stack.predictions()) == 1


def test_only_pages_are_published_and_on_this_machine_only(stack: FullStack) -> None:
    ids = stack.compose("ps", "-q").split()
    containers = json.loads(subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout)
    published = {
        (one["Config"]["Labels"]["com.docker.compose.service"], inside, host["HostIp"])
        for one in containers
        for inside, hosts in (one["NetworkSettings"]["Ports"] or {}).items()
        for host in hosts or ()
    }
    assert published == {
        ("airflow-apiserver", "8080/tcp", "127.0.0.1"),
        ("mlflow", "5000/tcp", "127.0.0.1"),
        ("mailpit", "8025/tcp", "127.0.0.1"),
        ("serving", "8088/tcp", "127.0.0.1"),
    }


def test_the_first_start_again_changes_nothing(stack: FullStack) -> None:
    before = stack.objects("")
    stack.compose("run", "--rm", "init")
    assert stack.objects("") == before


def test_a_plain_up_makes_no_container_anew(stack: FullStack) -> None:
    before = set(stack.compose("ps", "-q").split())
    stack.compose("up", "--detach", "--no-build")
    assert set(stack.compose("ps", "-q").split()) == before
    stack.wait_healthy()


def test_what_a_task_wrote_can_be_read_in_the_web_ui(stack: FullStack) -> None:
    (run,) = [one for one in stack.api().runs("flight-delay.score") if one.state == "success"]
    api = stack.api()
    api.dags()
    path = f"/api/v2/dags/flight-delay.score/dagRuns/{run.run_id}/taskInstances/publish/logs/1"
    answer = api._session.get(api.url + path, params={"full_content": "true"}, timeout=60)
    answer.raise_for_status()
    assert "publish" in answer.text
    assert "Could not read" not in answer.text


def test_a_viewer_looks_and_an_operator_may_trigger(stack: FullStack) -> None:
    conf = {"reason": "a test of who may", "to_version": stack.tracking.alias("champion")}
    viewer, operator = stack.api("viewer"), stack.api("operator")
    assert "flight-delay.retrain" in viewer.dags()
    with pytest.raises(Refused, match="403"):
        viewer.trigger("flight-delay.rollback", run_id="by-viewer", conf=conf)
    operator.trigger("flight-delay.rollback", run_id="by-operator", conf=conf)
    assert stack.wait_end(Run("flight-delay.rollback", "by-operator", "queued")).state == "success"


def test_three_workers_take_turns(stack: FullStack) -> None:
    stack.three_workers()
    run = stack.request("three workers")
    assert stack.wait_end(run).state == "success"
    assert len(stack.judged(run)) == 1


@contextmanager
def slow_workers(stack: FullStack) -> Iterator[None]:
    """Leave workers little to run on: tasks take less than a second, and are to be met in their middle."""
    workers = stack.compose("ps", "-q", "airflow-worker").split()
    subprocess.run(["docker", "update", "--cpus", "0.2", *workers], check=True, capture_output=True)
    try:
        yield
    finally:
        back = ["docker", "update", "--cpus", str(os.cpu_count()), *workers]
        subprocess.run(back, check=False, capture_output=True)


def kill_worker(hostname: str) -> None:
    subprocess.run(["docker", "kill", hostname], check=True, capture_output=True)


def test_a_worker_killed_in_the_middle_of_a_training_costs_time_only(stack: FullStack) -> None:
    run = stack.request("a worker dies while it fits")
    stack.wait_reached(run, "tune")
    with slow_workers(stack):
        task = stack.wait_task(run, "fit")
        kill_worker(task["hostname"])
    killed = time.monotonic()
    assert stack.wait_end(run).state == "success"
    sys.stdout.write(f"a training went on {time.monotonic() - killed:.0f} s after its worker was killed\n")
    (again,) = stack.instances(run, "fit")
    assert again["try_number"] == 2
    assert again["hostname"] != task["hostname"]
    assert len(stack.judged(run)) == 1
    stack.three_workers()


def test_a_worker_killed_in_the_middle_of_a_scoring_leaves_the_same_bytes(stack: FullStack) -> None:
    before = stack.predictions()
    (run,) = [one for one in stack.api().runs("flight-delay.score") if one.state == "success"]
    tries = max(one["try_number"] for one in stack.instances(run, "predict"))
    with slow_workers(stack):
        stack.clear(run)
        task = stack.wait_task(run, "predict")
        kill_worker(task["hostname"])
    assert stack.wait_end(run).state == "success"
    # One for being cleared, one for being killed.
    assert max(one["try_number"] for one in stack.instances(run, "predict")) == tries + 2
    assert stack.predictions() == before
    stack.three_workers()


@pytest.mark.parametrize("services", TOGETHER, ids=" ".join)
def test_services_restarted_in_the_middle_of_a_training_lose_nothing(
    stack: FullStack, services: tuple[str, ...]
) -> None:
    run = stack.request(f"restarted meanwhile: {', '.join(services)}")
    for service, task in zip(services, AT, strict=False):
        stack.wait_reached(run, task)
        stack.compose("restart", "--timeout", "30", service)
        sys.stdout.write(f"{service} restarted at {task}\n")
    ended = stack.wait_end(run)
    tries = {task: max(one["try_number"] for one in stack.instances(run, task)) for task in AT}
    sys.stdout.write(f"a training of {ended.seconds:.0f} s, tries {tries}\n")
    assert ended.state == "success"
    assert len(stack.judged(run)) == 1
    stack.wait_healthy()


def test_a_scoring_after_all_that_gives_the_same_bytes(stack: FullStack) -> None:
    before = stack.predictions()
    (run,) = [one for one in stack.api().runs("flight-delay.score") if one.state == "success"]
    stack.clear(run)
    assert stack.wait_end(run).state == "success"
    assert stack.predictions() == before


def test_everything_stopped_and_started_again_goes_on(stack: FullStack) -> None:
    run = stack.request("everything is stopped meanwhile")
    stack.wait_reached(run, "tune")
    stack.compose("stop", "--timeout", "30")
    stack.compose("start")
    assert stack.wait_end(run).state == "success"
    assert len(stack.judged(run)) == 1
    stack.wait_healthy()


def test_a_backup_brings_everything_back_onto_empty_volumes(stack: FullStack, tmp_path: Path) -> None:
    stack.wait_healthy()
    before, champion = stack.objects(""), stack.tracking.alias("champion")
    history = [(entry.decision_id, entry.kind, entry.fingerprint) for entry in stack.tracking.decisions()]
    runs = sorted((one.dag_id, one.run_id, one.state) for one in stack.api().runs(limit=100))
    assert champion is not None
    assert history
    stack.make("compose-backup", f"TO={tmp_path / 'saved'}")
    stack.compose("down", "--volumes")
    stack.make("compose-restore", f"FROM={tmp_path / 'saved'}")
    assert stack.tracking.alias("champion") == champion
    assert [(entry.decision_id, entry.kind, entry.fingerprint) for entry in stack.tracking.decisions()] == history
    assert sorted((one.dag_id, one.run_id, one.state) for one in stack.api().runs(limit=100)) == runs
    after = stack.objects("")
    assert {name: after.get(name) for name in before} == before
    run = stack.request("after a restore")
    assert stack.wait_end(run).state == "success"
    assert len(stack.judged(run)) == 1
