"""Lead from a task in Airflow to what it produced: the reports, files, runs, versions and decisions.

A step's record says what was produced. `leave` turns it into addresses while the task runs, as one XCom;
Airflow then asks each `Produced` link of the task for its address, and shows those that have one. No
address is made in Airflow's servers.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator
    from pydantic import BaseModel

    from ml.wiring import Services

log = logging.getLogger(__name__)
PRODUCED = "produced"
"""XCom of a task: the addresses of what it produced, by the name of the link."""

MLFLOW_URL = "EVERGREEN_MLFLOW_URL"
"""Where people's browsers reach MLflow, if that is not where tasks do."""

REPORT, DATA, MODEL, DECISION = "Validation report", "Data in Evergreen", "Model in Evergreen", "Decision"
RUN, VERSION = "MLflow run", "MLflow model version"
NAMES: dict[str, tuple[str, ...]] = {
    "land": (DATA,),
    "screen": (REPORT, "Validation report of the labels", "Quarantined rows"),
    "commit": (DATA, REPORT),
    "report_rejected": (REPORT,),
    "pull": (DATA, "Window"),
    "validate": (REPORT,),
    "split": ("Split",),
    "tune": (RUN,),
    "fit": (RUN,),
    "evaluate": (RUN,),
    "register": (RUN, VERSION, MODEL),
    "check": ("Package check",),
    "gate": (DECISION, "Verdict", MODEL),
    "refit": (DECISION, "Verdict", MODEL),
    "describe": ("Model card", RUN),
    "promote": (DECISION, MODEL, VERSION),
    "rollback": (DECISION, MODEL, VERSION),
    "resolve": (MODEL,),
    "predict": (MODEL,),
    "publish": ("Predictions", REPORT, MODEL),
    "shadow": ("Shadow predictions",),
    "measure_drift": ("Evidently report", MODEL),
    "measure_performance": ("Live performance", "Performance by day"),
    "measure_rivalry": ("Comparison",),
    "decide": (DECISION,),
}
"""The links of each task, by its id; what a task did not produce this time is not shown."""


class Produced(BaseOperatorLink):
    """A link to one thing that a task produced."""

    def __init__(self, label: str) -> None:
        self.label = label

    @property
    def name(self) -> str:
        """What people click on."""
        return self.label

    @property
    def xcom_key(self) -> str:
        """Where Airflow keeps the address."""
        return f"_link_{self.label.lower().replace(' ', '_')}"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Give the address that the task left, in the task's own process; empty if there is none."""
        del operator
        left = ti_key.xcom_pull(task_ids=ti_key.task_id, key=PRODUCED)
        return str(left.get(self.label, "")) if isinstance(left, Mapping) else ""


def with_links(dag: DAG) -> DAG:
    """Give each task of a Dag the links of `NAMES`, beside those that it has; return the same Dag."""
    for task in dag.tasks:
        if own := NAMES.get(task.task_id):
            task.operator_extra_links = [*task.operator_extra_links, *map(Produced, own)]
    return dag


@dataclass(frozen=True)
class Places:
    """Where people find things: addresses for a browser, empty where there is none."""

    airflow: str
    mlflow: str
    storage: str
    model: str

    @classmethod
    def of(cls, services: Services) -> Places:
        """Read them from the services and from Airflow's configuration."""
        return cls(airflow_url(), mlflow_url(services), services.storage.root.rstrip("/"), services.settings.task.name)

    def page(self, part: str) -> str:
        """Give a part of Evergreen's page: Airflow's frame of it takes the path behind its own for the framed one's.

        That path has to be whole, a proxy's prefix included.
        """
        return f"{self.airflow}/plugin/evergreen{urlsplit(self.airflow).path}/evergreen/#{quote(part)}"

    def file(self, uri: str | None) -> str:
        """Give a file of storage, by its URI, as the page serves it."""
        inside = uri is not None and uri.startswith(f"{self.storage}/")
        return self.kept(uri[len(self.storage) + 1 :]) if uri is not None and inside else ""

    def kept(self, name: str) -> str:
        """Give a file that the page serves, by its name."""
        return f"{self.airflow}/evergreen/files/{quote(name, safe='/=')}"

    def run(self, run_id: str | None) -> str:
        """Give the page of an MLflow run."""
        return f"{self.mlflow}/#/runs/{quote(run_id)}" if run_id and self.mlflow else ""

    def version(self, version: int | None) -> str:
        """Give MLflow's page of a model version."""
        known = version is not None and self.mlflow
        return f"{self.mlflow}/#/models/{quote(self.model)}/versions/{version}" if known else ""

    def model_page(self, version: int | None) -> str:
        """Give a version on Evergreen's page."""
        return "" if version is None else self.page(f"models/{version}")

    def decision(self, decision_id: str | None) -> str:
        """Give a decision on Evergreen's page, rule by rule."""
        return self.page(f"decisions/{decision_id}") if decision_id else ""


def airflow_url() -> str:
    """Give the address of Airflow's web UI."""
    from airflow.sdk.configuration import conf

    return (conf.get("api", "base_url", fallback="") or "http://localhost:8080").rstrip("/")


def mlflow_url(services: Services) -> str:
    """Give where a browser reaches MLflow, without the login of ours; empty where it has no web page."""
    from ml.urls import without_secrets

    uri = without_secrets(os.environ.get(MLFLOW_URL) or services.environment.tracking).rstrip("/")
    return uri if uri.startswith(("http://", "https://")) else ""


def leave(instance: Any, record: BaseModel, services: Services, workspace: str | None = None) -> None:
    """Leave the addresses of what a step produced.

    Parameters
    ----------
    instance
        The task instance that runs.
    workspace
        URI of the training's workspace, if the step belongs to one.
    """
    if found := addresses(record, Places.of(services), workspace):
        _push(instance, found)


def leave_report(instance: Any, report_uri: str | None, services: Services) -> None:
    """Leave the address of the report that says why data were refused."""
    if found := Places.of(services).file(report_uri):
        _push(instance, {REPORT: found})


def _push(instance: Any, found: Mapping[str, str]) -> None:
    """Leave addresses for `Produced.get_link`; of a mapped task also where Airflow itself looks for them.

    Airflow 3.3 makes the tasks of a mapped one from its class, and so without the links of `with_links`.
    """
    instance.xcom_push(PRODUCED, dict(found))
    if getattr(instance, "map_index", -1) >= 0:
        for name, address in found.items():
            instance.xcom_push(Produced(name).xcom_key, address)


def addresses(record: BaseModel, places: Places, workspace: str | None = None) -> dict[str, str]:
    """Give the address of each thing that a record speaks of, by the name of its link."""
    give = GIVEN.get(type(record).__name__)
    found = give(record, places) if give is not None else {}
    if kept := IN_WORKSPACE.get(type(record).__name__):
        home = workspace or getattr(record, "workspace", None)
        found = found | {kept[0]: places.file(f"{home}/{kept[1]}" if home else None)}
    return {name: address for name, address in found.items() if address}


def _screening(record: Any, places: Places) -> dict[str, str]:
    reports: dict[str, str] = {}
    for result in sorted(record.results, key=lambda result: not result.refused):
        reports.setdefault(result.asset, result.report_uri)
    aside = next((result.quarantine_uri for result in record.results if result.quarantine_uri), None)
    return {
        REPORT: places.file(reports.get("inputs")),
        "Validation report of the labels": places.file(reports.get("labels")),
        "Quarantined rows": places.file(f"{aside}/rows.parquet" if aside else None),
    }


def _scoring(record: Any, places: Places) -> dict[str, str]:
    published = {"Predictions": places.file(record.uri), REPORT: places.file(record.report_uri)}
    return {MODEL: places.model_page(record.version), **(published if record.published else {})}


def _judgement(record: Any, places: Places) -> dict[str, str]:
    return {DECISION: places.decision(record.decision_id), MODEL: places.model_page(record.version)}


def _served(record: Any, places: Places) -> dict[str, str]:
    return _judgement(record, places) | {VERSION: places.version(record.version)}


def _challenger(record: Any, places: Places) -> dict[str, str]:
    version = record.version
    return {RUN: places.run(record.run_id), VERSION: places.version(version), MODEL: places.model_page(version)}


def _card(record: Any, places: Places) -> dict[str, str]:
    name = f"version={record.version}/card/model_card.html"
    return {RUN: places.run(record.run_id), "Model card": places.kept(name) if record.version is not None else ""}


def _performance(record: Any, places: Places) -> dict[str, str]:
    home = f"monitor/day={record.day}"
    return {
        "Live performance": places.kept(f"{home}/performance.json"),
        "Performance by day": places.kept(f"{home}/performance_by_day.csv"),
    }


def _run(record: Any, places: Places) -> dict[str, str]:
    return {RUN: places.run(record.run_id)}


def _data(record: Any, places: Places) -> dict[str, str]:
    return {DATA: places.page("data")}


GIVEN: dict[str, Callable[[Any, Places], dict[str, str]]] = {
    "Landing": _data,
    "Screening": _screening,
    "Ingested": _data,
    "Window": _data,
    "WindowReport": lambda record, places: {REPORT: places.file(record.report_uri)},
    "Tuned": _run,
    "Candidate": _run,
    "Evaluation": _run,
    "Challenger": _challenger,
    "Judgement": _judgement,
    "Card": _card,
    "Promotion": _served,
    "Rollback": _served,
    "Champion": lambda record, places: {MODEL: places.model_page(record.version)},
    "Scoring": _scoring,
    "Shadows": lambda record, places: {"Shadow predictions": places.file(next(iter(record.uris), None))},
    "DriftReport": lambda record, places: {
        "Evidently report": places.file(record.report_uri),
        MODEL: places.model_page(record.champion_version),
    },
    "LivePerformance": _performance,
    "Rivalry": lambda record, places: {"Comparison": places.kept(f"monitor/day={record.day}/rivalry.json")},
    "Decision": lambda record, places: {DECISION: places.kept(f"monitor/day={record.day}/decision.json")},
}
"""What each kind of `ml.records` leads to, by the name of its class: nothing of ``ml`` is imported to parse a Dag."""

IN_WORKSPACE = {
    "Window": ("Window", "data/window.json"),
    "Parts": ("Split", "parts/parts.json"),
    "PackageCheck": ("Package check", "check/check.json"),
    "Judgement": ("Verdict", "verdict.json"),
}
"""What is kept in the workspace of a training, by the kind of record: the name of the link, and of the file."""
