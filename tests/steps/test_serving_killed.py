"""A service that is killed under load: what was answered and is not in the request log is the newest, and little."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from ml.adapters import layout
from ml.serving import metrics, request_log
from ml.settings import PROJECT_ROOT
from tests.dags.postbox import free_port
from tests.steps.conftest import LAST_DAY, World
from tests.steps.test_serving import Asked, a_row

LOG_ROWS, CLIENTS = 60, 4
TOKEN = {"Authorization": "Bearer of-a-test"}


class Load:
    """Clients that ask one row after another, and keep what was answered, each in its order."""

    def __init__(self, url: str, row: dict[str, Any]) -> None:
        self.url, self.row = url, row
        self.answered: list[list[str]] = [[] for _ in range(CLIENTS)]
        self._threads = [threading.Thread(target=self._ask, args=(ids,), daemon=True) for ids in self.answered]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)

    @property
    def count(self) -> int:
        return sum(map(len, self.answered))

    def _ask(self, ids: list[str]) -> None:
        with requests.Session() as session:
            while True:
                try:
                    answer = session.post(self.url, json={"rows": [self.row]}, headers=TOKEN, timeout=60)
                except requests.ConnectionError:  # it was killed
                    return
                assert answer.status_code == 200, answer.text
                ids.append(answer.json()["request"])


@contextmanager
def service(world: World, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Run ``evergreen serve`` as a process of its own until it is killed; give it, and its address."""
    port = free_port()
    environ = {**os.environ, **world.environ, "EVERGREEN_SERVING_TOKEN": "of-a-test"}
    command = [sys.executable, "-m", "ml.cli", "serve", "--port", str(port)]
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environ, cwd=PROJECT_ROOT, stdout=out, stderr=out)
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            assert process.poll() is None, log.read_text()
            try:
                if requests.get(f"{url}/ready", timeout=60).status_code == 200:
                    break
            except requests.ConnectionError:
                pass
            time.sleep(0.1)
        yield process, f"{url}/v1/models/{world.settings.task.name}:predict"
    finally:
        process.kill()
        process.wait()


def killed_under_load(world: World, log: Path, *, requests_before: int) -> list[list[str]]:
    """Ask until so many requests were answered, kill the service amid the next ones, and return what was answered."""
    with service(world, log) as (process, url), Load(url, a_row(world)) as load:
        while load.count < requests_before:
            assert process.poll() is None, log.read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
    return load.answered


def logged(world: World) -> set[str]:
    frame = request_log.read(world.services, LAST_DAY)
    return set(frame["request"]) if len(frame) else set()


@pytest.mark.timeout(600)
def test_of_a_service_that_is_killed_only_the_newest_answers_are_not_in_the_log(trained: World, tmp_path: Path) -> None:
    world = trained.having(serving={"log_rows": LOG_ROWS, "log_seconds": 3600, "timeout_seconds": 300})
    answered = killed_under_load(world, tmp_path / "log", requests_before=12 * LOG_ROWS)
    held = logged(world)
    for ids in answered:
        states = [request in held for request in ids]
        assert states == sorted(states, reverse=True), "an older answer is lost, and a newer one is not"
    lost = sum(request not in held for ids in answered for request in ids)
    assert lost <= 5 * LOG_ROWS, "more than one flush, and what came while it was written"
    unanswered = held.difference(*answered)
    assert len(unanswered) <= CLIENTS, "what is in the log was answered, or was on its way when it was killed"


@pytest.mark.timeout(600)
def test_a_service_that_is_killed_while_the_storage_is_down_loses_no_more(trained: World, tmp_path: Path) -> None:
    world = trained.having(serving={"log_rows": LOG_ROWS, "log_seconds": 3600, "timeout_seconds": 300})
    (world.home / "storage" / "requests").write_text("in the way: nothing can be written below it")
    answered = killed_under_load(world, tmp_path / "log", requests_before=12 * LOG_ROWS)
    assert list((world.home / "serving" / "unsent").glob("*.parquet")), "parts wait on this machine"
    (world.home / "storage" / "requests").unlink()
    Asked(world).model.log.flush()  # as the next process does
    lost = sum(request not in logged(world) for ids in answered for request in ids)
    assert lost <= 5 * LOG_ROWS
    assert list((world.home / "serving" / "unsent").glob("*.parquet")) == []


def test_where_neither_storage_nor_disk_takes_a_part_answers_go_on_and_the_loss_is_counted(trained: World) -> None:
    service = Asked(trained)
    (trained.home / "storage" / "requests").write_text("in the way")
    (trained.home / "serving").mkdir(exist_ok=True)
    (trained.home / "serving" / "unsent").write_text("in the way")
    dropped = metrics.LOG_DROPPED.labels(service.model.name)
    before = dropped._value.get()
    for expected in (1, 2):
        service.predict([a_row(trained)])
        service.model.log.flush()
        assert dropped._value.get() - before == expected
    for name in ("storage/requests", "serving/unsent"):
        (trained.home / name).unlink()
    service.predict([a_row(trained)])
    service.model.log.flush()
    assert len(request_log.read(trained.services, LAST_DAY)) == 1


def test_where_the_folder_is_full_the_oldest_parts_make_room_and_are_counted(trained: World) -> None:
    service = Asked(trained)
    log = service.model.log
    (trained.home / "storage" / "requests").write_text("in the way")
    service.predict([a_row(trained)])
    log.flush()
    (oldest,) = (trained.home / "serving" / "unsent").glob("*.parquet")
    dropped = metrics.LOG_DROPPED.labels(service.model.name)
    before = dropped._value.get()
    log.own = log.own.model_copy(update={"log_megabytes": oldest.stat().st_size * 1.5 / request_log.MEGABYTE})
    for _ in range(2):
        service.predict([a_row(trained)])
        log.flush()
    (kept,) = (trained.home / "serving" / "unsent").glob("*.parquet")
    assert kept.name > oldest.name
    assert dropped._value.get() - before == 2
    assert layout.serving.REQUEST_PART.fullmatch(kept.name.replace("~", "/"))
