"""Write the login of MLflow's server, then become the server.

    python -m deploy.mlflow_login mlflow server --app-name basic-auth …

Users are kept in the database of ``MLFLOW_BACKEND_STORE_URI``, in tables of their own. The user
``MLFLOW_AUTH_ADMIN_USERNAME`` has the password of the environment after each start: a changed ``.env`` holds.
"""

from __future__ import annotations

import configparser
import os
import shutil
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

NEEDED = (
    "MLFLOW_AUTH_CONFIG_PATH", "MLFLOW_AUTH_ADMIN_USERNAME", "MLFLOW_AUTH_ADMIN_PASSWORD",
    "MLFLOW_BACKEND_STORE_URI", "MLFLOW_FLASK_SERVER_SECRET_KEY",
)  # fmt: skip


def auth_settings(database: str) -> str:
    """Write what MLflow reads as ``auth.ini``: nobody sees or changes anything without a login."""
    config = configparser.RawConfigParser()
    facts = {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": database.replace("%", "%%"),
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # A password is hashed once a minute, not at each request (half a second on a small machine).
        "auth_cache_ttl_seconds": "60",
    }
    config.read_dict({"mlflow": facts})
    text = StringIO()
    config.write(text)
    return text.getvalue()


def prepare(environ: Mapping[str, str]) -> None:
    """Write ``auth.ini``, and give the user that is there already the password of the environment.

    Where the server exports its metrics, ``PROMETHEUS_MULTIPROC_DIR`` is made anew first: its counters are files, which
    MLflow opens when it is imported, and those of a process that is gone would be counted for ever.
    """
    if folder := environ.get("PROMETHEUS_MULTIPROC_DIR"):
        shutil.rmtree(folder, ignore_errors=True)
        Path(folder).mkdir(mode=0o700, parents=True)
    path = Path(environ["MLFLOW_AUTH_CONFIG_PATH"])
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(auth_settings(environ["MLFLOW_BACKEND_STORE_URI"]))
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    name, password = environ["MLFLOW_AUTH_ADMIN_USERNAME"], environ["MLFLOW_AUTH_ADMIN_PASSWORD"]
    store = SqlAlchemyStore()
    store.init_db(environ["MLFLOW_BACKEND_STORE_URI"])
    if not store.has_user(name):
        store.create_user(name, password, is_admin=True)
    elif not store.authenticate_user(name, password):
        store.update_user(name, password=password)


def main() -> int:
    """Prepare the login and become the command; return only if that cannot be."""
    command = sys.argv[1:]
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing or not command:
        sys.stderr.write(f"{', '.join(missing) or 'a command'} is not given; see docs/full-stack.md\n")
        return 2
    prepare(os.environ)
    try:
        os.execvp(command[0], command)
    except OSError as err:
        sys.stderr.write(f"{command[0]}: {err.strerror}\n")
        return 127


if __name__ == "__main__":
    sys.exit(main())
