"""Several workers behind one port: one answer of all, one log of all, and one that dies takes no other with it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ml.adapters import layout
from ml.serving import request_log, server
from ml.settings import PROJECT_ROOT
from tests.dags.postbox import free_port
from tests.steps.conftest import LAST_DAY, World
from tests.steps.test_serving import as_records

TOKEN = {"Authorization": "Bearer of-a-test"}
WORKERS = 2


@dataclass(frozen=True)
class Running:
    """A service of several workers."""

    process: subprocess.Popen[bytes]
    url: str
    path: str

    def workers(self) -> list[psutil.Process]:
        workers = []
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                if any("spawn_main" in part for part in child.cmdline()):
                    workers.append(child)
        return workers

    def ask(self, rows: list[dict[str, Any]]) -> int | None:
        """Ask over a connection of its own; return the status, and None if there was no answer."""
        try:
            return requests.post(self.url + self.path, json={"rows": rows}, headers=TOKEN, timeout=60).status_code
        except requests.ConnectionError:
            return None

    def metric(self, name: str) -> float:
        text = requests.get(f"{self.url}/metrics", timeout=60).text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


@contextmanager
def service(world: World, log: Path) -> Iterator[Running]:
    port = free_port()
    environ = {**os.environ, **world.environ, "EVERGREEN_SERVING_TOKEN": "of-a-test"}
    environ["EVERGREEN_SERVING_WORKERS"] = str(WORKERS)
    command = [sys.executable, "-m", "ml.cli", "serve", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environ, cwd=PROJECT_ROOT, stdout=out, stderr=out, start_new_session=True
        )
    running = Running(process, f"http://127.0.0.1:{port}", f"/v1/models/{world.settings.task.name}:predict")
    try:
        until(lambda: _is_ready(running, log))
        yield running
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_ready(running: Running, log: Path) -> bool:
    assert running.process.poll() is None, log.read_text()
    try:
        return requests.get(f"{running.url}/ready", timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


def until(condition: Any) -> None:
    """Wait until something holds."""
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to pass")


@pytest.mark.timeout(600)
def test_workers_answer_as_the_batch_does_and_stop_with_every_row_in_the_log(trained: World, tmp_path: Path) -> None:
    import pandas as pd

    world = trained.having(serving={"log_seconds": 3600})
    world.score(LAST_DAY)
    batch = pd.read_parquet(
        world.home / "storage" / layout.scoring.predictions(LAST_DAY) / layout.scoring.version_table(1)
    )["prediction"].tolist()
    rows = as_records(world.held("inputs", LAST_DAY))
    with service(world, tmp_path / "log") as running:
        assert len(running.workers()) == WORKERS

        def asked(number: int) -> float:
            answer = requests.post(running.url + running.path, json={"rows": [rows[number]]}, headers=TOKEN, timeout=60)
            assert answer.status_code == 200, answer.text
            probability: float = answer.json()["predictions"][0]["probability"]
            return probability

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(asked, range(40))) == batch[:40]
        assert running.metric("evergreen_serving_requests_total") == 40
        assert running.metric("evergreen_serving_workers") == WORKERS
        until(lambda: running.metric("evergreen_serving_model_version") == 1)  # of the worker that was ready last
        assert running.metric("process_resident_memory_bytes") > 2e8
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)
    assert len(request_log.read(world.services, LAST_DAY)) == 40


@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_is_replaced_and_the_others_answer_meanwhile(trained: World, tmp_path: Path) -> None:
    row = as_records(trained.held("inputs", LAST_DAY).head(1))
    with service(trained, tmp_path / "log") as running:
        before = running.workers()
        statuses = [running.ask(row) for _ in range(5)]
        before[0].kill()
        while not {*running.workers()} - {*before} or running.metric("evergreen_serving_workers") < WORKERS:
            statuses.append(running.ask(row))
        statuses += [running.ask(row) for _ in range(20)]
        assert set(statuses) <= {200, None}, "no request meets a worker that has no champion yet"
        assert statuses.count(None) <= 1 and statuses.count(200) >= 20
        assert running.metric("evergreen_serving_ready") == 1, "a dead worker is no longer counted"


@pytest.mark.timeout(600)
def test_workers_stop_when_the_process_that_started_them_is_killed(trained: World, tmp_path: Path) -> None:
    row = as_records(trained.held("inputs", LAST_DAY).head(1))
    world = trained.having(serving={"log_seconds": 3600})
    with service(world, tmp_path / "log") as running:
        workers = running.workers()
        assert running.ask(row) == 200
        running.process.kill()
        psutil.wait_procs(workers, timeout=60)
        assert not any(worker.is_running() and worker.status() != "zombie" for worker in workers)
    assert len(request_log.read(world.services, LAST_DAY)) == 1, "what waited was written"


@pytest.mark.parametrize("text", ["0", "-1", "two", "65", "1.5"])
def test_what_is_no_number_of_workers_is_refused(text: str) -> None:
    from ml.errors import SettingsError

    with pytest.raises(SettingsError, match=re.escape(text)):
        server.workers_of({"EVERGREEN_SERVING_WORKERS": text})
    assert server.workers_of({}) == server.workers_of({"EVERGREEN_SERVING_WORKERS": ""}) == 1
