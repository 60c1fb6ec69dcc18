"""Where the embedded stack keeps things, and which ports it takes.

All of it follows from the environment (`Stack.load`); nothing is read at import.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml.errors import SettingsError
from ml.roots import PROJECT_ROOT as PROJECT

DAGS = ("ingest", "retrain", "score", "monitor", "rollback")
"""The last part of a Dag's id (see `dag_id`)."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Stack:
    """Where everything of one embedded installation is. Paths are absolute."""

    home: Path
    airflow_port: int
    mlflow_port: int
    smtp_port: int
    serving_port: int
    serves: bool
    parallelism: int
    warm_tasks: bool
    project: Path = PROJECT

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ) -> Stack:
        """Read ``EVERGREEN_*``; defaults are ``var/`` and the tools' usual ports.

        Raises
        ------
        SettingsError
            If a port is not a port, or two servers were given the same.
        """
        stack = cls(
            home=Path(environ.get("EVERGREEN_HOME") or PROJECT / "var").absolute(),
            airflow_port=_port(environ, "EVERGREEN_AIRFLOW_PORT", 8080),
            mlflow_port=_port(environ, "EVERGREEN_MLFLOW_PORT", 5000),
            smtp_port=_port(environ, "EVERGREEN_SMTP_PORT", 1025),
            serving_port=_port(environ, "EVERGREEN_SERVING_PORT", 8088),
            serves=environ.get("EVERGREEN_SERVING", "1") != "0",
            # One more than cores: a worker is not free at once when its task has ended.
            parallelism=min(max(_cores() + 1, 3), 8),
            warm_tasks=environ.get("EVERGREEN_WARM_TASKS", "1") != "0",
        )
        if len({port for _, _, port in stack.ports}) < len(stack.ports):
            assignments = ", ".join(f"{variable}={port}" for _, variable, port in stack.ports)
            raise SettingsError(f"two servers cannot share a port: {assignments}; give each its own")
        return stack

    @property
    def ports(self) -> tuple[tuple[str, str, int], ...]:
        """Each listening server with the variable that moves it, and its port."""
        return (
            ("Airflow", "EVERGREEN_AIRFLOW_PORT", self.airflow_port),
            ("MLflow", "EVERGREEN_MLFLOW_PORT", self.mlflow_port),
            ("the mail server", "EVERGREEN_SMTP_PORT", self.smtp_port),
            *((("predictions on request", "EVERGREEN_SERVING_PORT", self.serving_port),) if self.serves else ()),
        )

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def airflow_url(self) -> str:
        return f"http://{LOOPBACK}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{LOOPBACK}:{self.mlflow_port}"

    @property
    def serving_url(self) -> str:
        return f"http://{LOOPBACK}:{self.serving_port}"

    @property
    def serving_token_file(self) -> Path:
        return self.home / "serving" / "token"

    def serving_token(self) -> str:
        """Read the token that opens predictions on request, which `prepare` drew once; empty before."""
        file = self.serving_token_file
        return file.read_text(encoding="utf-8").strip() if file.exists() else ""

    @property
    def starting_file(self) -> Path:
        """Return the file that says to the page, by the id of a process that lives, that `make up` is at work."""
        return self.home / "starting"

    @property
    def mail(self) -> Path:
        return self.home / "mail"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def lock(self) -> Path:
        return self.home / "stack.lock"

    @property
    def passwords(self) -> Path:
        return self.airflow_home / "passwords.json"

    @property
    def mlflow_home(self) -> Path:
        return self.home / "mlflow"

    @property
    def mlflow_login_file(self) -> Path:
        return self.mlflow_home / "login.json"

    @property
    def mlflow_auth_settings(self) -> Path:
        return self.mlflow_home / "auth.ini"

    @property
    def mlflow_users(self) -> Path:
        return self.mlflow_home / "auth.db"

    def mlflow_login(self) -> dict[str, str]:
        """Read the user, the password and the server's key of MLflow, which `prepare` drew once; empty before."""
        if not self.mlflow_login_file.exists():
            return {}
        return {str(k): str(v) for k, v in json.loads(self.mlflow_login_file.read_text(encoding="utf-8")).items()}

    def password(self) -> str:
        """Read the password of ``admin``, which `prepare` drew once."""
        return str(json.loads(self.passwords.read_text(encoding="utf-8"))["admin"])


def dag_id(model: str, verb: str) -> str:
    """Return the id of a model's Dag."""
    return f"{model}.{verb}"


def _port(environ: Mapping[str, str], variable: str, default: int) -> int:
    value = environ.get(variable) or str(default)
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise SettingsError(f"{variable}={value!r} is not a port; give a number from 1 to 65535")
    return int(value)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
