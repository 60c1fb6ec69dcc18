"""Make ``var/`` ready for the servers, and see that nobody is in their way."""

from __future__ import annotations

import base64
import configparser
import json
import secrets
import socket
from io import StringIO
from pathlib import Path

import psutil

from embedded.config import LOOPBACK, Stack
from embedded.server_settings import airflow_settings, mlflow_auth
from ml.adapters.local_files import write_atomically
from ml.adapters.private import make_private, touch_private
from ml.adapters.sqlite_files import use_write_ahead_log
from ml.errors import EvergreenError, SettingsError


class PortTaken(EvergreenError):
    """Something else listens where a server of ours should."""

    exit_code = 2


def prepare(stack: Stack) -> None:
    """Make the folders, the password, the keys and ``airflow.cfg``; keep what is there already.

    Raises
    ------
    SettingsError
        If the project has no Dags, as where the package is installed without a checkout.
    """
    if not (stack.project / "dags").is_dir():
        raise SettingsError(
            f"{stack.project} holds no dags/: the embedded stack needs a checkout of Evergreen; run this there"
        )
    # A Maildir is made by its first user only if it is missing altogether: so here, and whole.
    maildir = [stack.mail / part for part in ("cur", "new", "tmp")]
    make_private(stack.home)
    for folder in (stack.airflow_home, stack.logs, stack.mlflow_home / "artifacts", *maildir):
        folder.mkdir(parents=True, exist_ok=True)
    if not stack.serving_token_file.exists():
        stack.serving_token_file.parent.mkdir(exist_ok=True)
        _write_private(stack.serving_token_file, secrets.token_urlsafe(32) + "\n")
    _prepare_mlflow(stack)
    _close_secrets(stack)
    for database in (stack.mlflow_home / "mlflow.db", stack.mlflow_users):  # Airflow puts its own into that mode
        use_write_ahead_log(database)
    keys_file = stack.airflow_home / "keys.json"
    if not keys_file.exists():
        _write_private(keys_file, json.dumps(_draw_keys()))
    if not stack.passwords.exists():
        _write_private(stack.passwords, json.dumps({"admin": secrets.token_urlsafe(12)}) + "\n")
    keys = json.loads(keys_file.read_text(encoding="utf-8"))
    config = configparser.RawConfigParser()
    config.read_dict(
        {
            section: {key: value.replace("%", "%%") for key, value in pairs.items()}
            for section, pairs in airflow_settings(stack, keys).items()
        }
    )
    text = StringIO()
    text.write("# Written by `make up` at each start: change settings by AIRFLOW__SECTION__KEY instead.\n")
    config.write(text)
    _write_private(stack.airflow_home / "airflow.cfg", text.getvalue())


def _prepare_mlflow(stack: Stack) -> None:
    """Draw MLflow's login once, and write the settings of its server's users."""
    if not stack.mlflow_login_file.exists():
        # Users of a login that is lost are drawn anew with it: nobody could log in as one of them.
        for name in ("", "-wal", "-shm", "-journal"):
            stack.mlflow_users.with_name(stack.mlflow_users.name + name).unlink(missing_ok=True)
        login = {"username": "admin", "password": secrets.token_urlsafe(12), "secret_key": secrets.token_urlsafe(32)}
        _write_private(stack.mlflow_login_file, json.dumps(login) + "\n")
    config = configparser.RawConfigParser()
    config.read_dict({"mlflow": {key: value.replace("%", "%%") for key, value in mlflow_auth(stack).items()}})
    text = StringIO()
    config.write(text)
    _write_private(stack.mlflow_auth_settings, text.getvalue())


def _close_secrets(stack: Stack) -> None:
    """Let nobody else read what holds secrets: databases from their first byte on, and what was open before."""
    for database in (stack.airflow_home / "airflow.db", stack.mlflow_home / "mlflow.db", stack.mlflow_users):
        touch_private(database)
    for path in (stack.airflow_home / "keys.json", stack.passwords, stack.mlflow_login_file):
        if path.exists():
            touch_private(path)


def require_free_ports(stack: Stack) -> None:
    """Refuse to start where a port is taken.

    Raises
    ------
    PortTaken
        Naming the first taken port, who holds it if that can be seen, and the variable to change.
    """
    for server, variable, port in stack.ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as err:
                raise PortTaken(
                    f"port {port}, meant for {server}, is taken{_holder(port)} ({err.strerror}): "
                    f"free it, or choose another with {variable}=…"
                ) from err


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr[1] == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()}, process {connection.pid}"
    except psutil.Error:
        pass  # Only a courtesy: other users' processes may not be looked at.
    return ""


def _draw_keys() -> dict[str, str]:
    return {
        "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "secret_key": secrets.token_urlsafe(32),
        "jwt_secret": secrets.token_urlsafe(64),
    }


def _write_private(path: Path, text: str) -> None:
    """Write whole or not at all, readable by the owner only from the first byte on."""
    write_atomically(path, lambda file: file.write(text.encode()), mode=0o600)
