"""Reach MLflow: its client, its experiments, its searches, and its exceptions turned into ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import requests
from mlflow.entities import Experiment, Metric, Param, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ml import disk
from ml.adapters.champion_changes import DOCTOR
from ml.adapters.tracking import database
from ml.adapters.tracking.decision_tags import PREFIX
from ml.errors import EvergreenError, MissingArtifact, Unavailable

PARAM_CHARACTERS = 6000
"""As many of a parameter as MLflow keeps."""

ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
RETRYABLE = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED", "INTERNAL_ERROR"}
DATABASE = {"sqlalchemy", "alembic", "sqlite3"}
"""Whose errors come from a database that is opened without a server."""

NO_LOGIN = "UNAUTHENTICATED"
logger = logging.getLogger(__name__)


def login_wanted(what: str) -> EvergreenError:
    """Build the error of a server that asks who is there."""
    return EvergreenError(
        f"{what}: MLflow asks for a login; type the command as 'evergreen …', which knows the login of the stack that "
        "runs here, or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )


@contextmanager
def translate_errors(what: str) -> Iterator[None]:
    """Turn MLflow's exceptions into ours."""
    try:
        yield
    except MlflowException as err:
        if err.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise MissingArtifact(f"{what}: MLflow has no such thing ({err.message})") from err
        if disk.is_full(str(err.message)):
            raise disk.full(f"MLflow's server ({what})", str(err.message)[:200]) from err
        if err.error_code == NO_LOGIN:
            raise login_wanted(what) from err
        if err.error_code in RETRYABLE:
            raise Unavailable(f"{what}: MLflow did not answer ({err.message}); is its server up?") from err
        raise EvergreenError(f"{what}: MLflow refused ({err.message})") from err
    except requests.RequestException as err:
        raise Unavailable(f"{what}: MLflow did not answer ({err}); is its server up?") from err
    except Exception as err:
        if type(err).__module__.partition(".")[0] not in DATABASE:
            raise
        message = str(err).partition("\n")[0]
        if type(err).__name__ == "OperationalError":  # locked, or cannot be opened at this moment
            raise Unavailable(f"{what}: MLflow's database did not answer ({message})") from err
        raise EvergreenError(
            f"{what}: MLflow's database is damaged ({message}); restore it from a backup, then run '{DOCTOR}'"
        ) from err


@dataclass(frozen=True)
class Connection:
    """MLflow at ``uri``, for one task ``name``.

    Attributes
    ----------
    trusted_types
        Types of ``fit`` that may be loaded in addition to our own list.
    """

    uri: str
    name: str
    trusted_types: tuple[str, ...] = ()

    @property
    def client(self) -> MlflowClient:
        """Open a client; a local SQLite file gets its folder first."""
        mlflow.set_tracking_uri(self.uri)
        with database.opening(self.uri), translate_errors("open MLflow"):
            return MlflowClient(self.uri, self.uri)  # without the second MLflow looks for Spark each time

    @contextmanager
    def connected(self, what: str) -> Iterator[MlflowClient]:
        """Yield a client, and turn what MLflow raises meanwhile into our errors; ``what`` is being done, for them."""
        client = self.client
        with translate_errors(what):
            yield client

    def training_experiment(self) -> str | None:
        """Return the id of the experiment of trainings, as MLflow's addresses name it; None if there is none yet."""
        with self.connected("look at the experiment of trainings") as client:
            experiment = client.get_experiment_by_name(self.name)
        return None if experiment is None else str(experiment.experiment_id)

    def deleted_experiments(self) -> tuple[str, ...]:
        """List which of this task's experiments, of trainings and of decisions, were deleted."""
        with self.connected("look at the experiments") as client:
            experiments = [client.get_experiment_by_name(name) for name in (self.name, f"{self.name}-decisions")]
        return tuple(
            str(experiment.name)
            for experiment in experiments
            if experiment is not None and experiment.lifecycle_stage != "active"
        )

    def restore_experiments(self) -> None:
        """Restore what `deleted_experiments` names, with the runs."""
        with self.connected("restore the experiments") as client:
            for name in self.deleted_experiments():
                self._experiment(client, name)

    def _experiment(self, client: MlflowClient, name: str) -> str:
        return str(self._opened_experiment(client, name).experiment_id)

    def _opened_experiment(self, client: MlflowClient, name: str) -> Experiment:
        """Return an experiment that may be written into: made if it is not there, restored if it was deleted."""
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            location = self._artifact_folder(name)
            try:
                return client.get_experiment(client.create_experiment(name, artifact_location=location))
            except MlflowException:  # somebody else was quicker
                experiment = client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        if experiment.lifecycle_stage != "active":
            self._restore_experiment(client, experiment)
        return experiment

    def _restore_experiment(self, client: MlflowClient, experiment: Experiment) -> None:
        """Restore a deleted experiment: MLflow keeps its name taken, and lets nobody write into it."""
        logger.warning("the experiment %s was deleted in MLflow; it is restored, with its runs", experiment.name)
        try:
            client.restore_experiment(experiment.experiment_id)
        except MlflowException:  # somebody else was quicker
            if client.get_experiment(experiment.experiment_id).lifecycle_stage != "active":
                raise

    def _artifact_folder(self, name: str) -> str | None:
        """Return the folder for artifacts next to a local SQLite store; None for a server, which has its own."""
        if not self.uri.startswith("sqlite:///"):
            return None
        return (Path(self.uri.removeprefix("sqlite:///")).parent / "artifacts" / name).absolute().as_uri()

    def _runs(
        self, client: MlflowClient, experiment: str, tags: Mapping[str, str], view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        return self._search(client, experiment, " and ".join(terms(tags)), view)

    def _search(
        self, client: MlflowClient, experiment: str, filter_string: str, view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        return [run for page in self._pages(client, experiment, filter_string, view) for run in page]

    def _pages(
        self,
        client: MlflowClient,
        experiment: str,
        filter_string: str,
        view: int = ViewType.ACTIVE_ONLY,
        page_size: int = 1000,
    ) -> Iterator[list[Run]]:
        """Yield the runs that a filter finds, newest first, ``page_size`` at once."""
        entity = client.get_experiment_by_name(experiment)
        token: str | None = None
        while entity is not None:
            page = client.search_runs(
                [entity.experiment_id],
                filter_string,
                view,
                page_size,
                order_by=["attributes.start_time DESC"],
                page_token=token,
            )
            yield list(page)
            token = page.token
            if not token:
                return


def terms(tags: Mapping[str, str]) -> list[str]:
    """Build the terms of a filter that finds runs by our tags, named without their prefix."""
    return [f"tags.`{PREFIX}{name}` = '{value}'" for name, value in tags.items()]


def as_params(params: Mapping[str, str]) -> list[Param]:
    """Build MLflow's parameters, each cut to what it keeps."""
    return [Param(key, value[:PARAM_CHARACTERS]) for key, value in params.items()]


def as_metrics(metrics: Mapping[str, float]) -> list[Metric]:
    """Build MLflow's metrics, measured now."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    return [Metric(key, value, now, 0) for key, value in metrics.items()]
