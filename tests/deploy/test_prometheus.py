"""The rules and the scrape configuration by Prometheus's own tool, and the rules against the figures that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from ml.views.loop_metrics import FAMILIES

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "config", "--syntax-only", "compose.yml"),
        ("test", "rules", "rules_test.yml"),
    ],
    ids=str,
)
def test_prometheus_takes_the_files(words: tuple[str, ...]) -> None:
    result = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_rule_asks_for_figures_that_exist() -> None:
    (group,) = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    for rule in group["rules"]:
        assert set(re.findall(r"evergreen_\w+", rule["expr"])) <= FAMILIES.keys(), rule["alert"]


def test_every_rule_is_tried_out() -> None:
    (group,) = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    tried = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in group["rules"]}


def test_every_figure_is_in_the_docs() -> None:
    page = (FOLDER.parents[1] / "docs" / "metrics.md").read_text(encoding="utf-8")
    shown = page.replace("`…_low`", "`evergreen_live_metric_low`").replace("`…_high`", "`evergreen_live_metric_high`")
    assert [name for name in FAMILIES if f"`{name}`" not in shown] == []


def test_every_rule_has_a_row_in_the_runbook() -> None:
    (group,) = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    page = (FOLDER.parents[1] / "docs" / "runbook.md").read_text(encoding="utf-8")
    rows = page.partition("## Alerts of Prometheus\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE) == [rule["alert"] for rule in group["rules"]]
