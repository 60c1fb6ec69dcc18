"""Build the addresses that an alert leads to: runs and questions in Airflow, reports on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml.records import DriftReport
    from ml.wiring import Services


def run_link(context: Mapping[str, Any]) -> str:
    """Return the address of this Dag run in Airflow's web UI."""
    instance = context["task_instance"]
    return _link(instance.dag_id, instance.run_id)


def retrain_link(drift: DriftReport) -> str:
    """Return the address of the retrain that a day's monitoring asks for: its run id follows from the day."""
    from evergreen.models import current_model, dag_id

    return _link(dag_id(current_model(), "retrain"), f"monitor__{drift.day}")


def question_link(context: Mapping[str, Any]) -> str:
    """Return the address of the page where a person answers for this Dag run."""
    return f"{run_link(context)}/tasks/approve/required_actions?map_index=-1"


def readable(uri: str, services: Services) -> str:
    """Return the address of a file of storage for a browser; the URI itself where the page does not serve it."""
    from evergreen.link_builder import LinkBuilder

    return (LinkBuilder.of(services).file(uri) or uri) if uri else ""


def installation_link(services: Services) -> tuple[str, str]:
    """Return the list of all models on Evergreen's page, named."""
    from evergreen.link_builder import airflow_url

    del services
    return "All models on Evergreen's page", f"{airflow_url()}/plugin/evergreen"


def page_link(services: Services) -> tuple[str, str]:
    """Return the model on Evergreen's page, named."""
    from evergreen.link_builder import LinkBuilder

    return "This model on Evergreen's page", LinkBuilder.of(services).page("now")


def card_link(version: int | None, services: Services) -> list[tuple[str, str]]:
    """Return the model card of a version that the gate decided about, named; empty without one."""
    from evergreen.link_builder import LinkBuilder
    from ml.adapters import layout

    if version is None:
        return []
    return [("Model card", LinkBuilder.of(services).stored(layout.training.artifact(version, "card/model_card.html")))]


def _link(dag_id: str, run_id: str) -> str:
    from urllib.parse import quote

    from evergreen.link_builder import airflow_url

    return f"{airflow_url()}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"
