"""The runbook knows each task that can be red, each that can be pink, and each kind of mail."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from ml.settings import MailKind
from tests.dags.airflow_home import PROJECT

RUNBOOK = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
MAILS = {
    "drift": "Drift since",
    "decay": "Decay since",
    "data_rejected": "Data rejected",
    "labels_in_doubt": "Labels in doubt",
    "task_failed": "Task failed",
    "predictions_late": "Predictions late since",
    "promoted": "was promoted",
    "held": "was held",
    "rolled_back": "Rolled back",
    "approval": "Approve?",
    "digest": "Weekly digest",
}
DOES_NOTHING = {"retrain.approved"}
DRAWN_IF_ASKED_FOR = {"score.export", "score.check_deadline"}
"""Tasks that the model at the top has not, as it is delivered."""


def section(title: str) -> str:
    return RUNBOOK.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_each_task_that_can_be_red_has_a_row(bag: Any) -> None:
    rows = [line.split("|")[1] for line in section("Red tasks").splitlines() if line.startswith("| `")]
    told = {name for row in rows for name in re.findall(r"`(\w+\.\w+)`", row)}
    tasks = {f"{dag.dag_id.rpartition('.')[2]}.{task_id}" for dag in bag.dags.values() for task_id in dag.task_ids}
    assert told == (tasks - DOES_NOTHING) | DRAWN_IF_ASKED_FOR


@pytest.mark.parametrize("kind", get_args(MailKind))
def test_each_kind_of_mail_has_a_section(kind: str) -> None:
    titles = [line for line in section("Mails").splitlines() if line.startswith("### ")]
    assert any(MAILS[kind] in title for title in titles)
    assert f"`{kind}`" in section("Mails"), "and the list of kinds names it"
