"""What the page offers to do: what Airflow's API would let this user do, and what the forms of its Dags ask."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
from evergreen import forms
from evergreen.page import actions

from ml.champions import serving_state, withdrawal
from ml.champions.serving_state import ServingState
from ml.records import Logged
from ml.views.page.rollback_targets import rollback_targets

OF_MODEL = "/api/models/flight-delay"
Ask = Callable[..., httpx.Response]
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with `starlette.testclient`")  # Airflow's, on import


@pytest.fixture
def ask(send_as: Callable[..., httpx.Response]) -> Ask:
    """Ask the page as somebody of a role."""
    return lambda path, role="user", of_model=OF_MODEL: send_as(role, "GET", f"{of_model}/{path}")


@pytest.mark.parametrize(("role", "may"), [("viewer", False), ("user", True), ("op", True), ("admin", True)])
def test_what_airflow_would_refuse_is_not_offered(ask: Ask, role: str, may: bool) -> None:
    assert ask("actions", role).json()["may"] == dict.fromkeys(actions.ACTIONS, may)


def test_airflow_is_asked_what_its_own_api_asks(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rights that are looked up are those that the routes of Airflow's API demand."""
    from airflow.api_fastapi.core_api.routes.public import dag_run, hitl, task_instances

    demanded = {
        ("POST", "RUN"): (dag_run.dag_run_router, "trigger_dag_run"),
        ("PUT", "HITL_DETAIL"): (hitl.task_instances_hitl_router, "update_hitl_detail"),
        ("PUT", "TASK_INSTANCE"): (task_instances.task_instances_router, "post_clear_task_instances"),
    }
    assert {(method, what) for asked in actions.ACTIONS.values() for _, method, what in asked} == set(demanded)
    for (method, what), (router, name) in demanded.items():
        (route,) = [one for one in router.routes if one.name == name]
        (cells,) = [
            {getattr(cell.cell_contents, "name", cell.cell_contents) for cell in one.dependency.__closure__ or ()}
            for one in route.dependencies
            if "requires_access_dag" in one.dependency.__qualname__
        ]
        assert {method, what} <= cells, (name, cells)

    refused = {"flight-delay.note"}
    from airflow.api_fastapi.app import get_auth_manager

    monkeypatch.setattr(get_auth_manager(), "is_authorized_dag", lambda *, details, **_: details.id not in refused)
    may = ask("actions", "user").json()["may"]
    assert [name for name, allowed in may.items() if not allowed] == ["note"]


def test_the_dialogs_ask_what_the_forms_of_the_dags_ask(ask: Ask) -> None:
    shown = ask("actions").json()["forms"]
    assert set(shown) == set(forms.BY_DAG)
    names = {name: [field["name"] for field in fields] for name, fields in shown.items()}
    assert names["retrain"] == ["reason", "days", "last_day", "force"]
    assert names["rollback"] == ["reason", "to_version"], "what Monitor fills in is not asked of a person"
    assert names["note"] == ["kind", "note", "alarm", "until", "decision"]
    by_name = {field["name"]: field for field in shown["retrain"]}
    assert {name: field["kind"] for name, field in by_name.items()} == {
        "reason": "words", "days": "number", "last_day": "date", "force": "switch",
    }  # fmt: skip
    assert (by_name["reason"]["required"], by_name["days"]["required"], by_name["days"]["least"]) == (True, False, 2)
    assert all(field["title"] and field["description"] for fields in shown.values() for field in fields)


@pytest.mark.parametrize("name", sorted(forms.BY_DAG))
def test_what_a_dialog_leaves_empty_is_taken_by_the_dags_own_form(name: str) -> None:
    form = forms.BY_DAG[name]
    for field in forms.fields(form):
        if not field["required"] and field["kind"] != "switch":
            assert form[field["name"]].resolve(field["default"] if field["kind"] == "choice" else None) == (
                field["default"] if field["kind"] == "choice" else None
            )


@pytest.mark.parametrize("path", ["actions", "rollback-targets"])
def test_a_model_that_is_not_there_has_no_actions(ask: Ask, path: str) -> None:
    assert ask(path, of_model="/api/models/nobody").status_code == 404


def promoted(version: int, day: int, kind: str = "promotion", **more: Any) -> Logged:
    payload = {"version": version, "window_last_day": "2026-11-01", **more}
    return Logged(
        decision_id=f"{version:032x}", kind=kind, decided_at=datetime(2026, 11, day, tzinfo=UTC), fingerprint="f",
        effective_day=date(2026, 11, day), payload=payload,
    )  # fmt: skip


def test_the_dialog_names_the_version_that_would_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    decisions = (promoted(1, 2), promoted(2, 5), promoted(4, 9))
    monkeypatch.setattr(serving_state, "read_serving", lambda _: ServingState(decisions[-1], 4, decisions))
    monkeypatch.setattr(withdrawal, "cannot_serve", lambda entry, _: None)
    expected = {
        "champion": 4, "default": 2,
        "versions": [{"version": 2, "since": "2026-11-05"}, {"version": 1, "since": "2026-11-02"}],
    }  # fmt: skip
    assert rollback_targets(object()) == expected  # type: ignore[arg-type]
    gone = {2: "version 2 cannot serve: its model is gone"}
    monkeypatch.setattr(withdrawal, "cannot_serve", lambda entry, _: gone.get(entry.payload["version"]))
    assert rollback_targets(object())["default"] == 1  # type: ignore[arg-type]


def test_before_the_first_champion_there_is_nothing_to_return_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_state, "read_serving", lambda _: ServingState(None, None, ()))
    assert rollback_targets(object()) == {"champion": None, "default": None, "versions": []}  # type: ignore[arg-type]
