"""The pictures as literals: a change of a Dag's shape shows here, in the diff."""

from __future__ import annotations

from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from evergreen import models

from embedded import config
from tests.dags.world import MODEL

GRAPHS = {
    "ingest": {
        "land": ["screen"],
        "screen": ["commit", "report_rejected"],
        "commit": ["report_rejected"],
        # Whether the day has inputs or rests; behind commit, which announces them.
        "report_rejected": [],
    },
    "retrain": {
        # Each box reads the window that pull pinned.
        "pull": [
            *["alert", "ask", "check", "describe", "evaluate", "fit", "gate", "promote", "refit", "register", "split"],
            *["tune", "validate"],
        ],
        "validate": ["split"],
        "split": ["tune"],
        "tune": ["fit"],
        "fit": ["check", "evaluate"],
        "evaluate": ["register"],
        "register": ["gate"],
        "check": ["gate"],
        "gate": ["refit"],
        "refit": ["alert", "ask", "describe", "promote"],
        "describe": [],
        "ask": ["approve", "promote"],
        # Never promote itself: a rejection skips what comes right behind it.
        "approve": ["approved"],
        "approved": ["promote"],
        "promote": ["alert"],
        "alert": [],
    },
    "rollback": {
        "rollback": ["alert"],
        "alert": [],
    },
    "score": {
        "resolve": ["predict", "publish", "shadow"],
        "predict": ["publish"],
        "publish": ["shadow"],
        "shadow": [],
    },
    "monitor": {
        "resolve": [
            "compare_with_previous",
            "decide",
            "measure_drift",
            "measure_performance",
            "measure_requests",
            "score_refit",
        ],
        "measure_drift": ["alert", "decide"],
        "measure_performance": ["alert", "decide"],
        "compare_with_previous": ["decide"],
        "measure_requests": [],
        "decide": ["act", "alert", "score_refit"],
        "score_refit": [],
        "act": ["trigger_retrain", "trigger_rollback"],
        "trigger_retrain": [],
        "trigger_rollback": [],
        "alert": [],
    },
}
OUTLETS = {
    (f"{MODEL}.ingest", "commit"): [f"{MODEL}.inputs"],
    (f"{MODEL}.score", "publish"): [f"{MODEL}.predictions"],
}
FORM = {"reason": "requested by hand", "days": None, "last_day": None, "force": False, "requested_by": "a person"}


GROUPS = {
    "prepare": ["pull", "split", "validate"],
    "train": ["evaluate", "fit", "tune"],
    "judge": ["check", "describe", "gate", "refit", "register"],
    "decide": ["alert", "approve", "approved", "ask", "promote"],
}
PRODUCE_NOTHING = {"act", "alert", "approve", "approved", "ask", "note"}
"""They choose, wait or mail; what triggers a Dag leads to it by Airflow's own link."""


@pytest.mark.parametrize("verb", GRAPHS)
def test_the_graph(bag: Any, verb: str) -> None:
    found = {task.task_id: sorted(task.downstream_task_ids) for task in bag.dags[f"{MODEL}.{verb}"].tasks}
    assert found == GRAPHS[verb]


def test_who_announces_which_asset(bag: Any) -> None:
    found = {
        (dag_id, task.task_id): [asset.name for asset in task.outlets]
        for dag_id, dag in bag.dags.items()
        for task in dag.tasks
        if task.outlets
    }
    assert found == OUTLETS


def test_the_boxes_of_retrain_hold_every_task_under_its_own_name(bag: Any) -> None:
    groups = bag.dags[f"{MODEL}.retrain"].task_group.children
    assert {name: sorted(group.children) for name, group in groups.items()} == GROUPS


def test_each_task_leads_to_what_it_produces(bag: Any) -> None:
    from evergreen import links

    shown: dict[str, set[str]] = {}
    for dag in bag.dags.values():
        for task in dag.tasks:
            shown.setdefault(task.task_id, set()).update(link.name for link in task.operator_extra_links)
    assert {name for name, found in shown.items() if not found} == PRODUCE_NOTHING
    assert {name: found for name, found in shown.items() if name in links.NAMES} == {
        name: set(found) for name, found in links.NAMES.items()
    }


def test_every_dag_gets_notes(bag: Any) -> None:
    assert set(models.DAGS) == set(GRAPHS)
    assert {models.verb_of(dag_id) for dag_id in bag.dags} - {""} == {*models.DAGS, *models.BY_HAND}
    assert [dag_id for dag_id in bag.dags if not models.verb_of(dag_id)] == [f"{MODEL}.digest"]
    assert models.verb_of("somebody_elses") == models.verb_of("etl.load") == models.verb_of(".score") == ""


def test_the_launcher_names_the_same_dags() -> None:
    assert (config.DAGS, config.dag_id(MODEL, "score")) == (models.DAGS, models.dag_id(MODEL, "score"))


@pytest.mark.parametrize("verb", ["retrain", "rollback", "exclude"])
def test_who_serves_is_changed_by_one_run_at_a_time(bag: Any, verb: str) -> None:
    assert bag.dags[f"{MODEL}.{verb}"].max_active_runs == 1


def test_the_form_of_retrain(bag: Any) -> None:
    params = bag.dags[f"{MODEL}.retrain"].params
    assert {name: params[name] for name in params} == FORM


def test_monitor_asks_for_one_retrain_a_day(bag: Any) -> None:
    trigger = bag.dags[f"{MODEL}.monitor"].get_task("trigger_retrain")
    assert trigger.trigger_dag_id == f"{MODEL}.retrain"
    assert trigger.trigger_run_id == "monitor__{{ partition_key }}"
    assert trigger.skip_when_already_exists


def test_only_promote_its_mail_and_the_report_of_labels_run_though_something_before_them_was_skipped(bag: Any) -> None:
    rules = {(dag.dag_id, task.task_id): task.trigger_rule.value for dag in bag.dags.values() for task in dag.tasks}
    unusual = {name: rule for name, rule in rules.items() if rule != "all_success"}
    expected = {(f"{MODEL}.retrain", name): "none_failed_min_one_success" for name in ("promote", "alert")}
    assert unusual == expected | {(f"{MODEL}.ingest", "report_rejected"): "none_failed"}


def test_the_form_of_rollback(bag: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    params = {
        name: bag.dags[f"{MODEL}.rollback"].params.get_param(name) for name in bag.dags[f"{MODEL}.rollback"].params
    }
    assert {name: param.resolve() for name, param in params.items() if name != "reason"} == {
        "to_version": None, "requested_by": "a person", "from_version": None, "evidence": None,
    }  # fmt: skip
    with pytest.raises(ParamValidationError):
        params["reason"].resolve()
    for name, value in (
        ("reason", None),
        ("reason", ""),
        ("reason", "?"),
        ("reason", "    "),
        ("to_version", 0),
        ("to_version", "the last one"),
    ):
        with pytest.raises(ParamValidationError):
            copy(params[name]).resolve(value)
    for name, value in (("reason", "worse on weekends"), ("to_version", 3), ("evidence", {"gain": 0.01})):
        assert copy(params[name]).resolve(value) == value


def test_no_time_limit_of_a_run_cuts_the_wait_for_a_person_short(bag: Any) -> None:
    from annotated_types import Le
    from evergreen.approval import LONGEST_HOURS

    from ml.settings import Gate

    (longest,) = [bound.le for bound in Gate.model_fields["approval_hours"].metadata if isinstance(bound, Le)]
    assert longest == LONGEST_HOURS
    assert bag.dags[f"{MODEL}.retrain"].dagrun_timeout >= timedelta(hours=LONGEST_HOURS + 6)
