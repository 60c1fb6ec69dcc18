"""Build addresses for a browser: of files, runs, versions, decisions and parts of the page."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from datetime import date

    from ml.wiring import Services

log = logging.getLogger(__name__)
MLFLOW_URL = "EVERGREEN_MLFLOW_URL"
"""Where people's browsers reach MLflow, if that is not where tasks do."""

ML_VIEW = "?workflowType=machine_learning"
"""Ends each address in MLflow: without it, MLflow opens its view of GenAI applications, which shows no metrics."""


@dataclass(frozen=True)
class LinkBuilder:
    """Where people find things: addresses for a browser, empty where there is none."""

    airflow: str
    mlflow: str
    storage: str
    model: str
    experiment: Callable[[], str] = lambda: ""
    registered_model: str = ""
    """What MLflow calls the model, if not by its name."""

    @classmethod
    def of(cls, services: Services) -> LinkBuilder:
        """Read them from the services and from Airflow's configuration."""
        return cls(
            airflow_url(),
            mlflow_url(services),
            services.storage.root.rstrip("/"),
            services.settings.task.name,
            lambda: training_experiment(services),
            services.identity,
        )

    def page(self, part: str) -> str:
        """Return a part of the model on Evergreen's page.

        Airflow's frame of it takes the path behind its own for the framed one's: it has to be whole, a proxy's prefix
        included.
        """
        framed = f"{urlsplit(self.airflow).path}/evergreen/#{quote(self.model)}/{quote(part)}"
        return f"{self.airflow}/plugin/evergreen{framed}"

    def of_model(self, name: str) -> str:
        """Return another model of the installation on Evergreen's page."""
        return replace(self, model=name).page("now")

    def file(self, uri: str | None) -> str:
        """Return a file of storage, by its URI, as the page serves it."""
        inside = uri is not None and uri.startswith(f"{self.storage}/")
        return self.stored(uri[len(self.storage) + 1 :]) if uri is not None and inside else ""

    def stored(self, name: str) -> str:
        """Return a file of the model that the page serves, by its name."""
        return f"{self.airflow}/evergreen/files/{quote(self.model)}/{quote(name, safe='/=')}"

    def monitored(self, day: date, name: str) -> str:
        """Return a file of a day's monitoring, as the page serves it."""
        from ml.adapters import layout

        return self.stored(f"{layout.monitoring.day_dir(day)}/{name}")

    def run(self, run_id: str | None) -> str:
        """Return the page of an MLflow run.

        Named with its experiment: MLflow's shorter address of a run forgets `ML_VIEW` on its way.
        """
        if not run_id or not self.mlflow:
            return ""
        experiment = self.experiment()
        inside = f"experiments/{quote(experiment)}/" if experiment else ""
        return f"{self.mlflow}/#/{inside}runs/{quote(run_id)}{ML_VIEW}"

    def version(self, version: int | None) -> str:
        """Return MLflow's page of a model version."""
        linkable = version is not None and self.mlflow
        registered = quote(self.registered_model or self.model)
        return f"{self.mlflow}/#/models/{registered}/versions/{version}{ML_VIEW}" if linkable else ""

    def model_page(self, version: int | None) -> str:
        """Return a version on Evergreen's page."""
        return "" if version is None else self.page(f"versions/{version}")

    def decision(self, decision_id: str | None) -> str:
        """Return a decision on Evergreen's page, rule by rule."""
        return self.page(f"decisions/{decision_id}") if decision_id else ""


def airflow_url() -> str:
    """Return the address of Airflow's web UI."""
    from airflow.sdk.configuration import conf

    return (conf.get("api", "base_url", fallback="") or "http://localhost:8080").rstrip("/")


def mlflow_url(services: Services) -> str:
    """Return where a browser reaches MLflow, without the login of ours; empty where it has no web page."""
    from ml.urls import without_secrets

    uri = without_secrets(os.environ.get(MLFLOW_URL) or services.environment.tracking).rstrip("/")
    return uri if uri.startswith(("http://", "https://")) else ""


def training_experiment(services: Services) -> str:
    """Return the id of MLflow's experiment of trainings; empty if there is none, or MLflow does not answer."""
    from ml.errors import EvergreenError

    try:
        return services.tracking.training_experiment() or ""
    except EvergreenError as err:
        log.warning("links of runs go without their experiment: %s", err)
        return ""
