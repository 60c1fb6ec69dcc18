"""Find the embedded stack that runs on this machine, and lead other processes to it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from embedded.config import Stack
from embedded.environment import QUIET, stack_environment


def record(stack: Stack) -> None:
    """Write down the ports of a stack that starts, so that `environment` finds it wherever it is asked."""
    ports = {
        "airflow_port": stack.airflow_port,
        "mlflow_port": stack.mlflow_port,
        "smtp_port": stack.smtp_port,
        "serving_port": stack.serving_port,
    }
    _file(stack).write_text(json.dumps(ports) + "\n", encoding="utf-8")


def environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that lead a process to the running stack of ``EVERGREEN_HOME``.

    Where none runs, or where ``MLFLOW_TRACKING_URI`` names a server already, only the tools' telemetry is switched
    off: the process then works on what the environment names, or on the files below ``var/``.
    """
    stack = Stack.load(environ)
    if environ.get("MLFLOW_TRACKING_URI") or not _runs(stack):
        return dict(QUIET)
    return stack_environment(_as_started(stack), environ)


def _runs(stack: Stack) -> bool:
    """Check whether somebody holds the stack's lock."""
    try:
        with stack.lock.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _as_started(stack: Stack) -> Stack:
    """Return the stack with the ports that it was started with."""
    try:
        ports = json.loads(_file(stack).read_text(encoding="utf-8"))
        return replace(
            stack,
            airflow_port=int(ports["airflow_port"]),
            mlflow_port=int(ports["mlflow_port"]),
            smtp_port=int(ports["smtp_port"]),
            serving_port=int(ports["serving_port"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # written by another release, or half-written
        return stack


def _file(stack: Stack) -> Path:
    return stack.home / "ports.json"
