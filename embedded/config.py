"""Where the embedded stack keeps things, which ports it takes, and how each server is started.

All of it follows from the environment (`Stack.load`); nothing is read at import. Airflow's own
settings go to ``var/airflow/airflow.cfg``, so that ``AIRFLOW_HOME=var/airflow airflow …`` talks to
the same installation as the servers.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml.errors import SettingsError
from ml.roots import PROJECT_ROOT as PROJECT

DAGS = ("ingest", "retrain", "score", "monitor", "rollback")
"""The last part of a Dag's id (see `dag_id`)."""

LOOPBACK = "127.0.0.1"
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

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Return the environment that every process of the stack shares.

        What the caller's environment says stays, save what would point a process at another
        installation. Settings of Airflow that ``airflow.cfg`` does not fix may be given as
        ``AIRFLOW__SECTION__KEY`` as usual.
        """
        fixed = {f"AIRFLOW__{section}__{key}".upper() for section, key in self._airflow_identity()}
        inherited = {
            name: value
            for name, value in environ.items()
            if name.removesuffix("_CMD").removesuffix("_SECRET") not in fixed
        }
        inherited.pop("EVERGREEN_MODEL", None)  # each process is given its model
        path = [str(self.project), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
        return {
            **inherited,
            **QUIET,
            **ONE_THREAD,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(dict.fromkeys(path)),
            "PYTHONUNBUFFERED": "1",
            "NO_COLOR": "1",
            "EVERGREEN_HOME": str(self.home),
            # A laptop's checkout is being worked on; 0 refuses to register what no commit holds.
            "EVERGREEN_DEVELOPMENT": inherited.get("EVERGREEN_DEVELOPMENT") or "1",
            "EVERGREEN_WARM_TASKS": "1" if self.warm_tasks else "0",
            "AIRFLOW_HOME": str(self.airflow_home),
            "AIRFLOW_CONFIG": str(self.airflow_home / "airflow.cfg"),
            "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(self._smtp_connection()),
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            **self._mlflow_credentials(),
            "MPLCONFIGDIR": str(self.home / "cache" / "matplotlib"),
            "DVC_SITE_CACHE_DIR": str(self.home / "cache" / "dvc-site"),
        }

    def _mlflow_credentials(self) -> dict[str, str]:
        """Return what MLflow's client logs in with; never a caller's own, which would be another server's."""
        login = self.mlflow_login()
        names = {"MLFLOW_TRACKING_USERNAME": "username", "MLFLOW_TRACKING_PASSWORD": "password"}
        return {variable: login[key] for variable, key in names.items() if key in login}

    def mlflow_auth(self) -> dict[str, str]:
        """Return the contents of MLflow's ``auth.ini``: nobody sees or changes anything without a login."""
        return {
            "default_permission": "NO_PERMISSIONS",
            "database_uri": f"sqlite:///{self.mlflow_users}",
            "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
            # A password is hashed once a minute, not at each request (half a second on a small machine).
            "auth_cache_ttl_seconds": "60",
        }

    def airflow_settings(self, keys: Mapping[str, str]) -> dict[str, dict[str, str]]:
        """Return the contents of ``airflow.cfg``; ``keys`` are the three secrets of `prepare`."""
        return {
            "core": {
                "executor": "LocalExecutor",
                "parallelism": str(self.parallelism),
                "dags_folder": str(self.project / "dags"),
                "plugins_folder": str(self.project / "plugins"),
                "load_examples": "False",
                "fernet_key": keys["fernet_key"],
                "auth_manager": ("airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"),
                "simple_auth_manager_users": "admin:admin",
                "simple_auth_manager_passwords_file": str(self.passwords),
                "execution_api_server_url": f"{self.airflow_url}/execution/",
                "hostname_callable": "socket.gethostname",
                "min_serialized_dag_update_interval": "5",
            },
            "database": {"sql_alchemy_conn": f"sqlite:///{self.airflow_home / 'airflow.db'}"},
            "api": {
                "host": LOOPBACK,
                "port": str(self.airflow_port),
                "base_url": self.airflow_url,
                "workers": "1",
                "secret_key": keys["secret_key"],
                "instance_name": "Evergreen",
            },
            "api_auth": {"jwt_secret": keys["jwt_secret"]},
            "scheduler": {
                # A run starts within half a second of its cause, at under 2 % of a core when idle.
                "scheduler_idle_sleep_time": "0.5",
                # What a killed stack left running is taken up again within half a minute.
                "orphaned_tasks_check_interval": "15",
                "scheduler_health_check_threshold": "20",
            },
            "dag_processor": {
                "min_file_process_interval": "30",
                "refresh_interval": "30",
                "bundle_refresh_check_interval": "5",
                "parsing_processes": "1",
            },
            "logging": {"base_log_folder": str(self.airflow_home / "logs"), "colored_console_log": "False"},
            "triggerer": {"capacity": "50"},
            # Also the longest that a worker may stay busy after its task has ended (default 5 s).
            "workers": {"min_heartbeat_interval": "1"},
        }

    def _airflow_identity(self) -> list[tuple[str, str]]:
        """Name the settings by which one installation differs from another: never inherited."""
        every = self.airflow_settings(dict.fromkeys(("fernet_key", "secret_key", "jwt_secret"), ""))
        tunable = {"parallelism", "workers", "instance_name", "capacity", "colored_console_log"}
        identity = {"core", "database", "api", "api_auth", "logging"}
        return [(s, k) for s, pairs in every.items() if s in identity for k in pairs if k not in tunable]

    def _smtp_connection(self) -> dict[str, object]:
        return {
            "conn_type": "smtp",
            "host": LOOPBACK,
            "port": self.smtp_port,
            "extra": {
                "disable_ssl": True,
                "disable_tls": True,
                "from_email": MAIL_FROM,
                "timeout": 10,
                "retry_limit": 2,
            },
        }

    def server(self, name: str, environ: Mapping[str, str] = os.environ) -> Server:
        """Describe one of `SERVERS`."""
        env = self.environment(environ)
        if name == "scheduler" and self.warm_tasks:
            env["AIRFLOW__CORE__LAZY_LOAD_PLUGINS"] = "False"
        if name == SERVING:
            env["EVERGREEN_SERVING_TOKEN"] = self.serving_token()
        if name == "mlflow":
            login = self.mlflow_login()
            env["MLFLOW_AUTH_CONFIG_PATH"] = str(self.mlflow_auth_settings)
            env["MLFLOW_AUTH_ADMIN_USERNAME"] = login.get("username", "")
            env["MLFLOW_AUTH_ADMIN_PASSWORD"] = login.get("password", "")
            env["MLFLOW_FLASK_SERVER_SECRET_KEY"] = login.get("secret_key", "")
        return Server(
            name=name,
            argv=(sys.executable, *self._arguments(name)),
            env=env,
            log=self.logs / f"{name}.log",
            wave=0 if name == "scheduler" else 1,
        )

    def _arguments(self, name: str) -> tuple[str, ...]:
        mlflow = self.mlflow_home
        return {
            "mail": (
                *("-m", "aiosmtpd", "-n", "-l", f"{LOOPBACK}:{self.smtp_port}"),
                *("-c", "aiosmtpd.handlers.Mailbox", str(self.mail)),
            ),
            "mlflow": (
                # Other users of the machine reach its port: it asks for the login of `prepare`.
                *("-m", "mlflow", "server", "--app-name", "basic-auth", "--host", LOOPBACK),
                *("--port", str(self.mlflow_port), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{mlflow / 'mlflow.db'}"),
                *("--no-serve-artifacts", "--default-artifact-root", str(mlflow / "artifacts")),
            ),
            "api-server": ("-m", "airflow", "api-server"),
            # Log servers would bind to every interface; on one machine logs are read as files.
            "scheduler": ("-m", "airflow", "scheduler", "--skip-serve-logs"),
            "dag-processor": ("-m", "airflow", "dag-processor"),
            "triggerer": ("-m", "airflow", "triggerer", "--skip-serve-logs"),
            SERVING: ("-m", "ml.cli.serve", "--host", LOOPBACK, "--port", str(self.serving_port)),
        }[name]


STORES = ("mail", "mlflow")
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
SERVERS = (*STORES, *AIRFLOW)
SERVING = "serving"
"""Predictions on request: started once there is something to serve."""


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
