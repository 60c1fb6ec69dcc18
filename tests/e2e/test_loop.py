"""The README's commands, from a fresh clone in an empty folder with an empty HOME."""

from __future__ import annotations

import email
import email.policy
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from typing import TypeVar

import pandas as pd
import psutil
import pytest
import requests
import yaml

T = TypeVar("T")
PROJECT = Path(__file__).resolve().parents[2]
CHANCE = random.SystemRandom()
"""Stacks start at the same time in several processes, whose other random numbers may be the same."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clone what is committed; the tests below go through its life in order."""
    folder = tmp_path_factory.mktemp("fresh") / "evergreen"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keep what reaches the package registry; HOME is empty, the ports are free ones."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "EVERGREEN", "MLFLOW", "VIRTUAL_ENV"))}
    path = [part for part in kept["PATH"].split(os.pathsep) if not part.startswith(str(PROJECT))]
    ports = dict(zip(("AIRFLOW", "MLFLOW", "SMTP"), free_ports(3), strict=True))
    return {
        **kept,
        "PATH": os.pathsep.join(path),
        "HOME": str(tmp_path_factory.mktemp("home")),
        # Saves the download of what the tests themselves run on; a newcomer's first run fetches it.
        "UV_CACHE_DIR": kept.get("UV_CACHE_DIR") or str(PROJECT / ".venv" / "uv-cache"),
        **{f"EVERGREEN_{name}_PORT": str(port) for name, port in ports.items()},
    }


def free_ports(number: int) -> list[int]:
    """Find ports below those that the kernel hands out by itself: another stack's connections take none meanwhile."""
    ports: list[int] = []
    with ExitStack() as held:
        while len(ports) < number:
            port = CHANCE.randrange(22_000, 32_000)
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
    return ports


def run(clone: Path, environment: dict[str, str], *command: str, timeout: float = 900) -> str:
    done = subprocess.run(
        command, cwd=clone, env=environment, timeout=timeout, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}"
    return done.stdout


def processes_in(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in part for part in process.cmdline()):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def wait_for(look: Callable[[], T | None], what: str, seconds: float = 240) -> T:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if (found := look()) is not None:
            return found
        time.sleep(1)
    pytest.fail(f"waited {seconds:.0f} s for {what}")


def test_make_demo_closes_one_whole_loop_and_leaves_nothing_running(clone: Path, environment: dict[str, str]) -> None:
    said = run(clone, environment, "make", "demo")
    assert "the loop is whole" in said
    (predictions,) = clone.glob("var/storage/predictions/day=*/version=2.parquet")
    day = predictions.parent.name.removeprefix("day=")
    scored = pd.read_parquet(predictions)
    assert len(scored) > 500
    assert set(scored["day"]) == {day}
    assert scored["prediction"].between(0, 1).all()
    assert json.loads(predictions.with_suffix(".json").read_text())["rows"] == len(scored)
    assert list(clone.glob(f"var/storage/monitor/day={day}/version=2/drift.html"))
    assert processes_in(clone) == []
    assert subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, check=True).stdout == b""


def test_dvc_repro_trains_the_same_and_then_has_nothing_to_do(clone: Path, environment: dict[str, str]) -> None:
    environment = environment | {"PATH": f"{clone}/.venv/bin{os.pathsep}{environment['PATH']}"}
    assert "Running stage 'gate'" in run(clone, environment, "make", "repro")
    again = run(clone, environment, "dvc", "repro")
    assert "Data and pipelines are up to date." in again
    assert "Running stage" not in again
    assert "log_loss" in run(clone, environment, "dvc", "metrics", "show")
    run(clone, environment, "dvc", "plots", "show", "--out", "var/plots")
    page = (clone / "var/plots/index.html").read_text()
    assert all(title in page for title in ("ROC", "Precision and recall", "Calibration", "Loss by day"))
    for name, value in (("user.name", "A newcomer"), ("user.email", "newcomer@example.com")):
        run(clone, environment, "git", "config", name, value)  # experiments are commits
    tried = run(clone, environment, "dvc", "exp", "run", "-S", "fit.args.C=0.5")
    assert "Running stage 'fit'" in tried
    assert "Running stage 'split'" not in tried


@pytest.fixture
def stack(clone: Path, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Start ``make up`` where the demo ended, and interrupt it at the end."""
    run(clone, environment, "git", "checkout", "params.yaml")
    log = clone / "var" / "up.log"
    with log.open("w") as out:
        launched = subprocess.Popen(
            ["make", "up"], cwd=clone, env=environment, stdout=out, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(lambda: True if "one whole loop in" in log.read_text() else launched.poll(), "make up", 300)
            assert launched.poll() is None, log.read_text()
            yield launched, log
        finally:
            if launched.poll() is None:
                os.killpg(launched.pid, signal.SIGTERM)
                launched.wait(60)
            sys.stdout.write(log.read_text())


def test_a_drifted_day_mails_an_alarm_and_asks_for_a_retrain(
    clone: Path, environment: dict[str, str], stack: tuple[subprocess.Popen[str], Path], tmp_path: Path
) -> None:
    """The source takes to other destination codes: a correction, drift, one mail, one retrain."""
    launched, log = stack
    assert "training a first champion" not in log.read_text(), "a second start goes on where the first ended"
    day = max(path.name for path in (clone / "var/storage/predictions").glob("day=*")).removeprefix("day=")
    plant(clone, date.fromisoformat(day), tmp_path)
    airflow = Airflow(f"http://127.0.0.1:{environment['EVERGREEN_AIRFLOW_PORT']}", clone)
    airflow.clear("flight-delay.ingest", day)

    mail = wait_for(lambda: next(iter(mails(clone, f"Drift since {day}")), None), "the alarm's mail")
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert "dest" in text
    assert "dest" in html
    assert "/dags/flight-delay.monitor/runs/" in html
    asked = wait_for(
        lambda: airflow.finished("flight-delay.retrain", f"monitor__{day}"), "the retrain that drift asked for"
    )
    assert asked == "success"
    assert len(mails(clone, "Drift since")) == 1
    artefacts = PROJECT / "build" / "mails"
    artefacts.mkdir(parents=True, exist_ok=True)
    (artefacts / "e2e-drift.html").write_text(html)

    os.killpg(launched.pid, signal.SIGINT)
    assert launched.wait(60) in {0, -signal.SIGINT}  # the terminal interrupts make as well
    assert "stopped; nothing is left running" in log.read_text()
    wait_for(lambda: True if processes_in(clone) == [] else None, "every process to end", 30)


def plant(clone: Path, day: date, folder: Path) -> None:
    """Point the source at files that hold the demo's day, with every destination under another code."""
    from ml.adapters.sources.demo import DemoSource

    demo = DemoSource(replay=True)
    for asked in (day, date.fromordinal(day.toordinal() - 1)):
        inputs = demo.inputs(asked)
        inputs["dest"] = inputs["dest"].str[::-1]
        inputs.to_parquet(folder / f"inputs-{asked}.parquet", index=False)
        demo.labels(asked).to_parquet(folder / f"labels-{asked}.parquet", index=False)
    params = yaml.safe_load((clone / "params.yaml").read_text())
    params["source"] = {"kind": "files", **{t: str(folder / f"{t}-{{day}}.parquet") for t in ("inputs", "labels")}}
    params["retrain"]["cooldown_days"] = 0
    (clone / "params.yaml").write_text(yaml.safe_dump(params))


def mails(clone: Path, subject: str) -> list[EmailMessage]:
    found = []
    for path in sorted((clone / "var" / "mail" / "new").glob("*")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        if subject in str(message["Subject"]):
            found.append(message)
    return found


class Airflow:
    """The little of Airflow's REST API that a person would click."""

    def __init__(self, url: str, clone: Path) -> None:
        password = json.loads((clone / "var/airflow/passwords.json").read_text())["admin"]
        self.session = requests.Session()
        self.session.trust_env = False
        answer = self.session.post(f"{url}/auth/token", json={"username": "admin", "password": password}, timeout=30)
        answer.raise_for_status()
        self.session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.url = f"{url}/api/v2/dags"

    def runs(self, dag_id: str) -> list[dict[str, str]]:
        answer = self.session.get(f"{self.url}/{dag_id}/dagRuns", params={"limit": 100}, timeout=30)
        answer.raise_for_status()
        runs: list[dict[str, str]] = answer.json()["dag_runs"]
        return runs

    def clear(self, dag_id: str, day: str) -> None:
        (run_id,) = [found["dag_run_id"] for found in self.runs(dag_id) if found["partition_key"] == day]
        body = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        self.session.post(f"{self.url}/{dag_id}/clearTaskInstances", json=body, timeout=30).raise_for_status()

    def finished(self, dag_id: str, run_id: str) -> str | None:
        states = [found["state"] for found in self.runs(dag_id) if found["dag_run_id"] == run_id]
        return states[0] if states and states[0] in {"success", "failed"} else None
