"""Where the embedded stack is, and how its servers are started."""

from __future__ import annotations

import configparser
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from embedded.config import DAGS, PROJECT, Stack
from embedded.environment import stack_environment
from embedded.prepare import PortTaken, prepare, require_free_ports
from embedded.servers import SERVERS, SERVING, describe_server
from ml.errors import SettingsError


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack.load({"EVERGREEN_HOME": str(tmp_path / "home")})


def test_the_defaults_are_var_and_the_usual_ports() -> None:
    stack = Stack.load({})
    assert stack.home == PROJECT / "var"
    assert [port for _, _, port in stack.ports] == [8080, 5000, 1025, 8088]
    assert [port for _, _, port in Stack.load({"EVERGREEN_SERVING": "0"}).ports] == [8080, 5000, 1025]
    assert stack.warm_tasks


@pytest.mark.parametrize("given", ["http", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none_is_refused_by_name(given: str) -> None:
    with pytest.raises(SettingsError, match="EVERGREEN_MLFLOW_PORT"):
        Stack.load({"EVERGREEN_MLFLOW_PORT": given})


def test_two_servers_cannot_share_a_port() -> None:
    with pytest.raises(SettingsError, match="EVERGREEN_SMTP_PORT=5000"):
        Stack.load({"EVERGREEN_SMTP_PORT": "5000"})


def test_a_taken_port_is_named_with_the_variable_that_changes_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}.*EVERGREEN_MLFLOW_PORT") as refused:
            require_free_ports(Stack.load({"EVERGREEN_MLFLOW_PORT": str(port)}))
    assert refused.value.exit_code == 2


def test_up_refuses_a_taken_port_before_it_starts_anything(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = {
            "EVERGREEN_HOME": str(tmp_path),
            "EVERGREEN_MLFLOW_PORT": str(taken.getsockname()[1]),
            "EVERGREEN_AIRFLOW_PORT": "1",
            "PYTHONPATH": str(PROJECT),
        }
        command = [sys.executable, "-m", "embedded.up"]
        ended = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "logs").exists()


def test_prepare_keeps_what_it_drew_once_and_shows_it_to_nobody(stack: Stack) -> None:
    prepare(stack)
    first = {p.name: p.read_text() for p in stack.airflow_home.iterdir()}
    prepare(stack)
    assert {p.name: p.read_text() for p in stack.airflow_home.iterdir()} == first
    for name in ("keys.json", "passwords.json", "airflow.cfg"):
        assert stat.S_IMODE((stack.airflow_home / name).stat().st_mode) == 0o600
    assert stack.password() in first["passwords.json"]


def test_the_scoring_service_gets_its_token_from_a_file_that_nobody_else_reads(stack: Stack) -> None:
    prepare(stack)
    token, server = stack.serving_token(), describe_server(stack, SERVING, {})
    assert len(token) > 40 and server.env["EVERGREEN_SERVING_TOKEN"] == token
    assert token not in " ".join(server.argv)
    assert "EVERGREEN_SERVING_TOKEN" not in describe_server(stack, "scheduler", {}).env
    assert stat.S_IMODE(stack.serving_token_file.stat().st_mode) == 0o600
    prepare(stack)
    assert stack.serving_token() == token


def test_airflow_reads_its_configuration_whatever_the_path(tmp_path: Path) -> None:
    stack = Stack.load({"EVERGREEN_HOME": str(tmp_path / "100% & ä")})
    prepare(stack)
    config = configparser.ConfigParser()
    config.read(stack.airflow_home / "airflow.cfg", encoding="utf-8")
    assert config["database"]["sql_alchemy_conn"] == f"sqlite:///{stack.airflow_home}/airflow.db"
    assert config["api"]["host"] == "127.0.0.1"
    assert config["core"]["dags_folder"] == str(PROJECT / "dags")


def test_the_environment_belongs_to_this_installation_and_stays_tunable(stack: Stack) -> None:
    env = stack_environment(
        stack,
        {
            "AIRFLOW_HOME": "/elsewhere",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://elsewhere",
            "AIRFLOW__API__SECRET_KEY_CMD": "cat /elsewhere",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "3",
            "AIRFLOW__CORE__PARALLELISM": "6",
            "MLFLOW_TRACKING_URI": "http://elsewhere",
            "PYTHONPATH": "/mine",
        },
    )
    assert not [name for name, value in env.items() if "elsewhere" in value]
    assert env["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"] == "3"
    assert env["AIRFLOW__CORE__PARALLELISM"] == "6"
    assert env["PYTHONPATH"].split(":") == [str(PROJECT), "/mine"]
    assert env["EVERGREEN_HOME"] == str(stack.home)


def test_only_those_that_fork_load_plugins_early_and_only_if_these_shall_be_warm(stack: Stack) -> None:
    eager = "AIRFLOW__CORE__LAZY_LOAD_PLUGINS"
    assert [name for name in SERVERS if eager in describe_server(stack, name, {}).env] == ["scheduler", "dag-processor"]
    cold = Stack.load({"EVERGREEN_WARM_TASKS": "0"})
    assert not [name for name in SERVERS if eager in describe_server(cold, name, {}).env]


def test_every_server_that_listens_listens_on_this_machine_only(stack: Stack) -> None:
    assert "127.0.0.1" in describe_server(stack, "mlflow", {}).argv
    assert any(part.startswith("127.0.0.1:") for part in describe_server(stack, "mail", {}).argv)
    for name in ("scheduler", "triggerer"):
        assert "--skip-serve-logs" in describe_server(stack, name, {}).argv


def test_the_dags_it_drives_are_those_of_the_design() -> None:
    assert set(DAGS) == {"ingest", "retrain", "score", "monitor", "rollback"}
