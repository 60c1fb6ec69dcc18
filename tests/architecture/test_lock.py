"""The lock says all that is installed, with hashes, and all of it can be imported together."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
IMPORTED = (
    "airflow.sdk", "mlflow", "sklearn", "pandas", "great_expectations", "evidently", "dvc.api", "boto3", "requests",
    "skops.io", "pyarrow.parquet", "pydantic", "psutil", "tabulate", "aiosmtpd.controller", "matplotlib.pyplot",
    "optuna", "xgboost", "lightgbm", "shap", "fastapi", "uvicorn", "orjson", "prometheus_client",
)  # fmt: skip
DIRECT = (
    "apache-airflow", "mlflow", "scikit-learn", "pandas", "great-expectations", "evidently", "dvc", "boto3", "requests",
    "optuna",
)  # fmt: skip


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_every_pin_of_the_lock_carries_hashes(lock: str) -> None:
    text = (PROJECT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    pins = [line for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert len(pins) > 200
    assert [pin[:60] for pin in pins if "==" not in pin or "--hash=sha256:" not in pin] == []


def test_what_is_installed_is_what_the_lock_says() -> None:
    text = (PROJECT / "requirements.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", text, flags=re.MULTILINE)
    by_name: dict[str, set[str]] = {}
    for name, release in pinned:
        by_name.setdefault(name, set()).add(release)
    assert {name: version(name) for name in DIRECT if version(name) not in by_name[name]} == {}


def test_all_the_packages_can_be_imported_in_one_process() -> None:
    code = "import warnings; warnings.simplefilter('ignore')\n" + "\n".join(f"import {name}" for name in IMPORTED)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
