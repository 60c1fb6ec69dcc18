"""Lead from a task in Airflow to what it produced: the reports, files, runs, versions and decisions.

A step's record says what was produced. `push_links` turns it into addresses while the task runs, as one XCom;
Airflow then asks each `Produced` link of the task for its address, and shows those that have one. No
address is made in Airflow's servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from evergreen.link_builder import LinkBuilder

if TYPE_CHECKING:
    from airflow.sdk import DAG, BaseOperator
    from pydantic import BaseModel

    from ml.wiring import Services

PRODUCED = "produced"
"""XCom of a task: the addresses of what it produced, by the name of the link."""

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
    "exclude": (DATA,),
    "resolve": (MODEL,),
    "predict": (MODEL,),
    "publish": ("Predictions", REPORT, MODEL),
    "shadow": ("Shadow predictions",),
    "measure_drift": ("Evidently report", MODEL),
    "measure_performance": ("Live performance", "Performance by day"),
    "compare_with_previous": ("Comparison",),
    "measure_requests": ("Performance of requests",),
    "decide": (DECISION,),
    "score_refit": (MODEL,),
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
        """Return the address that the task left, in the task's own process; empty if there is none."""
        del operator
        left = ti_key.xcom_pull(task_ids=ti_key.task_id, key=PRODUCED)
        return str(left.get(self.label, "")) if isinstance(left, Mapping) else ""


def with_links(dag: DAG) -> DAG:
    """Return each task of a Dag the links of `NAMES`, besides those that it has; return the same Dag."""
    for task in dag.tasks:
        if own := NAMES.get(task.task_id):
            task.operator_extra_links = [*task.operator_extra_links, *map(Produced, own)]
    return dag


def push_links(instance: Any, record: BaseModel, services: Services, workspace: str | None = None) -> None:
    """Leave the addresses of what a step produced.

    Parameters
    ----------
    instance
        The task instance that runs.
    workspace
        URI of the training's workspace, if the step belongs to one.
    """
    if urls := addresses(record, LinkBuilder.of(services), workspace):
        _push(instance, urls)


def push_report_link(instance: Any, report_uri: str | None, services: Services) -> None:
    """Leave the address of the report that says why data were refused."""
    if url := LinkBuilder.of(services).file(report_uri):
        _push(instance, {REPORT: url})


def _push(instance: Any, addresses: Mapping[str, str]) -> None:
    """Leave addresses for `Produced.get_link`; of a mapped task also where Airflow itself looks for them.

    Airflow 3.3 makes the tasks of a mapped one from its class, and so without the links of `with_links`.
    """
    instance.xcom_push(PRODUCED, dict(addresses))
    if getattr(instance, "map_index", -1) >= 0:
        for name, address in addresses.items():
            instance.xcom_push(Produced(name).xcom_key, address)


def addresses(record: BaseModel, links: LinkBuilder, workspace: str | None = None) -> dict[str, str]:
    """Return the address of each thing that a record speaks of, by the name of its link."""
    addresses_of = ADDRESSES_OF.get(type(record).__name__)
    urls = addresses_of(record, links) if addresses_of is not None else {}
    if artifact := IN_WORKSPACE.get(type(record).__name__):
        home = workspace or getattr(record, "workspace", None)
        urls = urls | {artifact[0]: links.file(f"{home}/{artifact[1]}" if home else None)}
    return {name: address for name, address in urls.items() if address}


def _screening(record: Any, links: LinkBuilder) -> dict[str, str]:
    from ml.adapters import layout

    reports: dict[str, str] = {}
    for result in sorted(record.results, key=lambda result: not result.rejected):
        reports.setdefault(result.asset, result.report_uri)
    quarantined = next((result.quarantine_uri for result in record.results if result.quarantine_uri), None)
    return {
        REPORT: links.file(reports.get("inputs")),
        "Validation report of the labels": links.file(reports.get("labels")),
        "Quarantined rows": links.file(f"{quarantined}/{layout.ingest.QUARANTINED_ROWS}" if quarantined else None),
    }


def _scoring(record: Any, links: LinkBuilder) -> dict[str, str]:
    published = {"Predictions": links.file(record.uri), REPORT: links.file(record.report_uri)}
    return {MODEL: links.model_page(record.version), **(published if record.published else {})}


def _judgement(record: Any, links: LinkBuilder) -> dict[str, str]:
    return {DECISION: links.decision(record.decision_id), MODEL: links.model_page(record.version)}


def _served(record: Any, links: LinkBuilder) -> dict[str, str]:
    return _judgement(record, links) | {VERSION: links.version(record.version)}


def _challenger(record: Any, links: LinkBuilder) -> dict[str, str]:
    version = record.version
    return {RUN: links.run(record.run_id), VERSION: links.version(version), MODEL: links.model_page(version)}


def _card(record: Any, links: LinkBuilder) -> dict[str, str]:
    from ml.adapters import layout

    name = layout.training.artifact(record.version, "card/model_card.html")
    return {RUN: links.run(record.run_id), "Model card": links.stored(name) if record.version is not None else ""}


def _performance(record: Any, links: LinkBuilder) -> dict[str, str]:
    from ml.adapters import layout

    return {
        "Live performance": links.monitored(record.day, layout.monitoring.PERFORMANCE),
        "Performance by day": links.monitored(record.day, layout.monitoring.PERFORMANCE_BY_DAY),
    }


def _comparison(record: Any, links: LinkBuilder) -> dict[str, str]:
    from ml.adapters import layout

    return {"Comparison": links.monitored(record.day, layout.monitoring.COMPARISON)}


def _decided(record: Any, links: LinkBuilder) -> dict[str, str]:
    from ml.adapters import layout

    return {DECISION: links.monitored(record.day, layout.monitoring.DECISION)}


def _run(record: Any, links: LinkBuilder) -> dict[str, str]:
    return {RUN: links.run(record.run_id)}


def _data(record: Any, links: LinkBuilder) -> dict[str, str]:
    return {DATA: links.page("data")}


ADDRESSES_OF: dict[str, Callable[[Any, LinkBuilder], dict[str, str]]] = {
    "Landing": _data,
    "Screening": _screening,
    "Ingested": _data,
    "Window": _data,
    "WindowReport": lambda record, links: {REPORT: links.file(record.report_uri)},
    "Tuned": _run,
    "Candidate": _run,
    "Evaluation": _run,
    "Challenger": _challenger,
    "Judgement": _judgement,
    "Card": _card,
    "Promotion": _served,
    "Rollback": _served,
    "Exclusion": _data,
    "Champion": lambda record, links: {MODEL: links.model_page(record.version)},
    "Scoring": _scoring,
    "Shadows": lambda record, links: {"Shadow predictions": links.file(next(iter(record.uris), None))},
    "DriftReport": lambda record, links: {
        "Evidently report": links.file(record.report_uri),
        MODEL: links.model_page(record.champion_version),
    },
    "LivePerformance": _performance,
    "PreviousChampionComparison": _comparison,
    "RefitComparison": lambda record, links: {MODEL: links.model_page(record.champion_version)},
    "RequestPerformance": lambda record, links: {"Performance of requests": links.file(record.result_uri)},
    "Decision": _decided,
}
"""What each kind of `ml.records` leads to, by the name of its class: nothing of ``ml`` is imported to parse a Dag."""

IN_WORKSPACE = {
    "Window": ("Window", "data/window.json"),
    "Parts": ("Split", "parts/parts.json"),
    "PackageCheck": ("Package check", "check/check.json"),
    "Judgement": ("Verdict", "verdict.json"),
}
"""What is kept in the workspace of a training, by the kind of record: the name of the link, and of the file."""
