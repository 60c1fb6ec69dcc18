"""Return what a person may do from the page, and what the forms of it ask.

Nothing is done here: the page asks Airflow's own API, with the rights of whoever clicks. Airflow's auth manager is
asked what that API would refuse, so that it is not offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from evergreen.page.answers import answered_of

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

    from ml.wiring import Services

Method = Literal["POST", "PUT"]
OF_MODEL = "/api/models/{model}"

ACTIONS: dict[str, tuple[tuple[str, Method, str], ...]] = {
    "retrain": (("retrain", "POST", "RUN"),),
    "rollback": (("rollback", "POST", "RUN"),),
    "note": (("note", "POST", "RUN"),),
    "exclude": (("exclude", "POST", "RUN"),),
    "answer": (("retrain", "PUT", "HITL_DETAIL"),),
    "ingest_again": (("ingest", "PUT", "TASK_INSTANCE"), ("ingest", "POST", "RUN")),
}
"""What can be done, and what Airflow's API asks of it: the Dag, the method, and what is changed of the Dag."""


def add_routes(app: FastAPI) -> None:
    """Add the addresses: what is offered to whom, and to which versions one can roll back."""
    from airflow.api_fastapi.core_api.security import get_user
    from fastapi import Depends

    logged_in = Depends(get_user)

    async def actions(model: str, user: Any = logged_in) -> Response:
        may = {name: all(is_allowed(user, model, *right) for right in rights) for name, rights in ACTIONS.items()}
        return await answered_of(model, lambda _: {"may": may, "forms": _forms()})

    async def rollback_targets(model: str) -> Response:
        return await answered_of(model, _rollback_targets)

    app.add_api_route(f"{OF_MODEL}/actions", actions, methods=["GET"], response_model=None)
    app.add_api_route(f"{OF_MODEL}/rollback-targets", rollback_targets, methods=["GET"], response_model=None)


def is_allowed(user: Any, model: str, verb: str, method: Method, what: str) -> bool:
    """Return whether a user may change something of a model's Dag, by the words of Airflow's auth manager.

    Parameters
    ----------
    verb
        Which of the model's Dags.
    what
        Name of a ``DagAccessEntity``: what Airflow's API would ask for.
    """
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails

    from evergreen.models import dag_id

    details = DagDetails(id=dag_id(model, verb))
    entity = DagAccessEntity[what]
    return bool(get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user))


def _forms() -> dict[str, list[dict[str, Any]]]:
    from evergreen import forms

    return {name: forms.fields(form) for name, form in forms.BY_DAG.items()}


def _rollback_targets(services: Services) -> dict[str, Any]:
    from ml.views.page.rollback_targets import rollback_targets

    return rollback_targets(services)
