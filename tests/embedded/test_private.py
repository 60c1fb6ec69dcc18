"""Another user of the machine reads no password, key, data or mail, and changes nothing in MLflow."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from deploy.compose import PROJECT
from embedded.config import Stack
from embedded.environment import stack_environment
from embedded.prepare import prepare
from embedded.servers import describe_server
from embedded.supervise import Hold
from ml.adapters.tracking import Tracking
from ml.errors import EvergreenError, SettingsError
from tests.databases import has_tables
from tests.e2e.test_loop import free_ports

NOBODY = 65534
SECRETS = ("airflow/airflow.cfg", "airflow/keys.json", "airflow/passwords.json", "airflow/airflow.db",
           "mlflow/login.json", "mlflow/auth.ini", "mlflow/auth.db", "mlflow/mlflow.db")  # fmt: skip


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody may look into, under an umask that closes nothing."""
    before = os.umask(0)
    folder = Path(tempfile.mkdtemp(prefix="evergreen-private-"))
    folder.chmod(0o755)
    yield folder
    os.umask(before)
    shutil.rmtree(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_all_of_an_installation_is_closed_whatever_the_umask(open_place: Path) -> None:
    stack = Stack.load({"EVERGREEN_HOME": str(open_place / "var")})
    prepare(stack)
    assert mode(stack.home) == 0o700
    assert {name: mode(stack.home / name) for name in SECRETS} == dict.fromkeys(SECRETS, 0o600)


def test_an_installation_that_was_open_is_closed_at_the_next_start(open_place: Path) -> None:
    stack = Stack.load({"EVERGREEN_HOME": str(open_place / "var")})
    prepare(stack)
    for path in (stack.home, *(stack.home / name for name in SECRETS)):
        path.chmod(0o777)
    prepare(stack)
    assert mode(stack.home) == 0o700
    assert {mode(stack.home / name) for name in SECRETS} == {0o600}


def test_the_lock_is_not_what_leaves_the_folder_open(open_place: Path) -> None:
    hold = Hold(open_place / "var" / "stack.lock")
    hold.take("a test")
    os.close(hold.fd)
    assert (mode(open_place / "var"), mode(hold.path)) == (0o700, 0o600)


def test_a_step_that_comes_first_makes_the_folder_for_its_owner(open_place: Path) -> None:
    home = open_place / "var"
    code = "from ml.wiring import open_services; open_services()"
    environ = {**os.environ, "EVERGREEN_HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ, cwd=PROJECT)
    assert mode(home) == 0o700


def test_a_folder_of_other_things_is_not_closed_but_refused(open_place: Path) -> None:
    (open_place / "somebody-elses").touch()
    with pytest.raises(SettingsError, match=r"can be read by other users.*EVERGREEN_HOME"):
        prepare(Stack.load({"EVERGREEN_HOME": str(open_place)}))
    assert mode(open_place) == 0o755


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_another_user_reads_nothing(open_place: Path) -> None:
    stack = Stack.load({"EVERGREEN_HOME": str(open_place / "var")})
    prepare(stack)
    (stack.mail / "new" / "letter").write_text("secret")
    (stack.home / "storage").mkdir()
    (stack.home / "storage" / "inputs.parquet").write_text("secret")
    names = [str(path) for path in stack.home.rglob("*") if path.is_file()]
    assert len(names) >= len(SECRETS) + 2
    for command in (["cat", *names], ["ls", str(stack.home)]):
        tried = subprocess.run(command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, check=False)
        assert tried.returncode != 0 and tried.stdout == b""


@pytest.mark.timeout(300)
def test_mlflow_lets_nobody_in_without_the_login_of_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (port,) = free_ports(1)
    stack = Stack.load({"EVERGREEN_HOME": str(tmp_path / "var"), "EVERGREEN_MLFLOW_PORT": str(port)})
    prepare(stack)
    server = describe_server(stack, "mlflow")
    login = stack.mlflow_login()
    with server.log.open("wb") as log:
        process = subprocess.Popen(
            server.argv, env=server.env, cwd=stack.home, stdout=log, stderr=log, start_new_session=True
        )
    try:
        url, deadline = stack.mlflow_url, time.monotonic() + 200
        while True:
            try:
                assert requests.get(url + "/health", timeout=5).ok
                break
            except requests.RequestException:
                assert process.poll() is None and time.monotonic() < deadline, server.log.read_text()
                time.sleep(0.5)
        api = f"{url}/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert [requests.get(each, timeout=20).status_code for each in (api, url, url + "/graphql")] == [401] * 3
        assert requests.get(api, auth=(login["username"], "wrong"), timeout=20).status_code == 401
        assert requests.get(api, auth=(login["username"], login["password"]), timeout=20).ok
        given = stack_environment(stack, {"MLFLOW_TRACKING_USERNAME": "x", "MLFLOW_TRACKING_PASSWORD": "y"})
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.delenv(name, raising=False)
        for look in (lambda each: each.alias("champion"), lambda each: each.decisions()):
            with pytest.raises(EvergreenError, match="asks for a login; type the command as 'evergreen") as refused:
                look(Tracking(url, "flight-delay"))
            assert not refused.value.retryable
        with pytest.raises(MlflowException):
            MlflowClient(url).create_registered_model("anybody's")
        for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
            monkeypatch.setenv(name, given[name])
        assert MlflowClient(url).create_registered_model("ours").name == "ours"
        running = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        shown = " ".join(" ".join(each.cmdline()) for each in running)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for secret in ("password", "secret_key"):
        assert login[secret] not in shown + server.log.read_text()


def test_a_login_that_was_lost_is_drawn_anew_with_its_users(tmp_path: Path) -> None:
    stack = Stack.load({"EVERGREEN_HOME": str(tmp_path / "var")})
    prepare(stack)
    before = stack.mlflow_login()
    prepare(stack)
    assert stack.mlflow_login() == before
    stack.mlflow_users.write_bytes(b"users of the lost login")
    stack.mlflow_login_file.unlink()
    prepare(stack)
    assert stack.mlflow_login()["password"] != before["password"]
    assert not has_tables(stack.mlflow_users)
    assert b"users of the lost login" not in stack.mlflow_users.read_bytes()
    assert json.loads(stack.mlflow_login_file.read_text())["username"] == "admin"
