"""What monitor hands to the rollback Dag is what its form takes: numbers as numbers."""

from __future__ import annotations

import json
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest

REQUEST = {
    "requested_by": "monitor of 2013-06-21",
    "reason": "version 1's log loss is lower by 0.05 on 'the same' days → <back>",
    "to_version": 1,
    "from_version": 2,
    "evidence": {"gain": 0.05, "low": 0.01, "high": 0.09, "days": 6.0, "rows": 5400.0},
}
DECISION = {"day": "2013-06-21", "action": "rollback", "request": None, "rollback": REQUEST, "alarm": False}


def test_the_request_reaches_the_form_unchanged(bag: Any) -> None:
    trigger = bag.dags["flight-delay.monitor"].get_task("trigger_rollback").prepare_for_execution()
    pulled = SimpleNamespace(xcom_pull=lambda task_ids: {"decide": DECISION}[task_ids])
    trigger.render_template_fields({"ti": pulled, "partition_key": "2013-06-21"})
    assert (trigger.trigger_dag_id, trigger.trigger_run_id) == ("flight-delay.rollback", "monitor__2013-06-21")
    assert trigger.skip_when_already_exists
    assert json.loads(trigger.conf) == REQUEST
    form = deepcopy(bag.dags["flight-delay.rollback"].params)
    assert {name: form.get_param(name).resolve(REQUEST[name]) for name in form} == REQUEST


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({}, []),
        ({"rollback": REQUEST}, ["trigger_rollback"]),
        ({"rollback": REQUEST, "alarm": True}, ["trigger_rollback"]),
        ({"request": {"requested_by": "monitor"}, "alarm": True}, ["trigger_retrain"]),
    ],
)
def test_what_is_acted_on(bag: Any, asked: dict[str, Any], chosen: list[str]) -> None:
    act = bag.dags["flight-delay.monitor"].get_task("act").python_callable
    assert act({"request": None, "rollback": None, "alarm": False} | asked) == chosen
