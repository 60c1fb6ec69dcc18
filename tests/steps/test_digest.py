"""What a week brought a model, read from its real decisions, data and alerts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ml.adapters import layout
from ml.core.monitoring import digest
from ml.records import Alert, QueuedAlert
from ml.settings import configured_models
from ml.steps import exclude
from ml.views.digest import of_model
from ml.views.page.cache import MEMORY
from tests.steps.conftest import LAST_DAY, World


def test_the_week_of_a_model(trained: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in trained.environ.items():
        monkeypatch.setenv(name, value)
    services, now = trained.services, datetime.now(UTC)
    exclude.exclude([LAST_DAY], reason="a strike", requested_by="ann", settings=trained.settings, services=services)
    for what, resolves in (("opened", False), ("resolved", True)):
        alert = Alert(
            kind="drift",
            key=f"drift/x/{what}",
            model="flight-delay",
            title="Drift since yesterday: dest",
            severity="alarm",
            created_at=now,
            template="alarm",
            thread="drift/x/opened" if resolves else None,
            resolves=resolves,
        )
        text = QueuedAlert(alert=alert, channels=("email",)).model_dump_json().encode()
        services.storage.put_bytes(layout.alerts.alert(alert.key), text)
    MEMORY.forget()
    (model,) = configured_models()
    week = digest.week_before((now + timedelta(days=1)).date(), "UTC")
    facts = of_model(model, now=now, week=week)
    assert facts["began"] and facts["champion"]["version"] == 1
    assert {name: count for name, count in facts["counts"].items() if count} == {
        "promotion": 1,
        "opened": 1,
        "resolved": 1,
    }
    sentences = " ".join(event["sentence"] for event in facts["happened"])
    for said in ("Version 1 was promoted", "a strike", "Alarm: Drift since", "Alarm over: Drift since"):
        assert said in sentences
    assert facts["days"]["excluded"][0]["reason"] == "a strike"

    before = of_model(model, now=now, week=digest.week_before((now - timedelta(days=30)).date(), "UTC"))
    assert not before["began"] and before["happened"] == []


def test_a_model_that_cannot_be_read_says_why(trained: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in trained.environ.items():
        monkeypatch.setenv(name, value)
    (model,) = configured_models()
    (trained.home / "params.yaml").write_text("task: 1\n")
    facts = of_model(model, now=datetime.now(UTC), week=digest.week_before(LAST_DAY, "UTC"))
    assert facts["state"] == "misconfigured" and "task" in facts["waits"][0]
