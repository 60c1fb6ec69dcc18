"""What the configuration files of Airflow and of MLflow's login say.

Airflow's own settings go to ``var/airflow/airflow.cfg``, so that ``AIRFLOW_HOME=var/airflow airflow …`` talks to the
same installation as the servers.
"""

from __future__ import annotations

from collections.abc import Mapping

from embedded.config import LOOPBACK, Stack


def airflow_settings(stack: Stack, keys: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the contents of ``airflow.cfg``; ``keys`` are the three secrets of `prepare`."""
    return {
        "core": {
            "executor": "embedded.executor.RestingExecutor",
            "parallelism": str(stack.parallelism),
            "dags_folder": str(stack.project / "dags"),
            "plugins_folder": str(stack.project / "plugins"),
            "load_examples": "False",
            "fernet_key": keys["fernet_key"],
            "auth_manager": ("airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"),
            "simple_auth_manager_users": "admin:admin",
            "simple_auth_manager_passwords_file": str(stack.passwords),
            "execution_api_server_url": f"{stack.airflow_url}/execution/",
            "hostname_callable": "socket.gethostname",
            "min_serialized_dag_update_interval": "5",
        },
        "database": {"sql_alchemy_conn": f"sqlite:///{stack.airflow_home / 'airflow.db'}"},
        "api": {
            "host": LOOPBACK,
            "port": str(stack.airflow_port),
            "base_url": stack.airflow_url,
            "workers": "1",
            "secret_key": keys["secret_key"],
            "instance_name": "Evergreen",
        },
        "api_auth": {"jwt_secret": keys["jwt_secret"]},
        "scheduler": {
            # One task follows another at once; while none runs, the executor waits too (embedded/executor.py).
            "scheduler_idle_sleep_time": "0.1",
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
        "logging": {"base_log_folder": str(stack.airflow_home / "logs"), "colored_console_log": "False"},
        "triggerer": {"capacity": "50"},
        # Also the longest that a worker may stay busy after its task has ended (default 5 s).
        "workers": {"min_heartbeat_interval": "1"},
    }


def identity_settings(stack: Stack) -> list[tuple[str, str]]:
    """Name the settings by which one installation differs from another: never inherited."""
    every = airflow_settings(stack, dict.fromkeys(("fernet_key", "secret_key", "jwt_secret"), ""))
    tunable = {"parallelism", "workers", "instance_name", "capacity", "colored_console_log"}
    identity = {"core", "database", "api", "api_auth", "logging"}
    return [(s, k) for s, pairs in every.items() if s in identity for k in pairs if k not in tunable]


def mlflow_auth(stack: Stack) -> dict[str, str]:
    """Return the contents of MLflow's ``auth.ini``: nobody sees or changes anything without a login."""
    return {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": f"sqlite:///{stack.mlflow_users}",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # A password is hashed once a minute, not at each request (half a second on a small machine).
        "auth_cache_ttl_seconds": "60",
    }
