"""The page alone, with ten models whose facts are made up, in front of a stub of Airflow's API."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from ml.errors import Unavailable
from ml.settings import PROJECT_ROOT
from tests import builders_charts, builders_drift, builders_performance, builders_quality
from tests.e2e.airflow_stub import AirflowStub

FACTS = json.loads((PROJECT_ROOT / "tests/plugins/fixtures/overview.json").read_text(encoding="utf-8"))
TODAY = date(2026, 11, 28)
WRONG = """models/stock-outs/params.yaml is wrong:
  gate.min_days: Input should be a valid integer, unable to parse string as an integer
  land.due_hours: unknown key; did you mean 'due_hour'?
correct what is named here and try again"""
SILENT = "MLflow at http://mlflow:5000 did not answer: see whether it runs, then try again"
MODELS: dict[str, dict[str, Any]] = {
    "flight-delay": {"state": "calm", "live": (0.512, 0.497)},
    "basket-size": {"state": "calm", "live": (4.18, 4.31), "kind": "regression", "target": "items", "days": 31},
    "card-fraud": {
        "state": "alarm", "live": (0.094, 0.061), "status": "decay", "target": "fraud", "days": 48, "alarms": 3,
        "sentence": "Alarm since 2026-11-24: decay: log loss +0.033 [+0.021, +0.045] above what the gate saw; drift of "
        "merchant_category 3.4 times its limit, country 1.6 times",
    },
    "churn": {"state": "calm", "live": (0.287, 0.291), "target": "left", "days": 12},
    "click-through": {"state": "watching", "live": (0.121, 0.118), "target": "clicked", "days": 3,
                      "sentence": "Watching on 2026-11-27: campaign 1.3 times its limit on 1 of the newest 3 days"},
    "delivery-time": {"state": "watching", "live": (11.9, 11.2), "kind": "regression", "target": "minutes", "days": 20,
                      "late": 2, "sentence": "The newest day is 2026-11-25, and 2026-11-27 is due: look at the newest "
                      "run of Ingest"},
    "energy-demand": {"state": "calm", "live": (1042.0, 1065.0), "kind": "regression", "target": "megawatts",
                      "days": 118},
    "loan-default": {"state": "unknown", "live": None, "target": "defaulted", "days": None,
                     "sentence": "No champion serves yet: once enough labelled days are in the registry, trigger "
                     "Retrain."},
    "spare-parts-demand-of-northern-warehouses": {"state": "unknown", "problem": SILENT},
    "stock-outs": {"state": "misconfigured", "problem": WRONG},
}  # fmt: skip


ALARM = {
    "family": "decay",
    "subject": "Decay since 2026-11-24: merchant_category, country",
    "first_day": "2026-11-24",
    "snoozed_until": "2026-12-01",
    "notes": [
        "acknowledged by ann on 2026-11-25: the feed of the processor changed its codes",
        "snoozed until 2026-12-01 by ann on 2026-11-26: the mapping is repaired on Monday",
    ],
}


def row(name: str) -> dict[str, Any]:
    """Make up the row of one model."""
    from ml.views.page.installation import blank, row_of

    made_up = MODELS[name]
    return blank(name, made_up["state"], made_up["problem"]) if "problem" in made_up else row_of(name, now(name))


def now(name: str) -> dict[str, Any]:
    """Make up where a model stands, from the facts that the page's other tests show."""
    made_up, facts = MODELS[name], deepcopy(FACTS["now"])
    serves, late = made_up.get("days", 9), made_up.get("late", 0)
    newest = TODAY - timedelta(days=1 + late)
    regression = made_up.get("kind") == "regression"
    metric = {"metric": "rmse", "metric_label": "RMSE"} if regression else {}
    facts["task"] |= {
        "name": name,
        "kind": made_up.get("kind", "classification"),
        "target": made_up.get("target", "late"),
        **metric,
    }
    facts |= {"state": made_up["state"], "sentence": made_up.get("sentence", f"Calm on {newest}: nothing moved")}
    facts["data"] |= {"status": "late" if late else "fresh", "days_late": late, "newest_day": str(newest)}
    facts["data"] |= {"labelled_day": str(newest - timedelta(days=1)), "due_day": str(TODAY - timedelta(days=1))}
    facts["score"]["day"] = str(newest)
    facts["alarm"] = {"since": "2026-11-24", "days": 4} if made_up.get("alarms") else None
    facts["episodes"] = [ALARM] if made_up.get("alarms") else []
    facts["findings"] = [{**facts["findings"][0], "severity": "alarm"}] * made_up.get("alarms", 0)
    facts["next"] |= {"day": str(TODAY), "at": f"{TODAY}T10:00:00+00:00"}
    if serves is None:
        facts |= {"champion": None, "performance": None, "score": None, "rejected": [], "challenger": None}
        return facts
    since = TODAY - timedelta(days=serves)
    facts["champion"] |= {"version": 1 + serves % 7, "since": str(since), "days": serves}
    figure = facts["performance"]["figures"][0]
    figure |= {"name": facts["task"]["metric"], "value": made_up["live"][0], "expected": made_up["live"][1]}
    facts["performance"]["status"] = made_up.get("status", "fine")
    return facts


def airflow_api(path: str) -> dict[str, Any]:
    """Answer as Airflow does: one model waits for a person, one is paused, one runs."""
    if path == "dags":
        drawn = [name for name in MODELS if name != "stock-outs"]
        dags = [
            {"dag_id": f"{name}.ingest", "is_paused": name == "loan-default",
             "next_dagrun_run_after": f"{TODAY + timedelta(days=1)}T{4 + at:02}:30:00Z"}
            for at, name in enumerate(drawn)
        ]  # fmt: skip
        return {"dags": dags, "total_entries": len(dags)}
    if path == "dags/~/dagRuns":
        return {"dag_runs": [{"dag_id": "churn.retrain", "dag_run_id": "r1", "state": "running"}], "total_entries": 1}
    if path.endswith("hitlDetails"):
        asked = {"dag_id": "churn.retrain", "dag_run_id": "r1", "task_id": "approve"}
        return {"hitl_details": [{"subject": "Let version 5 serve?", "task_instance": asked}], "total_entries": 1}
    if path.endswith("dagRuns"):
        return {"dag_runs": [], "total_entries": 0}
    return {"dag_id": path.partition("/")[2], "is_paused": False, "next_dagrun_run_after": None}


def write_models(folder: Path) -> Mapping[str, str]:
    """Write the settings of the ten models; give the variables that lead to them."""
    params = (PROJECT_ROOT / "params.yaml").read_text(encoding="utf-8")
    for name in list(MODELS)[1:]:
        own = folder / "models" / name
        (own / "expectations").mkdir(parents=True)
        text = params.replace("name: flight-delay", f"name: {name}")
        if name == "stock-outs":
            text = text.replace("due_hour:", "due_hours:")
        (own / "params.yaml").write_text(text, encoding="utf-8")
    (folder / "params.yaml").write_text(params, encoding="utf-8")
    return {
        "EVERGREEN_HOME": str(folder / "var"),
        "EVERGREEN_PARAMS": str(folder / "params.yaml"),
        "EVERGREEN_MODELS": str(folder / "models"),
    }


STUB = AirflowStub()
"""What the page's dialogs talk to."""

LOOKS_ONLY = "basket-size"
"""The model of which whoever looks may change nothing."""

TARGETS = {
    "champion": 6, "default": 5,
    "versions": [{"version": 5, "since": "2026-11-03"}, {"version": 2, "since": "2026-10-12"}],
}  # fmt: skip


async def airflow(request: Request) -> Any:
    """Answer as Airflow's API: by the stub where it knows, else as for the list of models."""
    from fastapi.responses import JSONResponse

    path = request.path_params["path"]
    if request.method != "GET":
        status, facts = STUB.change(request.method, path, await request.body())
    else:
        status, facts = STUB.look(path) or (200, airflow_api(path))
    return JSONResponse(facts, status_code=status)


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """Serve the page below ``/evergreen/``, to anybody, as Airflow's API server would; give its address."""
    import uvicorn
    from evergreen import page
    from evergreen.page import actions
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse

    def facts(name: str) -> Any:
        return lambda *_, **__: FACTS[name]

    def where_it_stands(services: Any, *, today: object) -> dict[str, Any]:
        name = services.settings.task.name
        if "problem" in MODELS[name]:
            raise Unavailable(MODELS[name]["problem"])
        return now(name)

    overview = SimpleNamespace(
        list_models=lambda *, today: {"models": [row(name) for name in MODELS], "reading": False},
        now=where_it_stands,
        model=lambda _, version: {**FACTS["model"], "version": version},
        version_charts=lambda _, version: builders_charts.facts_of(version),
        data_quality=lambda _, *, asset, days: builders_quality.facts_of(asset, days),
        quarantined_rows=lambda _, *, asset, day: builders_quality.rows_of(asset, day),
        quarantined_csv=lambda _, *, asset, day, what: f"day,reasons\r\n{day},{asset} {what}\r\n",
        performance_charts=lambda _, *, days: builders_performance.facts_of(days),
        drift_column=lambda _, *, day, column: builders_drift.column_facts(FACTS["drift"], day, column),
        drift_map=facts("drift"), **{name: facts(name) for name in FACTS if name not in {"now", "drift", "model"}},
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        for name, value in write_models(folder).items():
            patch.setenv(name, value)
        patch.setattr("airflow.api_fastapi.core_api.security.requires_authenticated", lambda: lambda: None)
        patch.setattr("airflow.api_fastapi.core_api.security.get_user", lambda: None)
        patch.setattr(actions, "is_allowed", lambda user, model, *_: model != LOOKS_ONLY)
        patch.setattr(actions, "_rollback_targets", lambda _: TARGETS)
        patch.setattr(page, "_overview", lambda: overview)
        server_app = FastAPI()
        server_app.mount("/evergreen", page.build())
        server_app.add_route("/api/v2/{path:path}", airflow, methods=["GET", "POST", "PATCH"])
        server_app.add_api_route("/{path:path}", lambda path: HTMLResponse(f"<h1>Airflow: {path}</h1>"))
        server = uvicorn.Server(uvicorn.Config(server_app, port=port, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join(30)
