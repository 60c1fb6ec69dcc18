"""Give Airflow a home of its own before it is imported, so that no test meets a developer's installation.

Only ``AIRFLOW_HOME`` and ``AIRFLOW_CONFIG`` are set; the embedded stack sets both for its own processes.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CONFIG = """
[core]
dags_folder = {project}/dags
plugins_folder = {project}/plugins
load_examples = False
simple_auth_manager_passwords_file = {home}/passwords.json

[database]
sql_alchemy_conn = sqlite:///{home}/airflow.db

[api]
base_url = http://airflow.test:8080

[api_auth]
jwt_secret = long enough for HS512, and known to nobody but these tests: xxxxxxxx

[logging]
base_log_folder = {home}/logs
logging_level = WARNING
"""


def isolate() -> Path:
    """Point Airflow at a temporary home that ends with this process; the first call of a worker decides.

    Programs that a test starts share the worker's home; a worker does not share that of the process that started it.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    if os.environ.get("EVERGREEN_TEST_AIRFLOW_WORKER") == worker:
        return Path(os.environ["EVERGREEN_TEST_AIRFLOW_HOME"])
    early = sorted(name for name in sys.modules if name == "airflow" or name.startswith("airflow."))
    if early:
        raise RuntimeError(f"Airflow was imported before its test home was made: {early[:3]}; import it inside tests")
    home = Path(tempfile.mkdtemp(prefix="evergreen-airflow-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_"))]:
        del os.environ[name]
    (home / "airflow.cfg").write_text(CONFIG.format(project=PROJECT, home=home), encoding="utf-8")
    os.environ["AIRFLOW_HOME"] = os.environ["EVERGREEN_TEST_AIRFLOW_HOME"] = str(home)
    os.environ["AIRFLOW_CONFIG"] = str(home / "airflow.cfg")
    os.environ["EVERGREEN_TEST_AIRFLOW_WORKER"] = worker
    return home
