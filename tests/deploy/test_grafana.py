"""The dashboard asks for metrics that somebody exports, in PromQL that parses, of the source that is provisioned."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml.serving.metrics import REGISTRY
from ml.views.loop_metrics import FAMILIES

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "deploy" / "grafana"
BOARD: dict[str, Any] = json.loads((FOLDER / "dashboards" / "evergreen.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel, target) for panel in PANELS for target in panel["targets"]]
NAME = re.compile(r"\b(?:evergreen|process|airflow|mlflow)_\w+\b")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
MLFLOW = {"mlflow_http_request_total", "mlflow_http_request_duration_seconds_bucket"}
"""Read from a server that was started with ``--expose-prometheus``."""


def served() -> Iterator[str]:
    for family in REGISTRY.collect():
        yield from (family.name + suffix for suffix in SUFFIXES[family.type])


def of_airflow() -> set[str]:
    """List Airflow's own metrics as its exporter of StatsD names them; names with a blank are left out."""
    text = files("airflow._shared.observability.metrics").joinpath("metrics_template.yaml").read_text(encoding="utf-8")
    names = [metric["name"] for metric in yaml.safe_load(text)["metrics"]]
    return {"airflow_" + re.sub(r"\W", "_", name) for name in names if "{" not in name}


def test_every_metric_is_one_that_the_loop_the_service_airflow_or_mlflow_exports() -> None:
    exported = FAMILIES.keys() | set(served()) | of_airflow() | MLFLOW
    asked = {name for _, target in TARGETS for name in NAME.findall(target["expr"])}
    assert len(asked) > 30
    assert asked - exported == set()


def test_every_figure_of_the_loop_that_changes_is_shown() -> None:
    asked = {name for _, target in TARGETS for name in NAME.findall(target["expr"])}
    left_out = {
        "evergreen_alarm_days",
        "evergreen_rejected_deliveries",
        "evergreen_retrain_requested",
        "evergreen_model_versions",
        "evergreen_registry_days",
    }
    assert FAMILIES.keys() - asked == left_out


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": target["expr"].replace("$model", ".*").replace("$__rate_interval", "5m")}
        for number, (_, target) in enumerate(TARGETS)
    ]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    result = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(TARGETS)} rules found" in result.stdout


def test_every_panel_reads_the_source_that_is_provisioned() -> None:
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    reference = {"type": source["type"], "uid": source["uid"]}
    assert all(panel["datasource"] == reference for panel in PANELS)
    assert all(target["datasource"] == reference for _, target in TARGETS)
    (model,) = BOARD["templating"]["list"]
    assert (model["name"], model["datasource"]) == ("model", reference)
    assert NAME.findall(model["query"]) == ["evergreen_model_readable"]


def test_panels_have_their_own_ids_and_do_not_lie_on_each_other() -> None:
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])

    def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
        return all(one[a] < other[a] + other[b] and other[a] < one[a] + one[b] for a, b in (("x", "w"), ("y", "h")))

    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    assert not any(overlap(one, other) for one, other in combinations(places, 2))


def test_every_query_of_a_panel_has_its_letter_and_a_legend() -> None:
    for panel in PANELS:
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_compose_mounts_what_grafana_is_told_to_read() -> None:
    grafana = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]["grafana"]
    mounted = dict(volume.split(":")[:2] for volume in grafana["volumes"] if volume.startswith("./"))
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/evergreen.yml").read_text())["providers"]
    assert mounted["./deploy/grafana/dashboards"] == provider["options"]["path"]
    assert mounted["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/evergreen.json"
