"""What Kubernetes gets agrees with docker-compose.yaml, which is run, and with the page that says how."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "deploy" / "kubernetes"
VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "airflow-values.yaml").read_text(encoding="utf-8"))
MANIFESTS = [
    one
    for name in ("mlflow.yaml", "serving.yaml", "cluster.yaml", "job-init.yaml")
    for one in yaml.safe_load_all((FOLDER / name).read_text("utf-8"))
]
COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in MANIFESTS if one["kind"] in {"Deployment", "Job"}]


def test_what_makes_the_stack_outlive_its_parts_is_set_alike() -> None:
    worker = COMPOSE["airflow-worker"]["environment"]
    values = {one["name"]: one["value"] for one in VALUES["env"] if one["name"].startswith("AIRFLOW__")}
    shared = {name: value for name, value in values.items() if name != "AIRFLOW__API__BASE_URL"}
    assert {name: worker.get(name) for name in shared} == shared
    warm = {one["name"]: one["value"] for one in VALUES["workers"]["celery"]["env"]}
    assert warm == {"EVERGREEN_WARM_TASKS": "1", "AIRFLOW__CORE__LAZY_LOAD_PLUGINS": "False"}


def test_every_secret_that_is_named_is_made_on_the_page_and_none_is_held() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = "".join(
        (FOLDER / name).read_text("utf-8")
        for name in ("airflow-values.yaml", "mlflow.yaml", "serving.yaml", "cluster.yaml", "job-init.yaml")
    )
    named = set(
        re.findall(
            r"\b(evergreen-(?:airflow-\w+|mlflow-\w+|broker|fernet|api|jwt|users|outside|serving|cluster|registry-key))\b",
            files,
        )
    )
    made = set(re.findall(r"kubectl create secret generic (\S+)", page))
    assert named == made
    assert not re.findall(r"(?i)(?:password|secret_key|fernet_key) *[:=] *[\"']?\w{8,}", files)
    assert VALUES["createUserJob"]["enabled"] is False, "the chart's default user is admin, admin"


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: pod["containers"][0]["name"])
def test_a_pod_has_no_root_no_powers_and_limits(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert container["resources"]["limits"]["memory"]


def test_one_image_serves_all() -> None:
    image = VALUES["images"]["airflow"]
    assert {pod["containers"][0]["image"] for pod in pods()} == {f"{image['repository']}:{image['tag']}"}
