"""The page's list of models: one that is wrong, silent or broken delays no other, and hides none."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from ml.errors import Unavailable
from ml.settings import PROJECT_ROOT
from ml.views.page import installation as listing
from ml.views.page import status
from ml.views.page.cache import MEMORY
from ml.wiring import Services

TODAY = date(2013, 6, 25)
FACTS = json.loads((PROJECT_ROOT / "tests/plugins/fixtures/overview.json").read_text(encoding="utf-8"))["now"]
Now = Callable[[Services], dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Configure the project's own model, and ``churn`` and ``fraud`` beside it."""
    params = (PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8")
    for name in ("churn", "fraud"):
        (tmp_path / "models" / name).mkdir(parents=True)
        changed = params.replace("name: flight-delay", f"name: {name}")
        (tmp_path / "models" / name / "params.yaml").write_text(changed, encoding="utf-8")
    monkeypatch.setenv("EVERGREEN_HOME", str(tmp_path / "var"))
    monkeypatch.setenv("EVERGREEN_MODELS", str(tmp_path / "models"))
    return tmp_path


@pytest.fixture(autouse=True)
def _remembers_nothing() -> Iterator[None]:
    MEMORY.forget()
    yield
    MEMORY.forget()


@pytest.fixture
def where_it_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Now]:
    """Make up where models stand: what a test puts in here, else what the page's other tests show."""
    given: dict[str, Now] = {}

    def now(services: Services, *, today: object) -> dict[str, Any]:
        name = services.settings.task.name
        return given.get(name, lambda _: FACTS)(services)

    monkeypatch.setattr(status, "now", now)
    return given


def rows() -> dict[str, dict[str, Any]]:
    """Ask for the list as the page gets it, through JSON without NaN."""
    told = json.loads(json.dumps(listing.list_models(today=TODAY), allow_nan=False))
    assert told["reading"] == any(row["state"] == "reading" for row in told["models"])
    return {row["name"]: row for row in told["models"]}


def ended() -> dict[str, dict[str, Any]]:
    """Ask again until every model was read."""
    until, found = time.monotonic() + 60, rows()
    while any(row["state"] == "reading" for row in found.values()):
        assert time.monotonic() < until, found
        found = rows()
    return found


def test_a_row_says_of_a_model_what_the_list_needs(where_it_stands: dict[str, Now]) -> None:
    where_it_stands["churn"] = lambda _: {**FACTS, "state": "calm", "alarm": None, "findings": []}
    found = ended()
    assert list(found) == ["flight-delay", "churn", "fraud"]
    row = found["fraud"]
    assert (row["state"], row["sentence"]) == ("alarm", FACTS["sentence"])
    assert row["champion"] == {"version": 3, "since": "2013-06-16", "days": 9}
    live = {"value": 0.512, "low": 0.471, "high": 0.553, "expected": 0.497, "better": "lower", "base_rate": 0.561}
    live |= {"status": "fine"}
    assert row["performance"] == live
    assert {name: row["data"][name] for name in ("inputs_day", "predictions_day", "labels_day")} == {
        "inputs_day": "2013-06-25",
        "predictions_day": "2013-06-25",
        "labels_day": "2013-06-24",
    }
    assert row["alarms"] == {"count": 1, "since": "2013-06-23"}
    assert row["due"]["day"] == FACTS["next"]["day"]
    assert (found["churn"]["state"], found["churn"]["alarms"]) == ("calm", {"count": 0, "since": None})


def test_a_model_without_anything_yet_has_a_row(folder: Path) -> None:
    """Nothing is made up: an empty installation, read as it is."""
    found = ended()["churn"]
    assert (found["state"], found["champion"], found["performance"]) == ("unknown", None, None)
    assert "No champion serves yet" in found["sentence"]
    assert found["data"]["inputs_day"] is None
    assert found["task"]["target"] == "late"


def test_wrong_settings_are_named_by_file_and_key_and_stop_no_other(
    folder: Path, where_it_stands: dict[str, Now]
) -> None:
    params = folder / "models" / "churn" / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace("due_hour:", "due_hours:"), encoding="utf-8")
    (folder / "models" / "nothing in it").mkdir()
    found = ended()
    assert {name: row["state"] for name, row in found.items()} == {
        "flight-delay": "alarm", "churn": "misconfigured", "fraud": "alarm", "nothing in it": "misconfigured",
    }  # fmt: skip
    assert str(params) in found["churn"]["sentence"]
    assert "land.due_hours: unknown key; did you mean 'due_hour'?" in found["churn"]["sentence"]
    assert "rename the folder" in found["nothing in it"]["sentence"]


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [(Unavailable("MLflow did not answer: see whether it runs"), "MLflow did not answer"),
     (RuntimeError("password=hunter2"), "the log of Airflow's API server has it")],
)  # fmt: skip
def test_a_model_that_cannot_be_read_is_unknown_and_stops_no_other(
    where_it_stands: dict[str, Now], problem: Exception, sentence: str
) -> None:
    def fail(_: Services) -> dict[str, Any]:
        raise problem

    where_it_stands["churn"] = fail
    found = ended()
    assert {name: row["state"] for name, row in found.items()} == {
        "flight-delay": "alarm", "churn": "unknown", "fraud": "alarm",
    }  # fmt: skip
    assert sentence in found["churn"]["sentence"]
    assert "hunter2" not in str(found)


def test_a_silent_model_delays_no_other_and_is_read_by_one_thread(
    where_it_stands: dict[str, Now], monkeypatch: pytest.MonkeyPatch
) -> None:
    released, begun = threading.Event(), []

    def silent(services: Services) -> dict[str, Any]:
        begun.append(services)
        released.wait(60)
        return FACTS

    where_it_stands["churn"] = silent
    try:
        monkeypatch.setattr(listing, "PATIENCE_SECONDS", 5.0)
        before = time.monotonic()
        assert {name: row["state"] for name, row in rows().items()} == {
            "flight-delay": "alarm", "churn": "reading", "fraud": "alarm",
        }  # fmt: skip
        assert time.monotonic() - before < 20
        monkeypatch.setattr(listing, "PATIENCE_SECONDS", 0.01)
        monkeypatch.setattr(listing, "SILENT_SECONDS", 0.0)
        overdue = rows()["churn"]
        assert overdue["state"] == "unknown"
        assert "did not answer within" in overdue["sentence"]
        assert len(begun) == 1
    finally:
        released.set()
    monkeypatch.setattr(listing, "PATIENCE_SECONDS", 30.0)
    assert rows()["churn"]["state"] == "alarm"


def test_what_was_read_is_given_again_for_a_moment(where_it_stands: dict[str, Now]) -> None:
    asked: list[Services] = []

    def counting(services: Services) -> dict[str, Any]:
        asked.append(services)
        return FACTS

    where_it_stands["fraud"] = counting
    ended()
    ended()
    assert len(asked) == 1
    MEMORY.forget()
    ended()
    assert len(asked) == 2
