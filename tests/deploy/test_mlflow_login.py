"""MLflow's login in the full stack: the password of the environment holds after each start."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.compose import PROJECT


def start(tmp_path: Path, password: str, *ask: str) -> subprocess.CompletedProcess[str]:
    """Prepare the login and become a command that asks MLflow's own store."""
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")},
        "MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini"),
        "MLFLOW_AUTH_ADMIN_USERNAME": "admin",
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "x",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    code = """
import os, sys
from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore
store = SqlAlchemyStore()
store.init_db(os.environ["MLFLOW_BACKEND_STORE_URI"])
print([store.authenticate_user("admin", password) for password in sys.argv[1:]], store.get_user("admin").is_admin)
"""
    command = [sys.executable, "-m", "deploy.mlflow_login", sys.executable, "-c", code, *ask]
    return subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
def test_a_new_password_holds_after_the_next_start_and_the_old_one_no_more(tmp_path: Path) -> None:
    first = start(tmp_path, "the-first-password", "the-first-password", "another")
    assert first.stdout.strip() == "[True, False] True", first.stderr
    counters = tmp_path / "metrics"
    assert stat.S_IMODE(counters.stat().st_mode) == 0o700
    (counters / "counter_1.db").write_bytes(b"of a process that is gone")
    second = start(tmp_path, "the-second-password", "the-first-password", "the-second-password")
    assert second.stdout.strip() == "[False, True] True", second.stderr
    assert not (counters / "counter_1.db").exists()
    written = tmp_path / "auth.ini"
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert "default_permission = NO_PERMISSIONS" in written.read_text()
    assert "the-second-password" not in written.read_text()


def test_without_a_password_it_does_not_start(tmp_path: Path) -> None:
    refused = start(tmp_path, "")
    assert refused.returncode == 2
    assert "MLFLOW_AUTH_ADMIN_PASSWORD is not given" in refused.stderr
