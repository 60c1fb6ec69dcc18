"""The one door to MLflow: training runs, the model registry, and the decisions experiment.

Decisions are the audit trail, the cooldown state and the champion history. One decision is one
run of the experiment ``<name>-decisions``, found again by its ``key``; it counts once it is
FINISHED, and a promotion or a rollback also counts from the moment at which its alias has moved.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # standard output is for a step's record
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # a dead server is named in seconds, not minutes;
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")  # Airflow retries the task

import mlflow
import mlflow.sklearn
import pandas as pd
import requests
from mlflow.entities import DatasetInput, Experiment, Metric, Param, Run, RunTag, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from sklearn.pipeline import Pipeline

from ml import disk
from ml.adapters import models
from ml.adapters.decisions import PREFIX, TAG_CHARACTERS, explains, in_force, logged, one_a_key, payload_tags
from ml.adapters.journal import Journal
from ml.adapters.rows import sha256 as digest_of
from ml.adapters.trusted import TRUSTED_TYPES
from ml.core.history import REIGNS
from ml.errors import EvergreenError, MissingArtifact, Unavailable, UntrustedModel
from ml.records import JudgedModel, Logged

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous_champion"
PARAM_CHARACTERS = 6000
"""As many of a parameter as MLflow keeps."""

MOMENT = timedelta(milliseconds=1)
"""What MLflow can tell apart."""

ATTEMPTS = 3
ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
RETRYABLE = {"TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED", "INTERNAL_ERROR"}
NO_LOGIN = "UNAUTHENTICATED"
T = TypeVar("T")
logger = logging.getLogger(__name__)


def _login_wanted(what: str) -> EvergreenError:
    return EvergreenError(
        f"{what}: MLflow asks for a login; type the command as 'evergreen …', which knows the login of the stack that "
        "runs here, or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )


@contextmanager
def _door(what: str) -> Iterator[None]:
    """Turn MLflow's exceptions into ours."""
    try:
        yield
    except MlflowException as err:
        if err.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise MissingArtifact(f"{what}: MLflow has no such thing ({err.message})") from err
        if disk.is_full(str(err.message)):
            raise disk.full(f"MLflow's server ({what})", str(err.message)[:200]) from err
        if err.error_code == NO_LOGIN:
            raise _login_wanted(what) from err
        if err.error_code in RETRYABLE:
            raise Unavailable(f"{what}: MLflow did not answer ({err.message}); is its server up?") from err
        raise EvergreenError(f"{what}: MLflow refused ({err.message})") from err
    except requests.RequestException as err:
        raise Unavailable(f"{what}: MLflow did not answer ({err}); is its server up?") from err


@dataclass(frozen=True)
class Version:
    """A registered version: its own tags without their prefix, and what its run has measured."""

    version: int
    run_id: str
    created_at: datetime
    aliases: tuple[str, ...]
    tags: dict[str, str]
    metrics: dict[str, float]


@dataclass(frozen=True)
class Tracking:
    """MLflow at ``uri``, for one task ``name``.

    Attributes
    ----------
    trusted_types
        Types of ``fit`` that may be loaded beside our own list.
    journal
        The storage's record of who was promoted, for moves whose run MLflow has lost; None looks at MLflow only.
    """

    uri: str
    name: str
    trusted_types: tuple[str, ...] = ()
    journal: Journal | None = None

    @property
    def client(self) -> MlflowClient:
        """Open a client; a local SQLite file gets its folder first."""
        if self.uri.startswith("sqlite:///"):
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.uri)
        return MlflowClient(self.uri)

    # -- training runs ---------------------------------------------------------------------------

    def log_fit(
        self,
        pipeline: Pipeline,
        sample: pd.DataFrame,
        *,
        fingerprint: str,
        params: Mapping[str, str],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        dataset: pd.DataFrame,
        dataset_source: str,
        files: Path,
    ) -> str:
        """Log one training as one run and return its id.

        Parameters
        ----------
        sample : DataFrame of shape (n_sample, n_features)
            Kept as the input example; the signature is inferred from it.
        dataset : DataFrame
            The training rows, logged as the run's input with ``fingerprint`` in its digest.
        files
            A folder whose files are kept with the run under ``lineage/``.
        """
        client = self.client
        with _door(f"log the training {fingerprint[:12]}"):
            self._abandon(client, {"fingerprint": fingerprint})
            run = client.create_run(
                self._experiment(client, self.name),
                tags={PREFIX + "fingerprint": fingerprint, **{PREFIX + k: v for k, v in tags.items()}},
                run_name=f"train-{fingerprint[:12]}",
            )
            run_id = run.info.run_id
            client.log_inputs(run_id, [_dataset(dataset, dataset_source, fingerprint)])
            client.log_batch(run_id, params=_params(params), metrics=_metrics(metrics))
            client.log_artifacts(run_id, str(files), "lineage")
            self._log_model(run_id, pipeline, sample)
        return str(run_id)

    def _log_model(self, run_id: str, pipeline: Pipeline, sample: pd.DataFrame) -> None:
        probable = hasattr(pipeline, "predict_proba")
        predictions = pipeline.predict_proba(sample) if probable else pipeline.predict(sample)
        with mlflow.start_run(run_id=run_id):
            mlflow.sklearn.log_model(
                pipeline,
                name="model",
                signature=infer_signature(sample, predictions),
                input_example=sample.head(5),
                serialization_format="skops",
                skops_trusted_types=[*TRUSTED_TYPES, *self.trusted_types],
                pyfunc_predict_fn="predict_proba" if probable else "predict",
                pip_requirements=[f"{name}=={_version(name)}" for name in ("scikit-learn", "pandas", "skops")],
            )

    def _abandon(self, client: MlflowClient, tags: Mapping[str, str]) -> None:
        """Mark runs of the same training or search that were killed half-way, so that none looks alive."""
        for run in self._runs(client, self.name, tags):
            if run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, "KILLED")

    def log_results(self, run_id: str, metrics: Mapping[str, float], files: Path) -> None:
        """Add what was measured on the holdout to a training run, and the files that show it."""
        with _door(f"log the evaluation of run {run_id}"):
            self.client.log_batch(run_id, metrics=_metrics(metrics))
        self.keep_files(run_id, files, "evaluation")

    def keep_files(self, run_id: str, files: Path, folder: str) -> str:
        """Keep the files of a folder with a run, under ``folder``, in the place of earlier ones; return its URI."""
        client = self.client
        with _door(f"keep {folder} with run {run_id}"):
            client.log_artifacts(run_id, str(files), folder)
        return f"runs:/{run_id}/{folder}"

    def log_report(self, kind: str, *, params: Mapping[str, str], metrics: Mapping[str, float], files: Path) -> str:
        """Keep a report as one run of the experiment ``<name>-<kind>``, its files under ``report``; give its id."""
        client = self.client
        with _door(f"keep a report in {self.name}-{kind}"):
            run = client.create_run(self._experiment(client, f"{self.name}-{kind}"), run_name=kind)
            run_id = str(run.info.run_id)
            client.log_batch(run_id, params=_params(params), metrics=_metrics(metrics))
            client.log_artifacts(run_id, str(files), "report")
            client.set_terminated(run_id)
        return run_id

    # -- searches of fit.args --------------------------------------------------------------------

    def open_search(self, fingerprint: str, params: Mapping[str, str]) -> str:
        """Open the run that a search's trials are nested in, and return its id.

        Neither carries the fingerprint under the tag of trainings: whoever looks for those meets none of
        these. Runs of the same search that were killed half-way are marked so.
        """
        client = self.client
        with _door(f"open the search {fingerprint[:12]}"):
            self._abandon(client, {"tuned_fingerprint": fingerprint})
            run_id = self._open_tuning_run(client, f"tune-{fingerprint[:12]}", {"tuned_fingerprint": fingerprint})
            client.log_batch(run_id, params=_params(params))
        return run_id

    def log_trial(
        self, search_id: str, number: int, *, fingerprint: str, params: Mapping[str, str], loss: float | None, said: str
    ) -> None:
        """Log one trial of a search as a run of its own, nested in it; without a loss it has FAILED."""
        client = self.client
        with _door(f"log trial {number} of the search {fingerprint[:12]}"):
            tags = {"tuned_fingerprint": fingerprint, **({"said": said[:TAG_CHARACTERS]} if said else {})}
            run_id = self._open_tuning_run(client, f"trial-{number}", tags, inside=search_id)
            measured = {} if loss is None else {"loss": loss}
            client.log_batch(run_id, params=_params(params), metrics=_metrics(measured))
            client.set_terminated(run_id, "FAILED" if loss is None else "FINISHED")

    def close_search(self, search_id: str, *, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """Log what a search has chosen (``best.`` before each name); without any loss it has FAILED."""
        client = self.client
        best = {f"best.{key}": value for key, value in params.items()}
        with _door(f"close the search {search_id}"):
            client.log_batch(search_id, params=_params(best), metrics=_metrics(metrics))
            client.set_terminated(search_id, "FINISHED" if metrics else "FAILED")

    def _open_tuning_run(
        self, client: MlflowClient, name: str, tags: Mapping[str, str], *, inside: str | None = None
    ) -> str:
        ours = {PREFIX + key: value for key, value in tags.items()}
        nested = {} if inside is None else {"mlflow.parentRunId": inside}
        run = client.create_run(self._experiment(client, self.name), tags=ours | nested, run_name=name)
        return str(run.info.run_id)

    # -- model registry --------------------------------------------------------------------------

    def register(self, run_id: str, *, fingerprint: str, tags: Mapping[str, str], files: Path) -> int:
        """Register a run's model as a challenger and return its version; once per fingerprint.

        ``files`` are kept with the run under ``monitoring/``.
        """
        client = self.client
        with _door(f"register the model of run {run_id}"):
            with suppress(MlflowException):
                client.create_registered_model(self.name)
            client.log_artifacts(run_id, str(files), "monitoring")
            known = [v for v in self._versions(client) if v.tags.get(PREFIX + "fingerprint") == fingerprint]
            known = [v for v in known if v.run_id == run_id]
            if known:
                version = known[0]
            else:
                model_ids = [model.model_id for model in client.get_run(run_id).outputs.model_outputs]
                version = client.create_model_version(
                    self.name,
                    f"models:/{model_ids[-1]}",
                    run_id,
                    model_id=model_ids[-1],
                    tags={PREFIX + "fingerprint": fingerprint, **{PREFIX + k: v for k, v in tags.items()}},
                )
            client.set_registered_model_alias(self.name, CHALLENGER, version.version)
        return int(version.version)

    def alias(self, alias: str) -> int | None:
        """Resolve an alias to a version number; None if it points nowhere."""
        client = self.client
        try:
            return int(client.get_model_version_by_alias(self.name, alias).version)
        except MlflowException as err:
            if err.error_code in ABSENT:
                return None
            if err.error_code == NO_LOGIN:
                raise _login_wanted(f"read the alias {alias!r}") from err
            raise Unavailable(f"alias {alias!r}: MLflow did not answer ({err.message}); is MLflow up?") from err

    def move_alias(self, alias: str, version: int) -> None:
        """Point an alias at a version: the commit point of a promotion."""
        client = self.client
        with _door(f"point {alias!r} at version {version}"):
            _insist(
                lambda: client.set_registered_model_alias(self.name, alias, str(version)),
                lambda: self.alias(alias) == version,
            )

    def drop_alias(self, alias: str) -> None:
        """Remove an alias; nothing happens if there is none."""
        client = self.client
        if self.alias(alias) is not None:
            with _door(f"remove the alias {alias!r}"):
                _insist(
                    lambda: client.delete_registered_model_alias(self.name, alias),
                    lambda: self.alias(alias) is None,
                )

    def versions(self) -> list[Version]:
        """List all registered versions, newest first, in a few requests however many there are."""
        client = self.client
        with _door("list the versions"):
            found = self._versions(client)
            aliases = client.get_registered_model(self.name).aliases if found else {}
            runs = self._search(client, self.name, f"tags.`{PREFIX}fingerprint` != ''") if found else []
        metrics = {run.info.run_id: dict(run.data.metrics) for run in runs}
        listed = [
            Version(
                version=int(one.version),
                run_id=str(one.run_id),
                created_at=datetime.fromtimestamp(one.creation_timestamp / 1000, UTC),
                aliases=tuple(sorted(alias for alias, of in aliases.items() if int(of) == int(one.version))),
                tags={k.removeprefix(PREFIX): v for k, v in one.tags.items() if k.startswith(PREFIX)},
                metrics=metrics.get(one.run_id, {}),
            )
            for one in found
        ]
        return sorted(listed, key=lambda one: -one.version)

    def file_names(self, run_id: str, folder: str) -> list[str]:
        """List the files kept with a run in one of its folders, as `read_file` names them."""
        client = self.client
        with _door(f"list {folder} of run {run_id}"):
            return sorted(file.path for file in client.list_artifacts(run_id, folder) if not file.is_dir)

    def version_tags(self, version: int) -> dict[str, str]:
        """Give a version's own tags, without their prefix, and ``run_id``."""
        client = self.client
        with _door(f"read version {version}"):
            found = client.get_model_version(self.name, str(version))
        ours = {k.removeprefix(PREFIX): v for k, v in found.tags.items() if k.startswith(PREFIX)}
        return ours | {"run_id": str(found.run_id)}

    def tag_version(self, version: int, tag: str, value: str | None) -> None:
        """Set a version's own tag, named without its prefix; None removes it."""
        client = self.client
        with _door(f"tag version {version}"):
            text, named = value[:TAG_CHARACTERS] if value is not None else None, (self.name, str(version), PREFIX + tag)
            if self.version_tags(version).get(tag) == text:
                return
            _insist(
                lambda: (
                    client.delete_model_version_tag(*named)
                    if text is None
                    else client.set_model_version_tag(*named, text)
                ),
                lambda: self.version_tags(version).get(tag) == text,
            )

    def run_metrics(self, run_id: str) -> dict[str, float]:
        """Give the metrics of a run."""
        client = self.client
        with _door(f"read run {run_id}"):
            return dict(client.get_run(run_id).data.metrics)

    def servable(self, version: int) -> JudgedModel:
        """Fetch what a version would serve with, and give its run, its fingerprint and the hash of its model file.

        Raises
        ------
        MissingArtifact
            If the version, its run or its model file is not there; the message says which.
        """
        client = self.client
        with _door(f"version {version} cannot serve"):
            found = client.get_model_version(self.name, str(version))
            client.get_run(str(found.run_id))
        with self.packaged(str(found.run_id), version) as folder:
            path = folder / models.MODEL_FILE
            if not path.is_file():
                raise MissingArtifact(f"version {version} cannot serve: {models.MODEL_FILE} is not in its model folder")
            digest = digest_of(path)
        return JudgedModel(
            version=version,
            run_id=str(found.run_id),
            fingerprint=found.tags.get(PREFIX + "fingerprint"),
            model_sha256=digest,
        )

    def load_model(self, version: int, *, sha256: str | None = None) -> Pipeline:
        """Load a version's pipeline with our list of trusted types.

        Parameters
        ----------
        sha256
            The hash that the model file must have; None takes any.

        Raises
        ------
        UntrustedModel
            If it has another.
        """
        client = self.client
        with _door(f"load version {version}"), tempfile.TemporaryDirectory() as folder:
            source = client.get_model_version_download_uri(self.name, str(version))
            path = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder)) / models.MODEL_FILE
            if sha256 is not None and path.is_file() and (other := digest_of(path)) != sha256:
                raise UntrustedModel(
                    f"the model file of version {version} in MLflow (SHA-256 {other[:12]}) is not the one that was "
                    f"recorded ({sha256[:12]}): somebody changed it, it is not loaded; bring it back from a backup, "
                    "roll back to another version ('evergreen rollback --to N'), or trigger Retrain"
                )
            return models.load(path, trusted=self.trusted_types)

    @contextmanager
    def packaged(self, run_id: str, version: int | None = None) -> Iterator[Path]:
        """Give a local copy of the model's folder, as the registry or (without a version) its run holds it."""
        client = self.client
        with tempfile.TemporaryDirectory() as folder:
            with _door(f"fetch the model of run {run_id}"):
                if version is None:
                    models_of_run = client.get_run(run_id).outputs.model_outputs
                    source = f"models:/{models_of_run[-1].model_id}"
                else:
                    source = client.get_model_version_download_uri(self.name, str(version))
                local = Path(mlflow.artifacts.download_artifacts(source, dst_path=folder))
            yield local

    def has_file(self, version: int, name: str) -> bool:
        """Say whether a file was kept with a version's run."""
        client = self.client
        with _door(f"look for {name} of version {version}"):
            run_id = str(client.get_model_version(self.name, str(version)).run_id)
            return any(file.path == name for file in client.list_artifacts(run_id, name.rpartition("/")[0] or None))

    def read_file(self, version: int, name: str, read: Callable[[Path], T]) -> T:
        """Fetch a file kept with a version's run and read it before its copy is removed."""
        client = self.client
        with _door(f"read {name} of version {version}"), tempfile.TemporaryDirectory() as folder:
            run_id = client.get_model_version(self.name, str(version)).run_id
            return read(Path(client.download_artifacts(str(run_id), name, folder)))

    # -- decisions -------------------------------------------------------------------------------

    def open_decision(
        self,
        kind: str,
        key: str,
        *,
        fingerprint: str | None,
        effective_day: date | None,
        payload: Mapping[str, Any],
        not_before: datetime | None = None,
        decided_at: datetime | None = None,
    ) -> Logged:
        """Write a decision down, not yet finished; the same ``key`` finds the first one again.

        Several callers at once may write one each, of which one is read. Whoever must be sure settles on one
        of those that were given, and drops the others: `drop_other_decisions`.

        Parameters
        ----------
        not_before
            When the decision before it in the same chain was made: clocks of two machines differ,
            and the order of decisions is that of their instants. None asks the clock only.
        decided_at
            When it was decided, of a decision that is written down again; None means now.
        """
        client = self.client
        with _door(f"record the decision {key}"):
            found = self._decision(client, key)
            if found is not None:
                return logged(found)
            tags = {"kind": kind, "key": key, **payload_tags(payload)}
            tags |= {"fingerprint": fingerprint} if fingerprint else {}
            tags |= {"effective_day": effective_day.isoformat()} if effective_day else {}
            now = decided_at or datetime.now(UTC)
            if not_before is not None:
                now = max(now, not_before + MOMENT)
            run = client.create_run(
                self._experiment(client, f"{self.name}-decisions"),
                start_time=int(now.timestamp() * 1000),
                tags={PREFIX + name: value for name, value in tags.items()},
                run_name=key[:250],
            )
            return logged(self._decision(client, key) or run)  # if somebody else was quicker: theirs

    def decision(self, decision_id: str) -> Logged:
        """Read one decision by its id, finished or not; MissingArtifact if there is none."""
        client = self.client
        with _door(f"read the decision {decision_id}"):
            return logged(client.get_run(decision_id))

    def recover_decision(self, decision_id: str) -> Logged | None:
        """Read one decision by its id, and restore its run if that was deleted; None if MLflow has no such run."""
        client = self.client
        try:
            run = client.get_run(decision_id)
            if run.info.lifecycle_stage != "active":
                logger.warning("the run of the decision %s was deleted in MLflow; it is restored", decision_id)
                client.restore_run(decision_id)
                run = client.get_run(decision_id)
        except MlflowException as err:
            if err.error_code in ABSENT:
                return None
            raise Unavailable(f"read the decision {decision_id}: MLflow did not answer ({err.message})") from err
        return logged(run)

    def drop_other_decisions(self, decision: Logged) -> None:
        """Remove what others wrote down under the same key at the same moment."""
        client = self.client
        with _door(f"remove the doubles of the decision {decision.decision_id}"):
            for run in self._runs(client, f"{self.name}-decisions", {"key": decision.key}):
                if run.info.run_id != decision.decision_id:
                    _forget(client, run)

    def discount_decision(self, decision: Logged) -> None:
        """Let a decision count no more: its run stays, as one of the kind ``unrecorded`` with a key of its own."""
        client = self.client
        tags = {"kind": "unrecorded", "key": f"unrecorded {decision.decision_id}: {decision.key}"}
        with _door(f"discount the decision {decision.decision_id}"):
            client.log_batch(decision.decision_id, tags=[RunTag(PREFIX + name, value) for name, value in tags.items()])

    def has_book(self) -> bool:
        """Say whether the decisions experiment exists, without making one."""
        client = self.client
        with _door("look at the decisions experiment"):
            return client.get_experiment_by_name(f"{self.name}-decisions") is not None

    def book(self) -> str:
        """Name the decisions experiment as no other is named, so that what refers to one never meets another."""
        client = self.client
        with _door("open the decisions experiment"):
            found = client.get_experiment(self._experiment(client, f"{self.name}-decisions"))
        return f"{self.name}-{found.creation_time}"

    def close_decision(self, decision: Logged) -> None:
        """Mark a decision as carried out."""
        client = self.client
        with _door(f"close the decision {decision.decision_id}"):
            client.log_dict(decision.decision_id, decision.payload, "decision.json")
            client.set_terminated(decision.decision_id, "FINISHED")

    def decisions(self, *, kinds: Sequence[str] = (), fingerprint: str | None = None) -> list[Logged]:
        """List what was decided, oldest first; one half-done counts if its champion alias has moved.

        A move of the champion whose run was deleted counts as long as the alias stands where it has put it: deleting
        a record undoes nothing.
        """
        client = self.client
        wanted = {"fingerprint": fingerprint} if fingerprint else {}
        with _door("read the decisions"):
            champion = self.alias(CHAMPION)  # first: a move made between the two is then seen whole, or not yet
            entries = [logged(run) for run in self._decision_runs(client, wanted, kinds)]
            found = in_force(one_a_key(entries), champion)
            if not fingerprint and (not kinds or set(kinds) & set(REIGNS)) and not explains(found, champion):
                entries += self._lost_moves(client, {entry.key for entry in entries})
                found = in_force(one_a_key(entries), champion)
        found = [entry for entry in found if not kinds or entry.kind in kinds]
        return sorted(found, key=lambda entry: (entry.decided_at, entry.decision_id))

    def _lost_moves(self, client: MlflowClient, known: set[str]) -> list[Logged]:
        """Read the moves of the champion whose runs are deleted, or that only the journal holds."""
        runs = self._decision_runs(client, {}, REIGNS, ViewType.DELETED_ONLY)
        deleted = [entry for entry in map(logged, runs) if entry.kind in REIGNS and entry.key not in known]
        known = known | {entry.key for entry in deleted}
        moves = self.journal.moves() if self.journal else []
        return deleted + [move.logged() for move in moves if move.key not in known]

    def _decision_runs(
        self, client: MlflowClient, wanted: Mapping[str, str], kinds: Sequence[str], view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        """List the runs of decisions of these kinds (none named: of all); MLflow's tags know no IN, so one search each.

        Changes of the champion are read together: which of them count depends on the others. A key names its kind, so
        that doubles are of one kind.
        """
        asked = {*kinds, *(REIGNS if set(kinds) & set(REIGNS) else ())}
        terms = [{**wanted, "kind": kind} for kind in sorted(asked)] or [dict(wanted)]
        return [run for each in terms for run in self._runs(client, f"{self.name}-decisions", each, view)]

    def _decision(self, client: MlflowClient, key: str) -> Run | None:
        runs = self._runs(client, f"{self.name}-decisions", {"key": key})
        return min(runs, key=lambda run: (run.info.start_time, run.info.run_id), default=None)

    # -- MLflow's own searches -------------------------------------------------------------------

    def _experiment(self, client: MlflowClient, name: str) -> str:
        found = client.get_experiment_by_name(name)
        if found is None:
            location = self._artifact_folder(name)
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except MlflowException:  # somebody else was quicker
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            self._restore_experiment(client, found)
        return str(found.experiment_id)

    def deleted_experiments(self) -> tuple[str, ...]:
        """Name those of this task's experiments, of trainings and of decisions, that were deleted."""
        client = self.client
        with _door("look at the experiments"):
            found = [client.get_experiment_by_name(name) for name in (self.name, f"{self.name}-decisions")]
        return tuple(str(each.name) for each in found if each is not None and each.lifecycle_stage != "active")

    def restore_experiments(self) -> None:
        """Restore what `deleted_experiments` names, with the runs."""
        client = self.client
        with _door("restore the experiments"):
            for name in self.deleted_experiments():
                self._experiment(client, name)

    def _restore_experiment(self, client: MlflowClient, found: Experiment) -> None:
        """Bring a deleted experiment back: MLflow keeps its name taken, and lets nobody write into it."""
        logger.warning("the experiment %s was deleted in MLflow; it is restored, with its runs", found.name)
        try:
            client.restore_experiment(found.experiment_id)
        except MlflowException:  # somebody else was quicker
            if client.get_experiment(found.experiment_id).lifecycle_stage != "active":
                raise

    def _artifact_folder(self, name: str) -> str | None:
        """Keep the artifacts of a local SQLite store beside it; a server knows its own place."""
        if not self.uri.startswith("sqlite:///"):
            return None
        return (Path(self.uri.removeprefix("sqlite:///")).parent / "artifacts" / name).absolute().as_uri()

    def _runs(
        self, client: MlflowClient, experiment: str, tags: Mapping[str, str], view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        terms = [f"tags.`{PREFIX}{name}` = '{value}'" for name, value in tags.items()]
        return self._search(client, experiment, " and ".join(terms), view)

    def _search(
        self, client: MlflowClient, experiment: str, wanted: str, view: int = ViewType.ACTIVE_ONLY
    ) -> list[Run]:
        found = client.get_experiment_by_name(experiment)
        if found is None:
            return []
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = client.search_runs([found.experiment_id], wanted, view, 1000, page_token=token)
            runs += page
            token = page.token
            if not token:
                return runs

    def _versions(self, client: MlflowClient) -> list[ModelVersion]:
        versions: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = client.search_model_versions(f"name='{self.name}'", max_results=1000, page_token=token)
            versions += page
            token = page.token
            if not token:
                return versions


def _dataset(frame: pd.DataFrame, source: str, fingerprint: str) -> DatasetInput:
    """Describe the training rows to MLflow; the digest is ours, since MLflow's own is no lineage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two guesses at the kind of source; integer columns
        data = mlflow.data.from_pandas(frame.head(1000), source=source, name="training-window", digest=fingerprint[:36])
        return DatasetInput(data._to_mlflow_entity())


def _params(params: Mapping[str, str]) -> list[Param]:
    return [Param(key, value[:PARAM_CHARACTERS]) for key, value in params.items()]


def _metrics(metrics: Mapping[str, float]) -> list[Metric]:
    now = int(datetime.now(UTC).timestamp() * 1000)
    return [Metric(key, value, now, 0) for key, value in metrics.items()]


def _insist(act: Callable[[], object], is_done: Callable[[], bool]) -> None:
    """Do what MLflow refuses to one of several callers at once, who insert or delete the same row."""
    for attempt in range(ATTEMPTS):
        try:
            act()
        except MlflowException:
            if is_done():
                return
            if attempt == ATTEMPTS - 1:
                raise
        else:
            return


def _forget(client: MlflowClient, run: Run) -> None:
    """Delete a run that somebody else may be deleting too."""
    try:
        client.delete_run(run.info.run_id)
    except MlflowException as err:
        if err.error_code not in ABSENT:
            raise


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)
