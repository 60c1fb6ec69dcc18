"""A start waits while there is progress, names the server that is awaited, and offers the variable."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded.servers import Server
from embedded.startup import LONGEST_TIMES, VARIABLE, Startup, start_seconds
from embedded.supervise import Supervisor
from ml.errors import EvergreenError, SettingsError

SLOW = """
import http.server, sys, time
for step in range(8):
    print(f"step {step} of a slow start", flush=True)
    time.sleep(0.5)
print("serving", flush=True)
time.sleep(300)
"""
BUSY = "import sys\nwhile True: sum(range(10_000))"
STUCK = "import time; print('connecting to a database that is not there', flush=True); time.sleep(300)"


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Supervisor]:
    with Supervisor() as supervisor:
        yield supervisor


def _serve(supervisor: Supervisor, folder: Path, name: str, program: str) -> Path:
    log = folder / f"{name}.log"
    supervisor.start(Server(name, (sys.executable, "-c", program), {}, log), cwd=folder)
    return log


def test_a_slow_server_is_awaited_beyond_the_limit_while_its_log_grows(run: Supervisor, tmp_path: Path) -> None:
    log = _serve(run, tmp_path, "slow", SLOW)
    startup, began = Startup(run.essential, run.pids, limit=2.0), time.monotonic()
    while not (log.exists() and b"serving" in log.read_bytes()):
        startup.look(["slow"])
        run.watch(0.1)
    assert time.monotonic() - began > 3.0


def test_a_server_that_works_without_a_word_is_awaited(run: Supervisor, tmp_path: Path) -> None:
    _serve(run, tmp_path, "busy", BUSY)
    startup, began = Startup(run.essential, run.pids, limit=2.0), time.monotonic()
    while time.monotonic() - began < 5.0:
        startup.look(["busy"])
        run.watch(0.2)


def test_a_server_that_is_stuck_is_given_up_by_name(run: Supervisor, tmp_path: Path) -> None:
    _serve(run, tmp_path, "stuck", STUCK)
    startup = Startup(run.essential, run.pids, limit=2.0)
    with pytest.raises(EvergreenError) as caught:
        for _ in range(200):
            startup.look(["stuck"])
            run.watch(0.1)
    said = str(caught.value)
    assert said.startswith("stuck did not come up")
    assert VARIABLE in said
    assert "connecting to a database that is not there" in said
    assert str(tmp_path / "stuck.log") in said


def test_the_user_is_told_who_is_awaited_and_what_it_does(tmp_path: Path) -> None:
    now, log = [0.0], tmp_path / "api-server.log"
    log.write_text("building the task API\n")
    startup = Startup({"api-server": log, "triggerer": log}, {}, limit=180.0, clock=lambda: now[0])
    assert startup.look(["api-server", "triggerer"]) is None
    now[0] = 40.0
    said = startup.look(["api-server", "triggerer"])
    assert said is not None
    assert "waiting for api-server, triggerer (40 s; no progress for 40 s of 180 (EVERGREEN_START_SECONDS))" in said
    assert said.endswith(f"log: {log}") and "building" not in said, "a line of a log says nothing to a newcomer"
    assert startup.look(["triggerer"]) is None
    now[0] = 60.0
    assert "waiting for triggerer (60 s; no progress for 20 s" in (startup.look(["triggerer"]) or "")


def test_progress_without_end_is_given_up_too(tmp_path: Path) -> None:
    now, log = [0.0], tmp_path / "mlflow.log"
    startup = Startup({"mlflow": log}, {}, limit=10.0, clock=lambda: now[0])
    with pytest.raises(EvergreenError, match="mlflow did not come up: it is at work, but"):
        while now[0] < 1000:
            now[0] += 5.0
            log.write_text("again\n" * int(now[0]))
            startup.look(["mlflow"])
    assert now[0] == pytest.approx(10.0 * LONGEST_TIMES, abs=6)


def test_the_limit_is_the_variables() -> None:
    assert start_seconds({}) == 180
    assert start_seconds({VARIABLE: "600"}) == 600
    for wrong in ("soon", "-1", "0", "nan", "inf"):
        with pytest.raises(SettingsError, match=VARIABLE):
            start_seconds({VARIABLE: wrong})
