"""The servers of the embedded stack, and how each is started."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.config import LOOPBACK, Stack
from embedded.environment import stack_environment

STORES = ("mail", "mlflow")
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
SERVERS = (*STORES, *AIRFLOW)
SERVING = "serving"
"""Predictions on request: started once there is something to serve."""

WARMED = ("scheduler", "dag-processor")
"""Airflow's servers that fork a process for each task or Dag file."""


@dataclass(frozen=True)
class Server:
    """One server: how it is started, and when it is asked to stop.

    ``wave`` orders the stop: the first wave is asked, and given time, before the next is.
    """

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    log: Path
    wave: int = 1


def describe_server(stack: Stack, name: str, environ: Mapping[str, str] = os.environ) -> Server:
    """Describe one of `SERVERS`."""
    env = stack_environment(stack, environ)
    if name in WARMED and stack.warm_tasks:
        env["AIRFLOW__CORE__LAZY_LOAD_PLUGINS"] = "False"
    if name == SERVING:
        env["EVERGREEN_SERVING_TOKEN"] = stack.serving_token()
    if name == "mlflow":
        login = stack.mlflow_login()
        env["MLFLOW_AUTH_CONFIG_PATH"] = str(stack.mlflow_auth_settings)
        env["MLFLOW_AUTH_ADMIN_USERNAME"] = login.get("username", "")
        env["MLFLOW_AUTH_ADMIN_PASSWORD"] = login.get("password", "")
        env["MLFLOW_FLASK_SERVER_SECRET_KEY"] = login.get("secret_key", "")
    return Server(
        name=name,
        argv=(sys.executable, *_arguments(stack, name)),
        env=env,
        log=stack.logs / f"{name}.log",
        wave=0 if name == "scheduler" else 1,
    )


def _arguments(stack: Stack, name: str) -> tuple[str, ...]:
    mlflow = stack.mlflow_home
    return {
        "mail": (
            *("-m", "aiosmtpd", "-n", "-l", f"{LOOPBACK}:{stack.smtp_port}"),
            *("-c", "aiosmtpd.handlers.Mailbox", str(stack.mail)),
        ),
        "mlflow": (
            # Other users of the machine reach its port: it asks for the login of `prepare`.
            *("-m", "mlflow", "server", "--app-name", "basic-auth", "--host", LOOPBACK),
            *("--port", str(stack.mlflow_port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{mlflow / 'mlflow.db'}"),
            *("--no-serve-artifacts", "--default-artifact-root", str(mlflow / "artifacts")),
        ),
        "api-server": ("-m", "airflow", "api-server"),
        # Log servers would bind to every interface; on one machine logs are read as files.
        "scheduler": ("-m", "airflow", "scheduler", "--skip-serve-logs"),
        "dag-processor": ("-m", "airflow", "dag-processor"),
        "triggerer": ("-m", "airflow", "triggerer", "--skip-serve-logs"),
        SERVING: ("-m", "ml.cli.serve", "--host", LOOPBACK, "--port", str(stack.serving_port)),
    }[name]
