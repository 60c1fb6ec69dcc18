"""The environment that every process of the embedded stack shares."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from embedded.config import LOOPBACK, Stack
from embedded.server_settings import identity_settings

MAIL_FROM = "evergreen@localhost"

QUIET = {
    # Nobody's telemetry, update check or banner; read by the tools themselves.
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "SCARF_ANALYTICS": "false",
}
ONE_THREAD = {
    # Tasks run side by side, so each library keeps to one thread; and a process that others are
    # forked from must not own a pool (OpenBLAS starts one on import, Arrow's jemalloc a cleaner).
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}


def stack_environment(stack: Stack, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment that every process of the stack shares.

    What the caller's environment says stays, save what would point a process at another
    installation. Settings of Airflow that ``airflow.cfg`` does not fix may be given as
    ``AIRFLOW__SECTION__KEY`` as usual.
    """
    fixed = {f"AIRFLOW__{section}__{key}".upper() for section, key in identity_settings(stack)}
    inherited = {
        name: value for name, value in environ.items() if name.removesuffix("_CMD").removesuffix("_SECRET") not in fixed
    }
    inherited.pop("EVERGREEN_MODEL", None)  # each process is given its model
    path = [str(stack.project), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **inherited,
        **QUIET,
        **ONE_THREAD,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
        "EVERGREEN_HOME": str(stack.home),
        # A laptop's checkout is being worked on; 0 refuses to register what no commit holds.
        "EVERGREEN_DEVELOPMENT": inherited.get("EVERGREEN_DEVELOPMENT") or "1",
        "EVERGREEN_WARM_TASKS": "1" if stack.warm_tasks else "0",
        "AIRFLOW_HOME": str(stack.airflow_home),
        "AIRFLOW_CONFIG": str(stack.airflow_home / "airflow.cfg"),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(_smtp_connection(stack)),
        "MLFLOW_TRACKING_URI": stack.mlflow_url,
        **_mlflow_credentials(stack),
        "MPLCONFIGDIR": str(stack.home / "cache" / "matplotlib"),
        "DVC_SITE_CACHE_DIR": str(stack.home / "cache" / "dvc-site"),
    }


def _mlflow_credentials(stack: Stack) -> dict[str, str]:
    """Return what MLflow's client logs in with; never a caller's own, which would be another server's."""
    login = stack.mlflow_login()
    names = {"MLFLOW_TRACKING_USERNAME": "username", "MLFLOW_TRACKING_PASSWORD": "password"}
    return {variable: login[key] for variable, key in names.items() if key in login}


def _smtp_connection(stack: Stack) -> dict[str, object]:
    return {
        "conn_type": "smtp",
        "host": LOOPBACK,
        "port": stack.smtp_port,
        "extra": {
            "disable_ssl": True,
            "disable_tls": True,
            "from_email": MAIL_FROM,
            "timeout": 10,
            "retry_limit": 2,
        },
    }
