"""The pictures as literals: a change of a Dag's shape shows here, in the diff."""

from __future__ import annotations

from typing import Any

import pytest

GRAPHS = {
    "ingest": {
        "land": ["screen"],
        "screen": ["commit"],
        "commit": [],
    },
    "retrain": {
        # Each box reads the window that pull pinned.
        "pull": ["evaluate", "fit", "gate", "promote", "register", "split", "validate"],
        "validate": ["split"],
        "split": ["fit"],
        "fit": ["evaluate"],
        "evaluate": ["register"],
        "register": ["gate"],
        "gate": ["promote"],
        "promote": [],
    },
    "score": {
        "resolve": ["predict", "publish"],
        "predict": ["publish"],
        "publish": [],
    },
    "monitor": {
        "resolve": ["decide", "measure_drift", "measure_performance"],
        "measure_drift": ["alert", "decide"],
        "measure_performance": ["alert"],
        "decide": ["act", "alert"],
        "act": ["alert", "trigger_retrain"],
        "trigger_retrain": [],
        "alert": [],
    },
}
OUTLETS = {("ingest", "commit"): ["evergreen_inputs"], ("score", "publish"): ["evergreen_predictions"]}
FORM = {"why": "asked for by hand", "days": None, "last_day": None, "force": False, "asked_by": "a person"}


@pytest.mark.parametrize("dag_id", GRAPHS)
def test_the_graph(bag: Any, dag_id: str) -> None:
    found = {task.task_id: sorted(task.downstream_task_ids) for task in bag.dags[dag_id].tasks}
    assert found == GRAPHS[dag_id]


def test_who_announces_which_asset(bag: Any) -> None:
    found = {
        (dag_id, task.task_id): [asset.name for asset in task.outlets]
        for dag_id, dag in bag.dags.items()
        for task in dag.tasks
        if task.outlets
    }
    assert found == OUTLETS


def test_one_challenger_at_a_time(bag: Any) -> None:
    assert bag.dags["retrain"].max_active_runs == 1


def test_the_form_of_retrain(bag: Any) -> None:
    params = bag.dags["retrain"].params
    assert {name: params[name] for name in params} == FORM


def test_monitor_asks_for_one_retrain_a_day(bag: Any) -> None:
    trigger = bag.dags["monitor"].get_task("trigger_retrain")
    assert trigger.trigger_dag_id == "retrain"
    assert trigger.trigger_run_id == "monitor__{{ partition_key }}"
    assert trigger.skip_when_already_exists


def test_every_task_waits_for_all_before_it(bag: Any) -> None:
    rules = {task.trigger_rule for dag in bag.dags.values() for task in dag.tasks}
    assert rules == {"all_success"}
