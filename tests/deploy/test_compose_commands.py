"""Stopping and waiting, where profiles have started services beside those of every start."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy import compose


class Recording(compose.Compose):
    """A stack that does nothing: it remembers what it was asked for, and has the containers that it is given."""

    code_version = "0" * 40

    def __init__(self, *states: tuple[str, str]) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.states = states

    def run(self, *arguments: str, **_: Any) -> Any:
        self.asked.append(arguments)

    def containers(self, *services: str) -> list[dict[str, Any]]:
        return [
            {
                "Name": f"/evergreen-{service}-1",
                "Config": {"Labels": {"com.docker.compose.service": service}},
                "State": {"Status": status},
            }
            for service, status in self.states
            if not services or service in services
        ]

    def capture(self, *arguments: str) -> str:
        self.asked.append(arguments)
        return "\n".join(service for service, status in self.states if status == "running")


@pytest.fixture
def unused_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each page a port that is free whatever else runs on this machine."""
    for page in compose.PAGES:
        monkeypatch.setenv(f"{page.variable}_PORT", "0")


def test_down_takes_down_what_a_profile_has_started_too() -> None:
    """Else its containers go on, and the network that they are in cannot be removed."""
    stack = Recording()
    compose.down(stack)
    assert stack.asked == [(*compose.ALL_PROFILES, "down", "--remove-orphans")]


def test_up_gives_the_databases_the_passwords_of_env_before_anybody_logs_in(
    monkeypatch: pytest.MonkeyPatch, unused_ports: None
) -> None:
    monkeypatch.setattr(compose, "ENV_FILE", Path("no-such-file"))
    stack = Recording(("postgres", "running"))
    compose.up(stack)
    postgres = ("exec", "-T", "postgres", "sh", compose.DATABASES)
    assert stack.asked.index(postgres) < stack.asked.index(("up", "--detach", "--no-build", "--remove-orphans"))
    folder, script = Path(compose.DATABASES).parent, Path(compose.DATABASES).name
    assert f"./deploy/postgres:{folder}:ro" in (compose.PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
    assert (compose.PROJECT / "deploy" / "postgres" / script).is_file()


def test_a_plain_command_after_up_finds_the_containers_as_up_would_make_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, unused_ports: None
) -> None:
    """docker-compose 1.29 makes a container anew whose arguments of a build differ."""
    (tmp_path / ".env").touch(mode=0o600)
    monkeypatch.setattr(compose, "ENV_FILE", tmp_path / ".env")
    monkeypatch.setattr(compose.shutil, "which", lambda name: name)
    monkeypatch.setattr(compose.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=0, stdout="0" * 40))
    monkeypatch.delenv("EVERGREEN_CODE_VERSION", raising=False)
    stack = compose.Compose()
    assert {name: stack.environment[name] for name in stack.environment if name not in os.environ} in (
        {},
        {"COMPOSE_HTTP_TIMEOUT": "300"},
    )
    recording = Recording(("postgres", "running"))
    compose.up(recording)
    assert ("build", "--build-arg", f"CODE_VERSION={stack.code_version}", "init") in recording.asked


def test_what_a_profile_started_and_a_person_stopped_is_not_waited_for() -> None:
    stack = Recording(("mlflow", "running"), ("metrics", "exited"))
    stack.wait(seconds=0)
    with pytest.raises(compose.Failure, match="waited 0 seconds in vain for metrics exited"):
        stack.wait(("metrics",), seconds=0)
    with pytest.raises(compose.Failure, match="in vain for mlflow exited"):
        Recording(("mlflow", "exited")).wait(seconds=0)


def test_what_runs_is_asked_for_in_every_profile() -> None:
    stack = Recording(("mlflow", "running"), ("consume", "running"), ("metrics", "exited"))
    assert stack.running("consume", "metrics") == ["consume"]
    assert stack.asked[0][: len(compose.ALL_PROFILES)] == compose.ALL_PROFILES


def test_pages_are_named_at_the_address_that_links_have() -> None:
    """A login belongs to one host: who logged in at 127.0.0.1 is asked again behind a link to localhost."""
    airflow, mlflow, mail, serving = compose.addresses({})
    assert airflow.startswith("Airflow  http://localhost:8080  user admin")
    assert mlflow.startswith(f"MLflow   http://localhost:5000{compose.ML_VIEW} ")
    assert mail == "mail     http://localhost:8025"
    assert serving.startswith("serving  http://localhost:8088/ready ")


def test_a_port_of_one_s_own_is_shown_and_links_that_miss_it_are_named() -> None:
    ports = {"EVERGREEN_MLFLOW_PORT": "5001", "EVERGREEN_MAIL_PORT": "8026"}
    lines = compose.addresses(ports)
    assert "mail     http://localhost:8026" in lines
    assert lines[4:] == [
        "links to MLflow go to http://localhost:5000: set EVERGREEN_MLFLOW_URL=http://localhost:5001 in .env"
    ]
    assert len(compose.addresses({**ports, "EVERGREEN_MLFLOW_URL": "http://localhost:5001"})) == 4


def test_behind_a_proxy_its_address_is_shown() -> None:
    lines = compose.addresses({"EVERGREEN_AIRFLOW_URL": "https://airflow.example.com", "EVERGREEN_AIRFLOW_PORT": "9"})
    assert lines[0].startswith("Airflow  https://airflow.example.com  user admin")
    assert len(lines) == 4


def test_a_port_that_another_program_has_is_named_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, unused_ports: None
) -> None:
    monkeypatch.setattr(compose, "ENV_FILE", Path("no-such-file"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        monkeypatch.setenv("EVERGREEN_MLFLOW_PORT", port)
        stack = Recording(("postgres", "running"))
        with pytest.raises(compose.Failure, match=f"port {port} of 127.0.0.1, where MLflow .* EVERGREEN_MLFLOW_PORT"):
            compose.up(stack)
        assert not any(arguments[0] == "build" for arguments in stack.asked)
        compose.up(Recording(("postgres", "running"), ("mlflow", "running")))  # the stack itself has it
    monkeypatch.setenv("EVERGREEN_SERVING_PORT", "8088-8090")
    compose.up(Recording(("postgres", "running")))
